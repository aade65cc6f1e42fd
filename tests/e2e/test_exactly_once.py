"""delivery: exactly_once: what a read_committed consumer sees is each committed change, once, in commit order."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest
from harness import Decoder, Ferry, Journal, Load, Oracle, assert_whole, database, kafka_ferry, lsn, table_rows

from services import Kafka, Postgres, wait_until

TABLES = ("a", "b")
WRITERS = ("a", "b", "a")
DDL = ";".join(Load.DDL.format(table) for table in TABLES)
TABLE = "create table t (id int primary key, v text)"

seconds = pytest.mark.timeout


def exactly_once(run_dir, pg: Postgres, db: str, kafka: Kafka, registry, **sink) -> Ferry:
    sink = {"delivery": "exactly_once", "transaction_idle": "500ms", **sink}
    return kafka_ferry(run_dir, pg, db, kafka, registry, source={"reconnect_max": "1s"}, **sink)


def checkpoints(kafka: Kafka, ferry: Ferry) -> list[dict]:
    """What is committed to the checkpoint topic."""
    records = kafka.read(f"walferry.{ferry.pipeline}.checkpoint")
    assert all(r.key.decode() == ferry.pipeline for r in records)
    return [json.loads(r.value) for r in records]


class Run:
    """A pipeline with three partitions a topic, and the oracle beside it."""

    def __init__(self, run_dir, pg: Postgres, kafka: Kafka, registry, **sink):
        self.kafka, self.decode, self.pg = kafka, Decoder(registry), pg
        self.db = database(pg, DDL)
        self.oracle = Oracle(pg, self.db)
        self.ferry = exactly_once(run_dir, pg, self.db, kafka, registry, partitions=3, **sink)

    def load(self, **more) -> Load:
        return Load(self.pg, self.db, WRITERS, pause=0.004, **more)

    def verify(self, record_property=lambda *_: None) -> dict[str, int]:
        """Waits until all is delivered and compares: each change once."""
        self.ferry.caught_up(120)
        time.sleep(0.3)  # a transaction becomes readable a moment after its commit returned
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
