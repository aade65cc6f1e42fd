"""Every allocation fails once, in turn: no crash, no hang, a word about memory, nothing lost or published twice.

One start after another meets the next allocation, until one start needs no more than it has met; then what
follows a start (schemas, changes of tables, a reconnect, the end) in runs of their own. What arrives is
compared with a run in which nothing fails. WALFERRY_SEED picks the runs; --long takes every call site and more.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from harness import Decoder, Ferry, Sampler, database, kafka_ferry, unique_dir

from services import Kafka, Postgres, Registry, wait_until, walferry
from services.runtime import REPOSITORY

SHIM = Path(__file__).with_name("no_memory.c")
SEED = int(os.environ.get("WALFERRY_SEED", "1"))
LIBRARIES = ("libpq", "libcurl", "libjansson", "libyaml")  # librdkafka aborts, as it says

TABLES = """
create type mood as enum ('sad', 'happy');
create type pair as (a int, b text);
create domain small as int check (value < 1000);
create table t (id int primary key, n numeric(9,2) default 1.5, m mood default 'sad', p pair, a int[], d small,
                at timestamptz, j jsonb, r int4range, long text);
alter table t alter long set storage external;
create table u (id int primary key, v text);
create table k (a int, b text, v text, primary key (b, a));
alter table k replica identity full;
"""
STEPS = (
    """
    insert into t select i, i + 0.25, 'happy', (i, 'x')::pair, array[i, null], i, '2024-02-29', '{"a": 1}', '[1,4)',
                         repeat('long', 2000) from generate_series(1, 5) i;
    update t set n = 7 where id = 1;
    update t set id = 100 where id = 2;
    delete from t where id = 3;
    begin; insert into k values (1, 'b', 'v'); update k set v = 'w'; insert into u values (1, 'a'); commit;
    select pg_logical_emit_message(true, 'note', 'inside');
    """,
    """
    insert into u select i, 'gone' from generate_series(2, 40) i;
    truncate u;
    alter table t add c text[] default '{x}';
    insert into t (id) values (6);
    create table late (id int primary key, p pair[]);
    insert into late values (1, array[(1, 'y')::pair]);
    """,
    "insert into u values (2, 'b'); alter table u add w date; insert into u values (3, 'c', '2024-01-01')",
)
FORMAT = {"prefix": "x", "provide_transaction_metadata": True}


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preloaded library, compiled."""
    library = tmp_path_factory.mktemp("no_memory") / "no_memory.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-fno-omit-frame-pointer", "-o", library, SHIM, "-ldl"], check=True)
    return library


def own() -> str:
    """The program's own code: up to where a librdkafka begins that is part of the same file."""
    symbols = subprocess.run(["nm", "-n", walferry()], text=True, capture_output=True, check=True).stdout
    linked = re.search(r"^([0-9a-f]+) t rd_\w+$|^([0-9a-f]+) T rd_\w+$", symbols, re.M)
    return f"own {(linked[1] or linked[2]) if linked else '0'}"


class Trial:
    """One pipeline whose first starts may want for memory. `kind`: file, at_least_once or exactly_once."""

    def __init__(self, run_dir: Path, pg: Postgres, kind: str, servers: tuple[Kafka, Registry] | None, shim: Path):
        self.pg, self.kind, self.shim, self.servers = pg, kind, shim, servers
        self.db = database(pg, TABLES)
        where, source = unique_dir(run_dir, "m"), {"reconnect_max": "1s"}
        if servers:
            more = {"transaction_idle": "200ms"} if kind == "exactly_once" else {}
            self.ferry = kafka_ferry(
                where, pg, self.db, *servers, source=source, delivery=kind, **more, format={**FORMAT, "prefix": where.name}
            )  # fmt: skip
        else:
            self.ferry = Ferry(where, pg, self.db, source=source, format=FORMAT, state={"interval": "0ms"})
        self.prefix = where.name if servers else "x"

    def want(self, n: str, of: str, listing: Path | None = None) -> None:
        """The n-th allocation of the next start fails."""
        self.ferry.env = {"LD_PRELOAD": str(self.shim), "NO_MEMORY": n, "NO_MEMORY_OF": of}
        if "debug" in str(walferry()):  # the loader's, for the walk of the stack and for threads
            supp = self.ferry.dir / "leaks"
            supp.write_text("leak:dl_open_worker\nleak:allocate_dtv\nleak:_dl_allocate_tls\n")
            self.ferry.env |= {"LSAN_OPTIONS": f"suppressions={supp}:print_suppressions=0"}
            self.ferry.env |= {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:fast_unwind_on_malloc=0"}
        if listing:
            self.ferry.env["NO_MEMORY_LIST"] = str(listing)

    def ended(self) -> None:
        """It ended by itself: it has to say why, and a supervisor may start it again."""
        ferry = self.ferry
        assert ferry.status == 1, f"ended with {ferry.status}: {ferry.tail()}"
        said = [line for line in ferry.log_text().splitlines() if "no_memory:" not in line]
        assert re.search(r"memory|cannot start the helper thread|libcurl", said[-1]), ferry.tail()
        ferry.env = {}

    def up(self) -> None:
        """It reads the slot; started again when it ended."""
        if not self.ferry.alive:
            self.ferry.start()
        seen = self.ferry.log_text().count("code=streaming")

        def reads() -> bool:
            if not self.ferry.alive:
                self.ended()
                self.ferry.start()
            slot = self.pg.sql("select active from pg_replication_slots where slot_name = %s", (self.ferry.pipeline,))
            return bool(slot and slot[0][0]) and (self.streams or self.ferry.log_text().count("code=streaming") > seen)

        wait_until(reads, 30, f"the slot to be read{self.ferry.tail()}")
        self.streams = True

    streams = False

    def caught_up(self) -> None:
        """Everything so far is delivered; started again when it ended."""
        target = self.pg.sql("select pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]

        def done() -> bool:
            if not self.ferry.alive:
                self.ended()
                self.ferry.start()
            return self.ferry.confirmed() >= target

        try:
            wait_until(done, 40, "the slot to catch up")
        except TimeoutError as error:
            raise AssertionError(f"{error}{self.ferry.tail(30)}") from None

    def run(self) -> None:
        """The whole workload, to an orderly end."""
        self.up()
        for number, step in enumerate(STEPS):
            for statement in filter(str.strip, re.split(r";\n", step)):
                self.pg.sql(statement, dbname=self.db)
            self.caught_up()
            if number == 1:
                self.pg.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s "
                            "and active_pid is not null", (self.ferry.pipeline,))  # fmt: skip
        if self.ferry.stop() != 0:
            self.ended()

    # -- what arrived

    def _raw(self) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        if not self.servers:
            for path in self.ferry.files():
                with open(path, "rb") as file:
                    reader = fastavro.reader(file)
                    yield path.parent.name, None, {"schema": reader.writer_schema}
                    for record in reader:
                        yield path.parent.name, None, record
            return
        kafka, registry = self.servers
        decode = Decoder(registry)
        names = sorted(name for name in kafka.topics() if name.startswith(f"{self.prefix}."))
        for name in names:
            for record in kafka.stream(name):
                yield name.removeprefix(self.prefix), decode(record.key), decode(record.value)

    def events(self) -> dict[str, list[str]]:
        """By topic, what each distinct record says, without what differs from run to run."""
        found: dict[str, list[str]] = {}
        seen: set[str] = set()
        for topic, key, value in self._raw():
            source = (value or {}).get("source", {})
            said = {k: v for k, v in (value or {}).items() if k in ("op", "before", "after", "message", "schema")}
            if "status" in (value or {}):
                said = {"status": value["status"], "count": value["event_count"], "id": value["id"]}
            identity = json.dumps([topic, key, said, source.get("txId"), source.get("lsn")], default=str)
            repeatable = value is None or "schema" in said or self.kind != "exactly_once"
            assert repeatable or identity not in seen, f"twice: {identity}"
            if identity in seen:
                continue
            seen.add(identity)
            said.pop("id", None)
            text = json.dumps([key if "status" not in said else None, said], default=str, sort_keys=True)
            found.setdefault(topic, []).append(text.replace(self.prefix + ".", "").replace(self.ferry.pipeline, "p"))
        return found


def usual(run_dir: Path, pg: Postgres, kind: str, servers, shim: Path, of: str, tmp: Path):
    """A run in which nothing fails: what arrives, and its allocations as (number, call site, stack)."""
    trial, listing = Trial(run_dir, pg, kind, servers, shim), tmp / f"list-{kind}-{of.split()[0]}"
    trial.want("0", of, listing)
    trial.run()
    rows = [line.split() for line in listing.read_text().splitlines()] if listing.exists() else []
    return trial.events(), [(int(n), site, stack) for n, site, stack in rows]


def chosen(rows: list[tuple[int, str, str]], how_many: int) -> list[int]:
    """A seeded sample of the runs worth a try: the first and the last of each stack."""
    ends: dict[str, list[int]] = {}
    for n, _site, stack in rows:
        ends.setdefault(stack, [n, n])[1] = n
    numbers = sorted({n for pair in ends.values() for n in pair})
    return sorted(random.Random(SEED).sample(numbers, min(how_many, len(numbers))))


def compare(trial: Trial, wanted: dict[str, list[str]], n: object) -> None:
    got = trial.events()
    assert got.keys() == wanted.keys(), n
    for topic, events in wanted.items():
        assert got[topic] == events, f"{n}: {topic}"


KINDS = ("file", "at_least_once", "exactly_once")
long = pytest.mark.long


def try_each(run_dir: Path, pg: Postgres, kind: str, servers, shim: Path, of: str, runs: int, tmp: Path) -> None:
    """A run for each of the chosen allocations, compared with the usual one."""
    wanted, rows = usual(run_dir, pg, kind, servers, shim, of, tmp)
    for n in chosen(rows, runs):
        trial = Trial(run_dir, pg, kind, servers, shim)
        trial.want(str(n), of)
        try:
            if servers:
                trial.run()
            else:
                with Sampler(trial.ferry, 0.02):
                    trial.run()
            compare(trial, wanted, n)
        except Exception as error:
            error.add_note(f"allocation {n} of {len(rows)} of {of}")
            raise
        pg.sql("select pg_drop_replication_slot(%s)", (trial.ferry.pipeline,))
        pg.sql(f"drop database {trial.db} with (force)")


def some_or_all(some: int, every: int):
    """How many allocations: a few by default, with --long all that are worth it."""
    marks = (long, pytest.mark.timeout(7200))
    return pytest.mark.parametrize("runs", (some, pytest.param(every, marks=marks)), ids=("some", "all"))


@some_or_all(8, 2000)
@pytest.mark.parametrize("kind", KINDS)
def test_an_allocation_that_fails_in_mid_run_loses_nothing(request, run_dir, postgres_of, shim, tmp_path, kind, runs):
    servers = None if kind == "file" else (request.getfixturevalue("kafka"), request.getfixturevalue("registry"))
    try_each(run_dir, postgres_of(15), kind, servers, shim, own(), runs, tmp_path)


@some_or_all(5, 400)
@pytest.mark.parametrize("kind", ("file", "exactly_once"))
def test_what_an_allocation_that_fails_leaves_behind_is_freed(
    request, run_dir, postgres_of, shim, tmp_path, kind, runs, monkeypatch
):
    """The same with ASan and LeakSanitizer, whose findings are an exit status of their own."""
    monkeypatch.setenv("WALFERRY_BIN", str(REPOSITORY / "build" / "debug" / "walferry"))
    servers = None if kind == "file" else (request.getfixturevalue("kafka"), request.getfixturevalue("registry"))
    try_each(run_dir, postgres_of(15), kind, servers, shim, own(), runs, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_allocation_that_fails_at_the_start_ends_it_or_not(request, run_dir, postgres_of, shim, kind):
    """Each in turn, hundreds of starts of one pipeline, then it delivers."""
    pg = postgres_of(15)
    servers = None if kind == "file" else (request.getfixturevalue("kafka"), request.getfixturevalue("registry"))
    trial = Trial(run_dir, pg, kind, servers, shim)
    for n in starts(trial, own(), 1 if kind == "file" else 7):
        trial.want(n, own())
        seen = trial.ferry.log_text().count("code=streaming")
        trial.ferry.start()
        wait_until(lambda: not trial.ferry.alive or trial.ferry.log_text().count("code=streaming") > seen, 30,  # noqa: B023
                   f"start {n}")  # fmt: skip
        if not trial.ferry.alive or trial.ferry.stop() != 0:
            trial.ended()
    trial.ferry.env = {}
    trial.run()


def starts(trial: Trial, of: str, every: int) -> Iterator[str]:
    """Numbers up to what a start needs, alone and with all that follow."""
    n = SEED % every + 1
    while f"no_memory: {n - every} " in trial.ferry.log_text() or n <= every:
        yield str(n)
        if n % 5 == 0:
            yield f"{n}+"
        n += every


@some_or_all(3, 150)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_without_memory_loses_nothing(run_dir, postgres_of, kafka, registry, shim, tmp_path, library, runs):
    try_each(run_dir, postgres_of(15), "at_least_once", (kafka, registry), shim, library, runs, tmp_path)
