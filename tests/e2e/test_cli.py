"""The command line as a person meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest
from harness import Ferry, database

from services import Postgres, Process, wait_until, walferry

TABLE = "create table t (id int primary key, v text)"


def run(*argv: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(walferry()), *argv], text=True, capture_output=True, timeout=timeout, check=False)


class Tail(Process):
    """`walferry tail` on a database, its lines as they come."""

    def __init__(self, run_dir, pg, db, *more: str):
        super().__init__("tail", [str(walferry()), "tail", *more, pg.dsn(db)], run_dir=run_dir)
        self.pg, self.db = pg, db

    def ready(self) -> "Tail":
        self.start()
        wait_until(lambda: self.slots(), 15, f"a temporary slot{self.tail()}")
        time.sleep(0.2)  # the slot is made; give the stream its start
        return self

    def slots(self) -> list[tuple]:
        return self.pg.sql(
            "select slot_name from pg_replication_slots where temporary and active and database = %s", (self.db,)
        )

    def lines(self, count: int) -> list[dict]:
        def enough() -> list[str] | None:
            got = [line for line in self.log_text().splitlines() if line.startswith("{")]
            return got if len(got) >= count else None

        return [json.loads(line) for line in wait_until(enough, 15, f"{count} lines{self.tail()}")]


def left_behind(pg: Postgres, db: str) -> list[tuple]:
    return pg.sql("select slot_name from pg_replication_slots where database = %s", (db,)) + pg.sql(
        "select pubname from pg_publication", dbname=db
    )


def test_tail_shows_live_changes_and_leaves_nothing_behind(postgres, run_dir):
    db = database(postgres, TABLE + "; create table keyless (v text)")
    tail = Tail(run_dir, postgres, db).ready()
    postgres.sql("insert into t values (1, 'it''s'); update t set v = null; delete from t", dbname=db)
    postgres.sql("insert into keyless values ('x'); update keyless set v = 'y'", dbname=db)
    lines = tail.lines(4)
    assert [(line["value"] or {}).get("op") for line in lines] == ["c", "u", "d", None]
    assert lines[0]["topic"].endswith("public.t") and lines[0]["key"] == {"id": 1}
    assert lines[0]["value"]["after"] == {"id": 1, "v": "it's"}
    assert tail.end_by(signal.SIGINT) == 0
    assert left_behind(postgres, db) == []


def test_the_next_tail_tidies_up_after_a_killed_one(postgres, run_dir):
    db = database(postgres, TABLE)
    Tail(run_dir, postgres, db).ready().kill9()
    wait_until(lambda: not postgres.sql("select 1 from pg_stat_activity where application_name = 'walferry' and datname = %s", (db,)),
               15, "the end of its sessions")  # fmt: skip
    tail = Tail(run_dir, postgres, db).ready()
    assert len(postgres.sql("select pubname from pg_publication", dbname=db)) == 1
    tail.stop()
    assert left_behind(postgres, db) == []


def test_tail_shows_only_the_tables_it_is_asked_for(postgres, run_dir):
    db = database(postgres, TABLE + "; create table u (id int primary key)")
    postgres.sql("create publication everything for all tables", dbname=db)
    tail = Tail(run_dir, postgres, db, "--table", "public.u").ready()
    postgres.sql("insert into t values (1, 'x'); insert into u values (2)", dbname=db)
    assert [line["key"] for line in tail.lines(1)] == [{"id": 2}]
    tail.stop()
    assert left_behind(postgres, db) == [("everything",)], "what was there stays"


def test_a_dry_run_prints_events_and_changes_nothing(postgres, run_dir):
    db = database(postgres, TABLE)
    postgres.sql("create publication dry for all tables", dbname=db)
    ferry = Ferry(run_dir, postgres, db, source={"publication": "dry"}, args=("--dry-run",)).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    line = ferry.wait_log(r'^\{"topic"')
    assert json.loads(line)["value"]["after"] == {"id": 1, "v": "x"}
    assert ferry.stop() == 0
    assert left_behind(postgres, db) == [("dry",)]
    assert not (ferry.dir / "state").exists() and ferry.files() == []


def test_run_until_delivers_up_to_a_position_and_stops(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    ferry.stop()
    postgres.sql("insert into t select i, 'x' from generate_series(1, 1000) i", dbname=db)
    ferry.args = ("--until", postgres.lsn())
    ferry.write()
    postgres.sql("insert into t values (0, 'behind it')", dbname=db)
    ferry.start()
    assert ferry.wait(30) == 0
    assert len(ferry.records()) >= 1000


@pytest.mark.parametrize("verb", ("run", "tail", "check", "read", "config"))
def test_every_verb_explains_itself(verb):
    helped = run(verb, "--help")
    assert helped.returncode == 0 and helped.stderr == ""
    assert f"walferry {verb}" in helped.stdout
    wrong = run(verb, "--nonsense")
    assert wrong.returncode == 2 and wrong.stdout == ""


def test_the_program_explains_itself():
    assert run("--help").returncode == 0
    assert "run FILE" in run("help").stdout
    assert run("version").stdout.startswith("walferry 0.")
    nothing, unknown = run(), run("rnu")
    assert (nothing.returncode, unknown.returncode) == (2, 2)
    assert "rnu" in unknown.stderr


def test_read_prints_what_is_whole_of_a_torn_file(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    for number in range(5):
        postgres.sql(f"insert into t values ({number}, repeat('x', 50))", dbname=db)
        ferry.caught_up()
    ferry.stop()
    (path,) = ferry.files()
    whole = run("read", str(path))
    assert whole.returncode == 0
    assert [json.loads(line)["after"]["id"] for line in whole.stdout.splitlines()] == [0, 1, 2, 3, 4]
    torn = run_dir / "torn.avro"
    torn.write_bytes(path.read_bytes()[:-10])
    got = run("read", str(torn))
    assert got.returncode == 1 and "torn" in got.stderr
    assert [json.loads(line)["after"]["id"] for line in got.stdout.splitlines()] == [0, 1, 2, 3]
    assert run("read", "/nonexistent.avro").returncode == 1


def test_read_shows_a_topic(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db, {"type": "kafka", "brokers": kafka.bootstrap},
                  format={"registry": registry.url}).streaming()  # fmt: skip
    postgres.sql("insert into t values (1, 'x'); delete from t", dbname=db)
    ferry.caught_up()
    ferry.stop()
    got = run("read", "--topic", ferry.topic("t"), str(ferry.yaml))
    assert got.returncode == 0, got.stderr
    lines = [json.loads(line) for line in got.stdout.splitlines()]
    assert [line["offset"] for line in lines] == [0, 1, 2]
    assert [(line["value"] or {}).get("op") for line in lines] == ["c", "d", None]
    assert all(line["key"] == {"id": 1} for line in lines)


def test_check_of_a_healthy_pipeline(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db, {"type": "kafka", "brokers": kafka.bootstrap},
                  format={"registry": registry.url})  # fmt: skip
    got = run("check", str(ferry.yaml))
    assert got.returncode == 0, got.stdout
    for word in ("configuration", "wal_level is logical", "publication", "slot", "registry", "Kafka answers"):
        assert word in got.stdout
    assert left_behind(postgres, db) == [], "check changes nothing"
    lines = [json.loads(line) for line in run("check", "--json", str(ferry.yaml)).stdout.splitlines()]
    assert {line["level"] for line in lines} <= {"ok", "warning"}
    assert all(line["cure"] for line in lines if line["level"] == "warning")


def test_check_finds_what_is_wrong_and_names_the_cure(postgres, run_dir):
    db = database(postgres, TABLE + "; create table keyless (v text)")
    ferry = Ferry(run_dir, postgres, db, {"type": "kafka", "brokers": "127.0.0.1:1"},
                  format={"registry": "http://127.0.0.1:1"})  # fmt: skip
    lines = [json.loads(line) for line in run("check", "--json", str(ferry.yaml)).stdout.splitlines()]
    errors = {line["what"]: line["cure"] for line in lines if line["level"] == "error"}
    assert any("public.keyless" in what for what in errors)
    assert any("registry" in what for what in errors) and any("Kafka" in what for what in errors)
    assert all(errors.values())


def test_check_tells_a_refusal_before_the_daemon_does(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    ferry.stop()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    postgres.sql(f"select pg_replication_slot_advance('{ferry.pipeline}', pg_current_wal_lsn())", dbname=db)
    got = run("check", str(ferry.yaml))
    assert got.returncode == 76 and "--accept-gap" in got.stdout


def test_logs_are_one_event_a_line(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    ferry.config["log"] = {"format": "json", "level": "debug"}
    ferry.write()
    ferry.start()
    wait_until(lambda: '"code":"streaming"' in ferry.log_text(), 20, "the stream")
    ferry.stop()
    for line in ferry.log_text().splitlines():
        event = json.loads(line)
        assert {"ts", "level", "code", "msg", "pipeline"} <= event.keys(), line


def test_a_dead_first_host_is_passed_over(postgres, run_dir):
    db = database(postgres, TABLE)
    dsn = f"host=127.0.0.1,127.0.0.1 port=1,{postgres.port} dbname={db} user=postgres sslmode=disable"
    ferry = Ferry(run_dir, postgres, db, source={"dsn": dsn}).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    ferry.stop()


def test_tls_is_verified(run_dir):
    with Postgres(17, run_dir, tls=True) as pg:
        db = database(pg, TABLE)
        ferry = Ferry(run_dir, pg, db, tcp=True).streaming()
        pg.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        assert pg.sql("select 1 from pg_stat_ssl s join pg_stat_replication r using (pid) where s.ssl")
        ferry.stop()
        ferry.config["source"]["dsn"] = ferry.config["source"]["dsn"].replace(
            f"sslrootcert={pg.certs.ca}", f"sslrootcert={pg.certs / 'rogue.crt'}"
        )
        ferry.write()
        ferry.start()
        ferry.wait_log("certificate")
        ferry.stop()


def test_two_pipelines_share_a_database(postgres, run_dir):
    db = database(postgres, TABLE + "; create table u (id int primary key)")
    one = Ferry(run_dir, postgres, db, source={"tables": ["public.t"]}).streaming()
    two = Ferry(run_dir, postgres, db, source={"tables": ["public.u"]}).streaming()
    postgres.sql("insert into t values (1, 'x'); insert into u values (2)", dbname=db)
    one.caught_up()
    two.caught_up()
    one.stop()
    two.stop()
    assert len(one.records()) == len(two.records()) == 1
