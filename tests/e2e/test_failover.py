"""Promotions, standbys, two daemons: followed when nothing can be lost or invented, else refused with names.

Rows of the failure catalogue are named in the docstrings.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest
from harness import Ferry, Journal, Load, database, lsn, table_rows

from services import Kafka, Postgres, Process, wait_until, walferry

TABLE = "create table t (id int primary key, v text)"
TABLES = ("a", "b")
DDL = ";".join(Load.DDL.format(table) for table in TABLES)
SYNCED = (17, 18)
SINKS = ("file", "at_least_once", "exactly_once")


def both(one: Postgres, other: Postgres, db: str) -> str:
    """A DSN of two hosts."""
    return f"host={one.dir},{other.dir} port={one.port},{other.port} dbname={db} user=postgres"


@contextlib.contextmanager
def pair(major: int, run_dir, waits: bool = True) -> Iterator[tuple[Postgres, Postgres]]:
    """A primary and its standby; `waits`: failover slots send only what the standby has."""
    with Postgres(major, run_dir) as primary:
        standby = primary.standby()
        if waits and major >= 17:
            primary.sql(f"alter system set synchronized_standby_slots = '{standby.physical_slot}'")
            primary.reload()
        with standby:
            connected(primary, standby)
            yield primary, standby


def connected(primary: Postgres, standby: Postgres) -> None:
    def streams() -> bool:
        slot = primary.slot(standby.physical_slot)
        return bool(slot and slot["active"])

    wait_until(streams, 30, "the standby to stream")


def replayed(primary: Postgres, standby: Postgres) -> None:
    """Waits until the standby has everything."""
    target = lsn(primary.lsn())
    wait_until(
        lambda: lsn(standby.value("select pg_last_wal_replay_lsn()::text")) >= target, 30, "the standby to replay"
    )


def synced(primary: Postgres, standby: Postgres, slot: str) -> None:
    """Waits until the standby would keep its copy of the slot at a promotion."""

    def kept() -> bool:
        primary.sql("select pg_log_standby_snapshot()")  # lets the slot move, so that it is copied soon
        copy = standby.slot(slot)
        return bool(copy and copy["synced"] and not copy["temporary"] and not copy["invalidation_reason"])

    wait_until(kept, 60, "the slot to be synchronised", 0.3)


def ferry_into(kind: str, run_dir, pg: Postgres, db: str, request, dsn: str, **source) -> Ferry:
    source = {"dsn": dsn, "reconnect_max": "500ms", **source}
    if kind == "file":
        return Ferry(run_dir, pg, db, source=source)
    kafka: Kafka = request.getfixturevalue("kafka")
    sink = {"type": "kafka", "brokers": kafka.bootstrap, "delivery": kind}
    if kind == "exactly_once":
        sink["transaction_idle"] = "500ms"
    return Ferry(run_dir, pg, db, sink, source=source, format={"encoding": "json"})


def journal_of(ferry: Ferry, table: str, request) -> Journal:
    """What a (read_committed) consumer has of a table."""
    topic = ferry.topic(table)
    if ferry.config["sink"]["type"] == "file":
        return Journal.of_values(topic, ferry.records(topic))

    def decode(data: bytes | None):
        return None if data is None else json.loads(data)

    return Journal.of_topic(request.getfixturevalue("kafka"), decode, topic)  # type: ignore[arg-type]


def assert_followed(ferry: Ferry, pg: Postgres, db: str, request) -> int:
    """The tables as they are, no step of any row left out; returns the number of repeats."""
    repeats = 0
    for table in TABLES:
        journal = journal_of(ferry, table, request)
        assert journal.rows == table_rows(pg, db, table), f"{table}: the table rebuilt is not the table"
        at: dict[str, int] = {}
        for event in journal.events():
            if event.op == "u":  # Load counts every update of a row in the row
                assert event.row["n"] == at[event.key] + 1, f"{table}: {event} follows n = {at[event.key]}"
            if event.op == "d":
                del at[event.key]
            else:
                at[event.key] = event.row["n"]
        assert len(journal) > 50, "there was no load"
        repeats += journal.repeats
    return repeats


# ---------------------------------------------------------------- promotions


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("major", SYNCED)
def test_a_promotion_is_followed_without_loss_when_the_slot_was_synchronised(
    major, kind, run_dir, request, record_property
):
    """Rows 34, 36: nothing invented, no slot made. Under load, with the primary killed."""
    with pair(major, run_dir) as (primary, standby):
        db = database(primary, DDL)
        ferry = ferry_into(kind, run_dir, primary, db, request, both(primary, standby, db)).streaming()
        assert primary.slot(ferry.pipeline)["failover"], "a slot of 17 and later is a failover slot"
        with Load(primary, db, ("a", "b", "a"), pause=0.004) as load:
            synced(primary, standby, ferry.pipeline)
            time.sleep(1)
            before = load.committed
            primary.kill9()
            standby.promote()
            promoted = time.monotonic()
            load.pg = ferry.pg = standby
            ferry.wait_log("code=timeline_followed", 30)
            ferry.wait_log("code=streaming", 30, 2)
            record_property("followed_s", round(time.monotonic() - promoted, 2))
            wait_until(lambda: load.committed > before + 200, 60, "load on the new primary")
        ferry.caught_up()
        assert ferry.stop() == 0
        repeats = assert_followed(ferry, standby, db, request)
        record_property("repeated", repeats)
        if kind == "exactly_once":
            assert repeats == 0

        # the new state is a state like any other
        ferry.streaming()
        standby.sql("insert into a values (-1, 1, 'later')", dbname=db)
        ferry.caught_up()
        ferry.stop()
        assert any(event.key == '{"id": -1}' for event in journal_of(ferry, "a", request).events())


@pytest.mark.parametrize("major", (13, 16, 18))
def test_a_promotion_without_the_slot_is_refused_with_names(major, run_dir, request):
    """Row 36: with a checkpoint no slot is ever made, and the message says who was promoted."""
    with pair(major, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, both(primary, standby, db), failover="off")
        ferry.streaming()
        primary.sql("insert into t values (1, 'delivered')", dbname=db)
        ferry.caught_up()
        replayed(primary, standby)
        primary.kill9()
        standby.promote()
        assert ferry.wait(30) == 76
        line = ferry.log_text().splitlines()[-1]
        for word in ("code=slot_missing", ferry.pipeline, "promoted (timeline 2)", "checkpoint set FILE slot"):
            assert word in line, line
        assert standby.slot(ferry.pipeline) is None
        assert [r["after"]["id"] for r in ferry.records()] == [1]


@pytest.mark.parametrize("kind", ("file", "exactly_once"))
@pytest.mark.parametrize("major", SYNCED)
def test_a_synchronised_standby_that_lags_behind_what_was_published_is_refused(major, kind, run_dir, request):
    """Rows 34, 35: without synchronized_standby_slots events can be ahead of the standby; LSNs are used again."""
    with pair(major, run_dir, waits=False) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into(kind, run_dir, primary, db, request, both(primary, standby, db)).streaming()
        for number in range(40):  # a slot is kept by the standby once it has moved
            primary.sql(f"insert into t values ({number}, 'both have it')", dbname=db)
        synced(primary, standby, ferry.pipeline)
        replayed(primary, standby)
        standby.stop()
        primary.sql("insert into t values (100, 'published, and never on the standby')", dbname=db)
        ferry.caught_up()
        at = ferry.confirmed()
        primary.kill9()
        standby.start()
        standby.promote()
        standby.sql("insert into t select i, 'other rows at the same LSN' from generate_series(200, 900) i", dbname=db)
        assert lsn(standby.lsn()) > at
        assert ferry.wait(30) == 76
        line = ferry.log_text().splitlines()[-1]
        for word in ("code=other_timeline", "timeline 2", "timeline 1", "--accept-divergence 2"):
            assert word in line, line
        published = {event.row["id"] for event in journal_of(ferry, "t", request).events()}
        assert published == {*range(40), 100}, "nothing is published after a refusal"

        # the operator's way on: everything past the fork that this server has
        ferry.args = ("--accept-divergence", "2")
        ferry.write()
        ferry.pg = standby
        ferry.streaming()
        ferry.caught_up()
        ferry.stop()
        published = {event["after"]["id"] for event in values_of(ferry, "t", request)}
        assert published == {*range(40), 100, *range(200, 901)}


def values_of(ferry: Ferry, table: str, request) -> list[dict]:
    if ferry.config["sink"]["type"] == "file":
        return ferry.records(ferry.topic(table))
    return [json.loads(r.value) for r in request.getfixturevalue("kafka").stream(ferry.topic(table))]


@pytest.mark.parametrize("major", SYNCED)
def test_the_old_primary_that_comes_back_is_refused(major, run_dir, request):
    """Row 37: its timeline ended before what is published."""
    with pair(major, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, both(primary, standby, db)).streaming()
        for number in range(40):
            primary.sql(f"insert into t values ({number}, 'both have it')", dbname=db)
        synced(primary, standby, ferry.pipeline)
        ferry.caught_up()
        primary.kill9()
        standby.promote()
        ferry.pg = standby
        ferry.wait_log("code=timeline_followed")
        standby.sql("insert into t values (100, 'on the new one')", dbname=db)
        ferry.caught_up()
        ferry.stop()
        primary.start()  # the first host of the DSN, and it takes writes
        primary.sql("insert into t values (101, 'split brain')", dbname=db)
        status, line = ferry.refused()
        assert status == 76 and "code=other_timeline" in line, line
        assert "timeline 1, which does not come from timeline 2" in line, line
        assert sorted({r["after"]["id"] for r in ferry.records()}) == [*range(40), 100]


@pytest.mark.parametrize("major", SYNCED)
def test_an_inherited_synchronized_standby_slots_is_named(major, run_dir, request):
    """The promoted server waits for the slots of the old primary's standbys, and sends nothing until then."""
    with pair(major, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, both(primary, standby, db)).streaming()
        for number in range(40):
            primary.sql(f"insert into t values ({number}, 'both have it')", dbname=db)
        synced(primary, standby, ferry.pipeline)
        ferry.caught_up()
        standby.sql(f"alter system set synchronized_standby_slots = '{standby.physical_slot}'")
        standby.reload()
        primary.kill9()
        standby.promote()
        ferry.pg = standby
        line = ferry.wait_log("code=standby_slots", 30)
        assert standby.physical_slot in line and "does not exist" in line and "ALTER SYSTEM" in line
        standby.sql("insert into t values (100, 'held back')", dbname=db)
        time.sleep(1)
        assert len(ferry.records()) == 40 or ferry.confirmed() < lsn(standby.lsn())
        done = ferry.run_verb("check", str(ferry.yaml))
        assert done.returncode == 1
        assert f'"{standby.physical_slot}" does not exist' in done.stdout and "ALTER SYSTEM" in done.stdout

        standby.sql("alter system set synchronized_standby_slots = ''")
        standby.reload()
        ferry.caught_up()
        ferry.stop()
        assert sorted({r["after"]["id"] for r in ferry.records()}) == [*range(40), 100]


# ---------------------------------------------------------------- the option


@pytest.mark.parametrize("major", SYNCED)
def test_failover_of_a_slot_is_as_the_option_says(major, postgres_of, run_dir):
    pg = postgres_of(major)
    db = database(pg, TABLE)
    off = Ferry(run_dir, pg, db, source={"failover": "off"}).streaming()
    assert not pg.slot(off.pipeline)["failover"]
    off.stop()
    off.config["source"]["failover"] = "auto"
    off.write()
    off.streaming().stop()
    assert not pg.slot(off.pipeline)["failover"], "auto leaves an existing slot alone"
    pg.sql("select pg_create_physical_replication_slot('some_standby')")
    off.streaming()
    assert "code=failover_off" in off.log_text() and "source.failover: on" in off.log_text()
    off.stop()
    pg.sql("select pg_drop_replication_slot('some_standby')")
    off.config["source"]["failover"] = "on"
    off.write()
    off.streaming()
    assert pg.slot(off.pipeline)["failover"]
    pg.sql("insert into t values (1, 'still works')", dbname=db)
    off.caught_up()
    off.stop()
    assert off.records()


def test_failover_on_is_refused_where_the_server_cannot(postgres_of, run_dir):
    pg = postgres_of(16)
    db = database(pg, TABLE)
    ferry = Ferry(run_dir, pg, db, source={"failover": "on"})
    status, line = ferry.refused()
    assert status == 78 and "needs PostgreSQL 17" in line, line
    assert pg.slot(ferry.pipeline) is None
    ferry.config["source"]["failover"] = "auto"
    ferry.write()
    ferry.streaming().stop()


# ---------------------------------------------------------------- check


def findings(ferry: Ferry) -> dict[str, list[str]]:
    """What `check` says, by level; each line with its cure."""
    done = ferry.run_verb("check", "--json", str(ferry.yaml))
    found: dict[str, list[str]] = {"ok": [], "warning": [], "error": []}
    for line in done.stdout.splitlines():
        finding = json.loads(line)
        found[finding["level"]].append(f"{finding['what']} | {finding.get('cure')}")
    return found


def one(lines: list[str], *words: str) -> str:
    hits = [line for line in lines if all(word in line for word in words)]
    assert len(hits) == 1, f"{words} in {lines}"
    return hits[0]


def test_check_verifies_the_copies_on_the_standbys(run_dir, request):
    with pair(17, run_dir, waits=False) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, both(primary, standby, db)).streaming()
        one(findings(ferry)["warning"], "synchronized_standby_slots is empty", standby.physical_slot)
        for number in range(40):
            primary.sql(f"insert into t values ({number}, 'x')", dbname=db)
        synced(primary, standby, ferry.pipeline)
        one(findings(ferry)["ok"], "standby", "has slot", ferry.pipeline)

        primary.sql(f"alter system set synchronized_standby_slots = '{standby.physical_slot}'")
        primary.reload()
        wait_until(lambda: not findings(ferry)["warning"], 10, "nothing left to warn of")
        one(findings(ferry)["ok"], "failover slots send only what", standby.physical_slot)

        standby.sql("alter system set hot_standby_feedback = off")
        standby.sql("alter system set sync_replication_slots = off")
        standby.reload()
        wait_until(lambda: len(findings(ferry)["warning"]) == 2, 10, "two warnings")
        one(findings(ferry)["warning"], "hot_standby_feedback is off")
        one(findings(ferry)["warning"], "sync_replication_slots is off", "primary_conninfo")

        standby.stop()
        one(findings(ferry)["warning"], str(standby.port), "cannot be asked")
        one(findings(ferry)["error"], standby.physical_slot, "is read by no standby")
        standby.start()
        connected(primary, standby)
        standby.promote()
        one(findings(ferry)["error"], "both take writes")
        ferry.stop()


@pytest.mark.parametrize(("major", "word"), ((16, "no failover slots"), (18, "is no failover slot")))
def test_check_says_when_a_promotion_would_lose_the_slot(major, word, run_dir, request):
    with pair(major, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, both(primary, standby, db), failover="off")
        ferry.streaming()
        one(findings(ferry)["warning"], word)
        ferry.stop()


def test_check_is_silent_about_standbys_where_there_is_none(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, database(postgres, TABLE)).streaming()
    ferry.stop()
    assert not [line for lines in findings(ferry).values() for line in lines if "standby " in line]


def test_check_of_a_standby_asks_for_feedback(run_dir, request):
    with pair(16, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        standby.sql("alter system set hot_standby_feedback = off")
        standby.reload()
        replayed(primary, standby)
        ferry = ferry_into("file", run_dir, standby, db, request, standby.dsn(db))
        one(findings(ferry)["warning"], "hot_standby_feedback is off")
        one(findings(ferry)["ok"], "a standby", "may replicate")


# ---------------------------------------------------------------- several hosts


def test_a_host_that_does_not_answer_does_not_hold_up_the_next(postgres, run_dir):
    db = database(postgres, TABLE)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and that is all
        dsn = (
            f"host=127.0.0.1,{postgres.dir} port={silent.getsockname()[1]},{postgres.port} "
            f"dbname={db} user=postgres sslmode=disable"
        )
        ferry = Ferry(run_dir, postgres, db, source={"dsn": dsn, "connect_timeout": "1s"})
        start = time.monotonic()
        ferry.streaming(20)
        assert time.monotonic() - start < 8, "one second each for the two connections of a start"
        ferry.stop()


@pytest.mark.parametrize("major", (13, 15))
def test_only_the_primary_of_several_hosts_is_taken(major, run_dir, request):
    with pair(major, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, both(standby, primary, db)).streaming()
        primary.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        ferry.stop()
        ferry.config["source"]["dsn"] = standby.dsn(db)
        ferry.write()
        status, line = ferry.refused()
        assert status == 78 and "is a standby" in line and "host=a,b" in line, line


# ---------------------------------------------------------------- reading from a standby


def standby_ferry(kind: str, run_dir, primary: Postgres, standby: Postgres, db: str, request) -> Ferry:
    """Publication on the primary first; the slot waits for a word of the primary."""
    ferry = ferry_into(kind, run_dir, standby, db, request, standby.dsn(db))
    primary.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
    replayed(primary, standby)
    ferry.start()
    ferry.wait_log("code=slot_waits.*pg_log_standby_snapshot")
    primary.sql("select pg_log_standby_snapshot()")
    ferry.wait_log("code=streaming")
    return ferry


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("major", (16, 18))
def test_reading_from_a_standby_goes_on_through_its_crash_and_its_promotion(major, kind, run_dir, request):
    with pair(major, run_dir, waits=False) as (primary, standby):
        db = database(primary, DDL)
        ferry = standby_ferry(kind, run_dir, primary, standby, db, request)
        assert not standby.slot(ferry.pipeline).get("failover")
        with Load(primary, db, ("a", "b"), pause=0.004) as load:
            wait_until(lambda: load.committed > 200, 60, "load")
            standby.kill9()  # what was read is replayed again
            standby.start()
            ferry.wait_log("code=streaming", 30, 2)
            wait_until(lambda: load.committed > 400, 60, "load")
        replayed(primary, standby)
        primary.stop()
        standby.promote()
        with Load(standby, db, ("a", "b"), pause=0.004, seed=1) as load:
            ferry.wait_log("code=timeline_followed.*timeline 2 goes on from timeline 1", 30)
            wait_until(lambda: load.committed > 200, 60, "load")
        ferry.caught_up()
        ferry.stop()
        repeats = assert_followed(ferry, standby, db, request)
        assert kind != "exactly_once" or not repeats
        ferry.streaming()
        ferry.stop()


def test_a_publication_is_never_made_on_a_standby(run_dir, request):
    with pair(18, run_dir, waits=False) as (primary, standby):
        db = database(primary, f"{TABLE}; create table other (id int primary key)")
        replayed(primary, standby)
        ferry = ferry_into("file", run_dir, standby, db, request, standby.dsn(db), tables=["public.t"])
        status, line = ferry.refused()
        assert status == 78 and "on the primary" in line, line
        sql = line[line.index("CREATE PUBLICATION") :].rstrip('"').replace('\\"', '"')
        assert '"public"."t"' in sql and "other" not in sql
        primary.sql(sql, dbname=db)  # as it stands there
        assert not standby.slot(ferry.pipeline)
        replayed(primary, standby)
        ferry.start()
        ferry.wait_log("code=slot_waits")
        primary.sql("select pg_log_standby_snapshot()")
        ferry.wait_log("code=streaming")
        ferry.stop()


def test_looking_at_a_standby_leaves_nothing_behind(run_dir, request):
    with pair(16, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        replayed(primary, standby)
        done = Ferry(run_dir, standby, db).run_verb("tail", standby.dsn(db))
        assert done.returncode == 78 and "on the primary" in done.stderr, done.stderr
        primary.sql("create publication everything for all tables", dbname=db)
        replayed(primary, standby)
        tail = Process("tail", [walferry(), "tail", standby.dsn(db)], run_dir)
        tail.start()
        wait_until(lambda: "pg_log_standby_snapshot" in tail.log_text(), 20, "word of what it waits for")
        primary.sql("select pg_log_standby_snapshot()")
        wait_until(lambda: standby.sql("select 1 from pg_replication_slots where active_pid is not null "
                                       "and confirmed_flush_lsn is not null"), 20, "the stream")  # fmt: skip
        primary.sql("insert into t values (1, 'seen')", dbname=db)
        wait_until(lambda: '"v":"seen"' in tail.log_text(), 20, "the row")
        tail.stop()
        assert not standby.sql("select 1 from pg_replication_slots")


def test_a_copy_of_the_primarys_slot_is_not_read_on_the_standby(run_dir, request):
    with pair(17, run_dir) as (primary, standby):
        db = database(primary, TABLE)
        ferry = ferry_into("file", run_dir, primary, db, request, primary.dsn(db)).streaming()
        for number in range(40):
            primary.sql(f"insert into t values ({number}, 'x')", dbname=db)
        synced(primary, standby, ferry.pipeline)
        ferry.stop()
        ferry.config["source"]["dsn"] = standby.dsn(db)
        ferry.write()
        status, line = ferry.refused()
        assert status == 78 and "copy of the primary's" in line, line


# ---------------------------------------------------------------- two daemons


@pytest.mark.parametrize("kind", SINKS)
def test_two_daemons_with_one_configuration_the_slot_is_the_lock(kind, postgres, run_dir, request, record_property):
    """Row 38: the second takes over within 5 s; nothing lost, with exactly_once nothing twice.

    exactly_once: two machines, each with a state.dir of its own. Else both must see the same one.
    """
    db = database(postgres, DDL)
    first = ferry_into(kind, run_dir, postgres, db, request, postgres.dsn(db)).streaming()
    second = Ferry(run_dir, postgres, db, name=first.pipeline)
    shared = {key: first.config[key] for key in ("source", "sink", "format") if key in first.config}
    second.config |= shared if kind == "exactly_once" else {**shared, "state": first.config["state"]}
    second.write()
    second.start()
    second.wait_log("code=standby")
    daemons = [first, second]
    took = []
    with Load(postgres, db, ("a", "b", "a"), pause=0.004):
        for _ in range(4):
            time.sleep(1)
            seen = daemons[1].log_text().count("code=streaming")
            daemons[0].kill9()
            killed = time.monotonic()
            daemons[1].wait_log("code=streaming", 10, seen + 1)
            took.append(time.monotonic() - killed)
            daemons[0].start()
            daemons.reverse()
    daemons[0].caught_up()
    for daemon in daemons:
        assert daemon.stop() == 0
    repeats = assert_followed(first, postgres, db, request)
    record_property("takeover_s", round(max(took), 2))
    record_property("repeated", repeats)
    assert max(took) < 5
    assert kind != "exactly_once" or not repeats


def test_a_second_machine_with_an_old_file_checkpoint_is_told_what_it_needs(postgres, run_dir):
    """Row 10 from the point of view of two machines: another walferry is another reader of the slot."""
    db = database(postgres, TABLE)
    first = Ferry(run_dir, postgres, db).streaming()
    second = Ferry(run_dir, postgres, db, first.config["sink"], name=first.pipeline)
    postgres.sql("insert into t values (1, 'by the first')", dbname=db)
    first.caught_up()
    first.stop()
    second.streaming()  # no checkpoint at all: goes on from the slot
    postgres.sql("insert into t values (2, 'by the second')", dbname=db)
    second.caught_up()
    second.stop()
    status, line = first.refused()  # its own is old by now
    assert status == 76 and "code=slot_gap" in line and "docs/high-availability.md" in line, line
