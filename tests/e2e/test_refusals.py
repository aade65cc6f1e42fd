"""Where going on could lose or invent events walferry refuses: exit code 76, both positions, the cure."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from harness import Ferry, database, lsn

from services import MAJORS, Postgres, TcpProxy, wait_until

TABLE = "create table t (id int primary key, v text)"


def start_and_stop(run_dir, pg, db, **more) -> Ferry:
    """A pipeline that has delivered one row and stopped in order."""
    ferry = Ferry(run_dir, pg, db, **more).streaming()
    pg.sql("insert into t values (1, 'delivered')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    return ferry


def assert_refused(ferry: Ferry, code: str, *words: str) -> str:
    status, line = ferry.refused()
    assert status == 76, line
    assert f"code={code}" in line, line
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"
    return line


@pytest.mark.parametrize("major", (MAJORS[0], MAJORS[-1]))
def test_a_slot_advanced_by_somebody_else_is_a_gap(major, postgres_of, run_dir):
    """Row 10."""
    pg = postgres_of(major)
    db = database(pg, TABLE)
    ferry = start_and_stop(run_dir, pg, db)
    before = pg.slot(ferry.pipeline)["confirmed_flush_lsn"]
    pg.sql("insert into t values (2, 'skipped')", dbname=db)
    pg.sql(f"select pg_replication_slot_advance('{ferry.pipeline}', pg_current_wal_lsn())", dbname=db)
    after = pg.slot(ferry.pipeline)["confirmed_flush_lsn"]
    assert lsn(after) > lsn(before)
    line = assert_refused(ferry, "slot_gap", after, "--accept-gap")
    assert len(ferry.records()) == 1, "nothing is published after a refusal"

    # the way back: the operator decides
    ferry.args = ("--accept-gap", after)
    ferry.write()
    ferry.streaming()
    pg.sql("insert into t values (3, 'later')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert [r["after"]["id"] for r in ferry.records()] == [1, 3], line


def test_a_re_created_slot_is_a_gap(postgres, run_dir):
    """Row 9."""
    db = database(postgres, TABLE)
    ferry = start_and_stop(run_dir, postgres, db)
    postgres.sql(f"select pg_drop_replication_slot('{ferry.pipeline}')")
    postgres.sql("insert into t values (2, 'skipped')", dbname=db)
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
    assert_refused(ferry, "slot_gap", postgres.slot(ferry.pipeline)["confirmed_flush_lsn"])


def test_a_missing_slot_is_never_created_where_a_checkpoint_exists(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = start_and_stop(run_dir, postgres, db)
    postgres.sql(f"select pg_drop_replication_slot('{ferry.pipeline}')")
    assert_refused(ferry, "slot_missing", "gone")
    assert postgres.slot(ferry.pipeline) is None


def test_a_slot_re_created_during_a_network_cut_is_refused_at_the_reconnect(postgres, run_dir):
    """Row 9."""
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1, 'delivered')", dbname=db)
    ferry.caught_up()
    with postgres.connect(db) as connection, connection.cursor() as cursor:
        # one batch, so that walferry cannot come back in between
        cursor.execute(
            f"""do $$ begin
                perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{ferry.pipeline}';
                for i in 1..200 loop
                    begin
                        perform pg_drop_replication_slot('{ferry.pipeline}');
                        exit;
                    exception when object_in_use then
                        perform pg_sleep(0.001);
                    end;
                end loop;
            end $$"""
        )
    assert ferry.wait(30) == 76
    assert "code=slot_missing" in ferry.log_text()


def test_a_lost_slot_is_a_refusal_of_its_own(run_dir):
    """Row 13."""
    with Postgres(
        18, run_dir, settings={"max_slot_wal_keep_size": "16MB", "max_wal_size": "64MB", "min_wal_size": "32MB"}
    ) as pg:
        db = database(pg, TABLE)
        ferry = start_and_stop(run_dir, pg, db)
        pg.sql("create table filler (v text)")
        for _ in range(8):
            pg.sql("insert into filler select repeat('x', 1000) from generate_series(1, 20000); select pg_switch_wal()")
            pg.sql("checkpoint")
        wait_until(lambda: pg.slot(ferry.pipeline)["wal_status"] == "lost", 30, "the slot to be lost")
        assert_refused(ferry, "slot_lost", "invalidated")


def test_another_system_is_refused(postgres_of, run_dir):
    """Row 37."""
    with Postgres(17, run_dir, fresh=True) as one, Postgres(17, run_dir, fresh=True) as other:
        for pg in (one, other):
            pg.sql("create database shop")
            pg.sql(TABLE, dbname="shop")
        ferry = start_and_stop(run_dir, one, "shop")
        other.sql(f"create publication {ferry.pipeline} for all tables", dbname="shop")
        other.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname="shop")
        ferry.config["source"]["dsn"] = other.dsn("shop")
        ferry.write()
        system = other.value("select system_identifier::text from pg_control_system()")
        assert_refused(ferry, "other_system", system)


@pytest.mark.parametrize("major", (13, 17))
def test_a_promoted_standby_that_lags_behind_what_was_published_is_refused(major, run_dir):
    """Rows 34, 35: the slot made by hand on the promoted server does not hide it."""
    with Postgres(major, run_dir) as primary:
        db = database(primary, TABLE)
        ferry = start_and_stop(run_dir, primary, db)
        standby = primary.standby({"primary_conninfo": ""})
        ferry.streaming()
        primary.sql("insert into t values (2, 'published, and never on the standby')", dbname=db)
        ferry.caught_up()
        ferry.stop()
        with standby:
            standby.promote()
            standby.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
            ferry.config["source"]["dsn"] = standby.dsn(db)
            ferry.write()
            assert_refused(ferry, "other_timeline", "timeline 2", "past the fork", "--accept-divergence 2")


@pytest.mark.parametrize("way", ("clone", "restore"))
def test_a_clone_or_an_earlier_point_in_time_is_refused(way, run_dir):
    """Row 37: a base backup started as a server of its own, and a recovery that ends before the checkpoint."""
    with Postgres(16, run_dir) as pg:
        db = database(pg, TABLE)
        clone = pg.standby({"primary_conninfo": "", "primary_slot_name": ""})
        (clone.data / "standby.signal").unlink()
        if way == "restore":
            clone.configure({"restore_command": "false", "recovery_target": "immediate",
                             "recovery_target_action": "promote"})  # fmt: skip
            (clone.data / "recovery.signal").touch()
        ferry = start_and_stop(run_dir, pg, db)
        with clone:
            wait_until(lambda: not clone.value("select pg_is_in_recovery()"), 30, "the end of recovery")
            ferry.config["source"]["dsn"] = clone.dsn(db)
            ferry.write()
            status, line = ferry.refused()
            assert status == 76 and ("slot_missing" in line or "other_timeline" in line), line
            clone.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
            clone.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
            status, line = ferry.refused()
            assert status == 76, line
            words = ("other_timeline",) if way == "restore" else ("server_behind", "slot_gap")
            assert any(word in line for word in words), line
        assert len(ferry.records()) == 1


def test_a_server_behind_the_checkpoint_is_refused(run_dir):
    """Row 37: restored from a copy of its files."""
    with Postgres(16, run_dir) as pg:
        db = database(pg, TABLE)
        pg.sql("checkpoint")
        pg.stop()
        saved = run_dir / "saved"
        subprocess.run(["cp", "-a", str(pg.data), str(saved)], check=True)
        pg.start()
        ferry = start_and_stop(run_dir, pg, db)
        pg.stop()
        shutil.rmtree(pg.data)
        subprocess.run(["cp", "-a", str(saved), str(pg.data)], check=True)
        pg.start()
        pg.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
        pg.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
        status, line = ferry.refused()
        assert status == 76 and ("server_behind" in line or "slot_gap" in line), line


def test_a_publication_made_after_the_slot_is_named_with_its_cure(postgres, run_dir):
    """Row 15: the WAL before it cannot be read."""
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
    status, line = ferry.refused()
    assert status == 78 and "before the slot is made" in line, line
    postgres.sql("insert into t values (1, 'before the publication')", dbname=db)
    postgres.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
    ferry.start()
    assert ferry.wait(30) == 76
    line = ferry.log_text().splitlines()[-1]
    assert "code=publication_missing" in line and "make the slot anew" in line.lower(), line


def test_a_crash_while_the_slot_is_made_loses_nothing(postgres, run_dir):
    """Row 12: the intent is written first; whatever became of the slot, old progress does not count."""
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    blocker = postgres.connect(db)
    with blocker.cursor() as cursor:
        cursor.execute("begin; insert into t values (1, 'begun before the slot')")
        ferry.start()
        ferry.wait_log("code=slot_waits")
        wait_until(lambda: postgres.slot(ferry.pipeline), 10, "the slot to be under way")
        ferry.kill9()
        cursor.execute("commit")
    blocker.close()

    wait_until(lambda: not (postgres.slot(ferry.pipeline) or {}).get("active_pid"), 30, "the end of its session")
    if not postgres.slot(ferry.pipeline):  # the server may finish it, and find nobody to tell it to
        postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
    postgres.sql("insert into t values (2, 'after the slot')", dbname=db)
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    assert [r["after"]["id"] for r in ferry.records()] == [2]


def test_a_connection_that_lingers_after_a_crash_is_waited_for(run_dir):
    """Row 14: the server does not know yet that the old reader is gone."""
    with Postgres(18, run_dir, settings={"wal_sender_timeout": "3s"}) as pg:
        db = database(pg, TABLE)
        with TcpProxy(("127.0.0.1", pg.port)) as proxy:
            dsn = f"host=localhost hostaddr=127.0.0.1 port={proxy.port} dbname={db} user=postgres sslmode=disable"
            ferry = Ferry(run_dir, pg, db, source={"dsn": dsn}).streaming()
            holder = pg.slot(ferry.pipeline)["active_pid"]
            proxy.hold()
            ferry.kill9()
            ferry.config["source"]["dsn"] = pg.dsn(db)
            ferry.write()
            ferry.start()
            assert f"backend {holder}" in ferry.wait_log("code=standby")
            pg.sql("insert into t values (1, 'meanwhile')", dbname=db)
            ferry.wait_log("code=streaming", 15, 2)
            ferry.caught_up()
            assert pg.slot(ferry.pipeline)["active_pid"] != holder
            ferry.stop()
            assert [r["after"]["id"] for r in ferry.records()] == [1]


class Alternating(TcpProxy):
    """An address behind which every other connection reaches the other server."""

    def __init__(self, *targets: tuple[str, int]):
        super().__init__(targets[0])
        self.targets = list(targets)

    def _serve(self, client) -> None:
        self.target = self.targets[0]
        self.targets.append(self.targets.pop(0))
        super()._serve(client)


def test_an_address_of_two_servers_is_noticed(postgres_of, run_dir):
    pg = postgres_of(17)
    db = database(pg, TABLE)
    ferry = start_and_stop(run_dir, pg, db)
    with Postgres(17, run_dir) as other:  # the same system, as its clone would be
        other.sql(f"create database {db}")
        with Alternating(("127.0.0.1", pg.port), ("127.0.0.1", other.port)) as proxy:
            dsn = f"host=localhost hostaddr=127.0.0.1 port={proxy.port} dbname={db} user=postgres sslmode=disable"
            ferry.config["source"] |= {"dsn": dsn, "reconnect_max": "500ms"}
            ferry.write()
            ferry.start()
            ferry.wait_log("code=other_server.*two servers")
            proxy.targets = [("127.0.0.1", pg.port)]
            ferry.wait_log("code=streaming", 10, 2)
            ferry.caught_up()
            ferry.stop()


@pytest.mark.parametrize("major", MAJORS)
def test_a_publication_dropped_under_the_stream_is_never_silent_loss(major, postgres_of, run_dir):
    """Row 15."""
    pg = postgres_of(major)
    db = database(pg, TABLE)
    ferry = start_and_stop(run_dir, pg, db)
    pg.sql(f"drop publication {ferry.pipeline}", dbname=db)
    pg.sql("insert into t values (2, 'unpublished')", dbname=db)
    pg.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
    pg.sql("insert into t values (3, 'published again')", dbname=db)
    ferry.start()
    assert ferry.wait(30) == 76
    assert "code=publication_missing" in ferry.log_text().splitlines()[-1]
    assert [r["after"]["id"] for r in ferry.records()] == [1]


def test_damaged_checkpoints_are_refused(postgres, run_dir):
    """Row 57."""
    db = database(postgres, TABLE)
    ferry = start_and_stop(run_dir, postgres, db)
    path = ferry.dir / "state" / "checkpoint"
    path.write_bytes(b"\0" * 8192)
    assert_refused(ferry, "checkpoint_invalid", "damaged")


@pytest.mark.parametrize("restarts", (20, pytest.param(200, marks=(pytest.mark.long, pytest.mark.timeout(900)))))
def test_restarts_over_foreign_wal_are_no_gap(restarts, postgres, run_dir):
    """Row 11."""
    db = database(postgres, TABLE)
    ferry = start_and_stop(run_dir, postgres, db)
    for number in range(restarts):
        postgres.sql("create table if not exists noise (v text); insert into noise select repeat('x', 100) from generate_series(1, 50)")
        ferry.streaming()
        if number % 2:
            ferry.kill9()
        else:
            ferry.stop()
    assert "code=slot_gap" not in ferry.log_text()


def test_a_second_daemon_waits_and_takes_over(postgres, run_dir):
    """Row 38."""
    db = database(postgres, TABLE)
    first = Ferry(run_dir, postgres, db).streaming()
    second = Ferry(run_dir, postgres, db, first.config["sink"], name=first.pipeline)
    second.config["state"] = first.config["state"]
    second.write()
    second.start()
    second.wait_log("code=standby")
    postgres.sql("insert into t values (1, 'by the first')", dbname=db)
    first.caught_up()
    first.kill9()
    second.wait_log("code=streaming", timeout=5)
    postgres.sql("insert into t values (2, 'by the second')", dbname=db)
    second.caught_up()
    second.stop()
    assert sorted({r["after"]["id"] for r in second.records()}) == [1, 2]
