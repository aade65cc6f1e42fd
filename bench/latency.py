"""From COMMIT to a read_committed consumer: `./dev python bench/latency.py [--seconds N]`.

One writer makes a transaction of one row every 5 ms and notes when its COMMIT returned; a stock consumer notes when
it has the record. Both are this process, so one clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "e2e"))

from confluent_kafka import Consumer, TopicPartition
from harness import database, kafka_ferry

from services import Kafka, Postgres, Registry, default_run_dir, wait_until

PAUSE_S = 0.005
CASES = {
    "at_least_once": {"delivery": "at_least_once"},
    "exactly_once, default": {"delivery": "exactly_once"},
    "exactly_once, transaction_interval 10ms": {"delivery": "exactly_once", "transaction_interval": "10ms"},
}


def write(pg: Postgres, db: str, seconds: float, committed: dict[int, float]) -> None:
    connection = pg.connect(db)  # autocommit: `with` would make one transaction of all
    cursor = connection.cursor()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        cursor.execute("insert into t values (%s)", (number,))
        committed[number] = time.monotonic()
        time.sleep(PAUSE_S)
    connection.close()


def measure(pg: Postgres, kafka: Kafka, registry: Registry, sink: dict, seconds: float) -> dict[str, float]:
    db = database(pg, "create table t (id int primary key)")
    ferry = kafka_ferry(default_run_dir(), pg, db, kafka, registry, **sink).streaming()
    pg.sql("insert into t values (0)", dbname=db)
    wait_until(lambda: ferry.topic("t") in kafka.topics() and kafka.read(ferry.topic("t")), 30, "the first record")
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "latency",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(ferry.topic("t"), 0, 0)])
    first = consumer.poll(20)
    assert first is not None and first.error() is None
    committed: dict[int, float] = {}
    seen: dict[int, float] = {0: 0.0}  # the first record came before
    writer = threading.Thread(target=write, args=(pg, db, seconds, committed))
    writer.start()
    quiet = time.monotonic()
    while writer.is_alive() or (len(seen) < len(committed) and time.monotonic() - quiet < 10):
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            quiet = time.monotonic()
            seen[len(seen)] = quiet  # one partition: the n-th record is the n-th commit
    writer.join()
    consumer.close()
    ferry.stop()
    late = sorted(1000 * (seen[i] - at) for i, at in committed.items() if i in seen)
    cuts = statistics.quantiles(late, n=100)
    return {"transactions": len(committed), "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    arguments = parser.parse_args()
    with Postgres(18) as pg, Kafka() as kafka, Registry() as registry:
        for name, sink in CASES.items():
            print(json.dumps({"case": name, **measure(pg, kafka, registry, sink, arguments.seconds)}), flush=True)


if __name__ == "__main__":
    main()
