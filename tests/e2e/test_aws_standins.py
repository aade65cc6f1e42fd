"""Kinesis and Firehose as others wrote them, read back by AWS's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Decoder, Ferry, database
from test_kinesis import TABLE, check_order, never_back, write

from services import ServiceError
from services.aws_standins import AwsStandIn, Kinesalite, KinesisLocal, Moto, UserRecord


def start(kind: type[AwsStandIn], run_dir) -> AwsStandIn:
    try:
        server = kind(run_dir)
    except ServiceError as error:  # no pip, no npm
        pytest.skip(str(error))
    server.start()
    return server


@pytest.fixture(params=[Kinesalite, KinesisLocal, Moto], ids=lambda kind: kind.__name__)
def any_kinesis(request, run_dir) -> Iterator[AwsStandIn]:
    with start(request.param, run_dir) as server:
        yield server


@pytest.fixture
def kinesalite(run_dir) -> Iterator[Kinesalite]:
    with start(Kinesalite, run_dir) as server:
        yield server


@pytest.fixture
def kinesis_local(run_dir) -> Iterator[KinesisLocal]:
    with start(KinesisLocal, run_dir) as server:
        yield server


@pytest.fixture
def moto(run_dir) -> Iterator[Moto]:
    with start(Moto, run_dir) as server:
        yield server


def ferry_into(server: AwsStandIn, run_dir, pg, db: str, format: dict[str, Any] | None = None, **sink: Any) -> Ferry:
    section = {
        "type": "kinesis", "stream": "shop", "region": "us-east-1", "endpoint": server.url,
        "access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "timeout": "60s", **sink,
    }  # fmt: skip
    ferry = Ferry(run_dir, pg, db, section, format=format or {"encoding": "json"})
    ferry.env.update({"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"})
    return ferry


def envelopes(records: list[UserRecord]) -> list[dict[str, Any]]:
    return [json.loads(record.data) for record in records]


def test_everything_arrives_in_order_per_key(postgres, run_dir, any_kinesis):
    db = database(postgres, TABLE)
    any_kinesis.create("shop", 4)
    ferry = ferry_into(any_kinesis, run_dir, postgres, db).streaming()
    write(postgres, db, 200, 4)
    ferry.caught_up(120)
    assert ferry.stop() == 0
    records = any_kinesis.read("shop")
    assert len({record.shard for record in records}) == 4
    assert all(record.key == json.dumps({"id": json.loads(record.data)["after"]["id"]}, separators=(",", ":"))
               for record in records)  # fmt: skip
    assert check_order(envelopes(records), 200, 4) == 0
    assert " inversions=0" in ferry.log_text()


def test_streams_are_made_one_per_topic(postgres, run_dir, any_kinesis):
    db = database(postgres, TABLE + "; create table s (id int primary key, n int)")
    ferry = ferry_into(any_kinesis, run_dir, postgres, db, create_streams=True, shards=1)
    del ferry.config["sink"]["stream"]
    ferry.write()
    ferry.streaming()
    postgres.sql("insert into t values (1, 0, 'x'); insert into s values (1, 7); update t set n = 1", dbname=db)
    ferry.caught_up()
    assert [event["after"]["n"] for event in envelopes(any_kinesis.read(ferry.topic("t")))] == [0, 1]
    assert [event["after"]["n"] for event in envelopes(any_kinesis.read(ferry.topic("s")))] == [7]
    assert "code=order" not in ferry.log_text()


def check_hash_keys(records: list[UserRecord]) -> None:
    """Each is inside its shard, or the KCL would drop its aggregate."""
    for record in records:
        low, high = record.range
        assert not record.aggregated or low <= int(record.hash or -1) <= high, record


def test_aggregates_are_unpacked_whole_and_in_order(postgres, run_dir, any_kinesis):
    db = database(postgres, TABLE)
    any_kinesis.create("shop", 2)
    ferry = ferry_into(any_kinesis, run_dir, postgres, db, aggregation=True, lanes=8).streaming()
    write(postgres, db, 200, 5)
    ferry.caught_up(120)
    assert ferry.stop() == 0
    records = any_kinesis.read("shop")
    assert check_order(envelopes(records), 200, 5) == 0
    check_hash_keys(records)
    assert len({record.shard for record in records}) == 2
    assert len({record.sequence for record in records}) < len(records) / 5
    assert " inversions=0" in ferry.log_text()


def test_aggregates_outlive_a_split(postgres, run_dir, kinesis_local):
    db = database(postgres, TABLE)
    kinesis_local.create("shop", 2)
    ferry = ferry_into(kinesis_local, run_dir, postgres, db, aggregation=True, lanes=16).streaming()
    write(postgres, db, 100, 3)
    kinesis_local.split("shop")
    write(postgres, db, 100, 3)
    ferry.caught_up()
    records = kinesis_local.read("shop")
    check_order(envelopes(records), 100, 6)
    never_back(envelopes(records))
    check_hash_keys(records)


def test_avro_is_read_with_the_registrys_schema(postgres, run_dir, kinesalite, registry):
    db = database(postgres, TABLE)
    kinesalite.create("shop", 2)
    ferry = ferry_into(kinesalite, run_dir, postgres, db, {"registry": registry.url}).streaming()
    write(postgres, db, 100, 3)
    ferry.caught_up()
    decode = Decoder(registry)
    check_order([decode(record.data) for record in kinesalite.read("shop")], 100, 3)


def test_order_per_key_survives_a_split(postgres, run_dir, kinesis_local):
    db = database(postgres, TABLE)
    kinesis_local.create("shop", 2)
    ferry = ferry_into(kinesis_local, run_dir, postgres, db).streaming()
    write(postgres, db, 100, 2)
    ferry.caught_up()
    kinesis_local.split("shop")
    write(postgres, db, 100, 2)
    ferry.caught_up()
    records = kinesis_local.read("shop")
    assert len({record.shard for record in records}) == 4
    check_order(envelopes(records), 100, 4)
    never_back(envelopes(records))


def test_nothing_is_lost_when_both_are_killed(postgres, run_dir, kinesalite):
    db = database(postgres, TABLE)
    kinesalite.create("shop", 2)
    ferry = ferry_into(kinesalite, run_dir, postgres, db).streaming()
    for victim in (kinesalite, ferry, kinesalite):
        write(postgres, db, 100, 3)
        victim.kill9()
        write(postgres, db, 100, 1)
        victim.start()
    ferry.caught_up(120)
    check_order(envelopes(kinesalite.read("shop")), 100, 12)


def test_firehose_delivers_json_lines(postgres, run_dir, moto):
    db = database(postgres, TABLE)
    moto.create_delivery("shop")
    ferry = ferry_into(moto, run_dir, postgres, db, type="firehose").streaming()
    write(postgres, db, 100, 2)
    ferry.caught_up()
    assert ferry.stop() == 0
    objects = moto.read_delivery("shop")
    assert objects and all(body.endswith(b"\n") for body in objects)
    rows = [json.loads(line)["after"] for body in objects for line in body.splitlines()]
    assert sorted((row["id"], row["n"]) for row in rows) == [(key, n) for key in range(1, 101) for n in range(3)]
