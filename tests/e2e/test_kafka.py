"""Into Kafka: what a stock consumer reads there, and what walferry does while broker or registry fail."""

from __future__ import annotations

import json
import re
import subprocess
import time
from decimal import Decimal

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from harness import (
    Decoder, Ferry, Journal, Load, Oracle, assert_whole, database, kafka_ferry, table_rows, unique,
)  # fmt: skip

from services import Kafka, Postgres, Registry, wait_until

TABLE = "create table t (id int primary key, v text)"
TABLES = ("a", "b")
DDL = ";".join(Load.DDL.format(table) for table in TABLES)


# ---------------------------------------------------------------- what consumers see


def test_a_stock_consumer_reads_every_topic_with_no_glue(postgres, run_dir, kafka, registry):
    db = database(
        postgres,
        "create table item (id bigint primary key, name text, price numeric(10,2), at timestamptz, tags text[]);"
        "create table pair (a int, b text, primary key (b, a))",
    )
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into item values (1, 'one', 9.5, '2024-02-29 12:00+00', '{x,y}')", dbname=db)
    postgres.sql("update item set name = null; delete from item; insert into pair values (1, 'p')", dbname=db)
    postgres.sql("truncate pair; select pg_logical_emit_message(true, 'outbox', 'hello')", dbname=db)
    ferry.caught_up()

    deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry.url}))
    read = {}
    for topic in (name for name in kafka.topics() if name.startswith(ferry.pipeline + ".")):
        read[topic.removeprefix(ferry.pipeline + ".")] = [
            (
                deserialize(r.key, SerializationContext(topic, MessageField.KEY)),
                deserialize(r.value, SerializationContext(topic, MessageField.VALUE)),
            )
            for r in kafka.stream(topic)
        ]
    assert set(read) == {"public.item", "public.pair", "truncate", "message"}
    items = read["public.item"]
    assert [key for key, _ in items] == [{"id": 1}] * 4
    assert [value and value["op"] for _, value in items] == ["c", "u", "d", None]
    assert items[0][1]["after"] == {
        "id": 1, "name": "one", "price": Decimal("9.50"),
        "at": "2024-02-29T12:00:00.000000Z", "tags": ["x", "y"],
    }  # fmt: skip
    assert items[1][1]["after"]["name"] is None
    assert read["public.pair"][0][0] == {"a": 1, "b": "p"}
    assert read["truncate"][0][1]["source"]["table"] == "pair"
    assert read["message"][0][1]["message"]["content"] == b"hello"


def test_kcat_shows_the_framing(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    topic = ferry.topic("t")

    def kcat(*args: str) -> bytes:
        command = ["kcat", "-C", "-b", kafka.bootstrap, "-t", topic, "-e", "-q", "-c", "1", *args]
        return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout

    version = registry.request("GET", f"/subjects/{topic}-key/versions/latest")
    assert kcat("-f", "%k") == b"\0" + version["id"].to_bytes(4, "big") + b"\x02"
    version = registry.request("GET", f"/subjects/{topic}-value/versions/latest")
    assert kcat("-f", "%s")[:5] == b"\0" + version["id"].to_bytes(4, "big")
    unpacked = kcat("-s", "key=b", "-f", "%k")  # %b: one signed byte
    assert unpacked.startswith(b"0"), unpacked


def murmur2(data: bytes) -> int:
    """Java's org.apache.kafka.common.utils.Utils.murmur2, which the default partitioner takes."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def test_keys_lie_where_java_would_put_them(postgres, run_dir, kafka, registry):
    for text, wanted in ((b"", 0x106E08D9), (b"kafka", 0xD067CF64), (b"1234", 0x9FC97B14), (b"234", 0xE7C009CA)):
        assert murmur2(text) == wanted
    for text, partition in (("000000000102", 6), ("000000000202", 4), ("000000000180d8db8105", 8)):
        assert (murmur2(bytes.fromhex(text)) & 0x7FFFFFFF) % 12 == partition

    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=12).streaming()
    postgres.sql("insert into t select i * 7919, 'x' from generate_series(1, 500) i", dbname=db)
    ferry.caught_up()
    records = kafka.read(ferry.topic("t"))
    assert len(records) == 500 and len({r.partition for r in records}) == 12
    for record in records:
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % 12, record.key.hex()


def test_topics_are_made_with_the_configured_settings(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    settings = {"cleanup.policy": "compact", "retention.ms": "86400000", "max.message.bytes": "2000000"}
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry, partitions=5, topic_config=settings, max_message=1_500_000
    ).streaming()
    postgres.sql("insert into t values (1, repeat('x', 1200000))", dbname=db)
    ferry.caught_up()
    assert kafka.topics()[ferry.topic("t")] == 5
    resource = ConfigResource(ConfigResource.Type.TOPIC, ferry.topic("t"))
    found = kafka.admin.describe_configs([resource])[resource].result(10)
    assert {name: found[name].value for name in settings} == settings
    assert len(kafka.read(ferry.topic("t"))) == 1, "a message over librdkafka's default passes"


def test_an_event_without_a_key_is_not_for_a_compacted_topic(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table t (v text); alter table t replica identity full")
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry, topic_config={"cleanup.policy": "compact"}
    ).streaming()
    postgres.sql("insert into t values ('x')", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert "code=topic_compacted" in line and ferry.topic("t") in line and "hint: give the table a primary key" in line
    confirmed = ferry.confirmed()
    # the other cure the message names
    set_config(kafka, ferry.topic("t"), "cleanup.policy", "delete")
    ferry.caught_up()
    assert ferry.confirmed() > confirmed
    (record,) = kafka.read(ferry.topic("t"))
    assert record.key is None and Decoder(registry)(record.value)["after"] == {"v": "x"}


def set_config(kafka: Kafka, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    kafka.admin.incremental_alter_configs([resource])[resource].result(10)


def test_each_key_keeps_its_order_and_a_delete_leaves_a_tombstone(postgres, run_dir, kafka, registry):
    db = database(postgres, Load.DDL.format("a"))
    oracle = Oracle(postgres, db)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=12).streaming()
    with Load(postgres, db, ("a", "a", "a"), seed=7):
        time.sleep(1.5)
    ferry.caught_up()
    committed = oracle.changes()["a"]
    journal = Journal.of_topic(kafka, Decoder(registry), ferry.topic("a"))
    assert_whole(journal, committed, table_rows(postgres, db, "a"))
    assert journal.repeats == 0, "nothing failed, nothing repeats"
    tombstones = sum(event.op == "tombstone" for run in journal.runs.values() for event in run)
    assert tombstones == sum(change.op == "d" for change in committed) > 0
    for run in journal.runs.values():
        for event, after in zip(run, [*run[1:], None]):
            assert event.op != "d" or (after and (after.op, after.key) == ("tombstone", event.key))


def test_tombstones_can_be_switched_off(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, format={"tombstones": False}).streaming()
    postgres.sql("insert into t values (1, 'x'); delete from t", dbname=db)
    ferry.caught_up()
    assert [Decoder(registry)(r.value)["op"] for r in kafka.read(ferry.topic("t"))] == ["c", "d"]


def test_json_events_need_no_registry(postgres, run_dir, kafka):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, None, format={"encoding": "json"}).streaming()
    postgres.sql("insert into t values (1, 'größer'); delete from t", dbname=db)
    ferry.caught_up()
    created, deleted, tombstone = kafka.read(ferry.topic("t"))
    assert json.loads(created.key) == {"id": 1}
    value = json.loads(created.value)
    assert value["op"] == "c" and value["after"] == {"id": 1, "v": "größer"} and value["source"]["db"] == db
    assert json.loads(deleted.value)["before"]["id"] == 1
    assert tombstone.value is None and tombstone.key == deleted.key


# ---------------------------------------------------------------- who may


@pytest.fixture(scope="module")
def guarded():
    """A broker with a listener for each way to say who one is."""
    with Kafka(security=True) as server:
        for principal in ("mtls-user", "alice", "carol"):
            server.allow(principal, "topic", "*", "all")
            server.allow(principal, "broker", "kafka-cluster", "all")
        yield server


def credentials(kafka: Kafka, listener: str) -> dict[str, str]:
    """The `sink` section's keys for a listener."""
    keys = {"brokers": kafka.listeners[listener]}
    if listener.startswith("SCRAM"):
        return keys | {"security": "sasl_ssl", "ssl_ca": kafka.certs.ca, "username": "alice", "password": "alice-secret"}
    if listener == "PLAIN":
        return keys | {"security": "sasl_plaintext", "mechanism": "plain", "username": "carol", "password": "carol-secret"}
    keys |= {"security": "ssl", "ssl_ca": kafka.certs.ca}
    if listener == "MTLS":
        keys |= {"ssl_cert": kafka.certs / "client.crt", "ssl_key": kafka.certs / "client.key"}
    return keys


def guarded_ferry(run_dir, pg, db, kafka, registry, listener, **sink) -> Ferry:
    return kafka_ferry(run_dir, pg, db, kafka, registry, **{**credentials(kafka, listener), **sink})


@pytest.mark.parametrize(
    "listener, more",
    (
        ("TLS", {}),
        ("MTLS", {}),
        ("PLAIN", {}),
        ("SCRAM", {"mechanism": "scram-sha-256"}),
        ("SCRAM", {"mechanism": "scram-sha-512"}),
    ),
)
def test_every_kind_of_listener_takes_events(postgres, run_dir, guarded, registry, listener, more):
    db = database(postgres, TABLE)
    ferry = guarded_ferry(run_dir, postgres, db, guarded, registry, listener, **more).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    assert len(guarded.read(ferry.topic("t"))) == 1
    assert ferry.stop() == 0


@pytest.mark.parametrize(
    "listener, wrong, said, cure",
    (
        ("PLAIN", {"password": "wrong-one"}, "(?i)authentication", "sink.password"),
        ("SCRAM", {"password": "wrong-one"}, "(?i)authentication", "sink.password"),
        ("TLS", {"ssl_ca": "rogue-ca.crt"}, "(?i)certificate verify failed", "sink.ssl_ca"),
        ("BADNAME", {}, "(?i)certificate", "sink.brokers"),
        ("MTLS", {"ssl_cert": "rogue.crt", "ssl_key": "rogue.key"}, "(?i)bad certificate|unknown ca|certificate", "sink.ssl_cert"),
    ),
)
def test_wrong_credentials_say_so_and_lose_nothing(postgres, run_dir, guarded, registry, listener, wrong, said, cure):
    db = database(postgres, TABLE)
    right = credentials(guarded, "TLS" if listener == "BADNAME" else listener)
    for name in ("ssl_ca", "ssl_cert", "ssl_key"):
        if name in wrong:
            wrong = {**wrong, name: guarded.certs / wrong[name]}
    ferry = guarded_ferry(run_dir, postgres, db, guarded, registry, listener, **wrong).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    line = ferry.wait_log(r"code=kafka .*hint: ")
    assert re.search(said, line), line
    assert cure in line, line
    assert "wrong-one" not in ferry.log_text()
    position = ferry.checkpoint()[0]
    time.sleep(0.3)
    assert ferry.checkpoint()[0] == position
    ferry.kill9()
    ferry.config["sink"] = {"type": "kafka", "delivery": "at_least_once", **right}
    ferry.write()
    ferry.streaming()
    ferry.caught_up()
    assert len(guarded.read(ferry.topic("t"))) == 1


@pytest.mark.parametrize("taken", ("one topic", "all topics"))
def test_a_right_taken_away_blocks_and_nothing_is_lost_once_it_is_back(postgres, run_dir, guarded, registry, taken):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    prefix = unique("acl")
    topics = {table: f"{prefix}.public.{table}" for table in TABLES}
    guarded.disallow("carol", "topic", "*", "all")  # for both cases the least that is needed
    guarded.disallow("carol", "broker", "kafka-cluster", "all")
    for operation in ("describe", "create", "describe_configs"):
        guarded.allow("carol", "topic", f"{prefix}*", operation)
    for topic in topics.values():
        guarded.allow("carol", "topic", topic, "write")
    lost = [topics["a"]] if taken == "one topic" else list(topics.values())
    ferry = guarded_ferry(run_dir, postgres, db, guarded, registry, "PLAIN")
    ferry.config["format"]["prefix"] = prefix
    ferry.write()
    ferry.streaming()
    with Load(postgres, db, ("a", "b", "a"), pause=0.005):
        ferry.wait_log("code=topic_created", 20, 2)
        time.sleep(0.5)
        for topic in lost:
            guarded.disallow("carol", "topic", topic, "write")
        line = ferry.wait_log("state=blocked", 30)
        assert "authorization failed" in line and "hint: give the principal Write" in line
        assert prefix in ferry.log_text().split("Topic authorization failed")[0].splitlines()[-1]
        time.sleep(1.5)  # what stands before the first event that is denied goes out again, and counts
        confirmed = ferry.confirmed()
        time.sleep(1)
        assert ferry.confirmed() == confirmed, "nothing newer is acknowledged"
        for topic in lost:
            guarded.allow("carol", "topic", topic, "write")
    ferry.caught_up(90)
    changes = oracle.changes()
    for table, topic in topics.items():
        journal = Journal.of_topic(guarded, Decoder(registry), topic)
        assert_whole(journal, changes[table], table_rows(postgres, db, table))
    ferry.wait_log("code=recovered")


@pytest.mark.parametrize("missing", ("transactional_id", "checkpoint write", "checkpoint read", "checkpoint describe"))
def test_a_right_that_exactly_once_needs_is_named_and_waited_for(postgres, run_dir, guarded, registry, missing):
    """From the start without it; then it is granted; then taken away and granted again."""
    db = database(postgres, TABLE)
    guarded.disallow("carol", "topic", "*", "all")
    guarded.disallow("carol", "broker", "kafka-cluster", "all")
    ferry = guarded_ferry(run_dir, postgres, db, guarded, registry, "PLAIN", delivery="exactly_once",
                          transaction_idle="500ms", transaction_timeout="5s")  # fmt: skip
    name = f"walferry.{ferry.pipeline}"
    checkpoint = f"{name}.checkpoint"
    guarded.create_topic(checkpoint, 1, {"cleanup.policy": "compact"})
    rights = {("topic", f"{ferry.pipeline}*", o) for o in ("describe", "create", "write", "describe_configs")}
    rights |= {("topic", checkpoint, operation) for operation in ("read", "write", "describe", "describe_configs")}
    rights |= {("transactional_id", name, operation) for operation in ("write", "describe")}
    rights.add(("group", "walferry-read", "read"))
    kind, _, operation = missing.partition(" ")
    if kind == "checkpoint":  # read and write imply describe
        lost = {r for r in rights if r[1] == checkpoint and (r[2] == operation or operation == "describe")}
    else:
        lost = {r for r in rights if r[0] == kind}
    for right in rights - lost:
        guarded.allow("carol", *right)
    ferry.start()
    line = ferry.wait_log("state=blocked", 30)
    assert (checkpoint if kind == "checkpoint" else name) in line and "hint: " in line, line
    assert re.search(operation or "Write and Describe on the transactional id", line.split("hint: ")[1], re.I), line
    for right in lost:
        guarded.allow("carol", *right)
    ferry.wait_log("code=settled", 40)
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up(60)
    for right in lost:
        guarded.disallow("carol", *right)
    postgres.sql("insert into t values (2, 'x')", dbname=db)
    if operation not in ("read",):  # what is read only at the start is not missed before
        ferry.wait_log("state=blocked", 30, ferry.log_text().count("state=blocked") + 1)
    for right in lost:
        guarded.allow("carol", *right)
    ferry.caught_up(90)
    wait_until(lambda: len(guarded.read(ferry.topic("t"))) >= 2, 10, "both rows")
    assert [Decoder(registry)(r.key)["id"] for r in guarded.read(ferry.topic("t"))] == [1, 2]
    assert ferry.stop() == 0


# ---------------------------------------------------------------- what goes away


def assert_all_there(pg, db, oracle, kafka, registry, ferry) -> int:
    """Every change in both topics; returns the repeats."""
    ferry.caught_up(120)
    changes = oracle.changes()
    repeats = 0
    for table in TABLES:
        journal = Journal.of_topic(kafka, Decoder(registry), ferry.topic(table))
        assert_whole(journal, changes[table], table_rows(pg, db, table))
        repeats += journal.repeats
    print({"changes": sum(map(len, changes.values())), "repeated": repeats, "lost": 0})
    return repeats


@pytest.fixture(scope="module")
def hasty():
    """A server that gives up a silent client after 5 s."""
    with Postgres(17, settings={"wal_sender_timeout": "5s"}) as pg:
        yield pg


@pytest.mark.parametrize("away", (10, pytest.param(30, marks=pytest.mark.long)))
def test_a_stopped_broker_costs_neither_events_nor_the_connection(hasty, run_dir, registry, away, record_property):
    """Under load with the server's patience of 5 s: status packets go on, memory stays bounded."""
    db = database(hasty, DDL)
    oracle = Oracle(hasty, db)
    with Kafka(run_dir) as kafka:
        ferry = kafka_ferry(run_dir, hasty, db, kafka, registry, partitions=3).streaming()
        with Load(hasty, db, ("a", "b", "a"), pause=0.005):
            time.sleep(1)
            backend = hasty.slot(ferry.pipeline)["active_pid"]
            kafka.stop()
            peak, until = 0, time.monotonic() + away
            while time.monotonic() < until:
                hasty.sql("insert into a select i, 0, repeat('y', 1000) from generate_series(-100, -1) i;"
                          "delete from a where id < 0", dbname=db)  # fmt: skip
                peak = max(peak, ferry.rss_kb())
                assert ferry.confirmed() <= ferry.checkpoint()[0]
                time.sleep(0.08)
            assert hasty.slot(ferry.pipeline)["active_pid"] == backend
            kafka.start()
        peak = max(peak, ferry.rss_kb())
        assert_all_there(hasty, db, oracle, kafka, registry, ferry)
        assert hasty.slot(ferry.pipeline)["active_pid"] == backend, "the same connection all the time"
        assert ferry.log_text().count("code=streaming") == 1
        record_property("rss_kb", peak)
        print(f"RSS {peak} kB")
        assert peak <= 40 * 1024, f"{peak} kB"
        ferry.kill9()


def test_after_stall_limit_the_connection_is_closed_and_the_slot_stays(postgres, run_dir, registry):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    source = {"stall_limit": "2s", "reconnect_max": "1s"}
    with Kafka(run_dir) as kafka:
        ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, source=source, queue="64KiB", partitions=3)
        ferry.streaming()
        with Load(postgres, db, ("a", "b", "a"), pause=0.003):
            time.sleep(0.5)
            kafka.stop()
            line = ferry.wait_log("code=disconnecting", 20)
            assert "source.stall_limit" in line
            kept = postgres.slot(ferry.pipeline)
            assert kept is not None and ferry.alive
        kafka.start()
        assert_all_there(postgres, db, oracle, kafka, registry, ferry)
        ferry.kill9()


def test_a_registry_that_restarts_costs_nothing(postgres, run_dir, kafka):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    registry = Registry(run_dir, persistent=True)
    registry.start()
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=3).streaming()
    with Load(postgres, db, ("a",), pause=0.005):
        ferry.wait_log("code=topic_created", 30)
        registry.kill9()
        with Load(postgres, db, ("b",), pause=0.005):  # b is new: its schema has to wait
            line = ferry.wait_log("code=registry ", 30)
            assert ferry.topic("b") in line and "new schemas wait" in line
            time.sleep(1)
            registry.start()
    assert_all_there(postgres, db, oracle, kafka, registry, ferry)
    ferry.kill9()
    registry.close()


@pytest.mark.parametrize("thread", (3, 4, 5))
def test_a_machine_short_of_threads_is_no_fault_of_the_configuration(postgres, run_dir, kafka, registry, thread):
    """The client library gets one thread too few: at its start (3), or for a broker."""
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry)
    strace = ["strace", "-f", "-qq", "-o", str(run_dir / "strace"), "-e", "trace=clone3"]
    ferry.argv = [*strace, "-e", f"inject=clone3:error=EAGAIN:when={thread}", *ferry.argv]
    ferry.streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    ferry.wait_log("(?i)state=retrying .*create .*thread")
    assert len(kafka.read(ferry.topic("t"))) == 1


def test_a_broker_killed_in_the_middle_repeats_and_loses_nothing(postgres, run_dir, registry):
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    with Kafka(run_dir) as kafka:
        ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=3).streaming()
        with Load(postgres, db, ("a", "b", "a"), pause=0.005):
            for _ in range(2):
                time.sleep(1)
                kafka.kill9()
                kafka.start()
        assert_all_there(postgres, db, oracle, kafka, registry, ferry)
        ferry.kill9()


class SecondBroker(Kafka):
    """Beside the first, with its controller."""

    def __init__(self, run_dir, first: Kafka):
        super().__init__(run_dir)
        self.cluster_id = first.cluster_id
        self.properties |= {
            "process.roles": "broker",
            "node.id": 2,
            "listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.bootstrap.servers": first.properties["controller.quorum.bootstrap.servers"],
        }

    def _format(self) -> None:
        self._tool("kafka.tools.StorageTool", "format", "-N", "-t", self.cluster_id, "-c", str(self._config))


@pytest.mark.parametrize("delivery", ("at_least_once", "exactly_once"))
def test_too_few_replicas_in_sync_are_waited_for(postgres, run_dir, registry, delivery):
    """Row 50: the brokers say NOT_ENOUGH_REPLICAS; nothing is lost, nothing doubled, no restart."""
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    with Kafka(run_dir) as kafka, SecondBroker(run_dir, kafka) as second:
        ferry = kafka_ferry(
            run_dir, postgres, db, kafka, registry, partitions=3, delivery=delivery, queue="64KiB",
            replication=2, topic_config={"min.insync.replicas": "2"},
        ).streaming()  # fmt: skip
        with Load(postgres, db, ("a", "b", "a"), pause=0.003):
            ferry.wait_log("code=topic_created.*public", 20, 2)
            time.sleep(0.5)
            second.stop()
            time.sleep(2)
            confirmed = ferry.confirmed()
            time.sleep(3)
            assert ferry.confirmed() == confirmed, "nothing is acknowledged that the brokers did not take"
            assert ferry.rss_kb() <= 40 * 1024
            second.start()
        ferry.caught_up(60)
        time.sleep(0.5)  # a transaction becomes readable a moment after its commit returned
        assert assert_all_there(postgres, db, oracle, kafka, registry, ferry) == 0
        assert ferry.log_text().count("code=streaming") == 1 or delivery == "exactly_once"
        assert ferry.stop() == 0


def test_a_full_disk_of_the_broker_loses_nothing(postgres, run_dir, registry):
    """Row 50: a broker whose only log directory fails halts; with room again it comes back."""
    db = database(postgres, DDL)
    oracle = Oracle(postgres, db)
    kafka = Kafka(run_dir)
    data = kafka.dir / "data"
    data.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(data)], capture_output=True)
    if mounted.returncode != 0:
        kafka.close()
        pytest.skip(f"no tmpfs for the broker: {mounted.stderr.decode().strip()}")
    try:
        kafka.start()
        ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=3).streaming()
        with Load(postgres, db, ("a", "b", "a"), pause=0.003):
            time.sleep(1)
            subprocess.run(["dd", "if=/dev/zero", f"of={data / 'ballast'}", "bs=64k"], capture_output=True)
            wait_until(lambda: not kafka.alive, 60, "the broker to halt")
            confirmed = ferry.confirmed()
            time.sleep(2)
            assert ferry.alive and ferry.confirmed() == confirmed
            (data / "ballast").unlink()
            kafka.start()
        assert_all_there(postgres, db, oracle, kafka, registry, ferry)
        assert ferry.log_text().count("code=streaming") == 1
        ferry.kill9()
    finally:
        kafka.close()
        subprocess.run(["umount", str(data)], check=False)
