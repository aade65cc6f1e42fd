"""Bad input: one sentence with the cause and the cure, the documented exit code or state, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import Ferry, database, kafka_ferry, unique

from services import Kafka, Postgres, Registry, wait_until

TABLE = "create table t (id int primary key, v text)"


def assert_ends(ferry: Ferry, status: int, *words: str) -> None:
    got, line = ferry.refused()
    assert got == status, line
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"
    assert "hint: " in line, f"no cure in: {line}"


@pytest.fixture(scope="module")
def guarded():
    """A server that asks for passwords and knows a role without the REPLICATION right."""
    hba = ("local all postgres trust", "host all postgres 127.0.0.1/32 trust",
           "local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256")  # fmt: skip
    with Postgres(17, hba=hba) as pg:
        pg.sql("create role plain login password 'pw'; create role ferry login replication password 'pw'")
        yield pg


def test_a_dsn_that_is_no_dsn(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres", source={"dsn": "host=localhost dbnam=x"})
    got, line = ferry.refused()
    assert got == 78 and "source.dsn" in line and "dbnam" in line


def test_a_wrong_password(guarded, run_dir):
    ferry = Ferry(run_dir, guarded, "postgres",
                  source={"dsn": guarded.dsn("postgres", "ferry", tcp=True), "password": "wrong"})  # fmt: skip
    assert_ends(ferry, 78, "password authentication failed", "source.password")
    assert "wrong" not in ferry.log_text().replace("wrong_", "")


def test_a_role_without_the_replication_right(guarded, run_dir):
    ferry = Ferry(run_dir, guarded, "postgres",
                  source={"dsn": guarded.dsn("postgres", "plain", tcp=True), "password": "pw"})  # fmt: skip
    assert_ends(ferry, 78, "REPLICATION")


def test_a_database_that_is_not_there(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "nosuch")
    got, line = ferry.refused()
    assert got == 78 and "nosuch" in line


def test_wal_level_replica(run_dir):
    with Postgres(16, run_dir, settings={"wal_level": "replica"}) as pg:
        assert_ends(Ferry(run_dir, pg, "postgres"), 78, "wal_level is replica", "ALTER SYSTEM")


def test_no_slot_and_not_allowed_to_make_one(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db, source={"create": False})
    assert_ends(ferry, 78, "does not exist", "source.create")


def test_a_slot_without_its_publication(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
    assert_ends(ferry, 78, "publication", "CREATE PUBLICATION")


def test_a_slot_of_another_plugin(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'test_decoding')", dbname=db)
    assert_ends(ferry, 78, "test_decoding", "source.slot")


def test_a_slot_of_another_database(postgres, run_dir):
    db, other = database(postgres, TABLE), database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=other)
    assert_ends(ferry, 78, other, db)


def test_tables_without_identity_are_not_published_behind_the_application(postgres, run_dir):
    db = database(postgres, TABLE + "; create table keyless (v text)")
    ferry = Ferry(run_dir, postgres, db)
    assert_ends(ferry, 78, "public.keyless", "REPLICA IDENTITY FULL")
    assert postgres.slot(ferry.pipeline) is None, "nothing is left behind"
    postgres.sql("insert into keyless values ('x'); update keyless set v = 'y'", dbname=db)


def test_source_tables_that_match_nothing(postgres, run_dir):
    db = database(postgres, TABLE)
    assert_ends(Ferry(run_dir, postgres, db, source={"tables": ["nosuch.*"]}), 78, "source.tables")


@pytest.mark.parametrize("content", (b"\x00\x01\x02\xff" * 100, b"\xff\xfes\x00o\x00", b"source: [", b"", b"- 1\n"))
def test_binary_garbage_as_configuration(postgres, run_dir, content):
    ferry = Ferry(run_dir, postgres, "postgres")
    ferry.yaml.write_bytes(content)
    status, _ = ferry.refused()
    assert status == 78
    assert ferry.yaml.name in ferry.log_text()


def test_an_unreadable_configuration(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres")
    ferry.yaml.unlink()
    status, line = ferry.refused()
    assert status == 78 and ferry.yaml.name in line and "No such file" in line
    ferry.yaml.mkdir()
    status, line = ferry.refused()
    assert status == 78


def test_all_errors_of_a_configuration_at_once(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres")
    ferry.yaml.write_text(
        "source:\n  dsn: dbname=x\n  slto: y\n  status_interval: soon\nsink:\n  type: kafka\n  linger: 30s\n"
    )
    status, _ = ferry.refused()
    text = ferry.log_text()
    assert status == 78
    name = ferry.yaml.name
    assert f"{name}:3:3: source.slto: " in text and 'did you mean "slot"' in text
    assert f"{name}:4:" in text and "source.status_interval" in text
    assert f"{name}:7:" in text and "above the maximum" in text
    assert "sink.brokers" in text


def test_a_state_directory_that_cannot_be_made(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres", state={"dir": "/proc/nosuch/state"})
    assert_ends(ferry, 78, "state.dir")


def test_a_disk_that_refuses_the_checkpoint_acknowledges_nothing_newer(postgres, run_dir):
    """Rewriting the file in place needs no space, so the disk has to fail: EIO by strace."""
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db, {"type": "null"})
    path = ferry.dir / "state" / "checkpoint"
    ferry.argv = [
        "strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path),
        "-e", "inject=fdatasync:error=EIO:when=2..4", *ferry.argv,
    ]  # fmt: skip
    ferry.streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    line = ferry.wait_log("code=checkpoint_write")
    assert "Input/output error" in line and "hint: " in line
    before, samples = ferry.confirmed(), 0
    postgres.sql("insert into t values (2, 'x')", dbname=db)
    deadline = time.monotonic() + 60
    while "code=checkpoint_works" not in ferry.log_text():
        assert time.monotonic() < deadline, ferry.tail()
        confirmed = ferry.confirmed()
        if "code=checkpoint_works" in ferry.log_text():
            break
        assert confirmed == before, "nothing newer than the checkpoint is acknowledged"
        samples += 1
    assert samples > 10
    ferry.caught_up()
    children = Path(f"/proc/{ferry.pid}/task/{ferry.pid}/children").read_text().split()
    for pid in children:  # strace, when it ends, would let its child go on
        os.kill(int(pid), signal.SIGTERM)
    ferry.wait(15)


def test_a_full_disk_under_the_file_sink_loses_nothing(postgres, run_dir):
    db = database(postgres, TABLE)
    out = run_dir / "small"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(out)], check=True)
    try:
        ferry = Ferry(run_dir, postgres, db, {"type": "file", "dir": str(out), "rotate_size": "256KiB"}).streaming()
        postgres.sql("insert into t select i, repeat('x', 500) from generate_series(1, 6000) i", dbname=db)
        ferry.wait_log("No space left on device")
        kept = {r["after"]["id"]: r for r in ferry.records()}
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        ferry.caught_up()
        ferry.stop()
        rows = ferry.records()  # every finished file is whole: fastavro would raise
        assert {r["after"]["id"] for r in rows} == set(range(1, 6001))
        assert len(kept) < 6000
    finally:
        subprocess.run(["umount", str(out)], check=True)


# ---------------------------------------------------------------- Kafka and the registry


def test_an_unreachable_broker_at_the_start(postgres, run_dir, registry):
    db = database(postgres, TABLE)
    with Kafka(run_dir) as kafka:
        kafka.stop()
        ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
        postgres.sql("insert into t values (1, 'x')", dbname=db)
        ferry.wait_log("code=kafka ")
        confirmed = ferry.confirmed()
        kafka.start()
        ferry.caught_up()
        assert ferry.confirmed() > confirmed
        assert len(kafka.read(ferry.topic("t"))) == 1
        ferry.stop()


def test_an_unreachable_registry_at_the_start(postgres, run_dir, kafka):
    db = database(postgres, TABLE)
    registry = Registry(run_dir)
    registry.start()
    registry.stop()
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.wait_log("code=registry ")
    registry.start()
    ferry.caught_up()
    assert len(kafka.read(ferry.topic("t"))) == 1
    ferry.stop()
    registry.close()


def test_known_tables_flow_while_the_registry_is_down(postgres, run_dir, kafka):
    db = database(postgres, TABLE)
    with Registry(run_dir) as registry:
        ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
        postgres.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        registry.stop()
        postgres.sql("insert into t values (2, 'x')", dbname=db)
        ferry.caught_up()
        assert len(kafka.read(ferry.topic("t"))) == 2
        ferry.stop()


def test_an_incompatible_schema_blocks_until_a_person_acts(postgres, run_dir, kafka, registry):
    db = database(postgres, "create table t (id int primary key, v text)")
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    postgres.sql("alter table t add column n int not null default 1; alter table t alter n drop default", dbname=db)
    postgres.sql("insert into t values (2, 'x', 5)", dbname=db)
    line = ferry.wait_log("code=schema_incompatible")
    assert "state=blocked" in line and f"{ferry.topic('t')}-value" in line and "hint: " in line
    confirmed = ferry.confirmed()
    registry.request("PUT", f"/config/{ferry.topic('t')}-value", {"compatibility": "NONE"})
    ferry.caught_up(timeout=90)
    assert ferry.confirmed() > confirmed
    values = kafka.read(ferry.topic("t"))
    assert len(values) == 2
    ferry.stop()


def test_a_row_over_the_message_limit_blocks_and_is_delivered_once_it_fits(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, max_message=100_000).streaming()
    postgres.sql("insert into t values (1, 'small')", dbname=db)
    postgres.sql("insert into t values (2, repeat('x', 200000))", dbname=db)
    postgres.sql("insert into t values (3, 'behind it')", dbname=db)
    line = ferry.wait_log("code=event_too_large")
    assert "state=blocked" in line and "sink.max_message" in line and "public.t" in line
    assert "xxxxx" not in ferry.log_text(), "row values stay out of the log"
    ferry.stop()
    ferry.config["sink"]["max_message"] = 500_000
    ferry.write()
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    assert len(kafka.read(ferry.topic("t"))) == 3


def test_a_missing_topic_blocks_when_topics_are_not_to_be_made(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, create_topics=False).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    line = ferry.wait_log("code=topic_missing")
    assert "state=blocked" in line and ferry.topic("t") in line
    kafka.create_topic(ferry.topic("t"))
    ferry.caught_up()
    assert len(kafka.read(ferry.topic("t"))) == 1
    ferry.stop()


def test_settings_that_carry_the_promise_cannot_be_changed(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, rdkafka={"acks": "1"})
    status, line = ferry.refused()
    assert status == 78 and "acks" in line


def test_plain_text_to_another_host_is_refused(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres", {"type": "kafka", "brokers": "kafka.example:9092"},
                  format={"encoding": "json"})  # fmt: skip
    assert_ends(ferry, 78, "sink.security")


def test_no_secret_is_ever_printed(guarded, run_dir):
    secret = "canary-7f3a"
    ferry = Ferry(
        run_dir, guarded, "postgres",
        {"type": "kafka", "brokers": "127.0.0.1:1", "security": "sasl_plaintext", "mechanism": "plain",
         "username": "u", "password": secret},
        source={"dsn": guarded.dsn("postgres", "ferry", tcp=True) + f" password={secret}"},
        format={"registry": "http://127.0.0.1:1", "registry_user": "u", "registry_password": secret},
    )  # fmt: skip
    ferry.refused()
    shown = ferry.run_verb("config", "show", str(ferry.yaml))
    checked = ferry.run_verb("check", str(ferry.yaml))
    assert shown.returncode == 0
    everything = ferry.log_text() + shown.stdout + shown.stderr + checked.stdout + checked.stderr
    assert secret not in everything
    assert os.environ.get("HOME") is not None


# ---------------------------------------------------------------- encodings


def raw_database(pg, encoding, sql):
    """A database of that encoding."""
    name = unique("raw")
    pg.sql(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    pg.sql(sql, dbname=name)
    return name


def test_a_latin1_database_arrives_as_utf8(postgres, run_dir):
    db = raw_database(postgres, "LATIN1", 'create table "tür" (id int primary key, "größe" text)')
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into \"tür\" values (1, 'äöüß')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    (record,) = ferry.records()
    assert record["after"] == {"id": 1, "gr__e": "äöüß"} and record["source"]["table"] == "tür"


def test_bytes_of_a_sql_ascii_database_are_checked(postgres, run_dir):
    db = raw_database(postgres, "SQL_ASCII", "create table t (id int primary key, v text, a text[])")
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1, 'plain', '{ok}'), (2, E'\\303\\274', null)", dbname=db)
    ferry.caught_up()
    postgres.sql("insert into t values (3, E'\\374', null); insert into t values (4, null, array[E'\\377'])", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert "code=value_encoding" in line and "public.t.v" in line and "id = 3" in line and "SQL_ASCII" in line
    ferry.kill9()
    ferry.config["format"] = {"event_converting_failure_handling_mode": "warn"}
    ferry.write()
    ferry.streaming()
    ferry.caught_up()
    assert ferry.stop() == 0
    assert [r["after"] for r in ferry.records()] == [
        {"id": 1, "v": "plain", "a": ["ok"]}, {"id": 2, "v": "ü", "a": None},
        {"id": 3, "v": None, "a": None}, {"id": 4, "v": None, "a": None},
    ]  # fmt: skip
    assert len([x for x in ferry.log_text().splitlines() if "code=value_lost" in x]) == 2, "once per column"


def test_a_name_that_is_no_utf8_is_refused(postgres, run_dir):
    db = raw_database(postgres, "SQL_ASCII", "create table t (id int primary key)")
    postgres.sql("do $$ begin execute convert_from('\\x616c746572207461626c65207420616464202261fc2220696e74', 'SQL_ASCII'); end $$", dbname=db)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1)", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert "code=name_encoding" in line and "source.exclude_tables" in line


def test_names_of_63_bytes(postgres, run_dir):
    long = "x" * 63
    db = database(postgres, f"create schema {long}; create table {long}.{long} (id int primary key, {long} int)")
    ferry = Ferry(run_dir, postgres, db, format={"prefix": "p"}).streaming()
    postgres.sql(f"insert into {long}.{long} values (1, 2)", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    (record,) = ferry.records(f"p.{long}.{long}")
    assert record["after"] == {"id": 1, long: 2}
