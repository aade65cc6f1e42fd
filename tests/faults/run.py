"""One run of a plan on shared servers: start, write and break, heal, read back, judge."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
from confluent_kafka import Consumer, KafkaException, TopicPartition
from harness import Decoder, Ferry, drop_slots, kafka_ferry, lsn, unique

from faults import schedule
from faults.checker import Checker, Violations
from faults.oracle import Oracle, Photographer, final_rows
from faults.plan import EXACTLY_ONCE, Plan
from faults.proxy import FaultProxy
from faults.workload import Workload
from services import Kafka, Postgres, Registry, ServiceError, default_run_dir, wait_until

STANDSTILL_S = 60  # once all is healed, the position moves at least that often
LIVENESS_S = 240  # and then everything is delivered, on a busy machine, too
RSS_KB, DESCRIPTORS, THREADS = 96 * 1024, 100, 40  # I11
REFUSED = 76
LATE = {"freeze", "broker_freeze", "kafka_net_stall", "kafka_net_slow", "request_held", "request_late"}

_PG_SETTINGS = {
    "max_prepared_transactions": 40,
    "deadlock_timeout": "100ms",
    "wal_sender_timeout": "15s",
    "logical_decoding_work_mem": "64kB",
}
_KAFKA_SETTINGS = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "log.segment.delete.delay.ms": 1000,
    "offset.metadata.max.bytes": 4096,
}


class World:
    """The servers, each behind a proxy that fails on demand; started when first asked for, shared by all runs."""

    def __init__(self) -> None:
        self.kafka = Kafka(
            extra=_KAFKA_SETTINGS, proxied=True, heap_mb=256, proxy=lambda target: FaultProxy(target, framed=True)
        )
        self.registry = Registry(persistent=True)
        self.registry_proxy = FaultProxy(("127.0.0.1", self.registry.port))
        self._servers: dict[int, tuple[Postgres, FaultProxy]] = {}

    def postgres(self, major: int) -> tuple[Postgres, FaultProxy]:
        """The server of a major and the proxy before it."""
        if major not in self._servers:
            server = Postgres(major, settings=_PG_SETTINGS)
            server.start()
            self._servers[major] = server, FaultProxy(("127.0.0.1", server.port))
        return self._servers[major]

    def whole(self) -> None:
        """Heals everything and starts what does not run."""
        proxies = [self.kafka.proxy, self.registry_proxy, *(proxy for _, proxy in self._servers.values())]
        for proxy in proxies:
            proxy.heal()
        for server in (self.kafka, self.registry, *(server for server, _ in self._servers.values())):
            server.sigcont()
            if not server.alive:
                server.start()

    def __enter__(self) -> "World":
        self.whole()
        return self

    def __exit__(self, *_exception: object) -> None:
        for server, proxy in self._servers.values():
            proxy.close()
            server.close()
        self.registry_proxy.close()
        self.registry.close()
        self.kafka.close()


class Keeper(threading.Thread):
    """Keeps walferry running as systemd would, and judges how each life ends."""

    def __init__(self, ferry: Ferry, wrong: Violations, note: Callable[[str], None]):
        super().__init__(daemon=True)
        self.ferry, self.wrong, self.note = ferry, wrong, note
        self.lives = 0
        self.refusal: str | None = None
        self._terms = 0  # SIGTERMs whose end has not been seen
        self._lock = threading.RLock()  # held while a life ends and the next begins
        self._done = threading.Event()

    def run(self) -> None:
        """Starts it whenever it has ended."""
        while not self._done.wait(0.01):
            with self._lock:
                if not self._done.is_set() and not self.ferry.alive and not self.refusal:
                    self._judge()
                    if not self.refusal:
                        self.ferry.start()
                        self.lives += 1

    def _judge(self) -> None:
        status = self.ferry.status
        told = status in (0, -signal.SIGTERM) and self._terms  # the signal itself, in the first milliseconds
        if status is None or status == -signal.SIGKILL or told:
            self._terms = 0
            return
        last = (self.ferry.log_text().splitlines() or [""])[-1]
        self.wrong.add("I10" if status in (REFUSED, 78) else "I0", f"walferry ended with status {status}: {last}")
        if status in (REFUSED, 78):
            self.refusal = last

    def kill(self) -> None:
        """kill -9; the next life begins at once."""
        with self._lock:
            if self.ferry.alive:
                self.ferry.kill9()

    def terminate(self) -> None:
        """SIGTERM; that it takes at most ten seconds and a bit is part of the promise."""
        with self._lock:
            if not self.ferry.alive:
                return
            self._terms += 1
            self.ferry.signal(signal.SIGTERM)
            try:
                self.ferry.wait(15)
            except ServiceError:
                self.wrong.add("I0", f"SIGTERM did not end it within 15 s{self.ferry.tail(5)}")
                self.ferry.kill9()

    def wait_started(self, timeout: float = 10) -> None:
        """Waits until it runs."""
        deadline = time.monotonic() + timeout
        while not self.ferry.alive and not self.refusal and time.monotonic() < deadline:
            time.sleep(0.003)

    def leave_group(self, group: Path, parent: Path) -> None:
        """Takes what still runs out of a cgroup and removes that."""
        for pid in (group / "cgroup.procs").read_text().split():
            try:
                (parent / "cgroup.procs").write_text(pid)
            except OSError:  # it has ended
                pass
        for _ in range(50):
            try:
                group.rmdir()
                return
            except OSError:
                time.sleep(0.02)

    def stop(self) -> None:
        """Lets the present life be the last one."""
        self._done.set()
        self.join(30)


class Watcher(threading.Thread):
    """Samples what must hold at every moment: I7 the slot is not past the checkpoint, I11 nothing grows."""

    def __init__(self, run: "Run"):
        super().__init__(daemon=True)
        self.run_, self.samples = run, 0
        self.peak = {"rss_kb": 0, "fds": 0, "threads": 0}
        self.confirmed: list[tuple[float, int]] = []
        self._done = threading.Event()

    def run(self) -> None:
        """Looks ten times a second."""
        connection, turn = None, 0
        while not self._done.wait(0.1):
            turn += 1
            if turn % 5 == 0:
                self._process()
            try:
                connection = connection or self.run_.pg.connect()
                with connection.cursor() as cursor:
                    cursor.execute(
                        "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s",
                        (self.run_.ferry.pipeline,),
                    )
                    row = cursor.fetchone()
            except psycopg2.Error:  # the server is down at the moment
                connection = None
                continue
            if row:
                self._position(lsn(row[0]))

    def _position(self, confirmed: int) -> None:
        if self.run_.checkpoints:
            self.confirmed.append((time.time(), confirmed))
            self.samples += 1
            return
        saved, generation = self.run_.ferry.checkpoint()
        if generation > 1:  # before that the slot is being made
            self.samples += 1
            if confirmed > saved:
                self.run_.wrong.add("I7", f"the slot is at {confirmed:X}, the checkpoint at {saved:X}")

    def _process(self) -> None:
        try:
            proc = Path(f"/proc/{self.run_.ferry.pid}")
            found = {
                "rss_kb": self.run_.ferry.rss_kb(),
                "fds": len(os.listdir(proc / "fd")),
                "threads": len(os.listdir(proc / "task")),
            }
        except (OSError, ServiceError):  # between two lives
            return
        for name, value in found.items():
            self.peak[name] = max(self.peak[name], value)

    def stop(self) -> None:
        """Ends it and judges the peaks."""
        self._done.set()
        self.join(30)
        for (name, value), most in zip(self.peak.items(), (RSS_KB, DESCRIPTORS, THREADS)):
            if value > most:
                self.run_.wrong.add("I11", f"{name} reached {value}, over {most}")


class Checkpoints(threading.Thread):
    """Reads the checkpoint topic as it grows: positions with the time at which they were produced."""

    def __init__(self, kafka: Kafka, topic: str):
        super().__init__(daemon=True)
        self.kafka, self.topic = kafka, topic
        self.seen: list[tuple[float, int]] = []
        self._done = threading.Event()

    def run(self) -> None:
        """Reads until stop()."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap, "group.id": "watcher", "enable.auto.commit": False,
                "auto.offset.reset": "earliest", "isolation.level": "read_committed", "log_level": 0,
                "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 200, "topic.metadata.refresh.interval.ms": 500,
            }
        )  # fmt: skip
        try:
            consumer.assign([TopicPartition(self.topic, 0, 0)])
            while not self._done.is_set():
                for message in consumer.consume(1000, timeout=0.2):
                    if message.error() is None and b"/topics/" not in message.key():
                        self.seen.append((message.timestamp()[1] / 1000, lsn(json.loads(message.value())["lsn"])))
        finally:
            consumer.close()

    def stop(self) -> None:
        """Ends it."""
        time.sleep(0.5)
        self._done.set()
        self.join(30)

    def judge(self, confirmed: list[tuple[float, int]], wrong: Violations) -> None:
        """Whether each confirmed position was committed as a checkpoint before it was seen, and none went back."""
        high = 0
        for _, position in self.seen:
            if position < high:
                wrong.add("I7", f"a checkpoint at {position:X} follows one at {high:X}")
            high = max(high, position)
        times = iter(sorted(self.seen))
        at, saved = next(times, (0.0, 0)), 0
        first = self.seen[0][0] if self.seen else 0
        for when, position in sorted(confirmed):
            while at is not None and at[0] <= when:
                saved, at = max(saved, at[1]), next(times, None)
            if when > first and position > saved:
                wrong.add("I7", f"the slot is at {position:X}, the last checkpoint at {saved:X}")


class Run:
    """One run. `execute()` does it all and returns the verdict."""

    def __init__(self, world: World, plan: Plan, verbose: bool = False):
        self.world, self.plan, self.verbose = world, plan, verbose
        self.kafka, self.kafka_proxy = world.kafka, world.kafka.proxy
        self.registry, self.registry_proxy = world.registry, world.registry_proxy
        self.pg, self.pg_proxy = world.postgres(plan.major)
        self.wrong = Violations()
        self.begun = time.monotonic()
        self.small_disk: Path | None = None
        self.clock_file = Path()
        self.checkpoints: Checkpoints | None = None
        self.database = unique("faults")
        self.load = Workload(plan, self.pg, self.database)
        self.ferry = self._ferry()
        self.keeper = Keeper(self.ferry, self.wrong, self.note)
        self.injector = schedule.Injector(self)
        self.verdict: dict[str, Any] = {"seed": plan.seed, "delivery": plan.delivery, "pg": plan.major}

    def note(self, text: str) -> None:
        """A line of what happens, for whoever watches."""
        if self.verbose:
            print(f"    {time.monotonic() - self.begun:6.2f} {text}", file=sys.stderr, flush=True)

    def _ferry(self) -> Ferry:
        plan, sink = self.plan, {}
        if plan.delivery == EXACTLY_ONCE:
            sink = {"delivery": EXACTLY_ONCE, "transaction_idle": "500ms", "transaction_timeout": "10s"}
            if plan.seed % 3 == 0:  # big transactions become several
                sink |= {"split_events": 500, "transaction_events": 500}
        dsn = f"host=127.0.0.1 port={self.pg_proxy.port} dbname={self.database} user=postgres sslmode=disable"
        ferry = kafka_ferry(
            default_run_dir(), self.pg, self.database,
            SimpleNamespace(bootstrap=self.kafka.proxied_bootstrap),
            SimpleNamespace(url=self.registry.url.replace(f":{self.registry.port}", f":{self.registry_proxy.port}")),
            source={"dsn": dsn, "reconnect_max": "500ms", "connect_timeout": "3s", "status_interval": "1s"},
            format={
                "allow_semantic_change": ["*.*"],
                "provide_transaction_metadata": "on" if plan.metadata else "off",
            },
            partitions=plan.partitions, **sink,
        )  # fmt: skip
        if any(fault.kind == "clock" for fault in plan.faults) and (library := schedule.wall_clock(default_run_dir())):
            self.clock_file = ferry.dir / "clock"
            ferry.env |= {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self.clock_file)}
            self.clock_file.write_bytes(bytes(8))
        return ferry

    def set_clock(self, seconds: float) -> None:
        """The wall clock of walferry, so many seconds away from the real one."""
        with open(self.clock_file, "r+b") as file:
            file.write(struct.pack("=q", int(seconds * 1e6)))

    # -- the run

    def execute(self) -> dict[str, Any]:
        """Does it all; leaves the servers whole and nothing of this run on them."""
        try:
            self._prepare()
            try:
                self._play()
            finally:
                self._quiet()
            self._read_back()
            if self.plan.vandalism and not self.keeper.refusal:
                self._vandalism()
        except Exception as error:  # the campaign goes on; the verdict tells
            self.wrong.add("I0", f"the run itself failed: {type(error).__name__}: {error}")
        finally:
            self._clean()
        self.verdict |= {
            "violations": self.wrong.listed(),
            "seconds": round(time.monotonic() - self.begun, 1),
            "ok": not self.wrong.counts,
        }
        return self.verdict

    def _prepare(self) -> None:
        self.pg.sql(f"create database {self.database}")
        self.pg.sql(self.load.ddl(), dbname=self.database)
        state = Path(self.ferry.config["state"]["dir"])
        if any(fault.kind == "disk_full" for fault in self.plan.faults) and schedule.mount_small(state, "2m"):
            self.small_disk = state
        if self.plan.delivery == EXACTLY_ONCE:
            self.checkpoints = Checkpoints(self.kafka, f"walferry.{self.ferry.pipeline}.checkpoint")
        self.keeper.start()
        if self.plan.seed % 2:  # the very first life, too, ends in its start-up window
            schedule.start_window(self, random.Random(self.plan.seed))
        wait_until(lambda: "code=streaming" in self.ferry.log_text(), 60, f"the first life{self.ferry.tail(5)}")
        if self.checkpoints:
            self.checkpoints.start()
        roots = {name: table.name for table in self.load.tables for name in (table.name, *table.relations)}
        self.oracle = Oracle(self.pg, self.database, roots)

    def _play(self) -> None:
        names = [table.name for table in self.load.tables]
        self.watcher = Watcher(self)
        camera = Photographer(self.pg, self.database, names, self.plan.seed, self.plan.seconds)
        self.snapshots = camera.taken
        self.watcher.start()
        camera.start()
        with self.load:
            self.injector.play(lambda: self.keeper.refusal is not None)
            time.sleep(1)
            self.world.whole()
        camera.stop()
        for error in self.injector.errors:
            self.wrong.add("I0", f"a fault itself failed: {error}")

    def _quiet(self) -> None:
        """Everything healed: all is delivered and acknowledged in time."""
        self.world.whole()
        healed = moved = time.monotonic()
        target, position = lsn(self.pg.lsn()), 0
        while (confirmed := self.ferry.confirmed()) < target and not self.keeper.refusal:
            now = time.monotonic()
            if confirmed > position:
                position, moved = confirmed, now
            if now - moved > STANDSTILL_S or now - healed > LIVENESS_S:
                since = f"{now - healed:.0f} s after the last fault, {now - moved:.0f} s of it at one position"
                self.wrong.add("I0", f"not delivered {since}{self.ferry.tail(5)}")
                break
            time.sleep(0.05)
        self.verdict["recovery_s"] = round(time.monotonic() - healed, 1)
        self.note("all is delivered")
        self.watcher.stop()
        if self.checkpoints:
            self.checkpoints.stop()
            self.verdict["commits"] = len(self.checkpoints.seen)
            if not self.injector.struck["clock"]:
                self.checkpoints.judge(self.watcher.confirmed, self.wrong)

    def _read_back(self) -> None:
        items = self.oracle.items()
        written, aborted = self.load.marks()
        tables = {table.name: final_rows(self.pg, self.database, table.name) for table in self.load.tables}
        strict = not LATE & self.injector.struck.keys() and not self.injector.missed
        for attempt in range(6):  # a commit becomes readable a moment after it returned
            checker = Checker(items, self.plan.delivery, self.plan.metadata, strict)
            checker.aborted = aborted
            self._feed(checker)
            wrong = checker.finish(tables, self.snapshots, written)
            if not checker.lost or self.plan.delivery != EXACTLY_ONCE:
                break
            self.note(f"{checker.lost} lost at attempt {attempt}")
            time.sleep(1 + attempt)
        self.wrong.counts += wrong.counts
        self.wrong.texts += wrong.texts
        self.verdict |= {
            "faults": dict(sorted(self.injector.struck.items())),
            "missed": sum(self.injector.missed.values()),
            "transactions": self.load.transactions, "events": len(items), "records": checker.records,
            "lost": checker.lost, "doubled": checker.doubled, "lives": self.keeper.lives,
            "snapshots": len(self.snapshots), "samples": self.watcher.samples, **self.watcher.peak,
        }  # fmt: skip

    def _topics(self) -> list[str]:
        return sorted(name for name in self.kafka.topics() if name.startswith(f"{self.ferry.pipeline}."))

    def _feed(self, checker: Checker) -> None:
        """Reads every topic to its end, by the schemas that the records name."""
        decode, prefix = Decoder(self.registry), f"{self.ferry.pipeline}."
        topics = self._topics()
        for record in self.kafka.stream(topics, timeout=120) if topics else ():
            name, at = record.topic.removeprefix(prefix), (record.partition, record.offset)
            try:
                key, value = decode(record.key), decode(record.value)
            except Exception as error:
                checker.undecodable(f"{name}/{at[0]}@{at[1]}", error)
                continue
            if name in ("truncate", "message", "transaction"):
                getattr(checker, name)(*at, value)
            else:
                checker.row(name.removeprefix("public."), *at, key, value)

    # -- a slot that somebody moved

    def _vandalism(self) -> None:
        """The slot is advanced past changes while walferry is away: it must refuse and publish nothing."""
        self.keeper.stop()
        self.ferry.stop(20)
        table = self.load.tables[0].name
        self.pg.sql(f"insert into {table} (id, m) select -g, -g from generate_series(1, 50) g", dbname=self.database)
        slot = self.ferry.pipeline
        deadline = time.monotonic() + 20
        while (self.pg.slot(slot) or {}).get("active") and time.monotonic() < deadline:
            time.sleep(0.05)
        self.pg.sql(f"select pg_replication_slot_advance('{slot}', pg_current_wal_lsn())", dbname=self.database)
        self.pg.sql(f"update {table} set v = 'x' where id < 0", dbname=self.database)
        before = self._ends()
        status, line = self.ferry.refused(60)
        self.verdict["refusal"] = status
        if status != REFUSED or "slot_gap" not in line:
            self.wrong.add("I10", f"a slot that was moved: status {status}: {line}")
        if self._ends() != before:
            self.wrong.add("I10", "something was published after the slot was moved")

    def _ends(self) -> dict[tuple[str, int], int]:
        """The end of every partition of the data."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "ends", "log_level": 0})
        try:
            found = {}
            for name in self._topics():
                for partition in range(self.kafka.topics()[name]):
                    found[name, partition] = consumer.get_watermark_offsets(TopicPartition(name, partition), 10)[1]
            return found
        finally:
            consumer.close()

    # -- after it

    def _clean(self) -> None:
        self.keeper.stop()
        if self.ferry.alive:
            self.ferry.sigcont()
            self.ferry.kill9()
        if self.small_disk:
            schedule.unmount(self.small_disk)
        try:
            self.world.whole()
            drop_slots(self.pg)
            self.pg.sql(f"drop database if exists {self.database} with (force)")
            names = [n for n in self.kafka.topics() if self.ferry.pipeline in n.split(".")]
            for future in (self.kafka.admin.delete_topics(names) if names else {}).values():
                future.result(15)
        except (psycopg2.Error, KafkaException, ServiceError, TimeoutError) as error:
            self.note(f"tidying up: {error}")
        if self.wrong.counts:
            self.verdict["log"] = str(self.ferry.log)
        elif not os.environ.get("WALFERRY_KEEP"):
            shutil.rmtree(self.ferry.dir, ignore_errors=True)
