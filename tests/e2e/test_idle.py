"""An idle pipeline costs nothing: no WAL is held, nothing is written, next to no CPU is used."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from harness import Ferry, database, lsn

from services import Postgres, wait_until

TABLE = "create table t (id int primary key, v text)"
CHUNK = "insert into filler select repeat('x', 1000) from generate_series(1, 20000)"  # about 20 MB of WAL


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def lag(pg: Postgres, slot: str) -> int:
    return lsn(pg.lsn()) - lsn(pg.slot(slot)["confirmed_flush_lsn"])


def foreign_wal(pg: Postgres, megabytes: int) -> None:
    pg.sql("create table if not exists filler (v text)")
    start = lsn(pg.lsn())
    while lsn(pg.lsn()) - start < megabytes << 20:
        pg.sql(CHUNK)
    pg.sql("truncate filler")


@pytest.mark.parametrize(
    "megabytes, seconds", [(200, 5), pytest.param(1024, 300, marks=pytest.mark.long)], ids=("short", "five minutes")
)
@pytest.mark.timeout(600)
def test_foreign_wal_is_not_held_and_nothing_is_written(run_dir, megabytes, seconds):
    with Postgres(18, run_dir, settings={"max_wal_size": "4GB"}) as pg:
        db = database(pg, TABLE)
        ferry = Ferry(run_dir, pg, db).streaming()
        pg.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        stats = "select xact_commit, tup_inserted + tup_updated + tup_deleted from pg_stat_database where datname = %s"
        pg.sql("select pg_stat_force_next_flush()", dbname=db)
        before = pg.sql(stats, (db,))
        began = time.monotonic()
        foreign_wal(pg, megabytes)
        wait_until(lambda: lag(pg, ferry.pipeline) < 64 << 20, 60, "the lag to fall under 64 MB")
        ferry.caught_up(timeout=30)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        after = pg.sql(stats, (db,))
        assert after[0][1] == before[0][1], "no write to the source database"
        assert lag(pg, ferry.pipeline) < 64 << 20
        ferry.stop()
        assert len(ferry.records()) == 1


def test_a_busy_table_that_is_filtered_out_holds_nothing_back(postgres, run_dir):
    db = database(postgres, TABLE + "; create table busy (v text primary key)")
    postgres.sql("create publication everything for all tables", dbname=db)
    ferry = Ferry(run_dir, postgres, db, source={"publication": "everything", "tables": ["public.t"]}).streaming()
    for number in range(20):
        postgres.sql(f"insert into busy select {number} || '-' || i from generate_series(1, 500) i", dbname=db)
    ferry.caught_up(timeout=15)
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert [r["source"]["table"] for r in ferry.records()] == ["t"]


def test_idling_takes_next_to_no_cpu_and_few_writes(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    checkpoint = ferry.dir / "state" / "checkpoint"
    time.sleep(1.5)
    cpu, seconds, writes, last = cpu_ms(ferry.pid), 6, 0, checkpoint.stat().st_mtime_ns
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if (now := checkpoint.stat().st_mtime_ns) != last:
            writes, last = writes + 1, now
    assert cpu_ms(ferry.pid) - cpu <= 2 * seconds + 10, "2 ms a second, and one tick of the clock"
    assert writes <= seconds + 1, "keepalives alone are worth one write a second at most"
    ferry.stop()


def test_a_new_database_is_streaming_within_a_moment(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    ferry.stop()
    began = time.monotonic()
    ferry.streaming()
    assert time.monotonic() - began < 1, "the bar is 100 ms; this machine may be busy"
    ferry.stop()
