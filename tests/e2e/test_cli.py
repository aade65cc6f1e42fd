"""The command line: what every verb prints, what it leaves alone, how it ends."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from harness import Ferry, database, kafka_ferry, unique

from services import Postgres, Process, wait_until, walferry

TABLE = "create table t (id int primary key, v text); create table u (id int primary key)"
VERBS = ("run", "tail", "check", "checkpoint", "read", "schema", "config")


def run(*argv: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(walferry()), *argv], text=True, capture_output=True, timeout=timeout, check=False)


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


# ---------------------------------------------------------------- help and usage


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("option", ("--help", "-h"))
def test_every_verb_explains_itself(verb, option):
    done = run(verb, option)
    assert done.returncode == 0 and done.stderr == ""
    assert f"walferry {verb}" in done.stdout and "xit" in done.stdout, "usage and exit codes"
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_program_lists_its_verbs():
    for option in ("--help", "help", "-h"):
        done = run(option)
        assert done.returncode == 0
        assert all(re.search(rf"^  {verb}\b", done.stdout, re.M) for verb in (*VERBS, "version"))


@pytest.mark.parametrize(
    "argv",
    (
        ["fly"], [], ["run"], ["run", "a", "b"], ["run", "--nosuch", "a"], ["run", "--until", "x", "a"],
        ["run", "--accept-divergence", "0x", "a"], ["tail"], ["check"], ["read"], ["checkpoint"], ["checkpoint", "show"], ["checkpoint", "set", "f"], ["checkpoint", "fly", "f"],
         ["read", "--topic", "t"], ["read", "--hex", "00", "--topic", "t", "f"], ["read", "--schema", "f", "g"],
        ["schema"], ["schema", "f"], ["config"],
        ["config", "show"], ["config", "fly"],
    ),
)  # fmt: skip
def test_a_wrong_command_line_is_2_and_says_so_on_standard_error(argv):
    done = run(*argv)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


def test_version_is_one_line():
    for option in ("version", "--version"):
        done = run(option)
        assert done.returncode == 0 and re.fullmatch(r"walferry \d+\.\d+\.\d+\S*\n", done.stdout)


# ---------------------------------------------------------------- tail


class Tail(Process):
    """`walferry tail` of a database, its output in the log."""

    def __init__(self, run_dir, pg: Postgres, db: str, *args: str):
        super().__init__("tail", [walferry(), "tail", *args, pg.dsn(db)], run_dir)
        self.pg, self.db = pg, db

    def reading(self) -> "Tail":
        self.start()

        def active():
            assert self.alive, self.tail()
            return self.pg.sql(
                "select active_pid from pg_replication_slots where slot_name like 'walferry_tail_%%' "
                "and database = %s and active", (self.db,)
            )  # fmt: skip

        wait_until(active, 20, "tail to read")
        return self

    def wait_lines(self, n: int) -> list[dict]:
        wait_until(lambda: len(json_lines(self.log_text())) >= n, 20, f"{n} lines of tail{self.tail()}")
        return json_lines(self.log_text())


def left(pg: Postgres, db: str) -> list[tuple]:
    """Slots and publications of a database."""
    slots = pg.sql("select slot_name from pg_replication_slots where database = %s", (db,))
    return slots + pg.sql("select pubname from pg_publication", dbname=db)


def test_tail_needs_a_dsn_only_and_leaves_nothing(postgres, run_dir):
    db = database(postgres, TABLE + "; create table keyless (v text)")
    tail = Tail(run_dir, postgres, db).reading()
    postgres.sql("insert into t values (1, 'größer'); update t set v = 'x'; delete from t", dbname=db)
    postgres.sql("insert into keyless values ('x'); update keyless set v = 'y'", dbname=db)
    lines = tail.wait_lines(3)
    values = [line["value"] for line in lines if line["value"]]
    assert [v["op"] for v in values] == ["c", "u", "d"]
    assert values[0]["after"] == {"id": 1, "v": "größer"} and lines[0]["key"] == {"id": 1}
    assert tail.end_by(2) == 0
    wait_until(lambda: left(postgres, db) == [], 10, "slot and publication to be gone")


def test_what_a_killed_tail_leaves_the_next_one_clears(postgres, run_dir):
    db = database(postgres, TABLE)
    Tail(run_dir, postgres, db).reading().kill9()
    wait_until(lambda: len(left(postgres, db)) == 1, 10, "the temporary slot to be gone")
    assert left(postgres, db)[0][0].startswith("walferry_tail_")
    tail = Tail(run_dir, postgres, db).reading()
    assert len([name for (name,) in left(postgres, db) if name.startswith("walferry_tail_")]) == 2, "its own two"
    assert tail.stop() == 0
    wait_until(lambda: left(postgres, db) == [], 10, "everything to be gone")


def test_tail_shows_the_tables_it_is_asked_for(postgres, run_dir):
    db = database(postgres, TABLE)
    tail = Tail(run_dir, postgres, db, "--table", "public.u").reading()
    postgres.sql("insert into t values (1, 'x'); insert into u values (1); insert into u values (2)", dbname=db)
    assert [line["value"]["source"]["table"] for line in tail.wait_lines(2)] == ["u", "u"]
    tail.stop()


def test_tail_reads_through_an_existing_publication_and_keeps_it(postgres, run_dir):
    db = database(postgres, TABLE)
    postgres.sql("create publication everything for all tables", dbname=db)
    tail = Tail(run_dir, postgres, db, "--table", "public.t").reading()
    postgres.sql("insert into u values (1); insert into t values (1, 'x')", dbname=db)
    assert tail.wait_lines(1)[0]["value"]["source"]["table"] == "t"
    assert postgres.sql("select pubname from pg_publication", dbname=db) == [("everything",)]
    tail.stop()
    assert postgres.sql("select pubname from pg_publication", dbname=db) == [("everything",)]


def test_tail_of_nothing_says_what_is_wrong(postgres, run_dir):
    for dsn, word in (("host=/nosuch dbname=x", "/nosuch"), (postgres.dsn("nosuch"), "nosuch"), ("dbnam=x", "dbnam")):
        done = run("tail", dsn)
        assert done.returncode in (1, 78) and word in done.stderr and done.stdout == ""


# ---------------------------------------------------------------- run


def test_a_dry_run_prints_and_changes_nothing(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    ferry.stop()
    before = postgres.slot(ferry.pipeline)["confirmed_flush_lsn"]
    checkpoint = ferry.checkpoint()
    dry = Process("dry", [walferry(), "run", "--dry-run", ferry.yaml], run_dir)
    dry.start()
    active = f"select 1 from pg_replication_slots where temporary and active and database = '{db}'"
    wait_until(lambda: postgres.sql(active), 20, "the dry run to read")
    postgres.sql("insert into t values (1, 'shown')", dbname=db)
    wait_until(lambda: "shown" in dry.log_text(), 20, f"the event{dry.tail()}")
    assert json_lines(dry.log_text())[0]["value"]["after"]["v"] == "shown"
    assert dry.stop() == 0
    assert left(postgres, db) == [(ferry.pipeline,), (ferry.pipeline,)]
    assert postgres.slot(ferry.pipeline)["confirmed_flush_lsn"] == before
    assert ferry.checkpoint() == checkpoint and ferry.files() == []
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    assert [r["after"]["id"] for r in ferry.records()] == [1], "the daemon still delivers what the dry run showed"


@pytest.mark.parametrize("profile, op", [("native", "op"), ("row", "__op")])
def test_a_dry_run_shows_the_profile_that_is_configured(postgres, run_dir, profile, op):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db, format={"profile": profile}).streaming()
    ferry.stop()
    dry = Process("dry", [walferry(), "run", "--dry-run", ferry.yaml], run_dir)
    dry.start()
    active = f"select 1 from pg_replication_slots where temporary and active and database = '{db}'"
    wait_until(lambda: postgres.sql(active), 20, "the dry run to read")
    postgres.sql("insert into t values (1, 'shown'); delete from t", dbname=db)
    wait_until(lambda: len(json_lines(dry.log_text())) >= 2, 20, f"the events{dry.tail()}")
    assert dry.stop() == 0
    created, gone, *more = json_lines(dry.log_text())
    row = created["value"] if profile == "row" else created["value"]["after"]
    assert (row["id"], row["v"], created["value"][op]) == (1, "shown", "c")
    assert ("source" in created["value"]) == ("unavailable" in created["value"]) == (profile == "native")
    if profile == "row":
        assert gone["value"] is None and not more, "a delete is a tombstone"
    else:
        assert gone["value"]["op"] == "d" and gone["value"]["before"]["id"] == 1


def test_a_dry_run_without_a_publication_is_refused_and_makes_none(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    dry = Process("dry", [walferry(), "run", "--dry-run", ferry.yaml], run_dir)
    dry.start()
    active = f"select 1 from pg_replication_slots where temporary and active and database = '{db}'"
    wait_until(lambda: not dry.alive or postgres.sql(active), 20, "the dry run to read")
    postgres.sql("insert into t values (1, 'unseen')", dbname=db)
    wait_until(lambda: not dry.alive, 20, f"the dry run to end{dry.tail()}")
    assert dry.status in (76, 78)
    last = dry.log_text().splitlines()[-1]
    assert "publication" in last and ferry.pipeline in last, last
    wait_until(lambda: left(postgres, db) == [], 10, "nothing to be left")
    assert not (ferry.dir / "state").exists()


def test_until_ends_once_everything_before_is_delivered(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    ferry.stop()
    postgres.sql("insert into t select i, 'x' from generate_series(1, 1000) i", dbname=db)
    ferry.args = ("--until", postgres.lsn())
    ferry.write()
    ferry.start()
    assert ferry.wait(30) == 0
    assert len(ferry.records()) == 1000


def test_every_line_of_the_json_log_is_an_object(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    ferry.config["log"] = {"format": "json", "level": "debug"}
    ferry.write()
    ferry.start()
    ferry.wait_log('"code":"streaming"')
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    postgres.sql(f"select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{ferry.pipeline}'")
    ferry.wait_log('"code":"streaming"', 20, 2)
    ferry.stop()
    lines = [json.loads(line) for line in ferry.log_text().splitlines()]
    for line in lines:
        assert {"ts", "level", "code", "msg"} <= line.keys() and line["pipeline"] == ferry.pipeline
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
        assert line["level"] in ("error", "warn", "info", "debug")
    assert {"streaming", "stopped"} <= {line["code"] for line in lines}


def test_every_event_of_the_log_is_one_line_of_fields(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql(f"select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{ferry.pipeline}'")
    ferry.wait_log("code=streaming", 20, 2)
    ferry.stop()
    field = r'[a-z_]+=(?:[^\s"]+|"(?:[^"\\]|\\.)*")'
    for line in ferry.log_text().splitlines():
        assert re.fullmatch(rf"{field}(?: {field})*", line), line
        assert line.startswith("ts=") and " level=" in line and " code=" in line and ' msg="' in line


def test_the_first_host_may_be_dead(postgres, run_dir):
    db = database(postgres, TABLE)
    dsn = f"host=127.0.0.1,127.0.0.1 port=1,{postgres.port} dbname={db} user=postgres sslmode=disable"
    ferry = Ferry(run_dir, postgres, db, source={"dsn": dsn}).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0 and len(ferry.records()) == 1


def test_tls_is_verified(run_dir):
    with Postgres(17, run_dir, tls=True) as pg:
        db = database(pg, TABLE)
        ferry = Ferry(run_dir, pg, db, tcp=True).streaming()
        used = pg.sql("select ssl from pg_stat_ssl join pg_stat_replication using (pid)")
        assert used == [(True,)]
        pg.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        assert ferry.stop() == 0 and len(ferry.records()) == 1

        ferry.config["source"]["dsn"] = pg.dsn(db, tcp=True).replace(pg.certs.ca, pg.certs / "rogue-ca.crt")
        ferry.write()
        status, line = ferry.refused()
        assert status == 78 and "certificate verify failed" in line and "hint: sslrootcert" in line, line
        code, findings = check(ferry)
        assert code == 78 and "sslrootcert" in errors(findings)


def test_two_pipelines_of_one_database_do_not_meet(postgres, run_dir):
    db = database(postgres, TABLE)
    one = Ferry(run_dir, postgres, db).streaming()
    two = Ferry(run_dir, postgres, db, source={"tables": ["public.t"]}).streaming()
    postgres.sql("insert into t values (1, 'x'); insert into u values (1)", dbname=db)
    one.caught_up()
    assert one.stop() == 0
    postgres.sql("insert into t values (2, 'x')", dbname=db)
    two.caught_up()
    assert two.stop() == 0
    assert len(one.records()) == 2
    assert [r["after"]["id"] for r in two.records()] == [1, 2]
    assert {path.parent.name for path in two.files()} == {two.topic("t")}


# ---------------------------------------------------------------- check


def check(ferry: Ferry) -> tuple[int, list[dict]]:
    """Exit code and findings. The text has the same findings, and its cures."""
    told = ferry.run_verb("check", str(ferry.yaml))
    done = ferry.run_verb("check", "--json", str(ferry.yaml))
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert told.returncode == done.returncode
    for finding in findings:
        assert finding["level"] in ("ok", "warning", "error") and finding["what"]
        assert finding["level"] == "ok" or finding["cure"], f"no cure: {finding}"
    for word in ("error", "warning"):
        n = sum(finding["level"] == word for finding in findings)
        assert re.search(rf"\b{n} {word}", told.stdout), told.stdout
    return done.returncode, findings


def errors(findings: list[dict]) -> str:
    return "\n".join(f"{f['what']} -> {f['cure']}" for f in findings if f["level"] == "error")


def test_check_of_a_whole_path_is_all_right_and_changes_nothing(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry)
    code, findings = check(ferry)
    assert code == 0 and errors(findings) == ""
    said = " ".join(f["what"] for f in findings)
    for word in ("configuration", "PostgreSQL 18", "publication", "slot", "Kafka answers", "registry"):
        assert word in said, word
    assert left(postgres, db) == [] and not (ferry.dir / "state").exists()
    ferry.streaming()
    assert check(ferry)[0] == 0, "beside the running daemon, too"
    ferry.stop()


@pytest.mark.parametrize(
    "source, word, cure",
    (
        ({"create": False}, "does not exist", "CREATE PUBLICATION"),
        ({"dsn": "host=/nosuch dbname=x"}, "/nosuch", "source.dsn"),
        ({"tables": ["public.keyless"]}, "public.keyless", "REPLICA IDENTITY FULL"),
    ),
)
def test_check_finds_what_is_wrong_at_the_source(postgres, run_dir, source, word, cure):
    db = database(postgres, TABLE + "; create table keyless (v text)")
    ferry = Ferry(run_dir, postgres, db, source={"tables": ["public.t"], **source})
    code, findings = check(ferry)
    assert code in (1, 78)
    assert word in errors(findings) and cure in errors(findings), errors(findings)


def test_check_finds_a_gap_and_ends_as_the_daemon_would(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    postgres.sql("insert into t values (2, 'x')", dbname=db)
    postgres.sql(f"select pg_replication_slot_advance('{ferry.pipeline}', pg_current_wal_lsn())", dbname=db)
    code, findings = check(ferry)
    assert code == 76 and "--accept-gap" in errors(findings)


def test_check_finds_a_slot_of_another_kind(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'test_decoding')", dbname=db)
    code, findings = check(ferry)
    assert code == 78 and "test_decoding" in errors(findings)


def test_check_finds_a_silent_broker_and_registry(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(
        run_dir, postgres, db, {"type": "kafka", "brokers": "127.0.0.1:1"}, format={"registry": "http://127.0.0.1:1"}
    )
    done = ferry.run_verb("check", "--json", str(ferry.yaml))  # once: it waits for seconds
    assert done.returncode == 1
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert "Kafka does not answer" in errors(findings) and "sink.brokers" in errors(findings)
    assert "http://127.0.0.1:1" in errors(findings) and "format.registry" in errors(findings)


def test_check_warns_about_an_impatient_server(run_dir):
    with Postgres(16, run_dir, settings={"wal_sender_timeout": "5s"}) as pg:
        code, findings = check(Ferry(run_dir, pg, database(pg, TABLE)))
        assert code == 0
        assert any(f["level"] == "warning" and "wal_sender_timeout" in f["what"] for f in findings)


def test_check_of_a_broken_configuration_is_78(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres")
    ferry.yaml.write_text("source:\n  dsn: dbname=x\n  slto: y\n")
    done = ferry.run_verb("check", "--json", str(ferry.yaml))
    assert done.returncode == 78 and "source.slto" in done.stderr
    assert json.loads(done.stdout)["level"] == "error"


# ---------------------------------------------------------------- config


def test_config_show_is_a_configuration_again_and_hides_secrets(postgres, run_dir):
    ferry = Ferry(run_dir, postgres, "postgres", source={"password": "canary-91"})
    shown = ferry.run_verb("config", "show", str(ferry.yaml))
    assert shown.returncode == 0 and "canary-91" not in shown.stdout
    again = run_dir / f"{unique('again')}.yaml"
    again.write_text(shown.stdout)
    again.chmod(0o600)
    assert ferry.run_verb("config", "show", str(again)).returncode == 0
    assert f"slot: {ferry.pipeline}" in shown.stdout


def test_config_docs_is_the_page_in_docs():
    from services import REPOSITORY

    done = run("config", "docs")
    assert done.returncode == 0
    assert done.stdout == (REPOSITORY / "docs" / "options.md").read_text()


def test_config_schema_is_a_json_schema():
    schema = json.loads(run("config", "schema").stdout)
    assert {"source", "sink", "format", "state", "log"} <= schema["properties"].keys()


# ---------------------------------------------------------------- read


def test_read_prints_files_and_of_a_torn_one_what_is_whole(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t select i, repeat('x', 1000) from generate_series(1, 300) i", dbname=db)
    ferry.caught_up()
    ferry.stop()
    (path,) = ferry.files()
    done = run("read", str(path))
    assert done.returncode == 0
    assert [line["after"]["id"] for line in json_lines(done.stdout)] == list(range(1, 301))
    assert [line["op"] for line in json_lines(done.stdout)] == ["c"] * 300

    torn = run_dir / "torn.avro"
    torn.write_bytes(path.read_bytes()[:-500])
    done = run("read", str(torn), str(path))
    ids = [line["after"]["id"] for line in json_lines(done.stdout)]
    assert done.returncode == 1 and str(torn) in done.stderr
    whole = len(ids) - 300
    assert 100 < whole < 300 and ids[:whole] == list(range(1, whole + 1)), "the blocks before the tear, then the other file"
    assert run("read", "/nosuch.avro").returncode == 1
    torn.write_bytes(b"\0" * 100)
    assert run("read", str(torn)).returncode == 1


def test_read_prints_a_topic(postgres, run_dir, kafka, registry):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, partitions=2).streaming()
    postgres.sql("insert into t values (1, 'größer'); delete from t", dbname=db)
    ferry.caught_up()
    done = run("read", "--topic", ferry.topic("t"), str(ferry.yaml))
    assert done.returncode == 0, done.stderr
    created, deleted, tombstone = json_lines(done.stdout)
    assert created["key"] == {"id": 1} and created["value"]["after"] == {"id": 1, "v": "größer"}
    assert deleted["value"]["op"] == "d"
    assert tombstone["value"] is None and tombstone["key"] == {"id": 1}
    assert [line["offset"] for line in (created, deleted, tombstone)] == [0, 1, 2]
    assert {line["partition"] for line in (created, deleted, tombstone)} <= {0, 1}
    done = run("read", "--topic", "no.such.topic", str(ferry.yaml))
    assert done.returncode == 1 and "no.such.topic" in done.stderr
