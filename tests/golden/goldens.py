"""The captured records, in the form in which the replay reads its own back."""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from golden.psql_file import PsqlFile

DATA = Path(__file__).resolve().parent / "data"
RUNS = ("main", "alt1", "alt2", "alt3", "alt4", "root")


class Part(NamedTuple):
    """A key or a value: the text of its schema and the Avro bytes."""

    schema: str
    data: bytes


class Record(NamedTuple):
    """A record of a topic; a tombstone has no value."""

    key: Part | None
    value: Part | None
    headers: Sequence[tuple[str, str]]


def topic_prefix(run: str) -> str:
    """What the capture's topics begin with."""
    return "srv" if run == "main" else run


@functools.cache
def load(run: str) -> dict[str, list[Record]]:
    """Every topic of a captured run."""
    topics: dict[str, list[Record]] = {}
    for entry in json.loads(gzip.decompress((DATA / f"{run}.json.gz").read_bytes())):
        texts = entry["schemas"]

        def part(stored: list[Any] | None, texts: list[str] = texts) -> Part | None:
            return Part(texts[stored[0]], bytes.fromhex(stored[1])) if stored else None

        topics[entry["topic"]] = [
            Record(part(key), part(value), [(name, text) for name, text in headers])
            for key, value, headers in entry["records"]
        ]
    return topics


def _plain(node: Any) -> Any:
    """A schema without what changes how fastavro shows a value, or what it refuses to parse."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {k: _plain(v) for k, v in node.items() if k not in ("logicalType", "default")}
    if "namespace" in kept:  # srv.public.1digit is none
        kept["namespace"] = re.sub(r"(^|\.)(?=\d)", r"\1_", kept["namespace"])
    return kept


@functools.cache
def parsed(text: str) -> Any:
    """A schema text as fastavro wants it; values come undisturbed by logical types."""
    return fastavro.parse_schema(_plain(json.loads(text)))


def run_captured(pg, database: str, name: str, **variables: int) -> None:
    """Runs one file of the captured SQL on a database of `pg`."""
    connection = pg.connect(database)
    try:
        PsqlFile(connection, variables).run(DATA / "sql" / f"{name}.sql")
    finally:
        connection.close()
