"""The decoder wal2json against the decoder pgoutput: one database, two slots, the same SQL, equal events.

What differs by the plugin's nature is in docs/decoders.md; here it is left out by name.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg2
import pytest
from golden.goldens import run_captured
from harness import Ferry, both, comparable, database

from services import Postgres, debian_wal2json, wait_until

MAJOR = debian_wal2json()
pytestmark = [
    pytest.mark.skipif(MAJOR is None, reason="no Debian server with wal2json here: apt has no package"),
    pytest.mark.usefixtures("numbers_as_they_are"),
]
KINDS = ({"decoder": "pgoutput"}, {"decoder": "wal2json"})


# What the plugin cannot say, docs/decoders.md, as differences of events name it.
BY_NATURE = (
    r"x\.public\.t_num after\.(f4|f8|n\w*): None, not (nan|-?inf)$",  # before 2.6
    r"x\.public\.t_ident (after|before)\.g: ",  # a generated column
    r"x\.message message\.content: b'', not b'\\x00\\xff\\x01'$",  # cut at the NUL
    r"source\.origin(_lsn)?: None, not ",
)


@pytest.fixture(scope="module")
def debian() -> Iterator[Postgres]:
    with Postgres(MAJOR, debian=True) as server:
        yield server


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every scalar of an event with the way to it."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path, repr(value)


def differences(got: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> list[str]:
    wrong = [f"topic {topic}" for topic in got.keys() ^ wanted.keys()]
    for topic in sorted(wanted.keys() & got.keys()):
        if len(got[topic]) != len(wanted[topic]):
            wrong.append(f"{topic}: {len(got[topic])} events, not {len(wanted[topic])}")
        for ours, theirs in zip(got[topic], wanted[topic]):
            a, b = dict(leaves(ours)), dict(leaves(theirs))
            wrong.extend(f"{topic} {at}: {a.get(at)}, not {b.get(at)}" for at in a.keys() | b.keys() if a.get(at) != b.get(at))
    return wrong


def compare(run_dir, pg: Postgres, db: str, *statements: str, **format: Any) -> dict[str, list[dict[str, Any]]]:
    """Runs the statements, each a transaction; returns wal2json's events, which are pgoutput's."""
    plain, json = both(run_dir, pg, db, KINDS, **format)
    for statement in statements:
        pg.sql(statement, dbname=db)
    wanted, got = comparable(plain), comparable(json)
    wrong = differences(got, wanted)
    assert not wrong, "\n".join(wrong)
    return got


def test_the_captured_sql_gives_the_events_of_pgoutput(debian, run_dir):
    """Every type, every identity, key changes, TOAST, partitions, messages, origins."""
    db = database(debian)

    run = partial(run_captured, debian, db)

    run("01-schema")
    run("02-rows", b=0)
    plain, json = both(run_dir, debian, db, KINDS, {"exclude_columns": ["public.t_num.n3_5"]})
    run("02-rows", b=100)
    run("03-stream")
    wanted, got = comparable(plain), comparable(json)
    for topic in got:  # a truncated root is named beside its leaves
        if topic == "x.truncate":
            got[topic] = [record for record in got[topic] if record["source"]["table"] != "part"]
    wrong = [line for line in differences(got, wanted) if not re.search("|".join(BY_NATURE), line)]
    assert not wrong, "\n".join(wrong)
    assert sum(map(len, got.values())) > 100


TOASTED = "create table t (id int primary key, n int, body text, gone text); alter table t alter body set storage external"
BIG = "repeat('x', 5000)"
UNSENT = "__debezium_unavailable_value"


def test_an_untouched_toasted_value_is_unchanged_not_null(debian, run_dir):
    got = compare(
        run_dir, debian, database(debian, TOASTED),
        f"insert into t values (1, 1, {BIG}, {BIG}), (2, 2, {BIG}, null)",
        "update t set n = 3",
        "update t set body = 'short' where id = 1",
        "update t set id = 5 where id = 2",
        "delete from t",
    )  # fmt: skip
    assert [record["after"]["body"] for record in got["x.public.t"] if record["op"] == "u"] == [UNSENT, UNSENT, "short"]


def test_the_first_thing_seen_of_a_table_may_be_an_update_or_a_delete(debian, run_dir):
    """The catalog says which columns there are: the messages do not."""
    db = database(debian, f"{TOASTED}; insert into t values (1, 1, {BIG}, null), (2, 2, {BIG}, {BIG})")
    compare(run_dir, debian, db, "delete from t where id = 2")
    debian.sql("drop publication leaves", dbname=db)
    got = compare(run_dir / "second", debian, db, "update t set n = 3")
    assert got["x.public.t"][0]["after"] == {"id": 1, "n": 3, "body": UNSENT, "gone": None}


def test_identity_full_brings_the_values_that_an_update_leaves_out(debian, run_dir):
    db = database(debian, f"{TOASTED}; alter table t replica identity full; insert into t values (1, 1, {BIG}, {BIG})")
    got = compare(run_dir, debian, db, "update t set n = 3", "update t set id = 4", "delete from t")
    assert {len(record["before"]["body"]) for record in got["x.public.t"] if record["before"]} == {5000}


def test_columns_that_come_and_go_between_transactions(debian, run_dir):
    compare(
        run_dir, debian, database(debian, TOASTED),
        f"insert into t values (1, 1, {BIG}, {BIG})",
        "alter table t add later text default 'd'",
        "update t set n = 2",  # the new column is sent, the TOASTed ones are not
        f"insert into t values (2, 1, {BIG}, {BIG}, 'e')",
        "alter table t drop n",  # of a fixed width: cannot be left out, so it is gone
        "update t set later = 'f'",
        "alter table t drop gone",
        f"insert into t values (3, {BIG}, 'g')",  # an INSERT has every column
        "update t set later = 'h'",
        "alter table t rename later to latest",
        "update t set latest = 'i' where id = 1",
        "alter table t alter latest type varchar(9)",
        "update t set latest = 'j' where id = 2",
        "delete from t where id = 1",
    )  # fmt: skip


def test_columns_that_come_and_go_inside_a_transaction(debian, run_dir):
    compare(
        run_dir, debian, database(debian, TOASTED),
        f"insert into t values (1, 1, {BIG}, {BIG}); alter table t add m int; update t set m = 5;"
        f"alter table t drop gone; insert into t values (2, 1, {BIG}, 7); update t set m = 8; delete from t where id = 1",
    )  # fmt: skip


def test_a_dropped_column_is_unchanged_until_it_is_known_to_be_gone(debian, run_dir):
    """An UPDATE alone cannot tell: in doubt the column stays; the catalog is asked again after a while."""
    db = database(debian, TOASTED)
    ferry = Ferry(run_dir, debian, db, source={"decoder": "wal2json"}).streaming()
    debian.sql(f"insert into t values (1, 1, {BIG}, {BIG})", dbname=db)
    ferry.caught_up()
    debian.sql("alter table t drop gone", dbname=db)
    debian.sql("update t set n = 2", dbname=db)
    time.sleep(10.5)
    debian.sql("update t set n = 3", dbname=db)  # asks, and is older than the answer
    ferry.caught_up()
    debian.sql("update t set n = 4", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    rows = [record["after"] for record in ferry.records()]
    assert [row.get("gone", "no such column") for row in rows] == ["x" * 5000, UNSENT, UNSENT, "no such column"]
    assert {row["body"] for row in rows[1:]} == {UNSENT}


def test_a_null_that_may_be_nan_stops_the_pipeline(debian, run_dir):
    """This release of the plugin has one word for NULL, NaN and infinity."""
    db = database(debian, "create table t (id int primary key, f float8)")
    ferry = Ferry(run_dir, debian, db, source={"decoder": "wal2json"}).streaming()
    debian.sql("insert into t values (1, 1.5)", dbname=db)
    ferry.caught_up()
    debian.sql("insert into t values (2, 'NaN')", dbname=db)
    assert "column public.t.f" in ferry.wait_log("code=value_unsure.*state=blocked", 20)
    ferry.kill9()
    assert ferry.confirmed() <= ferry.checkpoint()[0]


def test_changes_that_the_plugin_leaves_out_stop_the_pipeline(debian, run_dir):
    """Without a replica identity it skips updates and only warns."""
    db = database(debian, "create table t (a int); create table other (a int); insert into t values (1); insert into other values (1)")
    ferry = Ferry(run_dir, debian, db, source={"decoder": "wal2json", "tables": ["public.t*"]}).streaming()
    debian.sql("update other set a = 2", dbname=db)
    ferry.caught_up()
    debian.sql("update t set a = 2", dbname=db)
    assert ferry.wait(20) == 76
    assert "code=identity_missing" in ferry.log_text()


def test_only_the_tables_and_operations_that_are_wanted_leave_the_server(debian, run_dir):
    db = database(debian, 'create table a (id int primary key); create table "b, c" (id int primary key); create table d (id int primary key)')
    ferry = Ferry(
        run_dir, debian, db,
        source={"decoder": "wal2json", "tables": ["public.a", "public.b, c"], "exclude_tables": ["public.d"], "skipped_operations": ["d"]},
    ).streaming()  # fmt: skip
    debian.sql('insert into a values (1); insert into "b, c" values (2); insert into d values (3); delete from a', dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    assert sorted(record["after"]["id"] for record in ferry.records()) == [1, 2]
    log = debian.log_text()
    assert "\"add-tables\" 'public.a,public.b\\,\\ c'" in log
    assert "\"filter-tables\" 'public.d'" in log and "\"actions\" 'insert,update,truncate'" in log


def test_after_a_crash_nothing_is_missing_and_repeats_are_equal(debian, run_dir):
    db = database(debian, TOASTED)
    ferry = Ferry(run_dir, debian, db, source={"decoder": "wal2json"}).streaming()
    for number in range(1, 40):
        debian.sql(f"insert into t values ({number}, 0, {BIG}, null)", dbname=db)
        debian.sql(f"update t set n = {number} where id = {number}", dbname=db)
        if number % 13 == 0:
            ferry.kill9()
            ferry.streaming()
    ferry.caught_up()
    assert ferry.stop() == 0
    seen: dict[int, list[Any]] = {}
    for record in ferry.records():
        change = (record["op"], record["after"]["n"], record["after"]["body"] == UNSENT)
        history = seen.setdefault(record["after"]["id"], [])
        if change not in history:
            history.append(change)
    assert seen == {number: [("c", 0, False), ("u", number, True)] for number in range(1, 40)}


def test_the_check_speaks_of_no_publication(debian, run_dir):
    db = database(debian, "create table t (a int)")
    ferry = Ferry(run_dir, debian, db, source={"decoder": "wal2json"})
    done = ferry.run_verb("check", str(ferry.yaml))
    assert done.returncode == 0, done.stdout
    assert 'publication "' not in done.stdout and "UPDATEs and DELETEs are not sent" in done.stdout


def test_a_database_in_another_encoding_is_refused(debian, run_dir):
    debian.sql("create database latin template template0 encoding 'LATIN1' locale 'C'")
    ferry = Ferry(run_dir, debian, "latin", source={"decoder": "wal2json"})
    status, line = ferry.refused()
    assert status == 78 and "LATIN1" in line


def test_a_server_that_does_not_trust_the_plugin_is_named(debian, run_dir):
    if not debian.sql("select 1 from pg_settings where name = 'output_plugin_libraries'"):
        pytest.skip("this release has no output_plugin_libraries")
    debian.sql("alter system set output_plugin_libraries = 'pgoutput'")
    debian.reload()
    try:
        wait_until(lambda: debian.value("show output_plugin_libraries") == "pgoutput", 10, "the setting")
        status, line = Ferry(run_dir, debian, database(debian), source={"decoder": "wal2json"}).refused()
        assert status == 78 and "output_plugin_libraries" in line
    finally:
        debian.sql("alter system reset output_plugin_libraries")
        debian.reload()
