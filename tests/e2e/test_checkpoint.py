"""`walferry checkpoint`: what is stored is shown as it is, and changed only by who says so."""

from __future__ import annotations

import json

from harness import Ferry, database, kafka_ferry, lsn

TABLE = "create table t (id int primary key, v text)"


def stopped(run_dir, pg, db, **more) -> Ferry:
    ferry = Ferry(run_dir, pg, db, **more).streaming()
    pg.sql("insert into t values (1, 'delivered')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    return ferry


def shown(ferry: Ferry) -> dict:
    done = ferry.run_verb("checkpoint", "show", "--json", str(ferry.yaml))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_show_tells_what_is_in_the_file(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db)
    assert shown(ferry) == {"local": None, "sink": None}
    assert not (ferry.dir / "state").exists(), "looking makes nothing"
    ferry.streaming()
    postgres.sql("insert into t values (1, 'delivered')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    local = shown(ferry)["local"]
    assert lsn(local["lsn"]) == ferry.checkpoint()[0]
    assert (local["state"], local["slot"], local["timeline"]) == ("active", ferry.pipeline, 1)
    system = postgres.value("select system_identifier::text from pg_control_system()")
    assert local["system_id"] == system
    text = ferry.run_verb("checkpoint", "show", str(ferry.yaml)).stdout
    assert text.startswith("local ") and local["lsn"] in text and system in text


def test_set_needs_a_yes_and_a_stopped_daemon(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = stopped(run_dir, postgres, db)
    before = shown(ferry)
    postgres.sql("insert into t values (2, 'to be skipped')", dbname=db)
    target = postgres.lsn()
    done = ferry.run_verb("checkpoint", "set", str(ferry.yaml), target)
    assert done.returncode == 1 and "--yes" in done.stderr and shown(ferry) == before
    assert before["local"]["lsn"] in done.stdout and target in done.stdout, "before and after are shown"

    ferry.streaming()
    done = ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), target)
    assert done.returncode == 1 and "stop the daemon" in done.stderr
    ferry.stop()


def test_set_goes_on_from_there(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = stopped(run_dir, postgres, db)
    postgres.sql("insert into t values (2, 'to be skipped')", dbname=db)
    done = ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), postgres.lsn())
    assert done.returncode == 0, done.stderr
    postgres.sql("insert into t values (3, 'later')", dbname=db)
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    assert [r["after"]["id"] for r in ferry.records()] == [1, 3]


def test_set_refuses_positions_that_cannot_be_read(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = stopped(run_dir, postgres, db)
    before = shown(ferry)
    for text, word in (("0/1", "cannot be read any more"), ("FFFF/0", "WAL ends at"), ("x", "x")):
        done = ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), text)
        assert done.returncode == 1 and word in done.stderr, done.stderr
    postgres.sql(f"select pg_drop_replication_slot('{ferry.pipeline}')")
    done = ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), "slot")
    assert done.returncode == 1 and "does not exist" in done.stderr
    assert shown(ferry) == before


def test_set_slot_is_the_way_on_after_a_lost_slot_or_a_damaged_file(postgres, run_dir):
    """Rows 9, 57: the cure that the refusals name works."""
    db = database(postgres, TABLE)
    ferry = stopped(run_dir, postgres, db)
    postgres.sql(f"select pg_drop_replication_slot('{ferry.pipeline}')")
    status, line = ferry.refused()
    assert status == 76 and "checkpoint set FILE slot" in line
    postgres.sql(f"select pg_create_logical_replication_slot('{ferry.pipeline}', 'pgoutput')", dbname=db)
    assert ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), "slot").returncode == 0
    postgres.sql("insert into t values (2, 'with the new slot')", dbname=db)
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()

    path = ferry.dir / "state" / "checkpoint"
    path.write_bytes(b"\0" * 8192)
    done = ferry.run_verb("checkpoint", "show", str(ferry.yaml))
    assert done.returncode == 76 and "damaged" in done.stderr
    done = ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), "slot")
    assert done.returncode == 0 and "damaged" in done.stdout, done.stderr
    postgres.sql("insert into t values (3, 'with the new file')", dbname=db)
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    assert [r["after"]["id"] for r in ferry.records()] == [1, 2, 3]


def test_the_checkpoint_in_the_sink_is_shown_set_and_exported(postgres, run_dir, kafka):
    db = database(postgres, TABLE)
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, None, format={"encoding": "json"}, delivery="exactly_once",
        transaction_idle="500ms",
    ).streaming()  # fmt: skip
    postgres.sql("insert into t values (1, 'delivered')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    stored = shown(ferry)
    assert stored["local"]["state"] == "copy" and stored["sink"]["state"] == "active"
    assert lsn(stored["sink"]["lsn"]) >= ferry.confirmed()

    postgres.sql("insert into t values (2, 'to be skipped')", dbname=db)
    done = ferry.run_verb("checkpoint", "set", "--yes", str(ferry.yaml), postgres.lsn())
    assert done.returncode == 0, done.stderr
    postgres.sql("insert into t values (3, 'later')", dbname=db)
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    done = ferry.run_verb("checkpoint", "export", "--yes", str(ferry.yaml))
    assert done.returncode == 78 and "at_least_once first" in done.stderr

    # the way back
    ferry.config["sink"]["delivery"] = "at_least_once"
    del ferry.config["sink"]["transaction_idle"]
    ferry.write()
    status, line = ferry.refused()
    assert status == 76 and "code=checkpoint_elsewhere" in line and "checkpoint export FILE" in line
    done = ferry.run_verb("checkpoint", "export", "--yes", str(ferry.yaml))
    assert done.returncode == 0, done.stderr
    assert shown(ferry)["local"]["state"] == "active"
    postgres.sql("insert into t values (4, 'at least once')", dbname=db)
    ferry.streaming()
    ferry.caught_up()
    ferry.stop()
    values = [json.loads(r.value)["after"]["id"] for r in kafka.stream(ferry.topic("t"))]
    assert values == [1, 3, 4]
