"""Schema changes against a real registry: what passes, what the registry refuses, what the guard refuses.

    ./dev python tests/e2e/test_evolution.py --write     runs the whole matrix, puts its table into docs/schemas.md

A cell of the matrix is one table under one profile and one compatibility level. Rows go in before the change,
in the transaction of the change, and after it; every record is decoded by the id it carries.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import Decoder, Ferry, database, kafka_ferry, lsn, unique

from services import Kafka, Postgres, Registry, ServiceError, wait_until

SAME, NEW, REGISTRY, GUARD = "same id", "registered", "registry refuses", "guard refuses"
PROFILES = ("debezium", "debezium-strict", "native", "connect", "row")
LEVELS = ("NONE", "BACKWARD", "FORWARD", "FULL", "FULL_TRANSITIVE")
DOC = Path(__file__).parents[2] / "docs" / "schemas.md"


class Effect(NamedTuple):
    """What a change does to the value schema: new reads old, old reads new."""

    backward: bool
    forward: bool

    def under(self, level: str) -> str:
        """What a registry says to it."""
        wanted = {"NONE": (), "BACKWARD": (self.backward,), "FORWARD": (self.forward,)}
        return NEW if all(wanted.get(level, self)) else REGISTRY


BOTH = Effect(True, True)
BACKWARD = Effect(True, False)
FORWARD = Effect(False, True)


class Change(NamedTuple):
    """`catalog`: profiles whose columns are required where the table says NOT NULL; `mapped`: native and row."""

    columns: str
    alter: str
    catalog: Effect | str
    mapped: Effect | str
    before: str = "insert into {t} (id) values ({id})"
    after: str = "insert into {t} (id) values ({id})"
    other: dict[str, Effect | str] = {}  # by profile, where it differs
    live: bool = False  # the WAL does not hold it: rows of its transaction may already show it

    def expected(self, profile: str, level: str) -> str:
        """By registry.md's measured table and the rules of the guard."""
        effect = self.other.get(profile, self.mapped if profile in ("native", "row") else self.catalog)
        return effect if isinstance(effect, str) else effect.under(level)


WITH_W = "insert into {t} (id, w) values ({id}, {id})"
WITH_N = "insert into {t} (id, n) values ({id}, {id})"
CHANGES = {
    "add nullable column": Change("v text", "alter table {t} add w text", BOTH, BOTH),
    "add NOT NULL with default": Change("v text", "alter table {t} add w int not null default 7", BOTH, BOTH),
    "add NOT NULL without default": Change(
        "v text", "alter table {t} add w int not null default 7; alter table {t} alter w drop default",
        FORWARD, BOTH, after=WITH_W,
    ),
    "drop nullable column": Change("v text, w int", "alter table {t} drop w", BOTH, BOTH),
    "drop NOT NULL column": Change(
        "v text, w int not null", "alter table {t} drop w", BACKWARD, BOTH, before=WITH_W, live=True
    ),
    "rename column": Change("v text", "alter table {t} rename v to w", GUARD, GUARD),
    "int to bigint": Change("n int", "alter table {t} alter n type bigint", BACKWARD, BACKWARD),
    "int to text": Change("n int", "alter table {t} alter n type text", GUARD, GUARD),
    "numeric(10,2) to (10,4)": Change("n numeric(10,2)", "alter table {t} alter n type numeric(10,4)", GUARD, GUARD),
    "numeric(10,2) to (12,2)": Change("n numeric(10,2)", "alter table {t} alter n type numeric(12,2)", BOTH, BOTH),
    "timestamp(3) to (6)": Change(
        "n timestamp(3)", "alter table {t} alter n type timestamp(6)", GUARD, SAME, other={"connect": SAME}
    ),
    "varchar(10) to (20)": Change("v varchar(10)", "alter table {t} alter v type varchar(20)", SAME, SAME),
    "SET NOT NULL": Change(
        "n int", "alter table {t} alter n set not null", FORWARD, SAME, before=WITH_N, after=WITH_N,
        live=True,
    ),
    "DROP NOT NULL": Change(
        "n int not null", "alter table {t} alter n drop not null", BACKWARD, SAME, before=WITH_N, live=True
    ),
    "change default": Change("n int not null default 7", "alter table {t} alter n set default 9", BOTH, SAME, live=True),
    "change primary key": Change(
        "n int not null", "alter table {t} drop constraint {t}_pkey, add primary key (id, n)",
        GUARD, GUARD, before=WITH_N, after=WITH_N,
    ),
    "REPLICA IDENTITY FULL": Change("v text", "alter table {t} replica identity full", SAME, SAME),
    "add enum label": Change("m {t}_mood", "alter type {t}_mood add value 'c'", SAME, SAME),
    "rename table": Change("v text", "alter table {t} rename to {t}_r", NEW, NEW, after="insert into {t}_r (id) values ({id})"),
    "drop and create table": Change("v text", "drop table {t}; {create}", SAME, SAME),
}  # fmt: skip


class Cell(NamedTuple):
    """One table of a pipeline."""

    name: str  # of the change
    level: str
    table: str
    inside: bool  # rows and change are one transaction

    @property
    def change(self) -> Change:
        return CHANGES[self.name]

    def sql(self, text: str, number: int = 0) -> str:
        """A statement of the change, for this table."""
        create = f"create table {self.table} (id int primary key, {self.change.columns})".replace("{t}", self.table)
        return text.format(t=self.table, id=number, create=create)

    def create(self) -> str:
        mood = f"create type {self.table}_mood as enum ('a', 'b');" if "mood" in self.change.columns else ""
        return mood + self.sql("{create}") + ";"

    def expected(self, profile: str) -> str:
        return self.change.expected(profile, self.level)


class Traffic:
    """A writer in another table, from begin to end."""

    def __init__(self, pg: Postgres, db: str):
        self.connection = pg.connect(db)
        self.rows = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.connection.close()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            with self.connection.cursor() as cursor:
                cursor.execute("insert into traffic values (%s)", (self.rows,))
            self.rows += 1


class Matrix:
    """All cells of one profile through one pipeline."""

    def __init__(
        self, run_dir: Path, pg: Postgres, kafka: Kafka, registry: Registry, profile: str,
        names: Iterable[str] = tuple(CHANGES), levels: Iterable[str] = LEVELS,
    ):  # fmt: skip
        self.pg, self.kafka, self.registry, self.profile = pg, kafka, registry, profile
        self.cells = [
            Cell(name, level, f"t{number}_{level.lower()}", (number + LEVELS.index(level)) % 2 == 1)
            for number, name in enumerate(names)
            for level in levels
        ]
        self.db = database(pg, "create table traffic (id int primary key)")
        self.allowed: list[str] = []
        self.ferry = kafka_ferry(
            run_dir, pg, self.db, kafka, registry, format={"profile": profile, "truncate": "allow"}
        )
        self.blocks = 0  # lines of its log seen
        self.seen: dict[Cell, str] = {}
        self.blocked: dict[Cell, str] = {}

    def subject(self, cell: Cell, what: str = "value") -> str:
        return f"{self.ferry.topic(cell.table)}-{what}"

    def run(self) -> dict[Cell, str]:
        """What was seen, by cell."""
        try:
            self.ferry.streaming()
            with Traffic(self.pg, self.db) as traffic:
                self._first_rows()
                for cell in self.cells:
                    self._change(cell)
            self.ferry.caught_up()
        finally:
            self.ferry.close()
        self._judge(traffic.rows)
        return self.seen

    def _first_rows(self) -> None:
        for cell in self.cells:
            self.pg.sql(cell.create() + cell.sql(cell.change.before, 1), dbname=self.db)
        self.ferry.caught_up(120)
        for cell in self.cells:
            for what in ("key", "value"):
                self.registry.request("PUT", f"/config/{self.subject(cell, what)}", {"compatibility": cell.level})

    def _change(self, cell: Cell) -> None:
        # Nullability and defaults come from the live catalog: the row before is to be through when they change.
        self.pg.sql(cell.sql(cell.change.before, 2), dbname=self.db)
        self._arrive(cell)
        statements = [
            cell.sql(cell.change.before, 5), cell.sql(cell.change.alter),
            cell.sql(cell.change.after, 3), cell.sql(cell.change.after, 4),
        ]  # fmt: skip
        for text in [";".join(statements)] if cell.inside else statements[1:]:
            self.pg.sql(text, dbname=self.db)
        self._arrive(cell)

    def _arrive(self, cell: Cell) -> None:
        target = lsn(self.pg.lsn())
        deadline = time.monotonic() + 60
        while self.ferry.confirmed() < target:
            line = self._new_block()
            if line:
                self.blocked.setdefault(cell, line)
                self._unblock(cell, line)
            assert time.monotonic() < deadline, f"{cell}: neither through nor blocked{self.ferry.tail()}"
            time.sleep(0.03)

    def _new_block(self) -> str | None:
        lines = [line for line in self.ferry.log_text().splitlines() if "state=blocked" in line]
        found = lines[-1] if len(lines) > self.blocks else None
        self.blocks = len(lines)
        return found

    def _unblock(self, cell: Cell, line: str) -> None:
        """As the message says: another level, or the table among those that may change."""
        if "code=schema_incompatible" in line:
            self.registry.request("PUT", f"/config/{self.subject(cell)}", {"compatibility": "NONE"})
        elif f"public.{cell.table}" not in self.allowed:
            self.allowed.append(f"public.{cell.table}")
            self.ferry.kill9()
            self.ferry.config["format"]["allow_semantic_change"] = self.allowed
            self.ferry.write()
            for what in ("key", "value"):  # it is the guard that is asked here
                self.registry.request("PUT", f"/config/{self.subject(cell, what)}", {"compatibility": "NONE"})
            self.ferry.streaming()

    # -- what arrived

    def _judge(self, traffic: int) -> None:
        topics = self.kafka.topics()
        names = [name for name in topics if name.startswith(f"{self.ferry.pipeline}.public.")]
        ids: dict[str, dict[int, int]] = {}  # by topic and row
        decode = Decoder(self.registry)
        for record in self.kafka.stream(names, timeout=120):
            value, key = decode(record.value), decode(record.key)
            if value is None:
                continue
            row = value if self.profile == "row" else value["after"]
            number = int.from_bytes(record.value[1:5], "big")
            assert key["id"] == row["id"]
            known = ids.setdefault(record.topic, {}).setdefault(row["id"], number)
            assert known == number, f"{record.topic}: row {row['id']} came with ids {known} and {number}"
        assert set(ids[self.ferry.topic("traffic")]) == set(range(traffic)), "the traffic is not whole"
        for cell in self.cells:
            try:
                self.seen[cell] = self._outcome(cell, ids)
            except AssertionError as error:
                self.seen[cell] = str(error).splitlines()[0]

    def _outcome(self, cell: Cell, ids: dict[str, dict[int, int]]) -> str:
        rows = ids[self.ferry.topic(cell.table)]
        later = ids.get(self.ferry.topic(cell.table + "_r"), {}) if cell.name == "rename table" else rows
        assert {1, 2} <= set(rows) and {3, 4} <= set(later), f"{cell}: rows are missing: {rows}, {later}"
        assert rows[1] == rows[2], f"{cell}: the row before the change has the new schema"
        if not cell.change.live:
            assert rows.get(5, rows[2]) == rows[2], f"{cell}: the row before it in its transaction has the new schema"
        assert (5 in rows) == cell.inside
        assert later[3] == later[4], f"{cell}: two schemas after the change"
        line = self.blocked.get(cell, "")
        if "code=semantic_change" in line:
            return GUARD
        if "code=schema_incompatible" in line:
            assert "against the latest: " in line, line
            return REGISTRY
        assert not line, line
        return NEW if later is not rows or rows[1] != rows[3] else SAME

    def differences(self) -> list[str]:
        """Cells that are not as expected."""
        return [
            f"{self.profile}, {cell.level}: {cell.name}: expected {cell.expected(self.profile)}, saw {seen}: "
            f"{self.blocked.get(cell, '')}"
            for cell, seen in self.seen.items()
            if seen != cell.expected(self.profile)
        ]


# ---------------------------------------------------------------- the matrix

SHORT = ("add nullable column", "add NOT NULL without default", "rename column", "int to bigint",
         "numeric(10,2) to (10,4)", "SET NOT NULL", "change primary key", "REPLICA IDENTITY FULL")  # fmt: skip


def run_all(
    run_dir: Path, pg: Postgres, kafka: Kafka, registry: Registry, profiles: Iterable[str], **choice: Any
) -> list[Matrix]:
    """A pipeline per profile, side by side."""
    matrices = [Matrix(run_dir, pg, kafka, registry, profile, **choice) for profile in profiles]
    errors: list[BaseException] = []

    def run(matrix: Matrix) -> None:
        try:
            matrix.run()
        except BaseException as error:  # shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(matrix,)) for matrix in matrices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return matrices


def table(matrices: list[Matrix]) -> str:
    """Markdown: a row per change, a column per profile; levels that agree stand together."""
    lines = ["| change | " + " | ".join(m.profile for m in matrices) + " |", "|---" * (len(matrices) + 1) + "|"]
    for name in dict.fromkeys(cell.name for cell in matrices[0].cells):
        lines.append(f"| {name} | " + " | ".join(_cell(m, name) for m in matrices) + " |")
    return "\n".join(lines) + "\n"


def _cell(matrix: Matrix, name: str) -> str:
    found: dict[str, list[str]] = {}
    for cell, seen in matrix.seen.items():
        if cell.name == name:
            wanted = cell.expected(matrix.profile)
            found.setdefault(seen if seen == wanted else f"**{seen}, expected {wanted}**", []).append(cell.level)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{seen}: {', '.join(levels)}" for seen, levels in found.items())


def test_a_change_appears_at_its_record_or_is_refused(postgres, run_dir, kafka, registry):
    profiles, levels = ("debezium", "native"), ("BACKWARD", "FULL_TRANSITIVE")
    matrices = run_all(run_dir, postgres, kafka, registry, profiles, names=SHORT, levels=levels)
    print("\n" + table(matrices))
    assert not [line for matrix in matrices for line in matrix.differences()]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_whole_matrix(postgres, run_dir, kafka, registry):
    matrices = run_all(run_dir, postgres, kafka, registry, PROFILES)
    print("\n" + table(matrices))
    assert not [line for matrix in matrices for line in matrix.differences()]
    assert table(matrices) in DOC.read_text(), "docs/schemas.md: run this file with --write"


# ---------------------------------------------------------------- ids


def test_an_outage_at_start_does_not_stop_known_tables(postgres, run_dir, kafka):
    db = database(postgres, "create table t (id int primary key, v text); create table u (id int primary key)")
    with Registry(run_dir, persistent=True) as own:
        ferry = kafka_ferry(run_dir, postgres, db, kafka, own).streaming()
        postgres.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        assert ferry.stop() == 0
        own.kill9()
        ferry.streaming()
        postgres.sql("insert into t values (2, 'y')", dbname=db)
        ferry.caught_up()
        assert "code=registry_down" in ferry.log_text()
        postgres.sql("insert into u values (1)", dbname=db)
        ferry.wait_log("code=registry .*new schemas wait")
        own.start()
        ferry.caught_up()
        decode = Decoder(own)
        records = kafka.read(ferry.topic("t"))
        assert [decode(r.value)["after"]["v"] for r in records] == ["x", "y"]
        assert records[0].value[:5] == records[1].value[:5] and records[0].key[:5] == records[1].key[:5]


def test_a_keys_id_that_another_registry_does_not_have_is_told(postgres, run_dir, kafka):
    db = database(postgres, "create table t (id int primary key, v text)")
    with Registry(run_dir) as first, Registry(run_dir) as second:
        second.register("something-else", '"string"')
        ferry = kafka_ferry(run_dir, postgres, db, kafka, first).streaming()
        postgres.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        ferry.stop()
        ferry.config["format"]["registry"] = second.url
        ferry.write()
        ferry.streaming()
        postgres.sql("insert into t values (2, 'y')", dbname=db)
        ferry.caught_up()
        assert "code=schema_ids_lost" in ferry.log_text(), "of the key: values are asked anew without a word"
        old, new = kafka.read(ferry.topic("t"))
        assert Decoder(first)(old.value)["after"]["v"] == "x" and Decoder(second)(new.value)["after"]["v"] == "y"


def test_a_key_keeps_its_id_under_another_address_of_the_registry(postgres, run_dir, kafka):
    """It answers the same number; one that answers another is in the unit tests, a stub's."""
    db = database(postgres, "create table t (id int primary key, v text)")
    with Registry(run_dir) as own:
        ferry = kafka_ferry(run_dir, postgres, db, kafka, own).streaming()
        postgres.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        ferry.stop()
        key = kafka.read(ferry.topic("t"))[0].key
        ferry.config["format"]["registry"] = own.url.replace("localhost", "127.0.0.1")  # another one by its name
        ferry.write()
        ferry.streaming()
        postgres.sql("update t set v = 'y'", dbname=db)
        ferry.caught_up()
        assert kafka.read(ferry.topic("t"))[1].key == key
        assert "code=schema_ids_lost" not in ferry.log_text()


def test_strict_takes_over_what_another_producer_registered(postgres, run_dir, kafka, registry):
    """The same text registers nothing, and the guard has nothing to say."""
    db = database(postgres, "create table t (id int primary key, v text, n numeric(10,2), at timestamp)")
    format = {"profile": "debezium-strict"}
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, format=format).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    subject = f"/subjects/{ferry.topic('t')}-value/versions"
    before = registry.request("GET", subject)
    (Path(ferry.config["state"]["dir"]) / "schemas").unlink()
    ferry.streaming()
    postgres.sql("insert into t values (2, 'y')", dbname=db)
    ferry.caught_up()
    assert registry.request("GET", subject) == before
    first, second = kafka.read(ferry.topic("t"))
    assert first.value[:5] == second.value[:5]
    assert "state=blocked" not in ferry.log_text()


# ---------------------------------------------------------------- subjects


@pytest.mark.parametrize("strategy", ("record_name", "topic_record_name"))
def test_tables_share_a_topic_under_subjects_of_their_records(postgres, run_dir, kafka, registry, strategy):
    db = database(postgres, "create table a (id int primary key, v text); create table b (id text primary key, n int)")
    name = unique("shared")
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry,
        format={"subject_name_strategy": strategy, "topics": {"public.a": name, "public.b": name}},
    ).streaming()  # fmt: skip
    postgres.sql("insert into a values (1, 'x'); insert into b values ('k', 2)", dbname=db)
    ferry.caught_up()
    decode = Decoder(registry)
    assert [decode(r.value)["after"] for r in kafka.read(name)] == [{"id": 1, "v": "x"}, {"id": "k", "n": 2}]
    front = f"{name}-" if strategy == "topic_record_name" else ""
    for table_name in ("a", "b"):
        for record in ("Key", "Envelope"):
            assert f"{front}{ferry.topic(table_name)}.{record}" in registry.subjects()


def test_tables_share_no_topic_under_its_own_subject(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table a (id int primary key); create table b (id int primary key)")
    name = unique("shared")
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry, format={"topics": {"public.a": name, "public.b": name}}
    ).streaming()
    postgres.sql("insert into a values (1); insert into b values (1)", dbname=db)
    assert "code=topic_shared" in ferry.wait_log("state=blocked")


# ---------------------------------------------------------------- the guard in words


def test_a_refusal_names_table_column_old_new_and_both_cures(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table t (id int primary key, n numeric(10,2))")
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t values (1, 1.25)", dbname=db)
    ferry.caught_up()
    postgres.sql("alter table t alter n type numeric(10,4)", dbname=db)
    postgres.sql("insert into t values (2, 1.25)", dbname=db)
    line = ferry.wait_log("state=blocked")
    for part in ("code=semantic_change", "public.t: n: decimal of scale 2 becomes decimal of scale 4",
                 "format.allow_semantic_change", ".v2"):  # fmt: skip
        assert part in line
    ferry.kill9()
    ferry.config["format"]["topics"] = {"public.t": "{prefix}.{schema}.{table}.v2"}
    ferry.write()
    ferry.streaming().caught_up()
    decode = Decoder(registry)
    assert [str(decode(r.value)["after"]["n"]) for r in kafka.read(ferry.topic("t"))] == ["1.25"]
    assert [str(decode(r.value)["after"]["n"]) for r in kafka.read(ferry.topic("t") + ".v2")][-1] == "1.2500"


# ---------------------------------------------------------------- partitions, column lists, row filters


def _rows(ferry: Ferry, name: str) -> list[Any]:
    return [record["after"] for record in ferry.records(ferry.topic(name))]


PARTITIONED = """
create table p (id int primary key, v text) partition by range (id);
create table p1 partition of p for values from (0) to (100);
create table p2 (id int primary key, v text)
"""


@pytest.mark.parametrize("via_root", (True, False))
def test_partitions_come_and_go(postgres, run_dir, via_root):
    db = database(postgres, PARTITIONED)
    ferry = Ferry(run_dir, postgres, db)
    root = str(via_root).lower()
    postgres.sql(f"create publication {ferry.pipeline} for all tables with (publish_via_partition_root = {root})", dbname=db)
    ferry.streaming()
    for text in (
        "insert into p values (1, 'in p1')",
        "insert into p2 values (101, 'alone')",
        "alter table p attach partition p2 for values from (100) to (200)",
        "insert into p values (102, 'attached')",
        "alter table p detach partition p1",
        "insert into p1 values (2, 'detached')",
        "begin; insert into p values (103, 'x'); alter table p detach partition p2; insert into p2 values (104, 'y'); commit",
    ):
        postgres.sql(text, dbname=db)
    ferry.caught_up()
    ferry.stop()
    by_table = {name: [row["v"] for row in _rows(ferry, name)] for name in ("p", "p1", "p2")}
    if via_root:
        assert by_table == {"p": ["in p1", "attached", "x"], "p1": ["detached"], "p2": ["alone", "y"]}
    else:
        assert by_table == {"p": [], "p1": ["in p1", "detached"], "p2": ["alone", "attached", "x", "y"]}


@pytest.mark.parametrize("major", (15, 18))
def test_a_column_list_appears_mid_stream(postgres_of: Callable[[int], Postgres], run_dir, major):
    pg = postgres_of(major)
    db = database(pg, "create table t (id int primary key, a text, b text)")
    ferry = Ferry(run_dir, pg, db)
    pg.sql(f"create publication {ferry.pipeline} for table t", dbname=db)
    ferry.streaming()
    pg.sql("insert into t values (1, 'a', 'b')", dbname=db)
    pg.sql(f"alter publication {ferry.pipeline} set table t (id, a)", dbname=db)
    pg.sql("insert into t values (2, 'a', 'b')", dbname=db)
    pg.sql("update t set a = 'c' where id = 1", dbname=db)
    pg.sql(f"alter publication {ferry.pipeline} set table t", dbname=db)
    pg.sql("insert into t values (3, 'a', 'b')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert _rows(ferry, "t") == [
        {"id": 1, "a": "a", "b": "b"}, {"id": 2, "a": "a"}, {"id": 1, "a": "c"}, {"id": 3, "a": "a", "b": "b"},
    ]  # fmt: skip


@pytest.mark.parametrize("major", (15, 18))
def test_a_row_filter_appears_mid_stream(postgres_of: Callable[[int], Postgres], run_dir, major):
    pg = postgres_of(major)
    db = database(pg, "create table t (id int primary key, n int); alter table t replica identity full")
    ferry = Ferry(run_dir, pg, db)
    pg.sql(f"create publication {ferry.pipeline} for table t", dbname=db)
    ferry.streaming()
    pg.sql("insert into t values (1, 1), (2, 20)", dbname=db)
    pg.sql(f"alter publication {ferry.pipeline} set table t where (n > 10)", dbname=db)
    pg.sql("insert into t values (3, 3), (4, 40)", dbname=db)
    pg.sql("update t set n = n + 10 where id in (1, 2)", dbname=db)  # row 1 comes into the filter: an insert
    pg.sql("update t set n = 0 where id = 2", dbname=db)  # row 2 leaves it: a delete
    ferry.caught_up()
    ferry.stop()
    ops = [(r["op"], (r["after"] or r["before"])["id"]) for r in ferry.records(ferry.topic("t"))]
    assert ops == [("c", 1), ("c", 2), ("c", 4), ("c", 1), ("u", 2), ("d", 2)]


# ---------------------------------------------------------------- as a program


def main(argv: list[str]) -> int:
    """Runs the whole matrix on servers of its own."""
    from services import default_run_dir

    with Postgres(18, settings={"max_connections": 60}) as pg, Kafka() as kafka, Registry() as registry:
        matrices = run_all(default_run_dir(), pg, kafka, registry, PROFILES)
    text = table(matrices)
    print(text)
    differences = [line for matrix in matrices for line in matrix.differences()]
    print("\n".join(differences))
    if "--write" in argv:
        doc = DOC.read_text()
        DOC.write_text(re.sub(r"(?<=<!-- matrix -->\n).*?(?=<!-- end -->)", lambda _: "\n" + text + "\n", doc, flags=re.S))
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
