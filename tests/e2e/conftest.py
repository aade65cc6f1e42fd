"""What every end-to-end test can ask for: servers that live as long as the run, a directory of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import fastavro.read
import pytest
from harness import Ferry, drop_slots

from services import Kafka, Postgres, Process, Registry, default_run_dir
from services.runtime import running

_shared: dict[int, Postgres] = {}


@pytest.fixture
def run_dir(request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own that every user may enter."""
    path = default_run_dir() / re.sub(r"\W+", "-", request.node.name)[:40].strip("-")
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def numbers_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates and times stay numbers: Python's calendar has neither 24:00 nor infinity."""
    for logical in list(fastavro.read.LOGICAL_READERS):
        monkeypatch.delitem(fastavro.read.LOGICAL_READERS, logical)


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[int], Postgres]]:
    """postgres_of(15): the one shared server of a major. Use databases and slots of your own there."""

    def of(major: int) -> Postgres:
        if major not in _shared or not _shared[major].alive:
            _shared[major] = Postgres(major)
            _shared[major].start()
        return _shared[major]

    yield of
    for server in _shared.values():
        server.close()


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """Ends the test's pipelines and drops their slots: a shared server has room for twenty."""
    yield
    for process in running():
        if isinstance(process, Ferry):
            process.kill9()
    for server in _shared.values():
        if server.alive:
            drop_slots(server)


@pytest.fixture(scope="session")
def postgres(postgres_of: Callable[[int], Postgres]) -> Postgres:
    """The shared server of the newest major."""
    return postgres_of(18)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The shared broker. Tests that stop one start their own."""
    with Kafka() as server:
        yield server


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """The shared schema registry."""
    with Registry() as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Puts the end of every log beside a failure."""
    report = yield
    if report.failed:
        processes: list[Process] = running()
        for process in processes:
            report.sections.append((f"log of {process.name}", process.tail(40)))
    return report
