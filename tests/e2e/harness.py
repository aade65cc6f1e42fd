"""walferry as a test drives it, and what it is checked against: the final tables and the commit order."""

from __future__ import annotations

import io
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fastavro
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
            text = self.registry.schema(number)["schema"]
            self.schemas[number] = fastavro.parse_schema(json.loads(text))
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


def topic_events(kafka: Kafka, decode: Decoder, topic: str) -> Iterator[tuple[Any, Any]]:
    """(key, value) of every record of a topic, order kept within each partition."""
    for record in kafka.stream(topic):
        yield decode(record.key), decode(record.value)


def check_order(kafka: Kafka, decode: Decoder, topic: str) -> tuple[int, int]:
    """Per partition the positions grow, or go back to repeat the same run (delivery.md §2.1).

    Returns (distinct events, repeats).
    """
    seen: dict[int, list[tuple]] = {}
    repeats = 0
    at: dict[int, int] = {}
    for record in kafka.stream(topic):
        value = decode(record.value)
        if value is None:
            continue
        identity = (*position(value), value["op"], json.dumps(value["after"], sort_keys=True, default=str))
        run = seen.setdefault(record.partition, [])
        index = at.get(record.partition, len(run))
        if index < len(run):  # inside a repeat: it must be the same run again
            if run[index] == identity:
                at[record.partition] = index + 1
                repeats += 1
                continue
            assert False, f"{topic}/{record.partition}@{record.offset}: a repeat differs"
        if run and identity[:2] <= run[-1][:2] and identity in run[-200000:]:
            back = len(run) - 1 - run[::-1].index(identity)
            at[record.partition] = back + 1
            repeats += 1
            continue
        assert not run or identity[0] >= run[-1][0], (
            f"{topic}/{record.partition}@{record.offset}: {identity[:2]} after {run[-1][:2]}"
        )
        run.append(identity)
        at[record.partition] = len(run)
    return sum(len(run) for run in seen.values()), repeats


# ---------------------------------------------------------------- load


class Load:
    """Writers that insert, update and delete rows of `table(id bigint primary key, n int, t text)`."""

    DDL = "create table {0} (id bigint primary key, n int not null, t text)"

    def __init__(self, pg: Postgres, database: str, tables: tuple[str, ...] = ("a", "b"), pause: float = 0.001):
        self.pg, self.database, self.tables, self.pause = pg, database, tables, pause
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
            except Exception:
                if time.monotonic() > deadline or self._stop.is_set():
                    raise
                time.sleep(0.05)

    def _write(self, table: str, number: int) -> None:
        import random

        rng = random.Random(number)
        top = 0
        connection = self._connect()
        while not self._stop.is_set():
            try:
                with connection.cursor() as cursor:
                    what = rng.random()
                    if what < 0.5 or top == 0:
                        rows = rng.randint(1, 20)
                        cursor.execute(
                            f"insert into {table} select i, i, repeat('x', 20) "
                            "from generate_series(%s, %s) i on conflict do nothing",
                            (top + 1, top + rows),
                        )
                        top += rows
                    elif what < 0.85:
                        cursor.execute(
                            f"update {table} set n = n + 1, t = md5(n::text) where id = %s",
                            (rng.randint(1, top),),
                        )
                    else:
                        cursor.execute(f"delete from {table} where id = %s", (rng.randint(1, top),))
                self.committed += 1
                time.sleep(self.pause)
            except Exception as error:
                if "syntax" in str(error):
                    self.errors.append(error)
                    return
                if self._stop.is_set():
                    return
                try:
                    connection.close()
                    connection = self._connect()
                except Exception as reconnect:
                    self.errors.append(reconnect)
                    return


def table_rows(pg: Postgres, database: str, table: str, key: str = "id") -> dict[str, dict[str, Any]]:
    """The table itself, in the form of rebuild()."""
    rows = pg.sql(f"select row_to_json(t) from {table} t", dbname=database)
    return {json.dumps({key: row[0][key]}, sort_keys=True): row[0] for row in rows}
