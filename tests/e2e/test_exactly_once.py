"""delivery: exactly_once: what a read_committed consumer sees is each committed change, once, in commit order."""

from __future__ import annotations

import json
import random
import re
import signal
import time

import pytest
from harness import Decoder, Ferry, database, kafka_ferry, lsn
from test_crash import Run as CrashRun

from services import Kafka, Postgres, wait_until

TABLE = "create table t (id int primary key, v text)"

seconds = pytest.mark.timeout


def exactly_once(run_dir, pg: Postgres, db: str, kafka: Kafka, registry, **sink) -> Ferry:
    sink = {"delivery": "exactly_once", "transaction_idle": "500ms", **sink}
    return kafka_ferry(run_dir, pg, db, kafka, registry, source={"reconnect_max": "1s"}, **sink)


def checkpoints(kafka: Kafka, ferry: Ferry) -> list[dict]:
    """The checkpoints committed to their topic; beside them it holds what the topics are like."""
    records = kafka.read(f"walferry.{ferry.pipeline}.checkpoint")
    keys = {r.key.decode() for r in records} - {ferry.pipeline}
    assert all(key.startswith(f"{ferry.pipeline}/topics/") for key in keys)
    return [json.loads(r.value) for r in records if r.key.decode() == ferry.pipeline]


def wait_records(kafka: Kafka, topic: str, n: int) -> list:
    """A transaction becomes readable a moment after its commit returned."""
    wait_until(lambda: len(kafka.read(topic)) >= n, 30, f"{n} records in {topic}", 0.2)
    return kafka.read(topic)


def ids_of(registry, records) -> list[int]:
    decode = Decoder(registry)
    return [decode(r.key)["id"] for r in records]


class Run(CrashRun):
    """As there, each change once."""

    def __init__(self, run_dir, pg: Postgres, kafka: Kafka, registry, **sink):
        super().__init__(run_dir, pg, kafka, registry, delivery="exactly_once", transaction_idle="500ms", **sink)

    def verify(self, record_property=lambda *_: None) -> dict[str, int]:
        self.ferry.caught_up(120)
        time.sleep(0.3)  # a transaction becomes readable a moment after its commit returned
        figures = super().verify(record_property)
        assert figures["repeated"] == 0
        return figures


def test_events_and_checkpoint_become_readable_together(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = exactly_once(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t select i, 'x' from generate_series(1, 10) i", dbname=db)
    ferry.caught_up()
    records = kafka.read(ferry.topic("t"))
    assert len(records) == 10
    saved = checkpoints(kafka, ferry)
    assert sum(c["events"] for c in saved) == 10
    assert lsn(saved[-1]["lsn"]) >= ferry.confirmed() > 0
    assert saved[-1]["slot"] == ferry.pipeline and saved[-1]["timeline"] == 1
    assert ferry.stop() == 0
    ferry.streaming()
    postgres.sql("insert into t values (11, 'later')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    assert len(kafka.read(ferry.topic("t"))) == 11


@pytest.mark.parametrize("rows", (98, 99, 100, 199))
def test_the_end_of_a_transaction_that_is_split_right_before_it_is_published(postgres, run_dir, kafka, registry, rows):
    """BEGIN and 99 rows fill the first part, so END has to wait for a commit."""
    db = database(postgres, TABLE)
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry, format={"provide_transaction_metadata": True},
        delivery="exactly_once", transaction_idle="500ms", split_events=100, transaction_events=100,
    ).streaming()  # fmt: skip
    postgres.sql(f"insert into t select i, 'x' from generate_series(1, {rows}) i", dbname=db)
    ferry.caught_up()
    decode, topic = Decoder(registry), f"{ferry.pipeline}.transaction"
    wait_until(lambda: len(kafka.read(topic)) >= 2, 10, "BEGIN and END")
    begin, end = (decode(record.value) for record in kafka.read(topic))
    assert (begin["status"], end["status"], end["event_count"]) == ("BEGIN", "END", rows)


@pytest.mark.parametrize("faults", (8, pytest.param(200, marks=(pytest.mark.long, seconds(1800)))))
def test_kill_9_at_random_moments_loses_and_doubles_nothing(postgres, run_dir, kafka, registry, faults, record_property):
    run = Run(run_dir, postgres, kafka, registry)
    rng = random.Random(faults)
    run.ferry.streaming()
    with run.load():
        for _ in range(faults):
            time.sleep(rng.choice((rng.uniform(0, 0.3), rng.uniform(0, 0.9))))
            run.ferry.kill9()
            run.ferry.start()
    figures = run.verify(record_property)
    assert figures["changes"] > 50 * faults


def test_counters_agree_with_the_oracle_over_restarts(postgres, run_dir, kafka, registry):
    """I12: what the lives say at their ends, and what the checkpoints say, is what is in the topics."""
    run = Run(run_dir, postgres, kafka, registry, split_events=200)
    ferry = run.ferry.streaming()
    with run.load():
        for _ in range(5):
            time.sleep(0.7)
            assert ferry.stop() == 0
            ferry.start()
        postgres.sql("insert into a select i, 0, 'x' from generate_series(100000, 104000) i", dbname=run.db)
    figures = run.verify()
    assert ferry.stop() == 0
    records = sum(len(kafka.read(ferry.topic(table))) for table in ("a", "b"))
    lives = [re.search(r"events=(\d+) transactions=(\d+) in_flight=(\d+)", line) for line in
             ferry.log_text().splitlines() if "code=stopped" in line]  # fmt: skip
    assert len(lives) == 6 and all(life[3] == "0" for life in lives)
    assert sum(int(life[1]) for life in lives) == records >= figures["changes"]
    assert sum(c["events"] for c in checkpoints(kafka, ferry)) == records


def test_the_checkpoints_count_every_event_over_kills(postgres, run_dir, kafka, registry):
    run = Run(run_dir, postgres, kafka, registry)
    ferry = run.ferry.streaming()
    with run.load():
        for _ in range(5):
            time.sleep(0.6)
            ferry.kill9()
            ferry.start()
    run.verify()
    records = sum(len(kafka.read(ferry.topic(table))) for table in ("a", "b"))
    assert sum(c["events"] for c in checkpoints(kafka, ferry)) == records


@pytest.mark.parametrize("split", (500, 20_000))
def test_a_huge_transaction_is_split_and_goes_on_where_it_was(postgres, run_dir, kafka, registry, split):
    """Row 61, KILL inside a split transaction: what is published of it is skipped by count and hash."""
    db = database(postgres, TABLE)
    ferry = exactly_once(
        run_dir, postgres, db, kafka, registry, split_events=split, transaction_interval="5ms", queue="256KiB"
    )
    ferry.streaming()
    rng = random.Random(split)
    postgres.sql("insert into t values (0, 'before')", dbname=db)
    postgres.sql("insert into t select i, repeat('x', i % 50) from generate_series(1, 30000) i", dbname=db)
    for _ in range(6):
        time.sleep(rng.uniform(0.05, 0.5))
        ferry.kill9()
        ferry.start()
    postgres.sql("insert into t values (30001, 'after')", dbname=db)
    ferry.caught_up(90)
    ids = ids_of(registry, wait_records(kafka, ferry.topic("t"), 30002))
    assert ids == list(range(30002)), "each once, in order"
    saved = checkpoints(kafka, ferry)
    splits = [c for c in saved if "split" in c]
    assert bool(splits) == (split < 30000)
    for c in splits:
        assert lsn(c["split"]["commit_lsn"]) > lsn(c["lsn"]), "the acknowledged position stays before it"


def test_the_counts_of_a_split_transaction_are_those_of_the_whole(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry, format={"provide_transaction_metadata": True},
        delivery="exactly_once", split_events=300, transaction_idle="500ms", transaction_interval="5ms", queue="64KiB",
    )  # fmt: skip
    ferry.streaming()
    postgres.sql("insert into t select i, 'x' from generate_series(1, 9000) i", dbname=db)
    for _ in range(4):
        time.sleep(0.25)
        ferry.kill9()
        ferry.start()
    ferry.caught_up(90)
    decode = Decoder(registry)
    events = [decode(r.value) for r in wait_records(kafka, ferry.topic("t"), 9000)]
    assert [e["transaction"]["total_order"] for e in events] == list(range(1, 9001))
    boundaries = [decode(r.value) for r in kafka.read(f"{ferry.pipeline}.transaction")]
    assert [b["status"] for b in boundaries] == ["BEGIN", "END"]
    assert boundaries[1]["event_count"] == 9000


def test_a_split_transaction_that_comes_again_different_is_refused(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = exactly_once(run_dir, postgres, db, kafka, registry, split_events=100, queue="64KiB", linger="50ms")
    ferry.streaming()
    postgres.sql("insert into t select i, repeat('x', 1000) from generate_series(1, 30000) i", dbname=db)
    wait_until(lambda: any("split" in c for c in checkpoints(kafka, ferry)), 30, "a part of it", 0.02)
    ferry.kill9()
    ferry.streaming()  # what the killed one left is settled
    ferry.wait_log(r"code=settled", times=2)
    ferry.kill9()
    last = checkpoints(kafka, ferry)[-1]
    assert "split" in last, "the kill was in the middle"
    producer = kafka.producer()
    for field, value in (("hash", "1"), ("changes", "40000"), ("commit_lsn", "0/1")):
        forged = {**last, "split": {**last["split"], field: value}}
        producer.produce(f"walferry.{ferry.pipeline}.checkpoint", json.dumps(forged), ferry.pipeline, partition=0)
        producer.flush(10)
        before = len(kafka.read(ferry.topic("t")))
        status, line = ferry.refused()
        assert status == 76 and "code=split_differs" in line, (field, line)
        assert len(kafka.read(ferry.topic("t"))) == before, "nothing is published after a refusal"
    producer.produce(f"walferry.{ferry.pipeline}.checkpoint", json.dumps(last), ferry.pipeline, partition=0)
    producer.flush(10)
    ferry.streaming()
    ferry.caught_up(90)
    assert ids_of(registry, wait_records(kafka, ferry.topic("t"), 30000)) == list(range(1, 30001))


def test_two_daemons_on_two_machines_take_over_within_5_s_and_double_nothing(postgres, run_dir, kafka, registry):
    """Row 38: the slot is the lock; each has its own state directory."""
    run = Run(run_dir, postgres, kafka, registry)
    first = run.ferry.streaming()
    second = first.twin()
    second.start()
    second.wait_log(r"code=standby")
    slowest = 0.0
    with run.load():
        for leader, other in ((first, second), (second, first)) * 2:
            time.sleep(1)
            seen = other.log_text().count("code=settled")
            leader.kill9()
            began = time.monotonic()
            other.wait_log(r"code=settled", 10, seen + 1)
            slowest = max(slowest, time.monotonic() - began)
            leader.start()
    figures = run.verify()
    assert figures["changes"] > 200
    assert slowest < 5
    print(f"slowest take-over {slowest:.2f} s")


def test_a_daemon_that_lost_the_slot_is_fenced(postgres, run_dir, kafka, registry):
    """Rows 14 and 43: stopped in mid-transaction, it wakes up when another has the slot, and commits nothing."""
    run = Run(run_dir, postgres, kafka, registry, transaction_interval="500ms")
    first = run.ferry
    first.config["source"]["dsn"] += " options='-c wal_sender_timeout=2s'"
    first.write()
    first.streaming()
    second = first.twin()
    with run.load():
        time.sleep(1)
        first.signal(signal.SIGSTOP)  # the server lets go of a reader that is silent
        second.streaming()
        second.wait_log(r"code=settled")
        time.sleep(1)
        first.signal(signal.SIGCONT)
        first.wait_log(r"code=standby", 20)
        time.sleep(1)
    run.verify()
    assert second.alive and first.alive


def test_a_checkpoint_topic_that_is_gone_is_refused(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = exactly_once(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    kafka.delete_topic(f"walferry.{ferry.pipeline}.checkpoint")
    status, line = ferry.refused()
    assert status == 76 and "code=checkpoint_missing" in line, line
    assert len(kafka.read(ferry.topic("t"))) == 1


def test_from_at_least_once_and_back(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = exactly_once(run_dir, postgres, db, kafka, registry, delivery="at_least_once")
    del ferry.config["sink"]["transaction_idle"]
    ferry.write()
    ferry.streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    ferry.config["sink"]["delivery"] = "exactly_once"
    ferry.write()
    ferry.streaming()
    postgres.sql("insert into t values (2, 'x')", dbname=db)
    ferry.caught_up(60)
    assert ferry.stop() == 0
    assert len(kafka.read(ferry.topic("t"))) == 2
    ferry.config["sink"]["delivery"] = "at_least_once"
    ferry.write()
    status, line = ferry.refused()
    assert status == 76 and "code=checkpoint_elsewhere" in line and "walferry checkpoint export" in line, line


def test_a_slot_advanced_by_somebody_else_is_a_gap_here_too(postgres, run_dir, kafka, registry):
    """Rows 9 and 10."""
    db = database(postgres, TABLE)
    ferry = exactly_once(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t values (1, 'delivered')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    postgres.sql("insert into t values (2, 'skipped')", dbname=db)
    postgres.sql(f"select pg_replication_slot_advance('{ferry.pipeline}', pg_current_wal_lsn())", dbname=db)
    status, line = ferry.refused()
    assert status == 76 and "code=slot_gap" in line, line
    postgres.sql(f"select pg_drop_replication_slot('{ferry.pipeline}')")
    status, line = ferry.refused()
    assert status == 76 and "code=slot_missing" in line, line
    assert postgres.slot(ferry.pipeline) is None
    assert len(kafka.read(ferry.topic("t"))) == 1


def test_an_immediate_stop_of_the_server_doubles_nothing(run_dir, kafka, registry):
    """Row 8: the slot falls back, the checkpoint does not."""
    with Postgres(15, run_dir, fresh=True) as pg:
        run = Run(run_dir, pg, kafka, registry)
        run.ferry.streaming()
        for _ in range(4):
            with run.load():
                time.sleep(0.8)
            pg.stop(mode="immediate")
            pg.start()
        run.verify()


def test_broker_trouble_doubles_nothing(postgres, run_dir, kafka, registry):
    run = Run(run_dir, postgres, kafka, registry)
    run.ferry.streaming()
    with run.load():
        for pause in (0.5, 3, 1):
            time.sleep(0.7)
            kafka.signal(signal.SIGSTOP)
            time.sleep(pause)
            kafka.signal(signal.SIGCONT)
    run.verify()


def test_a_writer_that_sleeps_past_the_transaction_timeout_starts_anew(postgres, run_dir, kafka, registry):
    """Row 44: the broker aborted it meanwhile; the slot is still ours."""
    run = Run(run_dir, postgres, kafka, registry, transaction_timeout="3s", transaction_interval="1s")
    run.ferry.streaming()
    with run.load():
        time.sleep(1.5)
        run.ferry.signal(signal.SIGSTOP)
        time.sleep(16)  # the coordinator looks every 10 s
        run.ferry.signal(signal.SIGCONT)
        time.sleep(1)
    run.verify()


def test_shutdown_in_the_middle_of_a_huge_transaction_is_quick(postgres, run_dir, kafka, registry):
    """Row 60."""
    db = database(postgres, TABLE)
    ferry = exactly_once(run_dir, postgres, db, kafka, registry, queue="64KiB").streaming()
    postgres.sql("insert into t select i, repeat('x', 1000) from generate_series(1, 50000) i", dbname=db)
    time.sleep(0.5)
    began = time.monotonic()
    assert ferry.stop() == 0
    assert time.monotonic() - began < 10, ferry.log_text()[-1500:]
    ferry.streaming()
    ferry.caught_up(90)
    assert ids_of(registry, wait_records(kafka, ferry.topic("t"), 50000)) == list(range(1, 50001))


def test_shutdown_while_the_broker_does_not_answer(postgres, run_dir, kafka, registry):
    """Row 60."""
    run = Run(run_dir, postgres, kafka, registry)
    run.ferry.streaming()
    with run.load():
        time.sleep(0.5)
        kafka.signal(signal.SIGSTOP)
        try:
            time.sleep(0.5)
            began = time.monotonic()
            assert run.ferry.stop(timeout=30) == 0
            assert time.monotonic() - began < 15
        finally:
            kafka.signal(signal.SIGCONT)
    run.ferry.streaming()
    run.verify()


@pytest.mark.long
@seconds(900)
@pytest.mark.parametrize("delivery", ("exactly_once", "at_least_once"))
def test_a_transaction_of_1_gb_while_the_broker_is_stopped(run_dir, kafka, registry, delivery, record_property):
    """Rows 22, 23 and 28: bounded memory, the slot keeps the data, then all arrives."""
    rows = 1_000_000
    with Postgres(18, run_dir, fresh=True, settings={"wal_sender_timeout": "10s", "max_wal_size": "4GB"}) as pg:
        db = database(pg, TABLE)
        idle = {"transaction_idle": "500ms"} if delivery == "exactly_once" else {}
        ferry = kafka_ferry(
            run_dir, pg, db, kafka, registry, source={"stall_limit": "1h"}, delivery=delivery, **idle
        ).streaming()
        pg.sql("insert into t values (0, 'first')", dbname=db)
        ferry.caught_up()
        kafka.sigstop()
        try:
            pg.sql(f"insert into t select i, repeat('x', 1000) from generate_series(1, {rows}) i", dbname=db)
            backend = pg.slot(ferry.pipeline)["active_pid"]
            commit = lsn(pg.lsn()) - 64  # at the most: the record itself is not shorter
            time.sleep(40)  # four time-outs of the walsender
            stalled = ferry.rss_kb() / 1024
            assert ferry.confirmed() < commit, "the slot keeps it"
            if delivery == "at_least_once":  # else a commit that fails is a new beginning, by design
                assert pg.slot(ferry.pipeline)["active_pid"] == backend, "the connection is served meanwhile"
        finally:
            kafka.sigcont()
        ferry.caught_up(400)
        assert ferry.peak_rss_kb() / 1024 <= 64
        record_property("rss_stalled_mb", stalled)
        record_property("rss_peak_mb", ferry.peak_rss_kb() / 1024)
        print(f"RSS stalled {stalled:.0f} MiB, peak {ferry.peak_rss_kb() / 1024:.0f} MiB")
        time.sleep(0.5)
        n = sum(1 for _ in kafka.stream(ferry.topic("t"), 300))
        assert n == rows + 1 if delivery == "exactly_once" else n >= rows + 1
        assert ferry.stop() == 0
