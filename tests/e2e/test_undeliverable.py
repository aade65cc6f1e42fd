"""What cannot be published: the pipeline halts, or the change goes elsewhere, whole, as the operator said; never away."""

from __future__ import annotations

import time

import pytest
from harness import Decoder, database, kafka_ferry

from services import wait_until

DELIVERIES = ("at_least_once", "exactly_once")


def pipeline(run_dir, pg, db, kafka, registry, delivery: str, format: dict, **sink):
    idle = {"transaction_idle": "500ms"} if delivery == "exactly_once" else {}
    return kafka_ferry(run_dir, pg, db, kafka, registry, format=format, delivery=delivery, **idle, **sink)


def values(kafka, registry, topic: str) -> list:
    decode = Decoder(registry)
    return [decode(r.value) for r in kafka.read(topic)] if topic in kafka.topics() else []


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_bad_value_goes_to_the_dead_letters_with_its_bytes_reason_and_position(postgres, run_dir, kafka, registry, delivery):
    db = database(postgres, "create table t (id int primary key, n numeric(10,2) not null)")
    ferry = pipeline(run_dir, postgres, db, kafka, registry, delivery, {"on_bad_value": "dead_letter"}).streaming()
    postgres.sql("begin; insert into t values (1, 1); insert into t values (2, 'NaN'); insert into t values (3, 3); commit", dbname=db)
    ferry.caught_up()
    wait_until(lambda: len(values(kafka, registry, ferry.topic("t"))) == 2, 20, "both good rows")
    assert [v["after"]["id"] for v in values(kafka, registry, ferry.topic("t"))] == [1, 3]
    (letter,) = values(kafka, registry, f"{ferry.pipeline}.dead_letter")
    assert (letter["op"], letter["schema"], letter["table"], letter["plugin"]) == ("c", "public", "t", "pgoutput")
    assert "t.n" in letter["reason"] and letter["code"].startswith("value")
    assert letter["message"][:1] == b"I" and b"NaN" in letter["message"] and letter["length"] == len(letter["message"])
    assert 0 < letter["lsn"] <= letter["commit_lsn"] and letter["file"] is None
    line = ferry.wait_log("code=set_aside")
    assert "public.t" in line and "NaN" not in line.split("msg=")[1].split("(")[0]


def test_by_default_the_pipeline_halts_there_and_nothing_is_lost(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table t (id int primary key, n numeric(10,2) not null)")
    ferry = pipeline(run_dir, postgres, db, kafka, registry, "exactly_once", {}).streaming()
    postgres.sql("insert into t values (1, 1)", dbname=db)
    postgres.sql("begin; insert into t values (2, 2); insert into t values (3, 'NaN'); insert into t values (4, 4); commit", dbname=db)
    assert "state=blocked" in ferry.wait_log("code=value")
    # what stands before it is readable meanwhile, exactly once
    wait_until(lambda: len(values(kafka, registry, ferry.topic("t"))) == 2, 30, "what stands before")
    ferry.stop()
    ferry.config["format"]["on_bad_value"] = "dead_letter"
    ferry.write()
    ferry.streaming()
    ferry.caught_up()
    wait_until(lambda: len(values(kafka, registry, ferry.topic("t"))) == 3, 20, "the rest")
    assert [v["after"]["id"] for v in values(kafka, registry, ferry.topic("t"))] == [1, 2, 4]
    assert len(values(kafka, registry, f"{ferry.pipeline}.dead_letter")) == 1


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_large_row_becomes_a_dead_letter_whose_message_is_in_a_file(postgres, run_dir, kafka, registry, delivery):
    db = database(postgres, "create table t (id int primary key, v text); create table small (id int primary key, v text)")
    rules = {"on_large_event": {"public.t": "dead_letter"}}
    ferry = pipeline(run_dir, postgres, db, kafka, registry, delivery, rules, max_message=100_000).streaming()
    postgres.sql("insert into t values (1, 'x'), (2, repeat('y', 300000)), (3, 'z')", dbname=db)
    ferry.caught_up()
    wait_until(lambda: len(values(kafka, registry, ferry.topic("t"))) == 2, 20, "both small rows")
    (letter,) = values(kafka, registry, f"{ferry.pipeline}.dead_letter")
    assert letter["code"] == "event_too_large" and letter["message"] is None
    data = open(letter["file"], "rb").read()
    assert data[:1] == b"I" and data.count(b"y") >= 300_000 and letter["length"] == len(data)
    # another table has no such rule
    postgres.sql("insert into small values (1, repeat('y', 300000))", dbname=db)
    assert "state=blocked" in ferry.wait_log("code=event_too_large")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_large_values_are_replaced_by_a_marker_and_kept_in_a_file(postgres, run_dir, kafka, registry, delivery):
    db = database(postgres, "create table t (id int primary key, small text, big text); alter table t replica identity full")
    rules = {"on_large_event": {"public.t": "marker"}}
    ferry = pipeline(run_dir, postgres, db, kafka, registry, delivery, rules, max_message=100_000).streaming()
    postgres.sql("insert into t values (1, 'x', repeat('y', 300000))", dbname=db)
    postgres.sql("update t set small = 'w'; delete from t", dbname=db)
    ferry.caught_up()
    topic = ferry.topic("t")
    wait_until(lambda: len(kafka.read(topic)) == 4, 20, "create, update, delete, tombstone")
    create, update, delete, tombstone = values(kafka, registry, topic)
    assert create["after"] == {"id": 1, "small": "x", "big": "__debezium_unavailable_value"}
    assert (update["after"]["small"], update["before"]["small"]) == ("w", "x")
    assert delete["op"] == "d" and tombstone is None
    files = list((ferry.dir / "state" / "set-aside").iterdir())
    assert len(files) == 3 and all(f.stat().st_size > 300_000 for f in files)
    assert values(kafka, registry, f"{ferry.pipeline}.dead_letter") == []


def test_a_kill_around_a_dead_letter_doubles_nothing(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table t (id int primary key, n numeric(10,2) not null)")
    ferry = pipeline(
        run_dir, postgres, db, kafka, registry, "exactly_once", {"on_bad_value": "dead_letter"}, split_events=50,
        transaction_interval="5ms",
    ).streaming()  # fmt: skip
    postgres.sql("insert into t select i, case when i % 10 = 0 then 'NaN'::numeric else i end from generate_series(1, 20000) i", dbname=db)
    for _ in range(5):
        time.sleep(0.3)
        ferry.kill9()
        ferry.start()
    ferry.caught_up(90)
    topic, letters = ferry.topic("t"), f"{ferry.pipeline}.dead_letter"
    wait_until(lambda: len(kafka.read(topic)) == 18000, 20, "the good ones")
    assert [v["after"]["id"] for v in values(kafka, registry, topic)] == [i for i in range(1, 20001) if i % 10]
    found = values(kafka, registry, letters)
    assert len(found) == 2000 and len({v["message"] for v in found}) == 2000
