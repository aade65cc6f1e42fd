"""Kinesis and Firehose under faults: nothing lost, order per key, only what failed again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Ferry, database, lsn

from services import wait_until
from services.aws_faults import AwsFaults

TABLE = "create table t (id int primary key, n int, v text)"


@pytest.fixture
def aws() -> Iterator[AwsFaults]:
    with AwsFaults() as server:
        yield server


def aws_ferry(run_dir, pg, db: str, aws: AwsFaults, kind: str = "kinesis", **sink: Any) -> Ferry:
    names = ("access_key", "secret_key")
    keys = {} if aws.token_life_s < 3600 else dict(zip(names, next(iter(aws.keys.items()))))
    section = {"type": kind, "stream": "shop", "region": "us-east-1", "endpoint": aws.url, **keys, **sink}
    ferry = Ferry(run_dir, pg, db, section, format={"encoding": "json"})
    ferry.env.update({"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"})
    return ferry


def write(pg, db: str, keys: int, rounds: int) -> None:
    """Every key once, then updates of all of them, each counting n up."""
    pg.sql(f"insert into t select i, 0, 'x' from generate_series(1, {keys}) i on conflict (id) do nothing", dbname=db)
    for _ in range(rounds):
        pg.sql("update t set n = n + 1", dbname=db)


def check_order(records: list[dict[str, Any]], keys: int, last: int) -> int:
    """Per key the values of n go up one by one, but for whole repeats; returns how many repeats there were."""
    seen: dict[int, list[int]] = {}
    for record in records:
        seen.setdefault(record["after"]["id"], []).append(record["after"]["n"])
    assert set(seen) == set(range(1, keys + 1))
    repeats = 0
    for key, values in seen.items():
        highest = -1
        for value in values:
            assert value <= highest + 1, f"key {key} skips from {highest} to {value}: {values}"
            repeats += value <= highest
            highest = max(highest, value)
        assert highest == last, f"key {key} ends at {highest}"
    return repeats


def never_back(records: list[dict[str, Any]]) -> None:
    """Without a restart: a key never shows an older value after a newer one."""
    newest: dict[int, int] = {}
    for record in records:
        key, n = record["after"]["id"], record["after"]["n"]
        assert n >= newest.get(key, 0), f"key {key} goes back from {newest[key]} to {n}"
        newest[key] = n


def values(aws: AwsFaults) -> list[dict[str, Any]]:
    return [json.loads(record.data) for record in aws.stored]


def test_order_per_key_survives_failed_records_cuts_and_a_split(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    ferry = aws_ferry(run_dir, postgres, db, aws).streaming()
    aws.fail_record, aws.fail_request, aws.cut = 0.05, 0.03, 0.03
    write(postgres, db, 200, 5)
    aws.split()
    write(postgres, db, 200, 5)
    ferry.caught_up(30)  # a failed record here and there does not slow down the others
    assert ferry.stop() == 0
    assert aws.failures > 20 and aws.max_records <= 500
    check_order(values(aws), 200, 10)
    never_back(values(aws))
    assert " inversions=0" in ferry.log_text()


def test_nothing_is_lost_over_kill_9(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    ferry = aws_ferry(run_dir, postgres, db, aws).streaming()
    aws.fail_record = 0.05
    for _ in range(3):
        write(postgres, db, 100, 3)
        ferry.kill9()
        ferry.streaming()
    ferry.caught_up(120)
    assert ferry.stop() == 0
    check_order(values(aws), 100, 9)


def test_a_delete_is_an_event_and_has_no_tombstone(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    ferry = aws_ferry(run_dir, postgres, db, aws).streaming()
    postgres.sql("insert into t values (1, 0, 'x')", dbname=db)
    postgres.sql("delete from t", dbname=db)
    ferry.caught_up()
    assert [record["op"] for record in values(aws)] == ["c", "d"]
    assert {record.key for record in aws.stored} == {'{"id":1}'}


def test_a_missing_stream_blocks_and_loses_nothing(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    aws.missing = True
    ferry = aws_ferry(run_dir, postgres, db, aws).streaming()
    postgres.sql("insert into t values (1, 0, 'x')", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert "code=stream_missing" in line and "shop" in line and "hint: create it" in line
    aws.missing = False
    ferry.caught_up()
    assert len(aws.stored) == 1


def test_a_stream_is_made_when_told_to(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    aws.missing = True
    ferry = aws_ferry(run_dir, postgres, db, aws, create_streams=True, shards=2).streaming()
    postgres.sql("insert into t values (1, 0, 'x')", dbname=db)
    ferry.caught_up()
    assert aws.created == [{"StreamName": "shop", "ShardCount": 2}]


def test_a_clock_that_is_20_minutes_off_is_followed(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    aws.clock_s = 1200
    ferry = aws_ferry(run_dir, postgres, db, aws).streaming()
    postgres.sql("insert into t values (1, 0, 'x')", dbname=db)
    ferry.caught_up()
    assert "code=aws_clock" in ferry.log_text() and len(aws.stored) == 1


def test_a_wrong_secret_blocks_without_telling_it(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    ferry = aws_ferry(run_dir, postgres, db, aws, secret_key="not-the-secret").streaming()
    postgres.sql("insert into t values (1, 0, 'x')", dbname=db)
    assert "code=aws_refused" in ferry.wait_log("state=blocked")
    assert not aws.stored and "not-the-secret" not in ferry.log_text()


def test_keys_that_expire_in_mid_run_are_fetched_anew(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    aws.token_life_s = 1800
    ferry = aws_ferry(run_dir, postgres, db, aws)
    ferry.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{aws.url}/creds"
    ferry.streaming()
    write(postgres, db, 20, 2)
    ferry.caught_up()
    aws.new_token()  # revoked long before its time
    write(postgres, db, 20, 2)
    ferry.caught_up()
    assert aws.handed_out >= 2 and "ExpiredTokenException" in aws.refused
    check_order(values(aws), 20, 4)
    assert "token-0" not in ferry.log_text()


def test_firehose_gets_json_lines(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    ferry = aws_ferry(run_dir, postgres, db, aws, "firehose").streaming()
    aws.fail_record = 0.1
    write(postgres, db, 300, 1)
    ferry.caught_up(120)
    assert aws.lines.endswith(b"\n")
    lines = [json.loads(line) for line in aws.lines.splitlines()]
    assert {(line["after"]["id"], line["after"]["n"]) for line in lines} == {
        (key, n) for key in range(1, 301) for n in (0, 1)
    }


def test_hours_of_throttling_hold_the_slot_and_little_memory(postgres, run_dir, aws):
    db = database(postgres, TABLE)
    ferry = aws_ferry(run_dir, postgres, db, aws, queue="256KiB").streaming()
    aws.fail_record = 1.0
    [(before_commit,)] = postgres.sql(
        "insert into t select i, 0, 'x' from generate_series(1, 5000) i; select pg_current_wal_insert_lsn()", dbname=db
    )
    write(postgres, db, 5000, 2)
    wait_until(lambda: aws.failures > 500, 30, "throttling")
    assert ferry.confirmed() <= lsn(before_commit) and ferry.rss_kb() < 300_000
    aws.fail_record = 0.0
    ferry.caught_up(120)
    check_order(values(aws), 5000, 2)
    never_back(values(aws))
