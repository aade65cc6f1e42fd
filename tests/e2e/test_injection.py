"""Every call on the state directory fails once, in turn: no crash, no loss, no acknowledgement past the checkpoint."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import Decoder, Ferry, Sampler, database, kafka_ferry, unique_dir

from services import Postgres, wait_until

SHIM = Path(__file__).with_name("faulty.c")
STARTS = 3  # a supervisor starts it again: what fails fails once per start
CALLS = {"open": "EIO", "mkdir": "ENOSPC", "pwrite": "ENOSPC", "fdatasync": "EIO", "fsync": "EIO", "flock": "EINTR",
         "rename": "EIO"}  # fmt: skip
POINTS = [(call, at, how) for call, how in CALLS.items() for at in (1, 2, 3)]
POINTS += [("pwrite", at, "short") for at in (1, 2, 3)]
POINTS += [(call, 1, "EINTR") for call in ("open", "mkdir", "pwrite", "pread", "fdatasync", "fsync", "rename")]
POINTS += [("pread", 1, how) for how in ("EIO", "short")]


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


@pytest.mark.parametrize("call", ("read", "write", "fsync"))
@pytest.mark.parametrize("how", ("EIO", "EINTR", "short"))
def test_failing_call_on_the_schema_ids_stops_no_event(
    run_dir: Path, postgres_of, kafka, registry, shim: Path, call: str, how: str
) -> None:
    """The file of ids is a convenience: without it the registry is asked again."""
    pg = postgres_of(15)
    db = database(pg, "create table t (id int primary key)")
    ferry = kafka_ferry(unique_dir(run_dir, "ids"), pg, db, kafka, registry, delivery="exactly_once")
    state = f"{ferry.config['state']['dir']}/schema"
    for batch in range(2):  # in the first the file is made, then it is read
        ferry.env = {"LD_PRELOAD": str(shim), "FAULTY": f"{call} 1 {how}", "FAULTY_DIR": state}
        ferry.streaming()
        pg.sql(f"insert into t select g from generate_series({batch * 20 + 1}, {batch * 20 + 20}) g", dbname=db)
        ferry.caught_up(30)
        assert ferry.stop() == 0, ferry.tail()
    decode, topic = Decoder(registry), ferry.topic("t")
    wait_until(lambda: len(kafka.read(topic)) >= 40, 20, "the events")
    assert [decode(r.key)["id"] for r in kafka.read(topic)] == list(range(1, 41))
    assert f"faulty: {call}" in ferry.log_text(), "the call was never made"
