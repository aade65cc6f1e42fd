"""The profiles and encodings on real servers, read by readers that are not ours."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import time
from decimal import Decimal

import fastavro
import pytest
from harness import Decoder, Ferry, database, kafka_ferry

TABLE = (
    "create table item (id bigint primary key, name text not null default 'none', price numeric(10,2), day date,"
    " at timestamp, z timestamptz, span interval, code uuid, tags text[], big text);"
    "alter table item alter column big set storage external"
)
ROW = (
    "insert into item values (1, 'one', 9.5, '2024-02-29', '2024-02-29 12:00:00.5', '2024-02-29 12:00+02',"
    " '1 year 2 days 03:04:05.000006', '00000000-0000-0000-0000-00000000000a', '{a,NULL}', null)"
)
UTC = dt.timezone.utc


def decode(registry, data):
    """With logical types, as a consumer sees it."""
    schema = fastavro.parse_schema(registry.schema(int.from_bytes(data[1:5], "big")))
    return fastavro.schemaless_reader(io.BytesIO(data[5:]), schema)


def test_native_is_avros_own_types(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, format={"profile": "native"}).streaming()
    postgres.sql(ROW, dbname=db)
    postgres.sql("update item set big = repeat('x', 10000); update item set name = 'two'", dbname=db)
    postgres.sql("delete from item", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0

    records = list(kafka.stream(ferry.topic("item")))
    created, grown, renamed, deleted = (decode(registry, r.value) for r in records if r.value)
    assert created["after"] == {
        "id": 1, "name": "one", "price": Decimal("9.50"), "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 2, 29, 12, 0, 0, 500000), "z": dt.datetime(2024, 2, 29, 10, tzinfo=UTC),
        "span": {"months": 12, "days": 2, "micros": 11045000006},
        "code": __import__("uuid").UUID(int=10), "tags": ["a", None], "big": None,
    }  # fmt: skip
    assert created["op"] == "c" and created["unavailable"] == []
    system, timeline = postgres.sql(
        "select system_identifier::text, timeline_id from pg_control_system(), pg_control_checkpoint()"
    )[0]
    source = created["source"]
    assert (source["system_id"], source["timeline"], source["db"]) == (system, timeline, db)
    assert (source["schema"], source["table"], source["ordinal"]) == ("public", "item", 1)
    assert [e["source"]["ordinal"] for e in (grown, renamed)] == [1, 2], "numbered in their transaction"
    assert renamed["after"]["big"] is None and renamed["unavailable"] == ["big"]
    assert deleted["before"]["id"] == 1 and deleted["before"]["name"] is None and deleted["after"] is None
    assert records[-1].value is None, "a tombstone"


def test_row_is_the_row(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, format={"profile": "row"}).streaming()
    postgres.sql(ROW, dbname=db)
    postgres.sql("update item set id = 2, big = 'short'; delete from item", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0

    seen = [(decode(registry, r.key)["id"], r.value and decode(registry, r.value)) for r in kafka.stream(ferry.topic("item"))]
    assert [(key, value and value["__op"]) for key, value in seen] == [(1, "c"), (1, None), (2, "c"), (2, None)]
    row = seen[0][1]
    assert row["name"] == "one" and row["price"] == Decimal("9.50") and row["__deleted"] is False
    assert row["__lsn"] > 0 and abs(row["__ts_ms"] / 1000 - dt.datetime.now().timestamp()) < 600


def test_row_as_json_in_a_file_of_lines(postgres, run_dir):
    db = database(postgres, "create table t (id int primary key, v text)")
    ferry = Ferry(run_dir, postgres, db, {"type": "stdout"}, format={"profile": "row", "tombstones": False}).streaming()
    postgres.sql("insert into t values (1, 'a'); delete from t", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    lines = [json.loads(line) for line in ferry.log_text().splitlines() if line.startswith('{"topic"')]
    assert [line["value"]["__op"] for line in lines] == ["c", "d"]
    assert lines[1]["value"]["__deleted"] is True and lines[1]["value"]["v"] is None


def test_connect_refuses_what_it_would_cut(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db, format={"profile": "connect"}).streaming()
    postgres.sql(ROW, dbname=db)
    line = ferry.wait_log(r"code=lossy_column")
    assert "public.item" in line and "at" in line and "format.truncate: allow" in line
    ferry.kill9()

    ferry.config["format"]["truncate"] = "allow"
    ferry.write()
    ferry.streaming()
    ferry.caught_up()
    assert ferry.stop() == 0
    (record,) = ferry.records(ferry.topic("item"))
    assert record["after"]["at"] == dt.datetime(2024, 2, 29, 12, 0, 0, 500000, tzinfo=UTC)
    assert record["after"]["day"] == dt.date(2024, 2, 29)
    assert "transaction" in record and "ts_ns" not in record, "Debezium's envelope"


def test_single_objects_need_no_registry(postgres, run_dir, kafka):
    db = database(postgres, "create table t (id int primary key, v text)")
    ferry = kafka_ferry(run_dir, postgres, db, kafka, None, format={"encoding": "single_object"}).streaming()
    postgres.sql("insert into t values (7, 'seven')", dbname=db)
    ferry.caught_up()
    (record,) = kafka.stream(ferry.topic("t"))
    ferry.stop()

    texts = {}
    for what in ("key", "value"):
        done = ferry.run_verb("schema", f"--{what}", str(ferry.yaml), "public.t")
        assert done.returncode == 0, done.stderr
        texts[what] = done.stdout
        data = getattr(record, what)
        assert data[:2] == b"\xc3\x01"
        parsed = fastavro.parse_schema(json.loads(done.stdout))
        canonical = fastavro.schema.to_parsing_canonical_form(parsed)
        assert data[2:10] == bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))[::1], "little endian"
    value = fastavro.schemaless_reader(io.BytesIO(record.value[10:]), parsed)
    assert value["after"] == {"id": 7, "v": "seven"}

    avsc = [run_dir / "key.avsc", run_dir / "value.avsc"]
    for path, text in zip(avsc, texts.values()):
        path.write_text(text)
    files = [f"--schema={path}" for path in avsc]
    done = ferry.run_verb("read", "--topic", ferry.topic("t"), *files, str(ferry.yaml))
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["key"] == {"id": 7} and read["value"]["after"]["v"] == "seven"
    done = ferry.run_verb("read", "--hex", record.value.hex(), *files)
    assert done.returncode == 0 and json.loads(done.stdout)["after"]["v"] == "seven"
    done = ferry.run_verb("read", "--hex", record.value.hex(), f"--schema={avsc[0]}")
    assert done.returncode == 1 and "fingerprint" in done.stderr
    done = ferry.run_verb("read", "--hex", record.value[10:].hex(), f"--schema={avsc[1]}")
    assert done.returncode == 0, "bare Avro by the first file"
    done = ferry.run_verb("read", "--hex", "00f", f"--schema={avsc[1]}")
    assert done.returncode == 1 and "hexadecimal" in done.stderr


def test_transactions_and_heartbeats_have_topics_of_their_own(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table a (id int primary key); create table b (id int primary key)")
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry,
        format={"provide_transaction_metadata": True, "heartbeat_interval": "200ms"},
    ).streaming()  # fmt: skip
    postgres.sql("insert into a values (1), (2); insert into b values (1); update a set id = 3 where id = 2", dbname=db)
    ferry.caught_up()
    decoder = Decoder(registry)
    marks = [decoder(r.value) for r in kafka.stream(f"{ferry.pipeline}.transaction")]
    assert [m["status"] for m in marks] == ["BEGIN", "END"]
    assert marks[1]["event_count"] == 5
    assert marks[1]["data_collections"] == [
        {"data_collection": "public.a", "event_count": 4}, {"data_collection": "public.b", "event_count": 1},
    ]  # fmt: skip
    orders = []
    for table in "ab":
        values = [decoder(r.value) for r in kafka.stream(ferry.topic(table)) if r.value]
        orders += [(v["transaction"]["total_order"], v["transaction"]["data_collection_order"]) for v in values]
    assert sorted(orders) == [(1, 1), (2, 2), (3, 1), (4, 3), (5, 4)]

    beats = f"__debezium-heartbeat.{ferry.pipeline}"
    from services import wait_until

    wait_until(lambda: beats in kafka.topics() and len(list(kafka.stream(beats))) >= 3, 20, "three heartbeats")
    assert {json.dumps(decoder(r.key)) for r in kafka.stream(beats)} == {json.dumps({"serverName": ferry.pipeline})}
    assert ferry.stop() == 0, "and it ends all the same"


def test_transaction_metadata_survives_a_kill_in_mid_transaction(postgres, run_dir, kafka, registry):
    """A transaction that comes again is numbered as the first time."""
    db = database(postgres, "create table a (id int primary key, v text)")
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, registry, format={"provide_transaction_metadata": True}
    ).streaming()
    postgres.sql("insert into a select g, repeat('x', 200) from generate_series(1, 20000) g", dbname=db)
    ferry.kill9()
    ferry.streaming()
    ferry.caught_up()
    assert ferry.stop() == 0
    decoder = Decoder(registry)
    orders = {}
    for r in kafka.stream(ferry.topic("a")):
        value = decoder(r.value)
        orders.setdefault(value["after"]["id"], set()).add(value["transaction"]["total_order"])
    assert orders == {i: {i} for i in range(1, 20001)}


@pytest.mark.parametrize("profile", ("debezium", "debezium-strict", "native", "connect", "row"))
def test_schema_shows_what_registering_would_do(postgres, run_dir, kafka, registry, profile):
    db = database(postgres, "create table t (id int primary key, v text, n numeric(10,2))")
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, format={"profile": profile})

    def verdict(*options):
        done = ferry.run_verb("schema", "--json", *options, str(ferry.yaml), "public.t")
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    code, shown = verdict()
    assert code == 0 and shown["value"]["registry"] == "first" and shown["topic"] == ferry.topic("t")
    fastavro.parse_schema(shown["value"]["schema"])
    ferry.streaming()
    postgres.sql("insert into t values (1)", dbname=db)
    ferry.caught_up()
    ferry.stop()
    code, shown = verdict()
    assert code == 0 and shown["key"]["registry"] == shown["value"]["registry"] == "same"
    (record,) = kafka.stream(ferry.topic("t"))
    assert shown["value"]["id"] == int.from_bytes(record.value[1:5], "big"), "what run registered"
    postgres.sql("alter table t add w int", dbname=db)
    code, shown = verdict()
    assert code == 0 and shown["value"]["registry"] == "compatible" and shown["key"]["registry"] == "same"
    done = ferry.run_verb("schema", str(ferry.yaml), "public.nosuch")
    assert done.returncode == 1 and "public.nosuch" in done.stderr
    done = ferry.run_verb("schema", "--profile", "dbz", str(ferry.yaml), "public.t")
    assert done.returncode == 78 and "debezium-strict" in done.stderr


def test_a_label_added_to_an_enum_is_in_the_schema_of_its_first_row(postgres, run_dir):
    """ALTER TYPE ... ADD VALUE sends no Relation message, and nobody waits a second for it."""
    db = database(postgres, "create type mood as enum ('a', 'b'); create table t (id int primary key, m mood, l mood[])")
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1, 'a', '{a}')", dbname=db)
    ferry.caught_up()
    postgres.sql("alter type mood add value 'new' before 'b'", dbname=db)
    started = time.monotonic()
    postgres.sql("insert into t values (2, 'new', null)", dbname=db)
    postgres.sql("insert into t values (3, null, '{b,new}')", dbname=db)
    ferry.caught_up()
    assert time.monotonic() - started < 2
    postgres.sql("alter type mood add value 'late'", dbname=db)
    postgres.sql("insert into t values (4, null, '{late}')", dbname=db)
    postgres.sql("alter type mood rename value 'late' to 'later'", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    seen = []
    for path in ferry.files(ferry.topic("t")):
        with open(path, "rb") as file:
            reader = fastavro.reader(file)
            text = json.dumps(reader.writer_schema)
            allowed = re.search(r'"allowed": "([^"]*)"', text.split('"m"')[1])
            assert allowed
            seen += [(r["after"]["id"], allowed.group(1)) for r in reader]
    assert seen[:3] == [(1, "a,b"), (2, "a,new,b"), (3, "a,new,b")]
    assert seen[3][1] in ("a,new,b,late", "a,new,b,later"), "the catalog may be ahead"
