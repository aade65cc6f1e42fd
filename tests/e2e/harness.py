"""walferry as a test drives it, and what it is checked against: the final tables and the commit order."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import psycopg2
import yaml

from services import Kafka, Postgres, Process, Registry, wait_until, walferry

_counter = 0


def unique(prefix: str) -> str:
    """A name no other test of this run has, good for databases, slots and topics."""
    global _counter
    _counter += 1
    return f"{prefix}{_counter}"


def lsn(text: str | None) -> int:
    """'16/B374D848' as a number; None is 0."""
    if not text:
        return 0
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def unique_dir(parent: Path, prefix: str) -> Path:
    directory = parent / unique(prefix)
    directory.mkdir()
    return directory


class Ferry(Process):
    """One pipeline: its YAML, its state directory, the daemon.

    `sink`, `format`, `source` are merged over defaults for a database of `pg`. The pipeline's name
    is also slot, publication and topic prefix.
    """

    def __init__(
        self,
        run_dir: Path,
        pg: Postgres,
        database: str,
        sink: Mapping[str, Any] | None = None,
        *,
        source: Mapping[str, Any] | None = None,
        format: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        name: str | None = None,
        tcp: bool = False,
        args: tuple[str, ...] = (),
    ):
        name = name or unique("p")
        super().__init__(name, run_dir=run_dir)
        self.pipeline = name
        self.pg = pg
        self.database = database
        self.config: dict[str, Any] = {
            "source": {
                "dsn": pg.dsn(database, tcp=tcp),
                "slot": name,
                "publication": name,
                **(source or {}),
            },
            "sink": dict(sink or {"type": "file", "dir": str(self.dir / "out")}),
            "format": {**(format or {})},
            "state": {"dir": str(self.dir / "state"), **(state or {})},
        }
        if not self.config["format"]:
            del self.config["format"]
        self.yaml = self.dir / f"{name}.yaml"
        self.args = args
        self.write()

    def write(self) -> None:
        """Writes the YAML anew after self.config changed."""
        self.yaml.write_text(yaml.safe_dump(self.config, sort_keys=False))
        self.yaml.chmod(0o600)
        self.argv = [str(walferry()), "run", *self.args, str(self.yaml)]

    def twin(self) -> "Ferry":
        """The same pipeline on "another machine": one configuration, a state directory of its own."""
        other = Ferry(unique_dir(self.dir, "twin"), self.pg, self.database, name=self.pipeline)
        state = other.config["state"]
        other.config = {**self.config, "state": state}
        other.write()
        return other

    def run_verb(self, *argv: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs another verb of the program to its end."""
        return subprocess.run(
            [str(walferry()), *argv], text=True, capture_output=True, timeout=timeout, check=False
        )

    # -- waiting

    def streaming(self, timeout: float = 30) -> "Ferry":
        """Starts it and waits until it reads the slot."""
        seen = self.log_text().count("code=streaming")
        self.start()
        self.wait_log(r"code=streaming", timeout, seen + 1)
        return self

    def wait_log(self, pattern: str, timeout: float = 30, times: int = 1) -> str:
        """Waits for a line of the log that matches; returns that line."""

        def found() -> str | None:
            lines = [line for line in self.log_text().splitlines() if re.search(pattern, line)]
            if len(lines) >= times:
                return lines[times - 1]
            if not self.alive:
                raise AssertionError(f"{self.name} ended ({self.status}) before /{pattern}/:{self.tail()}")
            return None

        try:
            return wait_until(found, timeout, f"/{pattern}/ in the log of {self.name}")
        except TimeoutError as error:
            raise AssertionError(f"{error}{self.tail()}") from None

    def confirmed(self) -> int:
        """The slot's confirmed position."""
        slot = self.pg.slot(self.pipeline)
        return lsn(slot["confirmed_flush_lsn"]) if slot else 0

    def caught_up(self, timeout: float = 60, to: str | None = None) -> None:
        """Waits until everything committed up to now is delivered and acknowledged."""
        target = lsn(to or self.pg.lsn())
        try:
            wait_until(lambda: self.confirmed() >= target, timeout, "the slot to catch up")
        except TimeoutError as error:
            raise AssertionError(f"{error}{self.tail()}") from None

    def checkpoint(self) -> tuple[int, int]:
        """(position, generation) of its checkpoint file; zeros while there is none."""
        return read_checkpoint(Path(self.config["state"]["dir"]) / "checkpoint")

    def cpu_s(self) -> float:
        """CPU time of all its threads so far, by the scheduler's nanosecond counters."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def refused(self, timeout: float = 30) -> tuple[int, str]:
        """Starts it and waits for its own end; returns exit code and last line of the log."""
        self.start()
        status = self.wait(timeout)
        return status, self.log_text().splitlines()[-1]

    # -- what it wrote

    def files(self, topic: str | None = None) -> list[Path]:
        """Finished container files, in order."""
        out = Path(self.config["sink"]["dir"])
        return sorted(out.glob(f"{topic or '*'}/*.avro"))

    def records(self, topic: str | None = None) -> list[dict[str, Any]]:
        """Every value of the file sink, read by fastavro."""
        found: list[dict[str, Any]] = []
        for path in self.files(topic):
            with open(path, "rb") as file:
                found.extend(fastavro.reader(file))
        return found

    def topic(self, table: str, schema: str = "public") -> str:
        """The topic of a table."""
        return f"{self.pipeline}.{schema}.{table}"


def both(
    run_dir: Path, pg: Postgres, db: str, kinds: tuple[dict[str, Any], dict[str, Any]],
    source: Mapping[str, Any] | None = None, **format: Any,
) -> tuple[Ferry, Ferry]:  # fmt: skip
    """Two pipelines that read the same from now on; `kinds` is what each has in its `source`.

    One topic prefix; one publication, which names leaves of partitions.
    """
    pg.sql("create publication leaves for all tables", dbname=db)
    modes = {"prefix": "x", "event_converting_failure_handling_mode": "warn", **format}
    first, second = (
        Ferry(run_dir, pg, db, source={**kind, "publication": "leaves", **(source or {})}, format=modes).streaming()
        for kind in kinds
    )
    return first, second


def comparable(ferry: Ferry) -> dict[str, list[dict[str, Any]]]:
    """Ends it; its events by topic, without what tells one pipeline from another."""
    ferry.caught_up()
    assert ferry.stop() == 0
    found: dict[str, list[dict[str, Any]]] = {path.parent.name: [] for path in ferry.files()}
    for name, records in found.items():
        for record in ferry.records(name):
            source = record.get("source", {})
            if "sequence" in source:  # a pipeline does not know what came before its start
                source["sequence"] = source["sequence"].split(",")[-1]
            for key in ("ts_ms", "ts_us", "ts_ns"):
                record.pop(key, None)
                if name.endswith(".message"):  # outside transactions the source's time is our own clock
                    source.pop(key, None)
            records.append(record)
    return found


def kafka_ferry(
    run_dir: Path, pg: Postgres, db: str, kafka: Kafka, registry: Registry | None, *,
    source: Mapping[str, Any] | None = None, format: Mapping[str, Any] | None = None, **sink: Any,
) -> Ferry:  # fmt: skip
    """A pipeline into Kafka, at least once unless told otherwise; further arguments are keys of its `sink` section."""
    schemas = {"registry": registry.url} if registry else {}
    return Ferry(
        run_dir, pg, db, {"type": "kafka", "brokers": kafka.bootstrap, "delivery": "at_least_once", **sink},
        source=source, format={**schemas, **(format or {})},
    )  # fmt: skip


def drop_slots(pg: Postgres) -> None:
    """Ends whoever reads a slot of the server and drops them all."""

    def gone() -> bool:
        for name, pid in pg.sql("select slot_name, active_pid from pg_replication_slots"):
            try:
                if pid:
                    pg.sql("select pg_terminate_backend(%s)", (pid,))
                else:
                    pg.sql("select pg_drop_replication_slot(%s)", (name,))
            except psycopg2.Error:  # taken or gone in between
                pass
        return not pg.sql("select 1 from pg_replication_slots")

    wait_until(gone, 20, "the slots to be dropped")


# src/checkpoint.c, struct record, without its CRC
_CHECKPOINT = struct.Struct("=8sIIQQQqII64s")


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_checkpoint(path: Path) -> tuple[int, int]:
    """(position, generation) of the newest valid copy in a checkpoint file; zeros while there is none."""
    data = path.read_bytes() if path.exists() else b""
    newest = (0, 0)
    for at in (0, 4096):
        record = data[at : at + _CHECKPOINT.size]
        crc = data[at + _CHECKPOINT.size : at + _CHECKPOINT.size + 4]
        if len(crc) < 4 or int.from_bytes(crc, "little") != _crc32c(record):
            continue
        magic, version, _state, generation, _system, position_, *_ = _CHECKPOINT.unpack(record)
        assert (magic, version) == (b"WALFERRY", 1)
        if generation > newest[1]:
            newest = (position_, generation)
    return newest


class Sampler:
    """Looks every 100 ms whether the slot's confirmed position is at or before the checkpoint.

    The slot is read first: the checkpoint only grows, so what it holds afterwards must not be less.
    """

    def __init__(self, ferry: Ferry, every: float = 0.1):
        self.ferry, self.every = ferry, every
        self.samples = 0
        self.ahead: list[tuple[int, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self.ahead, f"the slot is past the checkpoint: {self.ahead[:3]}"
        assert self.samples, "nothing was sampled"

    def _run(self) -> None:
        connection = None
        while not self._stop.wait(self.every):
            try:
                connection = connection or self.ferry.pg.connect()
                with connection.cursor() as cursor:
                    cursor.execute(
                        "select confirmed_flush_lsn from pg_replication_slots where slot_name = %s",
                        (self.ferry.pipeline,),
                    )
                    row = cursor.fetchone()
            except psycopg2.Error:  # the server is down at the moment
                connection = None
                continue
            saved, generation = self.ferry.checkpoint()
            if row and generation > 1:  # before that the slot is being made
                self.samples += 1
                if lsn(row[0]) > saved:
                    self.ahead.append((lsn(row[0]), saved))


def database(pg: Postgres, sql: str = "") -> str:
    """Makes a database of its own, with the statements run in it; returns its name."""
    name = unique("db")
    pg.sql(f"create database {name}")
    if sql:
        pg.sql(sql, dbname=name)
    return name


# ---------------------------------------------------------------- reading topics back


class Decoder:
    """Confluent-framed Avro by an independent reader: fastavro with the registry's schemas."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self.schemas: dict[int, Any] = {}

    def __call__(self, data: bytes | None) -> Any:
        if data is None:
            return None
        assert data[0] == 0, f"not framed: {data[:8].hex()}"
        number = int.from_bytes(data[1:5], "big")
        if number not in self.schemas:
            self.schemas[number] = fastavro.parse_schema(self.registry.schema(number))
        body = io.BytesIO(data[5:])
        value = fastavro.schemaless_reader(body, self.schemas[number])
        assert body.read() == b"", "bytes behind the datum"
        return value


def position(envelope: Mapping[str, Any]) -> tuple[int, int]:
    """(commit before, own LSN): grows with the commit order, and inside a transaction."""
    before, own = json.loads(envelope["source"]["sequence"])
    return int(before or 0), int(own)


def rebuild(events: Iterator[tuple[Any, dict[str, Any] | None]]) -> dict[Any, dict[str, Any]]:
    """The table that a consumer has after applying (key, envelope) pairs in order."""
    rows: dict[Any, dict[str, Any]] = {}
    for key, value in events:
        name = json.dumps(key, sort_keys=True, default=str)
        if value is None or value["op"] == "d":
            rows.pop(name, None)
        else:
            rows[name] = value["after"]
    return rows


class Event(NamedTuple):
    """What tells one change from every other: the same whenever it is repeated."""

    xid: int
    lsn: int
    op: str
    key: str
    after: str

    @property
    def row(self) -> Any:
        """The row after the change, None after a delete."""
        return json.loads(self.after)


TOMBSTONE = "tombstone"


class Journal:
    """A topic or a folder of files as a run of distinct events per partition.

    It is exact about repeats (delivery.md §2.1): a partition may go back to the first event of a
    transaction it had already, and then the very same run has to come again before anything new.
    """

    def __init__(self, name: str):
        self.name = name
        self.runs: dict[int, list[Event]] = {}
        self.repeats = 0
        self.rows: dict[str, dict[str, Any]] = {}  # what a consumer has who applies every record
        self._index: dict[int, dict[Event, int]] = {}
        self._at: dict[int, int] = {}
        self._before: dict[int, tuple[int, int]] = {}

    @classmethod
    def of_topic(cls, kafka: Kafka, decode: "Decoder", topic: str) -> "Journal":
        """Reads a topic to its end."""
        journal = cls(topic)
        for record in kafka.stream(topic):
            journal.add(record.partition, decode(record.key), decode(record.value), record.offset)
        return journal

    @classmethod
    def of_values(cls, name: str, values: Iterable[dict[str, Any]], key: str = "id") -> "Journal":
        """Takes values without keys, as the file sink writes them."""
        journal = cls(name)
        for number, value in enumerate(values):
            journal.add(0, {key: (value["after"] or value["before"])[key]}, value, number)
        return journal

    def add(self, partition: int, key: Any, value: dict[str, Any] | None, offset: int) -> None:
        """Takes the next record of a partition; AssertionError when it cannot stand there."""
        name = json.dumps(key, sort_keys=True, default=str)
        if value is None or value["op"] == "d":
            self.rows.pop(name, None)
        else:
            self.rows[name] = value["after"]
        event = _event(name, value)
        run = self.runs.setdefault(partition, [])
        index = self._index.setdefault(partition, {})
        at = self._at.get(partition, 0)
        where = f"{self.name}/{partition}@{offset}: {event}"
        if at < len(run) and run[at] == event:  # inside a repeat
            self.repeats += 1
        elif event.op != TOMBSTONE and index.get(event, len(run)) < at:
            at = index[event]
            assert at == 0 or run[at - 1].xid != event.xid, f"{where} goes back into a transaction"
            self.repeats += 1
        else:
            assert at == len(run), f"{where} is no repeat of {run[at]}"
            self._new(partition, event, value, where)
        self._at[partition] = at + 1

    def _new(self, partition: int, event: Event, value: dict[str, Any] | None, where: str) -> None:
        run, index = self.runs[partition], self._index[partition]
        if value is None:
            assert run and (run[-1].op, run[-1].key) == ("d", event.key), f"{where} follows no delete"
        else:
            assert event not in index, f"{where} came before"
            before, own = position(value)
            if before:  # unknown for the first transaction of a connection
                last = self._before.get(partition, (0, 0))
                assert (before, own) >= last, f"{where}: {(before, own)} after {last}"
                self._before[partition] = (before, own)
            index[event] = len(run)
        run.append(event)

    def events(self) -> Iterator[Event]:
        """The distinct events without tombstones; in order within a partition."""
        for run in self.runs.values():
            yield from (event for event in run if event.op != TOMBSTONE)

    def __len__(self) -> int:
        return sum(1 for _ in self.events())


def _event(key: str, value: dict[str, Any] | None) -> Event:
    if value is None:
        return Event(0, 0, TOMBSTONE, key, "null")
    source = value["source"]
    after = json.dumps(value["after"], sort_keys=True, default=str)
    return Event(source["txId"], source["lsn"], value["op"], key, after)


# ---------------------------------------------------------------- the oracle


class Change(NamedTuple):
    """A committed change of a table of Load."""

    xid: int
    op: str
    id: int
    n: int | None
    t: str | None


_DECODED = re.compile(r"table public\.(\w+): (INSERT|UPDATE|DELETE): (.*)", re.S)
_ROW = re.compile(r"id\[bigint\]:(-?\d+)(?: n\[integer\]:(-?\d+) t\[text\]:(?:'(\w*)'|null))?")


class Oracle:
    """A second slot, of test_decoding: what the server says was committed, in commit order."""

    def __init__(self, pg: Postgres, database: str):
        self.pg, self.database, self.slot = pg, database, unique("oracle")
        pg.sql(f"select pg_create_logical_replication_slot('{self.slot}', 'test_decoding')", dbname=database)

    def changes(self) -> dict[str, list[Change]]:
        """By table, everything committed since the last call. A key change is delete and create."""
        found: dict[str, list[Change]] = {}
        xid = 0
        for (line,) in self.pg.sql(
            f"select data from pg_logical_slot_get_changes('{self.slot}', null, null, "
            "'include-xids', '1', 'skip-empty-xacts', '1')",
            dbname=self.database,
        ):
            if line.startswith("BEGIN "):
                xid = int(line[6:])
            elif match := _DECODED.fullmatch(line):
                table, kind, text = match.groups()
                old, _, new = text.rpartition("new-tuple: ")
                op = {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}[kind]
                row = _ROW.match(new)
                assert row, line
                if old:
                    gone = re.match(r"old-key: id\[bigint\]:(-?\d+)", old)
                    assert gone, line
                    found.setdefault(table, []).append(Change(xid, "d", int(gone[1]), None, None))
                    op = "c"
                n = None if op == "d" else int(row[2])
                found.setdefault(table, []).append(Change(xid, op, int(row[1]), n, None if op == "d" else row[3]))
        return found


def by_key(changes: Iterable[Change]) -> dict[int, list[Change]]:
    """The history of every key."""
    found: dict[int, list[Change]] = {}
    for change in changes:
        found.setdefault(change.id, []).append(change)
    return found


def as_change(event: Event) -> Change:
    """An event of a table of Load, as the oracle tells it."""
    row = event.row or {}
    return Change(event.xid, event.op, json.loads(event.key)["id"], row.get("n"), row.get("t"))


def assert_whole(journal: Journal, committed: list[Change], rows: dict[str, dict[str, Any]]) -> None:
    """I1, I3, I5, I6: every committed change and none else, each key in commit order, the table as it is."""
    wanted, got = by_key(committed), by_key(map(as_change, journal.events()))
    lost = {c for history in wanted.values() for c in history} - {c for h in got.values() for c in h}
    assert not lost, f"{journal.name}: {len(lost)} of {len(committed)} lost, as {min(lost)}"
    for key in wanted.keys() | got.keys():
        assert got.get(key, []) == wanted.get(key, []), f"{journal.name}: key {key}"
    assert journal.rows == rows, f"{journal.name}: the table rebuilt is not the table"


# ---------------------------------------------------------------- load


class Load:
    """Writers that change rows of `table(id bigint primary key, n int, t text)`; one seed is one mix.

    `tables` has a word per writer; two writers of one table meet on the same keys. There are inserts,
    updates, deletes, key changes, savepoints rolled back and whole transactions rolled back.
    """

    DDL = "create table {0} (id bigint primary key, n int not null, t text)"

    def __init__(
        self, pg: Postgres, database: str, tables: tuple[str, ...] = ("a", "b"), pause: float = 0.001, seed: int = 0
    ):
        self.pg, self.database, self.tables, self.pause, self.seed = pg, database, tables, pause, seed
        self.committed = 0  # transactions
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.errors: list[Exception] = []

    def __enter__(self) -> "Load":
        for number, table in enumerate(self.tables):
            thread = threading.Thread(target=self._write, args=(table, number), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        if self.errors:
            raise self.errors[0]

    def _connect(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.pg.connect(self.database)
            except psycopg2.Error:
                if time.monotonic() > deadline or self._stop.is_set():
                    raise
                time.sleep(0.05)

    def _write(self, table: str, number: int) -> None:
        rng = random.Random(self.seed * 1000 + number)
        top = 0
        connection = self._connect()
        while not self._stop.is_set():
            text, top = _statement(rng, table, number, top)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(text)
                self.committed += 1
                time.sleep(self.pause)
            except (psycopg2.errors.SyntaxError, psycopg2.errors.UndefinedTable) as error:
                self.errors.append(error)
                return
            except psycopg2.Error:
                if self._stop.is_set():
                    return
                try:
                    connection.close()
                    connection = self._connect()
                except psycopg2.Error as error:
                    self.errors.append(error)
                    return


def _statement(rng: random.Random, table: str, writer: int, top: int) -> tuple[str, int]:
    """A transaction's text, and the highest key it may have made."""
    one = rng.randint(1, max(top, 1))
    rows = rng.randint(1, 20)
    update = f"update {table} set n = n + 1, t = md5(n::text) where id = {one}"
    insert = (
        f"insert into {table} select i, i, repeat('x', 20) from generate_series({top + 1}, {top + rows}) i "
        "on conflict do nothing"
    )
    what = rng.random()
    if what < 0.45 or top == 0:
        return insert, top + rows
    if what < 0.78:
        return update, top
    if what < 0.88:
        return f"delete from {table} where id = {one}", top
    if what < 0.91:  # to a key nobody has, out of every other writer's way
        return f"update {table} set id = id + {(writer + 1) * 10**9} where id = {one}", top
    if what < 0.96:
        return f"begin; {update}; savepoint s; {insert}; delete from {table} where id = {one}; rollback to s; commit", top
    return f"begin; {insert}; {update}; rollback", top


def table_rows(pg: Postgres, database: str, table: str, key: str = "id") -> dict[str, dict[str, Any]]:
    """The table itself, in the form of rebuild()."""
    rows = pg.sql(f"select row_to_json(whole) from {table} whole", dbname=database)
    return {json.dumps({key: row[0][key]}, sort_keys=True): row[0] for row in rows}
