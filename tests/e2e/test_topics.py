"""Topics that were made anew or got partitions behind our back: exit code 76, both states, the cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions
from harness import Decoder, Ferry, database, kafka_ferry

from services import Kafka, wait_until

TABLE = "create table t (id int primary key, v text)"

both = pytest.mark.parametrize("delivery", ("at_least_once", "exactly_once"))


def started(run_dir, pg, kafka, registry, delivery, **sink) -> Ferry:
    """A pipeline that has delivered ten rows into three partitions."""
    more = {"transaction_idle": "500ms"} if delivery == "exactly_once" else {}
    ferry = kafka_ferry(
        run_dir, pg, database(pg, TABLE), kafka, registry, source={"reconnect_max": "1s"},
        delivery=delivery, **{"partitions": 3, **more, **sink},
    ).streaming()  # fmt: skip
    insert(ferry, 1, 10)
    ferry.caught_up()
    return ferry


def insert(ferry: Ferry, first: int, last: int) -> None:
    ferry.pg.sql(f"insert into t select i, 'x' from generate_series({first}, {last}) i", dbname=ferry.database)


def ids(kafka: Kafka, registry, ferry: Ferry) -> list[int]:
    decode = Decoder(registry)
    return sorted(decode(r.key)["id"] for r in kafka.read(ferry.topic("t")))


def grow(kafka: Kafka, topic: str, partitions: int) -> None:
    kafka.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(10)
    wait_until(lambda: kafka.topics()[topic] == partitions, 10, "the new partitions")


def replace(kafka: Kafka, topic: str, partitions: int = 3, config: dict[str, str] | None = None) -> None:
    kafka.delete_topic(topic)
    wait_until(lambda: topic not in kafka.topics(), 10, "the topic to go")
    kafka.create_topic(topic, partitions, config)


def assert_ended(ferry: Ferry, code: str, *words: str, timeout: float = 30) -> str:
    assert ferry.wait(timeout) == 76, ferry.log_text()[-1500:]
    line = ferry.log_text().splitlines()[-1]
    assert f"code={code}" in line and "walferry checkpoint topics" in line, line
    for word in (ferry.topic("t"), *words):
        assert word in line, f"{word!r} is not in: {line}"
    return line


def accept(ferry: Ferry) -> str:
    """Takes the topics as they are, after a look that changes nothing."""
    asked = ferry.run_verb("checkpoint", "topics", str(ferry.yaml))
    assert asked.returncode == 1 and "nothing was changed; hint: --yes" in asked.stderr, asked
    done = ferry.run_verb("checkpoint", "topics", "--yes", str(ferry.yaml))
    assert done.returncode == 0 and done.stdout == asked.stdout, done
    again = ferry.run_verb("checkpoint", "topics", str(ferry.yaml))
    assert again.returncode == 0 and again.stdout == "every topic is what it was\n", again
    return done.stdout


@both
def test_partitions_that_grow_between_two_runs_are_refused(postgres, run_dir, kafka, registry, delivery):
    ferry = started(run_dir, postgres, kafka, registry, delivery)
    assert ferry.stop() == 0
    grow(kafka, ferry.topic("t"), 6)
    ferry.start()
    assert_ended(ferry, "topic_repartitioned", "6 partitions", "and 3 when")
    insert(ferry, 11, 40)
    ferry.start()
    assert_ended(ferry, "topic_repartitioned")
    assert ids(kafka, registry, ferry) == list(range(1, 11)), "nothing is published after a refusal"
    told = accept(ferry)
    assert "before   3 partitions" in told and "now      6 partitions" in told, told
    ferry.streaming()
    ferry.caught_up()
    assert ids(kafka, registry, ferry) == list(range(1, 41))
    assert {r.partition for r in kafka.read(ferry.topic("t"))} > {0, 1, 2}, "the new ones are used"


@both
def test_partitions_that_grow_during_a_run_are_refused_and_no_key_moves_before(
    postgres, run_dir, kafka, registry, delivery
):
    ferry = started(run_dir, postgres, kafka, registry, delivery,
                    rdkafka={"topic.metadata.refresh.interval.ms": "100"})  # fmt: skip
    grow(kafka, ferry.topic("t"), 6)
    at = 11
    while ferry.alive and at < 1000:
        insert(ferry, at, at + 9)
        at += 10
        try:
            wait_until(lambda: not ferry.alive, 0.2, "the refusal", 0.05)
        except TimeoutError:
            pass
    assert_ended(ferry, "topic_repartitioned", "6 partitions")
    assert {r.partition for r in kafka.read(ferry.topic("t"))} <= {0, 1, 2}
    accept(ferry)
    ferry.streaming()
    ferry.caught_up()
    published = ids(kafka, registry, ferry)
    assert set(published) == set(range(1, at))
    assert delivery == "at_least_once" or len(published) == at - 1


@both
@pytest.mark.parametrize("partitions", (3, 2, 6))
def test_a_topic_made_anew_between_two_runs_is_refused(postgres, run_dir, kafka, registry, delivery, partitions):
    ferry = started(run_dir, postgres, kafka, registry, delivery)
    assert ferry.stop() == 0
    replace(kafka, ferry.topic("t"), partitions)
    insert(ferry, 11, 20)
    ferry.start()
    assert_ended(ferry, "topic_recreated", f"and {partitions} partitions")
    assert not kafka.read(ferry.topic("t"))
    accept(ferry)
    ferry.streaming()
    ferry.caught_up()
    assert ids(kafka, registry, ferry) == list(range(11, 21))
    assert ferry.stop() == 0
    assert ferry.streaming().stop() == 0


@both
def test_a_topic_made_anew_during_a_run_is_refused(postgres, run_dir, kafka, registry, delivery):
    ferry = started(run_dir, postgres, kafka, registry, delivery)
    replace(kafka, ferry.topic("t"))
    assert_ended(ferry, "topic_recreated")


@both
def test_a_deleted_topic_is_not_made_again_by_itself(postgres, run_dir, kafka, registry, delivery):
    ferry = started(run_dir, postgres, kafka, registry, delivery)
    kafka.delete_topic(ferry.topic("t"))
    insert(ferry, 11, 20)
    assert_ended(ferry, "topic_deleted", "3 partitions", timeout=60)
    assert ferry.topic("t") not in kafka.topics()
    assert "gone" in accept(ferry)
    ferry.streaming()
    ferry.caught_up()
    assert ids(kafka, registry, ferry) == list(range(11, 21)), "nothing after the checkpoint is missing"


@both
def test_a_topic_that_is_not_written_any_more_may_go(postgres, run_dir, kafka, registry, delivery):
    ferry = started(run_dir, postgres, kafka, registry, delivery)
    assert ferry.stop() == 0
    kafka.delete_topic(ferry.topic("t"))
    postgres.sql("create table u (id int primary key)", dbname=ferry.database)
    ferry.streaming()
    ferry.wait_log("code=topic_gone")
    postgres.sql("insert into u values (1)", dbname=ferry.database)
    ferry.caught_up()
    insert(ferry, 11, 11)
    assert_ended(ferry, "topic_deleted")
    assert len(kafka.read(ferry.topic("u"))) == 1


def test_the_pins_are_in_the_same_transaction_as_the_first_event(postgres, run_dir, kafka, registry):
    """And the checkpoint stays the last record."""
    ferry = started(run_dir, postgres, kafka, registry, "exactly_once")
    records = kafka.read(f"walferry.{ferry.pipeline}.checkpoint")
    pins = [r for r in records if r.key.decode() == f"{ferry.pipeline}/topics/{ferry.topic('t')}"]
    assert len(pins) == 1
    pin = json.loads(pins[0].value)
    assert (pin["topic"], pin["partitions"]) == (ferry.topic("t"), 3) and len(pin["id"]) == 22
    assert records[-1].key.decode() == ferry.pipeline
    with_events = next(r for r in records if r.key.decode() == ferry.pipeline and json.loads(r.value)["events"])
    assert pins[0].offset < with_events.offset
    # another machine knows them
    assert ferry.stop() == 0
    grow(kafka, ferry.topic("t"), 4)
    other = ferry.twin()
    other.start()
    assert other.wait(30) == 76 and "code=topic_repartitioned" in other.log_text()


def test_pins_go_along_from_one_delivery_to_the_other(postgres, run_dir, kafka, registry):
    ferry = started(run_dir, postgres, kafka, registry, "at_least_once")
    assert ferry.stop() == 0
    ferry.config["sink"]["delivery"] = "exactly_once"
    ferry.write()
    grow(kafka, ferry.topic("t"), 4)
    ferry.start()
    assert_ended(ferry, "topic_repartitioned")


def test_a_damaged_file_is_a_refusal_with_a_cure(postgres, run_dir, kafka, registry):
    ferry = started(run_dir, postgres, kafka, registry, "at_least_once")
    assert ferry.stop() == 0
    path = Path(ferry.config["state"]["dir"]) / "topics"
    path.write_bytes(path.read_bytes().replace(b'"partitions":3', b'"partitions":4'))
    status, line = ferry.refused()
    assert status == 76 and "code=topics_invalid" in line and "walferry checkpoint topics" in line, line
    assert "damaged" in accept(ferry)
    insert(ferry, 11, 20)
    ferry.streaming()
    ferry.caught_up()
    assert ids(kafka, registry, ferry) == list(range(1, 21))


def test_a_damaged_record_is_a_refusal_with_a_cure(postgres, run_dir, kafka, registry):
    ferry = started(run_dir, postgres, kafka, registry, "exactly_once")
    assert ferry.stop() == 0
    producer = kafka.producer()
    producer.produce(f"walferry.{ferry.pipeline}.checkpoint", b'{"version":9}', f"{ferry.pipeline}/topics/{ferry.topic('t')}")
    producer.flush(10)
    ferry.start()
    assert ferry.wait(30) == 76 and "code=topics_invalid" in ferry.log_text(), ferry.log_text()[-1000:]
    assert "damaged" in accept(ferry)
    insert(ferry, 11, 20)
    ferry.streaming()
    ferry.caught_up()
    assert ids(kafka, registry, ferry) == list(range(1, 21))


@pytest.mark.parametrize("how", ("emptied", "deleted while it runs"))
def test_a_checkpoint_topic_without_its_checkpoint_is_refused(postgres, run_dir, kafka, registry, how):
    ferry = started(run_dir, postgres, kafka, registry, "exactly_once")
    topic = f"walferry.{ferry.pipeline}.checkpoint"
    wait_until(lambda: ferry.checkpoint()[0] > 0, 10, "the copy")
    if how == "emptied":
        assert ferry.stop() == 0
        replace(kafka, topic, 1, {"cleanup.policy": "compact"})
        ferry.start()
    else:
        kafka.delete_topic(topic)
        insert(ferry, 11, 20)
    assert ferry.wait(90) == 76, ferry.log_text()[-1500:]
    assert "code=checkpoint_missing" in ferry.log_text().splitlines()[-1]
    assert ids(kafka, registry, ferry) == list(range(1, 11))
