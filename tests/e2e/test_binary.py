"""`source.binary: on`: values that come in binary form give the events of values that come as text."""

from __future__ import annotations

import random
import string
from typing import Any

import fastavro.read
import pytest
from golden.goldens import DATA
from golden.psql_file import PsqlFile
from harness import Ferry, database

from services import Postgres

UNREADABLE = ("public.t_other.rc",)  # regclass: a number in binary form, a name in the text


@pytest.fixture(autouse=True)
def numbers_as_they_are(monkeypatch) -> None:
    """Python's calendar has neither 24:00 nor infinity."""
    for logical in list(fastavro.read.LOGICAL_READERS):
        monkeypatch.delitem(fastavro.read.LOGICAL_READERS, logical)


def both(run_dir, pg: Postgres, db: str, source: dict[str, Any] | None = None, **format: Any) -> tuple[Ferry, Ferry]:
    """Two pipelines of one topic prefix, one publication."""
    pg.sql("create publication one for all tables", dbname=db)
    modes = {"prefix": "x", "event_converting_failure_handling_mode": "warn", **format}
    made = [
        Ferry(run_dir, pg, db, source={"binary": binary, "publication": "one", **(source or {})}, format=modes).streaming()
        for binary in (False, True)
    ]
    return made[0], made[1]


def events(ferry: Ferry) -> dict[str, list[dict[str, Any]]]:
    ferry.caught_up()
    assert ferry.stop() == 0
    found: dict[str, list[dict[str, Any]]] = {path.parent.name: [] for path in ferry.files()}
    for name, records in found.items():
        for record in ferry.records(name):
            if "sequence" in record.get("source", {}):  # a pipeline does not know what came before its start
                record["source"]["sequence"] = record["source"]["sequence"].split(",")[-1]
            for key in ("ts_ms", "ts_us", "ts_ns"):
                record.pop(key, None)
                if name.endswith(".message"):
                    record["source"].pop(key, None)
            records.append(record)
    return found


def assert_equal(binary: Ferry, text: Ferry) -> int:
    """Every event of every topic; returns how many there were."""
    got, wanted = events(binary), events(text)
    assert got.keys() == wanted.keys()
    wrong = [
        f"{topic}.{name}: {(ours[part] or {}).get(name)!r}, not {value!r}"
        for topic in wanted
        for ours, theirs in zip(got[topic], wanted[topic])
        for part in ("before", "after")
        for name, value in (theirs.get(part) or {}).items()
        if repr((ours[part] or {}).get(name)) != repr(value)
    ]
    assert not wrong, "\n".join(wrong)
    assert repr(got) == repr(wanted)
    return sum(map(len, wanted.values()))


def was_binary(ferry: Ferry) -> bool:
    return "binary 'true'" in ferry.pg.log_text() and "code=binary_off" not in ferry.log_text()


@pytest.mark.parametrize("profile", ["debezium", "native"])
def test_the_captured_sql_gives_the_same_events(postgres, run_dir, profile):
    """Every type of the capture: scalars, arrays, composites, domains, ranges, extensions."""
    db = database(postgres)

    def run(name: str, **variables: int) -> None:
        connection = postgres.connect(db)
        try:
            PsqlFile(connection, variables).run(DATA / "sql" / f"{name}.sql")
        finally:
            connection.close()

    run("01-schema")
    # A scale that fastavro refuses; types whose text only the server can tell.
    text, binary = both(run_dir, postgres, db, {"exclude_columns": ["public.t_num.n3_5", *UNREADABLE]}, profile=profile)
    run("02-rows", b=100)
    run("03-stream")
    assert assert_equal(binary, text) > 100
    assert was_binary(binary), [line for line in binary.log_text().splitlines() if "binary_off" in line]
