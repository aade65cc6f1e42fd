"""./dev demo: a small shop, live traffic, walferry killed in the middle, and a tally of what arrived.

Everything lives in one temporary directory and is gone afterwards, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from services import Kafka, Postgres, Process, Registry, default_run_dir, wait_until, walferry

SCHEMA = """
create table customers (id int generated always as identity primary key, name text not null,
                        email text not null, since timestamptz not null default now());
create table products (sku text primary key, title text not null, price numeric(10,2) not null,
                       stock int not null);
create table orders (id bigint generated always as identity primary key, customer int not null,
                     status text not null, placed timestamp not null default now());
create table order_lines (order_id bigint, line smallint, sku text not null, quantity int not null,
                          price numeric(10,2) not null, primary key (order_id, line));
insert into products select 'sku-' || i, 'Product ' || i, (i * 1.99)::numeric(10,2), 1000
  from generate_series(1, 50) i;
"""
TABLES = ("customers", "products", "orders", "order_lines")
BURST_ROWS = 50_000
SHOWN_SECONDS = 6.0


class Traffic(threading.Thread):
    """Customers come, order, change their mind."""

    def __init__(self, pg: Postgres):
        super().__init__(daemon=True)
        self.connection = pg.connect("shop")
        self.rng = random.Random(7)
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            self._one_visit()
            time.sleep(0.05)
        self.connection.close()

    def _one_visit(self) -> None:
        rng = self.rng
        name = rng.choice(("Ada", "Grace", "Edsger", "Barbara", "Donald", "Leslie"))
        with self.connection.cursor() as cursor:
            cursor.execute(
                "insert into customers (name, email) values (%s, %s) returning id",
                (name, f"{name.lower()}{rng.randint(1, 999)}@example.com"),
            )
            customer = cursor.fetchone()[0]
            cursor.execute("begin")
            cursor.execute(
                "insert into orders (customer, status) values (%s, 'new') returning id", (customer,)
            )
            order = cursor.fetchone()[0]
            for line in range(1, rng.randint(2, 4)):
                sku = f"sku-{rng.randint(1, 50)}"
                cursor.execute(
                    "insert into order_lines select %s, %s, sku, %s, price from products where sku = %s",
                    (order, line, rng.randint(1, 5), sku),
                )
                cursor.execute("update products set stock = stock - 1 where sku = %s", (sku,))
            cursor.execute("commit")
            if rng.random() < 0.7:
                cursor.execute("update orders set status = 'paid' where id = %s", (order,))
            else:
                cursor.execute("delete from order_lines where order_id = %s", (order,))
                cursor.execute("delete from orders where id = %s", (order,))


def say(text: str) -> None:
    print(f"\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"== {text}", flush=True)


def show(value: dict[str, Any]) -> None:
    """One readable line: what a consumer would look at first."""
    line = {key: value[key] for key in ("op", "before", "after") if value.get(key) is not None}
    text = f"{value['source']['table']:<12} {json.dumps(line, default=str)}"
    width = shutil.get_terminal_size((120, 24)).columns
    print(text if len(text) <= width else text[: width - 1] + "…", flush=True)


class Files:
    """The embedded default: Avro object container files, looked at with `walferry read`."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.seen: set[Path] = set()
        self.values: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        return {"sink": {"type": "file", "dir": str(self.directory), "rotate_age": "300ms"}}

    def poll(self, printing: bool) -> None:
        """Takes in the files that were finished since the last call."""
        for path in sorted(set(self.directory.glob("*/*.avro")) - self.seen):
            self.seen.add(path)
            command = [str(walferry()), "read", str(path)]
            text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
            for line in text.splitlines():
                self.values.append(json.loads(line))
                if printing:
                    show(self.values[-1])


class Topics:
    """Kafka and a schema registry, read back by confluent-kafka's AvroDeserializer."""

    def __init__(self) -> None:
        say("starting a Kafka broker and a schema registry")
        self.kafka = Kafka()
        self.kafka.start()
        self.registry = Registry()
        self.registry.start()
        self.values: list[dict[str, Any]] = []
        self._open()

    def config(self) -> dict[str, Any]:
        return {
            "sink": {"type": "kafka", "brokers": self.kafka.bootstrap},
            "format": {"registry": self.registry.url},
        }

    def _open(self) -> None:
        from confluent_kafka import Consumer
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer

        self.deserialize = AvroDeserializer(SchemaRegistryClient({"url": self.registry.url}))
        self.consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "group.id": "demo",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        self.assigned: set[str] = set()

    def _assign_new_topics(self) -> None:
        """From their first record on, as soon as walferry has made them."""
        from confluent_kafka import TopicPartition

        new = {name for name in self.consumer.list_topics(timeout=10).topics if name.startswith("shop.public.")}
        if new := new - self.assigned:
            self.assigned |= new
            self.consumer.incremental_assign([TopicPartition(name, 0, 0) for name in sorted(new)])

    def poll(self, printing: bool) -> None:
        """Takes in the records that arrived since the last call."""
        from confluent_kafka.serialization import MessageField, SerializationContext

        self._assign_new_topics()
        # While the traffic is watched, what is there now; in the end, until nothing comes any more.
        while messages := self.consumer.consume(500 if printing else 10000, 0.1 if printing else 2):
            for message in messages:
                if message.error() or message.value() is None:
                    continue
                context = SerializationContext(message.topic(), MessageField.VALUE)
                self.values.append(self.deserialize(message.value(), context))
                if printing:
                    show(self.values[-1])
            if printing:
                break


def identity(value: dict[str, Any]) -> str:
    """What makes an event the same one when it is read twice."""
    source = value["source"]
    row = json.dumps([value["before"], value["after"]], sort_keys=True, default=str)
    return f"{source['txId']}/{source['lsn']}/{source['table']}/{value['op']}/{row}"


def count_committed(pg: Postgres) -> int:
    """Row changes by an independent decoder: test_decoding on a slot of its own."""
    rows = pg.sql(
        "select data from pg_logical_slot_get_changes('oracle', null, null, 'include-xids', '0')",
        dbname="shop",
    )
    return sum(1 for (data,) in rows if data.startswith("table public."))


def confirmed(pg: Postgres, target: str) -> bool:
    return pg.value(
        "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = 'walferry_shop'",
        (target,),
    )


def run(use_kafka: bool) -> int:
    base = default_run_dir()
    say("starting PostgreSQL 18 with a small shop database")
    pg = Postgres(18)
    pg.start()
    pg.sql("create database shop")
    pg.sql(SCHEMA, dbname="shop")
    sink: Files | Topics = Topics() if use_kafka else Files(base / "events")

    config = base / "shop.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "source": {"dsn": pg.dsn("shop")},
                **sink.config(),
                "state": {"dir": str(base / "state")},
            },
            sort_keys=False,
        )
    )
    config.chmod(0o600)
    say(f"walferry run {config}")
    print(config.read_text())
    daemon = Process("walferry", [str(walferry()), "run", str(config)])
    daemon.start()
    wait_until(lambda: "code=streaming" in daemon.log_text(), 30, f"walferry{daemon.tail()}")
    pg.sql("select pg_create_logical_replication_slot('oracle', 'test_decoding')", dbname="shop")

    traffic = Traffic(pg)
    traffic.start()
    killed, began = False, time.monotonic()
    while (elapsed := time.monotonic() - began) < SHOWN_SECONDS:
        if not killed and elapsed > SHOWN_SECONDS / 2:
            say("kill -9")
            daemon.kill9()
            time.sleep(0.5)
            daemon.start()
            say("started again: it goes on from its checkpoint")
            killed = True
        sink.poll(printing=True)
        time.sleep(0.1)
    traffic.over.set()
    traffic.join(10)

    say(f"a burst: {BURST_ROWS:,} rows")
    pg.sql(
        "insert into customers (name, email) select 'Burst ' || i, i || '@example.com' "
        f"from generate_series(1, {BURST_ROWS}) i",
        dbname="shop",
    )
    start, target = time.monotonic(), pg.lsn()
    wait_until(lambda: confirmed(pg, target), 120, f"walferry to catch up{daemon.tail()}", 0.01)
    seconds = time.monotonic() - start
    rss = daemon.rss_kb()
    status = daemon.stop()
    if status != 0:
        print(daemon.tail(), file=sys.stderr)
    sink.poll(printing=False)

    counts = Counter(identity(value) for value in sink.values)
    committed = count_committed(pg)
    lost = committed - len(counts)
    say("the tally")
    for name, figure in (
        ("rows committed", f"{committed:,}"),
        ("events written", f"{len(sink.values):,}"),
        ("lost", f"{lost:,}"),
        ("repeated", f"{len(sink.values) - len(counts):,}"),
        ("events/s", f"{BURST_ROWS / seconds:,.0f}  (the burst, commit to acknowledged)"),
        ("RSS", f"{rss / 1024:.1f} MiB"),
    ):
        print(f"  {name:<16}{figure}")
    return 1 if lost or status else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="through a broker and a registry")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(args.kafka)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left behind", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
