"""Killed, cut off and stopped at any moment: every committed change is there, in order, and none other.

The oracle is a second slot with test_decoding and the tables themselves; harness.assert_whole compares. The
default run takes a few faults of each kind, `./dev test --long` as many as the promise names.
"""

from __future__ import annotations

import io
import random
import signal
import time

import avro.datafile
import avro.io
import fastavro
import pytest
from harness import (
    Change, Decoder, Ferry, Journal, Load, Oracle, Sampler, assert_whole, database, kafka_ferry, lsn, table_rows,
)  # fmt: skip

from services import Kafka, Postgres, TcpProxy, wait_until

TABLES = ("a", "b")
WRITERS = ("a", "b", "a")  # two meet on the keys of a
DDL = ";".join(Load.DDL.format(table) for table in TABLES)

seconds = pytest.mark.timeout


def short_or_long(short: int, long: int):
    """The number of faults: a few by default, all of them with --long."""
    return pytest.mark.parametrize("faults", (short, pytest.param(long, marks=(pytest.mark.long, seconds(1800)))))


class Run:
    """A pipeline into Kafka with three partitions a topic, and the oracle beside it."""

    def __init__(self, run_dir, pg: Postgres, kafka: Kafka, registry, **sink):
        self.kafka, self.decode = kafka, Decoder(registry)
        self.db = database(pg, DDL)
        self.oracle = Oracle(pg, self.db)
        self.pg = pg
        self.ferry = kafka_ferry(
            run_dir, pg, self.db, kafka, registry, source={"reconnect_max": "1s"}, partitions=3, **sink
        )

    def load(self) -> Load:
        return Load(self.pg, self.db, WRITERS, pause=0.004)

    def verify(self, record_property=lambda *_: None) -> dict[str, int]:
        """Waits until all is delivered and compares; returns the figures."""
        self.ferry.caught_up(120)
        changes = self.oracle.changes()
        figures = {"changes": 0, "repeated": 0, "lost": 0}
        for table in TABLES:
            journal = Journal.of_topic(self.kafka, self.decode, self.ferry.topic(table))
            assert_whole(journal, changes[table], table_rows(self.pg, self.db, table))
            figures["changes"] += len(journal)
            figures["repeated"] += journal.repeats
        for name, value in figures.items():
            record_property(name, value)
        print(figures)
        return figures


# ---------------------------------------------------------------- kill -9


@short_or_long(6, 100)
def test_kill_9_at_random_moments_loses_nothing(postgres, run_dir, kafka, registry, faults, record_property):
    run = Run(run_dir, postgres, kafka, registry)
    rng = random.Random(faults)
    run.ferry.streaming()
    with Sampler(run.ferry), run.load():
        positions = set()
        for _ in range(faults):
            time.sleep(rng.uniform(0, 0.9))
            run.ferry.kill9()
            positions.add(run.ferry.checkpoint()[0])
            run.ferry.start()
    figures = run.verify(record_property)
    assert figures["changes"] > 100 * faults
    assert len(positions) > faults / 3, "most lives have to reach the broker"


@short_or_long(4, 30)
def test_kill_9_leaves_only_whole_files(postgres, run_dir, faults):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    ferry = Ferry(run_dir, postgres, db, {"type": "file", "dir": str(run_dir / "out"), "rotate_size": "64KiB"})
    ferry.streaming()
    rng = random.Random(1)
    with Sampler(ferry), Load(postgres, db, WRITERS, seed=1):
        for _ in range(faults):
            time.sleep(rng.uniform(0, 0.8))
            ferry.kill9()
            for path in ferry.files():  # fastavro raises on a torn block
                with open(path, "rb") as file:
                    assert sum(1 for _ in fastavro.reader(file)) > 0
            ferry.start()
    ferry.caught_up()
    assert ferry.stop() == 0
    changes = oracle.changes()
    for table in TABLES:
        journal = Journal.of_values(table, ferry.records(ferry.topic(table)))
        assert_whole(journal, changes[table], table_rows(postgres, db, table))
    for path in ferry.files(ferry.topic("b"))[:3]:
        with open(path, "rb") as one, open(path, "rb") as two:
            with avro.datafile.DataFileReader(one, avro.io.DatumReader()) as reader:
                assert [v["after"] for v in reader] == [v["after"] for v in fastavro.reader(two)]


def test_rows_of_one_copy_share_a_position_and_all_survive_a_kill(postgres, run_dir):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    rows = "".join(f"{i}\t{i}\tx\n" for i in range(1, 10_001))
    with TcpProxy(("127.0.0.1", postgres.port)) as proxy:
        source = {"dsn": f"host=127.0.0.1 port={proxy.port} dbname={db} user=postgres sslmode=disable"}
        ferry = Ferry(run_dir, postgres, db, {"type": "file", "dir": str(run_dir / "out"), "sync": "0ms"}, source=source)
        ferry.streaming()
        proxy.delay = 0.1  # for each 64 KiB of the 900 KiB that are to come
        with postgres.connect(db) as connection, connection.cursor() as cursor:
            cursor.copy_from(io.StringIO(rows), "a")
        part = run_dir / "out" / ferry.topic("a") / "000000000001.avro.part"
        wait_until(lambda: part.exists() and part.stat().st_size > 0, 20, "the first rows to be written", 0.01)
        assert ferry.confirmed() <= ferry.checkpoint()[0]
        ferry.kill9()
        proxy.delay = 0
        ferry.streaming()
        ferry.caught_up()
        assert ferry.stop() == 0
    journal = Journal.of_values("a", ferry.records(ferry.topic("a")))
    assert_whole(journal, oracle.changes()["a"], table_rows(postgres, db, "a"))
    assert 0 < journal.repeats < 10_000, "the kill was in the middle"
    assert len({e.lsn for e in journal.events()}) < 10_000, "rows of a COPY share positions"


def test_interleaved_long_and_short_transactions_survive_a_kill_between_their_commits(postgres, run_dir):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    ferry = Ferry(run_dir, postgres, db).streaming()
    key = iter(range(1, 1_000_000))

    def insert(cursor):
        cursor.execute("insert into a values (%s, 0, 'x')", (next(key),))

    open_ones = [postgres.connect(db) for _ in range(8)]
    cursors = [connection.cursor() for connection in open_ones]
    for cursor in cursors:
        cursor.execute("begin")
        insert(cursor)
    short = postgres.connect(db).cursor()
    for number, cursor in enumerate(cursors):
        for _ in range(5):
            insert(short)  # committed at once, begun after the long ones
        insert(cursor)
        if number % 2:
            ferry.caught_up()
        ferry.kill9()
        if number == 3:
            cursor.execute("rollback")
        else:
            cursor.execute("commit")
        insert(short)
        ferry.streaming()
    ferry.caught_up()
    assert ferry.stop() == 0
    journal = Journal.of_values("a", ferry.records(ferry.topic("a")))
    assert_whole(journal, oracle.changes()["a"], table_rows(postgres, db, "a"))
    assert len(journal) == 8 * 6 + 7 * 2


@pytest.mark.long
@seconds(900)
def test_two_hundred_restarts_over_foreign_wal_alone_are_never_a_gap(postgres, run_dir):
    db = database(postgres, DDL)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("create table if not exists foreign_noise (v text)")
    for number in range(200):
        postgres.sql("insert into foreign_noise select repeat('x', 100) from generate_series(1, 500)")
        if number % 2:
            ferry.kill9()
        else:
            assert ferry.stop() == 0
        ferry.streaming()
    postgres.sql("insert into a values (1, 1, 'x')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert len(ferry.records(ferry.topic("a"))) == 1


# ---------------------------------------------------------------- PostgreSQL goes


@short_or_long(3, 20)
def test_a_server_that_crashes_under_load_loses_and_invents_nothing(run_dir, kafka, registry, faults, record_property):
    with Postgres(17, run_dir, durable=True) as pg:
        run = Run(run_dir, pg, kafka, registry)
        rng = random.Random(2)
        run.ferry.streaming()
        with Sampler(run.ferry), run.load():
            for number in range(faults):
                time.sleep(rng.uniform(0.2, 0.8))
                pg.stop(mode="immediate")
                pg.start()
                run.ferry.wait_log("code=streaming", 30, number + 2)
        run.verify(record_property)


def test_a_cut_network_in_mid_transaction_loses_nothing(postgres, run_dir):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    with TcpProxy(("127.0.0.1", postgres.port)) as proxy:
        source = {
            "dsn": f"host=127.0.0.1 port={proxy.port} dbname={db} user=postgres sslmode=disable",
            "reconnect_max": "1s",
        }
        ferry = Ferry(run_dir, postgres, db, {"type": "file", "dir": str(run_dir / "out"), "sync": "0ms"}, source=source)
        ferry.streaming()
        postgres.sql("insert into a values (0, 0, 'before')", dbname=db)
        ferry.caught_up()
        proxy.delay = 0.05
        postgres.sql("insert into a select i, i, 'x' from generate_series(1, 10000) i", dbname=db)
        part = run_dir / "out" / ferry.topic("a") / "000000000001.avro.part"
        size = part.stat().st_size
        wait_until(lambda: part.stat().st_size > size, 20, "the first rows of the transaction", 0.01)
        proxy.cut()
        line = ferry.wait_log("level=warn")
        assert "retry_ms=" in line
        proxy.delay = 0
        time.sleep(0.5)
        proxy.restore()
        ferry.wait_log("code=streaming", 20, 2)
        ferry.caught_up()
        assert ferry.stop() == 0
    journal = Journal.of_values("a", ferry.records(ferry.topic("a")))
    assert_whole(journal, oracle.changes()["a"], table_rows(postgres, db, "a"))
    assert journal.repeats > 0, "the cut was in the middle"


# ---------------------------------------------------------------- orderly ends


def test_sigterm_under_load_drains_and_ends_in_time(postgres, run_dir, kafka, registry):
    run = Run(run_dir, postgres, kafka, registry)
    run.ferry.streaming()
    with run.load():
        for _ in range(3):
            time.sleep(0.5)
            begun = time.monotonic()
            assert run.ferry.stop() == 0
            assert time.monotonic() - begun < 10
            stopped = [line for line in run.ferry.log_text().splitlines() if "code=stopped" in line][-1]
            assert "in_flight=0 " in stopped
            run.ferry.streaming()
    assert run.verify()["repeated"] == 0, "what was drained does not come again"


def test_sigterm_with_a_stopped_broker_ends_in_time_and_loses_nothing(postgres, run_dir, registry):
    with Kafka(run_dir) as kafka:
        run = Run(run_dir, postgres, kafka, registry)
        run.ferry.streaming()
        with run.load():
            run.ferry.wait_log("code=topic_created", 30, len(TABLES))
            run.ferry.caught_up()  # both topics have events, and more are on their way
            kafka.stop()
            time.sleep(1)
            begun = time.monotonic()
            assert run.ferry.stop() == 0
            assert time.monotonic() - begun < 11
            assert "what was in flight comes again" in run.ferry.log_text()
        kafka.start()
        run.ferry.streaming()
        run.verify()


def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(postgres, run_dir, kafka, registry):
    run = Run(run_dir, postgres, kafka, registry)
    run.ferry.streaming()
    with run.load():
        time.sleep(1.5)
        kafka.sigstop()
        try:
            time.sleep(0.3)
            run.ferry.signal(signal.SIGTERM)
            time.sleep(0.3)
            begun = time.monotonic()
            assert run.ferry.stop() == 1
            assert time.monotonic() - begun < 1
        finally:
            kafka.sigcont()
    run.ferry.streaming()
    run.verify()


# ---------------------------------------------------------------- size


def test_a_big_transaction_passes_in_little_memory(postgres, run_dir, kafka, registry):
    rows, peak = 200_000, 0
    db = database(postgres, DDL)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=3).streaming()
    postgres.sql(f"insert into a select i, i, repeat('x', 20) from generate_series(1, {rows}) i", dbname=db)
    end = lsn(postgres.lsn())
    while ferry.confirmed() < end:
        assert ferry.alive
        peak = max(peak, ferry.rss_kb())
        time.sleep(0.02)
    print(f"RSS {peak} kB")
    assert 0 < peak <= 64 * 1024, f"{peak} kB"
    decode = Decoder(registry)
    keys = {decode(record.key)["id"] for record in kafka.stream(ferry.topic("a"))}
    assert keys == set(range(1, rows + 1))
    assert ferry.stop() == 0


def test_a_repeat_that_is_not_the_same_run_is_noticed():
    """The checker itself: what it must not accept."""

    def value(xid, own):
        return {"op": "c", "after": {"id": own}, "before": None,
                "source": {"txId": xid, "lsn": own, "sequence": f'["{xid}", "{own}"]'}}  # fmt: skip

    def journal(*values):
        return Journal.of_values("t", [value(*v) for v in values])

    assert journal((1, 1), (2, 2), (1, 1), (2, 2), (3, 3)).repeats == 2
    assert journal((1, 1), (2, 2), (3, 3), (2, 2), (1, 1), (2, 2)).repeats == 3
    for broken in (
        [(1, 1), (2, 2), (1, 1), (3, 3)],  # the repeat leaves one out
        [(1, 1), (1, 2), (1, 2)],  # back into a transaction
        [(2, 2), (1, 1)],  # backwards
    ):
        with pytest.raises(AssertionError):
            journal(*broken)
    with pytest.raises(AssertionError):
        assert_whole(journal((1, 1)), [Change(1, "c", 1, None, None), Change(2, "c", 2, None, None)], {})
