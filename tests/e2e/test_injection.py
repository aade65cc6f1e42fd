"""Every call on the state directory fails once, in turn: no crash, no loss, no acknowledgement past the checkpoint."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import Ferry, Sampler, database, unique_dir

from services import Postgres

SHIM = Path(__file__).with_name("faulty.c")
STARTS = 3  # a supervisor starts it again: what fails fails once per start
CALLS = {"open": "EIO", "mkdir": "ENOSPC", "pwrite": "ENOSPC", "fdatasync": "EIO", "fsync": "EIO", "flock": "EINTR",
         "rename": "EIO"}  # fmt: skip
POINTS = [(call, at, how) for call, how in CALLS.items() for at in (1, 2, 3)]
POINTS += [("pwrite", at, "short") for at in (1, 2, 3)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preloaded library, compiled."""
    library = tmp_path_factory.mktemp("faulty") / "faulty.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True)
    return library


def deliver(ferry: Ferry, pg: Postgres, db: str) -> list[int]:
    """Runs it through two batches, started again when it ends; returns the ids in its files."""
    starts = 0
    with Sampler(ferry, 0.02):
        for batch in range(2):
            while True:
                if not ferry.alive:
                    assert starts < STARTS + batch, ferry.tail()
                    starts += 1
                    ferry.start()
                try:
                    ferry.wait_log(r"code=streaming", 20)
                    break
                except AssertionError:
                    assert not ferry.alive, ferry.tail()
                    assert ferry.status in (1, 78), ferry.tail()  # said why: no signal, no refusal
                    ferry.env.pop("LD_PRELOAD", None)
            pg.sql(f"insert into t select g from generate_series({batch * 20 + 1}, {batch * 20 + 20}) g", dbname=db)
            ferry.caught_up(30)
    assert ferry.stop() == 0, ferry.tail()
    return [record["after"]["id"] for record in ferry.records(ferry.topic("t"))]


@pytest.mark.parametrize(("call", "at", "how"), POINTS, ids=lambda value: str(value))
def test_failing_call_of_the_state_directory_loses_nothing(
    run_dir: Path, postgres_of, shim: Path, call: str, at: int, how: str
) -> None:
    """Whatever comes of the call, the same events arrive, and the checkpoint stays ahead of the slot."""
    pg = postgres_of(15)
    db = database(pg, "create table t (id int primary key)")
    ferry = Ferry(unique_dir(run_dir, "faulty"), pg, db, state={"interval": "0ms"})
    ferry.env = {"LD_PRELOAD": str(shim), "FAULTY": f"{call} {at} {how}", "FAULTY_DIR": ferry.config["state"]["dir"]}
    ids = deliver(ferry, pg, db)
    assert sorted(set(ids)) == list(range(1, 41))
    if at == 1 and call != "flock":
        assert f"faulty: {call}" in ferry.log_text(), "the call was never made"
