"""Replays the capture's SQL through walferry and compares what arrives with what Debezium sent.

    ./dev python -m golden.replay [--pg 18] [--profile debezium-strict] [--run main] [--ours DIR] [--log FILE]

All runs of both profiles read one server at once: a database per run, in it a slot per profile. Profile
`debezium-strict` has the capture's own topic prefix, so that texts can be equal; `debezium` has another one,
which the comparison takes away.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from e2e.harness import Ferry, lsn
from golden.accepted import ACCEPTED
from golden.compare import PROFILES, STRICT, Comparison, Difference, Tally, Verdict, decode, show
from golden.goldens import DATA, RUNS, Part, Record, load, topic_prefix
from golden.psql_file import PsqlFile, Refused
from services import Kafka, Postgres, Registry

# What the capture's connectors were told, in walferry's words; their heartbeats were 20 s apart, and two are compared.
SETTINGS: dict[str, dict[str, Any]] = {
    "main": {"provide_transaction_metadata": True, "heartbeat_interval": "1s"},
    "alt1": {
        "time_precision_mode": "connect",
        "decimal_handling_mode": "string",
        "interval_handling_mode": "string",
        "binary_handling_mode": "base64",
        "hstore_handling_mode": "map",
        "include_unknown_datatypes": "on",
        "tombstones": False,
    },
    "alt2": {
        "time_precision_mode": "adaptive_time_microseconds",
        "decimal_handling_mode": "double",
        "binary_handling_mode": "hex",
        "column_propagate_source_type": ["*.*.*"],
    },
    "alt3": {
        "name_adjustment_mode": "avro_unicode",
        "time_precision_mode": "isostring",
        "binary_handling_mode": "base64-url-safe",
    },
    "alt4": {"time_precision_mode": "microseconds", "interval_handling_mode": "string"},
    "root": {},
}
KEEPS_TRUNCATES = ("main", "root")
PUBLICATION = "golden"
SQL = DATA / "sql"


@dataclass
class Pipe:
    """One pipeline of the replay, and what stood in its way."""

    run: str
    profile: str
    ferry: Ferry
    comparison: Comparison
    blocked: list[Difference] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    read_to: int = 0  # how much of its log was looked at
    given_up: bool = False

    def note(self, topic: str, message: str) -> None:
        """Counts a block among the differences."""
        self.blocked.append(Difference(self.run, self.profile, topic, -1, "blocked", "a record", message))


class Replay:
    """One server of a major version, the runs and profiles asked for, a broker and a registry."""

    def __init__(self, major: int, runs: Sequence[str] = RUNS, profiles: Sequence[str] = PROFILES):
        self.major, self.runs, self.profiles = major, runs, profiles
        self.refused: dict[str, list[Refused]] = {}
        self.pipes: list[Pipe] = []
        self.tallies: list[Tally] = []
        self.ours: dict[tuple[str, str], dict[str, list[Record]]] = {}
        self._texts: dict[int, str] = {}
        self._errors: list[BaseException] = []

    def run(self) -> Verdict:
        """All of it; the servers are gone afterwards."""
        self.registry, self.kafka = Registry(), Kafka()
        self.pg = Postgres(self.major, settings={"lc_monetary": "C", "max_connections": 60})
        with self.pg, self.kafka, self.registry:
            # The capture's registry compared nothing: its SQL changes a key.
            self.registry.request("PUT", "/config", {"compatibility": "NONE"})
            for run in self.runs:
                self._prepare(run)
            try:
                for run in self.runs:
                    self.pipes += [self._pipe(run, profile) for profile in self.profiles]
                self._stream(self.pipes)
                self.tallies = [self._compare(pipe) for pipe in self.pipes]
            finally:
                for pipe in self.pipes:
                    pipe.ferry.close()
        everything = {*self.runs} == {*RUNS} and {*self.profiles} == {*PROFILES}
        # Rows of runs and profiles that were not asked for explain nothing, and need not.
        rows = ACCEPTED if everything else [replace(row, timing=True, count=None) for row in ACCEPTED]
        return Verdict(self.tallies, rows)

    # -- the database

    def _prepare(self, run: str) -> None:
        """Schema, rows and publication from before the stream, as the capture's snapshot met them."""
        db = f"g_{run}"
        self.pg.sql(f"create database {db} template template0 encoding 'UTF8' locale 'C.UTF-8'")
        self._sql(run, ("01-schema", None), ("02-rows", 0))
        root = " with (publish_via_partition_root = true)" if run == "root" else ""
        self.pg.sql(f"create publication {PUBLICATION} for all tables{root}", dbname=db)

    def _sql(self, run: str, *files: tuple[str, int | None]) -> None:
        connection = self.pg.connect(f"g_{run}")
        try:
            for name, b in files:
                session = PsqlFile(connection, {} if b is None else {"b": b})
                self.refused.setdefault(run, []).extend(session.run(SQL / f"{name}.sql"))
        finally:
            connection.close()

    def _streamed(self, run: str) -> None:
        try:
            self._sql(run, ("02-rows", 100), ("03-stream" if run == "main" else "05-few", None))
            if run == "main":  # whose DDL is paced: what the WAL does not say is read while it holds
                self._calm(run)
                self._sql(run, ("04-ddl", None))
        except BaseException as error:  # for the thread that waits
            self._errors.append(error)

    def _calm(self, run: str, timeout: float = 60) -> None:
        """Waits until the run's pipelines have what was written so far, or never will."""
        target, deadline = lsn(self.pg.lsn()), time.monotonic() + timeout
        while time.monotonic() < deadline and any(
            pipe.run == run and not pipe.given_up and pipe.ferry.confirmed() < target for pipe in self.pipes
        ):
            time.sleep(0.1)

    # -- the pipelines

    def _pipe(self, run: str, profile: str) -> Pipe:
        prefix = topic_prefix(run) + ("" if profile == STRICT else "-dbz")
        ferry = Ferry(
            self.pg.dir.parent, self.pg, f"g_{run}", {"type": "kafka", "brokers": self.kafka.bootstrap},
            name=f"{run}_{'strict' if profile == STRICT else 'default'}",
            source={
                "publication": PUBLICATION,
                "skipped_operations": ["none" if run in KEEPS_TRUNCATES else "t"],
            },
            format={
                "profile": profile,
                "prefix": prefix,
                "registry": [self.registry.url],
                "event_converting_failure_handling_mode": "warn",
                "allow_semantic_change": ["*.*"],
                **SETTINGS[run],
            },
            state={"interval": "100ms"},
        )  # fmt: skip
        ferry.streaming()
        return Pipe(run, profile, ferry, Comparison(run, profile, prefix))

    def _stream(self, pipes: list[Pipe]) -> None:
        """Runs the SQL and watches the pipelines until all have everything."""
        written = threading.Event()
        writers = [threading.Thread(target=self._streamed, args=(run,), daemon=True) for run in self.runs]
        # One each: a pipeline that has to be started anew must not keep another from it.
        watchers = [threading.Thread(target=self._watch, args=(pipe, written), daemon=True) for pipe in pipes]
        for thread in writers + watchers:
            thread.start()
        for thread in writers:
            thread.join()
        written.set()
        for thread in watchers:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _watch(self, pipe: Pipe, written: threading.Event) -> None:
        try:
            while not written.wait(0.2):
                self._look(pipe)
            self._settle(pipe, lsn(self.pg.lsn()))
        except BaseException as error:  # for the thread that waits
            self._errors.append(error)

    def _settle(self, pipe: Pipe, target: int, quiet: float = 30) -> None:
        """Until the slot is at `target`, or nothing has moved for that long."""
        last, since = -1, time.monotonic()
        while (now := pipe.ferry.confirmed()) < target and not pipe.given_up:
            self._look(pipe)
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > quiet:
                pipe.note("*", f"stands still:{pipe.ferry.tail(3)}")
                return
            time.sleep(0.1)

    def _look(self, pipe: Pipe) -> None:
        """Goes round a table that blocks a pipeline, so that the others are compared all the same."""
        if pipe.given_up:
            return
        text = pipe.ferry.log_text()
        lines = text[pipe.read_to :].splitlines()
        line = next((line for line in lines if "state=blocked" in line), None)
        if not pipe.ferry.alive:
            pipe.note("*", f"ended:{pipe.ferry.tail(3)}")
            pipe.given_up = True
        elif line:
            message = re.sub(r'^.*?msg="?', "", line).split("; nothing is skipped")[0]
            table = self._table_in(pipe, message)
            pipe.note(table or "*", message)
            if table is None or table in pipe.excluded:
                pipe.given_up = True
                return
            self._exclude(pipe, table)
            return
        pipe.read_to = len(text)

    def _table_in(self, pipe: Pipe, message: str) -> str | None:
        """The longest name of a table that the message holds, as it is or as its topic."""
        message = message.replace('\\"', '"')
        found = []
        for name in self._tables(pipe.run):
            topic = f"{pipe.comparison.prefix}.{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
            if any(re.search(rf"(?<![\w.]){re.escape(text)}(?!\w)", message) for text in (name, topic)):
                found.append(name)
        return max(found, key=len, default=None)

    def _tables(self, run: str) -> list[str]:
        rows = self.pg.sql(
            "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where relkind in ('r', 'p') and nspname !~ '^pg_|^information_schema$'",
            dbname=f"g_{run}",
        )
        return sorted({name for (name,) in rows} | {"public.ddl1", "public.ddl1_new", "public.ddl_new"})

    def _exclude(self, pipe: Pipe, table: str) -> None:
        pipe.excluded.append(table)
        pipe.ferry.stop()
        pipe.read_to = len(pipe.ferry.log_text())
        kept = [name for name in self._tables(pipe.run) if name not in pipe.excluded]
        pipe.ferry.config["source"]["tables"] = kept
        pipe.ferry.write()
        pipe.ferry.streaming()

    # -- the comparison

    def _compare(self, pipe: Pipe) -> Tally:
        names = [pipe.comparison.topic_name(name) for name in load(pipe.run)]
        names.append(f"{pipe.comparison.prefix}.truncate")
        there = self.kafka.topics()
        ours: dict[str, list[Record]] = {}
        for record in self.kafka.stream([name for name in names if name in there]):
            ours.setdefault(record.topic, []).append(
                Record(
                    self._part(record.key),
                    self._part(record.value),
                    [(name, value.decode()) for name, value in record.headers],
                )
            )
        self.ours[pipe.run, pipe.profile] = ours
        tally = pipe.comparison.run(ours)
        tally.differences += pipe.blocked
        return tally

    def _part(self, data: bytes | None) -> Part | None:
        if data is None:
            return None
        assert data[0] == 0, f"not framed: {data[:8].hex()}"
        return Part(self._text(int.from_bytes(data[1:5], "big")), data[5:])

    def _text(self, number: int) -> str:
        if number not in self._texts:
            self._texts[number] = self.registry.request("GET", f"/schemas/ids/{number}")["schema"]
        return self._texts[number]


def save(ours: Mapping[tuple[str, str], Mapping[str, Sequence[Record]]], directory: Path) -> None:
    """Writes what walferry sent, decoded, one JSON file a topic: to read beside the capture."""
    for (run, profile), topics in ours.items():
        folder = directory / profile / run
        folder.mkdir(parents=True, exist_ok=True)
        for topic, records in topics.items():
            texts = sorted({part.schema for r in records for part in (r.key, r.value) if part})
            lines = [show([decode(r.key), decode(r.value), list(r.headers)]) for r in records]
            text = json.dumps({"schemas": texts}, indent=1) + "\n" + "\n".join(lines) + "\n"
            (folder / f"{topic}.json").write_text(text)


def report(replay: Replay, verdict: Verdict) -> str:
    """Everything a person wants to see of a replay."""
    return (
        f"PostgreSQL {replay.major}\n{verdict.table()}\n\naccepted differences:\n{verdict.reasons()}\n\n"
        f"without a reason: {len(verdict.unexplained)}\n{verdict.faults()}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table of counts and what has no reason; 1 when there is any."""
    parser = argparse.ArgumentParser(prog="golden.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--pg", type=int, default=18, help="major version, 15 or later")
    parser.add_argument("--run", action="append", choices=RUNS, help="only these")
    parser.add_argument("--profile", action="append", choices=PROFILES, help="only these")
    parser.add_argument("--ours", type=Path, help="write walferry's records there, a file a topic")
    parser.add_argument("--log", type=Path, help="write every difference there, a line each, with its reason")
    args = parser.parse_args(argv)
    replay = Replay(args.pg, args.run or RUNS, args.profile or PROFILES)
    verdict = replay.run()
    if args.ours:
        save(replay.ours, args.ours)
    if args.log:
        args.log.write_text(verdict.log())
    print(report(replay, verdict))
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
