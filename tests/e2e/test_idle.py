"""An idle pipeline: holds back no WAL, writes nothing to the source, costs next to nothing."""

from __future__ import annotations

import time

import pytest
from harness import Ferry, database, lsn

from services import Postgres, wait_until

TABLE = "create table t (id int primary key, v text)"
MIB = 1 << 20


def foreign_wal(pg: Postgres, mib: int) -> None:
    """Writes that much WAL in a database that no pipeline reads."""
    begin = lsn(pg.lsn())
    pg.sql("create table if not exists foreign_rows (v text)")
    while lsn(pg.lsn()) - begin < mib * MIB:
        pg.sql("insert into foreign_rows select repeat('x', 1000) from generate_series(1, 10000)")
        pg.sql("truncate foreign_rows")


def written(pg: Postgres, db: str) -> tuple:
    """What the statistics of a database say about writes."""
    return pg.sql(
        "select tup_inserted, tup_updated, tup_deleted from pg_stat_database where datname = %s", (db,)
    )[0]


@pytest.mark.parametrize(
    "mib, quiet_s", ((200, 5), pytest.param(1024, 300, marks=(pytest.mark.long, pytest.mark.timeout(900))))
)
def test_foreign_wal_is_let_go_by_an_idle_pipeline(run_dir, mib, quiet_s, record_property):
    with Postgres(17, run_dir) as pg:
        db = database(pg, TABLE)
        ferry = Ferry(run_dir, pg, db).streaming()
        pg.sql("insert into t values (1, 'x')", dbname=db)
        ferry.caught_up()
        ferry.stop()  # so that its session's statistics are written
        ferry.streaming()
        time.sleep(1.5)
        before = written(pg, db)
        catalog = pg.value("select sum(pg_relation_size(oid)) from pg_class", dbname=db)

        end = time.monotonic() + quiet_s
        saves, cpu = ferry.checkpoint()[1], ferry.cpu_s()
        foreign_wal(pg, mib)
        behind = lsn(pg.lsn())
        wait_until(lambda: behind - ferry.confirmed() < 64 * MIB, 60, "the slot to let go of foreign WAL")
        busy_s = time.monotonic() - end + quiet_s
        assert ferry.checkpoint()[1] - saves <= busy_s * 2 + 2, "foreign WAL is no reason to write all the time"
        print({"foreign_mib": mib, "cpu_ms_per_s": round((ferry.cpu_s() - cpu) * 1000 / busy_s, 2)})

        wait_until(lambda: ferry.confirmed() >= behind, 60, "the last keepalive")
        quiet = max(end - time.monotonic(), 5)
        saves, cpu = ferry.checkpoint()[1], ferry.cpu_s()
        time.sleep(quiet)
        per_s = (ferry.cpu_s() - cpu) * 1000 / quiet
        record_property("idle_cpu_ms_per_s", per_s)
        print({"idle_cpu_ms_per_s": round(per_s, 3), "saves": ferry.checkpoint()[1] - saves, "quiet_s": round(quiet, 1)})
        assert per_s <= 2, f"{per_s:.2f} ms/s"
        assert ferry.checkpoint()[1] - saves <= quiet + 1, "idle it writes at most once a second"

        assert written(pg, db) == before, "walferry writes nothing to the source"
        assert pg.value("select sum(pg_relation_size(oid)) from pg_class", dbname=db) == catalog

        pg.sql("checkpoint")  # says which transactions run: from such a record restart_lsn can move on
        wait_until(lambda: behind - lsn(pg.slot(ferry.pipeline)["restart_lsn"]) < 64 * MIB, 30, "restart_lsn to move")
        assert ferry.stop() == 0


@pytest.mark.parametrize("publication", (None, "wide"), ids=("by the publication", "by walferry itself"))
def test_a_busy_table_that_is_filtered_out_holds_nothing_back(postgres, run_dir, publication):
    db = database(postgres, TABLE + "; create table busy (id int primary key, v text)")
    source = {"tables": ["public.t"]}
    if publication:  # it has more tables than the configuration wants
        postgres.sql(f"create publication {publication} for all tables", dbname=db)
        source["publication"] = publication
    ferry = Ferry(run_dir, postgres, db, source=source).streaming()
    for _ in range(3):
        postgres.sql("insert into busy select i, repeat('x', 1000) from generate_series(1, 2000) i", dbname=db)
        postgres.sql("delete from busy", dbname=db)
        ferry.caught_up(20)
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    assert [path.parent.name for path in ferry.files()] == [ferry.topic("t")]


def test_an_idle_pipeline_survives_and_goes_on(postgres, run_dir):
    db = database(postgres, TABLE)
    ferry = Ferry(run_dir, postgres, db).streaming()
    backend = postgres.slot(ferry.pipeline)["active_pid"]
    time.sleep(3)
    postgres.sql("insert into t values (1, 'x')", dbname=db)
    ferry.caught_up(5)
    assert postgres.slot(ferry.pipeline)["active_pid"] == backend
