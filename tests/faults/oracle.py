"""What was committed: a second slot with test_decoding, and the tables as a snapshot saw them."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg2
from harness import lsn

from services import Postgres

ROW_OPS = {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}
UNCHANGED = "unchanged-toast-datum"

_TABLE = re.compile(r"table ([^:]+): (INSERT|UPDATE|DELETE|TRUNCATE): (.*)", re.S)
_COLUMN = re.compile(r"(\w+)\[([^\]]+(?:\[\])?)\]:('(?:[^']|'')*'|[^ ']+)")
_MESSAGE = re.compile(r"message: transactional: (\d) prefix: (\w*), sz: \d+ content:(.*)", re.S)


@dataclass(frozen=True)
class Item:
    """One committed change. `op`: c, u, d, t (truncate), m (message); `row` is compared, not part of the identity."""

    xid: int
    lsn: int
    op: str
    table: str
    key: int  # the id of a row; of a message its mark
    mark: int | None = None
    row: dict[str, Any] | None = None

    @property
    def identity(self) -> tuple[int, int, str, str, int]:
        """What an event must have in common with it."""
        return self.xid, self.lsn, self.op, self.table, self.key


def parse_row(text: str) -> dict[str, str | None]:
    """The columns of test_decoding's text; unchanged TOAST as UNCHANGED."""
    row: dict[str, str | None] = {}
    for name, _type, value in _COLUMN.findall(text):
        if value.startswith("'"):
            row[name] = value[1:-1].replace("''", "'")
        else:
            row[name] = None if value == "null" else value
    return row


def shown(value: Any) -> str | None:
    """A decoded Avro value as test_decoding shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def parse_line(where: int, xid: int, line: str, roots: dict[str, str]) -> list[Item]:
    """The changes of one line; `roots` leads from the name of a table or partition to that of its topic."""
    if match := _MESSAGE.fullmatch(line):
        transactional, _prefix, content = match.groups()
        return [Item(xid if transactional == "1" else 0, where, "m", "", int(content))]
    match = _TABLE.fullmatch(line)
    assert match, line
    names, kind, text = match.groups()
    if kind == "TRUNCATE":
        tables = [name.split(".")[1] for name in names.split(", ")]
        return [Item(xid, where, "t", table, 0) for table in tables if roots[table] == table]
    table = roots[names.split(".")[1]]
    old, split, new = text.rpartition("new-tuple: ")
    if kind == "DELETE":
        row = parse_row(text)
        return [Item(xid, where, "d", table, int(row["id"]), row.get("m") and int(row["m"]))]
    row = parse_row(new)
    found = [Item(xid, where, ROW_OPS[kind], table, int(row["id"]), int(row["m"]), row)]
    if split and old:
        before = int(parse_row(old)["id"])
        if before != found[0].key:  # a key change is a delete and a create
            gone = Item(xid, where, "d", table, before)
            return [gone, Item(xid, where, "c", table, found[0].key, found[0].mark, row)]
    return found


class Oracle:
    """A slot of test_decoding that only the checker reads, once, at the end."""

    def __init__(self, pg: Postgres, database: str, roots: dict[str, str]):
        self.pg, self.database, self.roots = pg, database, roots
        self.slot = f"oracle_{database}"
        pg.sql(f"select pg_create_logical_replication_slot('{self.slot}', 'test_decoding')", dbname=database)

    def items(self) -> list[Item]:
        """Everything committed, in the order of the stream."""
        found: list[Item] = []
        for where, xid, line in self.pg.sql(  # before 16 a transaction of messages alone has no BEGIN
            f"select lsn::text, xid::text, data from pg_logical_slot_get_changes('{self.slot}', null, null, "
            "'skip-empty-xacts', '1', 'include-xids', '0')",
            dbname=self.database,
        ):
            if not line.startswith(("BEGIN", "COMMIT")):
                found.extend(parse_line(lsn(where), int(xid), line, self.roots))
        return found


@dataclass(frozen=True)
class Snapshot:
    """Which transactions a moment saw, and the mark of every row by table and id."""

    low: int
    high: int
    running: frozenset[int]
    marks: dict[str, dict[int, int]]

    def sees(self, xid: int) -> bool:
        """Whether a committed transaction counts. Ids are the lower 32 bits."""
        return xid < self.low or (xid < self.high and xid not in self.running)


def take_snapshot(pg: Postgres, database: str, tables: Iterable[str]) -> Snapshot:
    """Reads all tables at one moment; locked first, for TRUNCATE and rewrites heed no snapshot."""
    connection = pg.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute("begin isolation level repeatable read")
            cursor.execute(f"lock table {', '.join(tables)} in access share mode")
            cursor.execute("select pg_current_snapshot()::text")
            low, high, running = cursor.fetchone()[0].split(":")
            marks = {}
            for table in tables:
                cursor.execute(f"select id, m from {table}")
                marks[table] = dict(cursor.fetchall())
    finally:
        connection.close()
    numbers = frozenset(int(x) & 0xFFFFFFFF for x in running.split(",") if x)
    return Snapshot(int(low) & 0xFFFFFFFF, int(high) & 0xFFFFFFFF, numbers, marks)


class Photographer(threading.Thread):
    """Takes a few snapshots while the writers write."""

    def __init__(self, pg: Postgres, database: str, tables: list[str], seed: int, seconds: float, count: int = 3):
        super().__init__(daemon=True)
        self.pg, self.database, self.tables = pg, database, tables
        rng = random.Random(f"snapshots {seed}")
        self.pauses = [rng.uniform(0, seconds / count) for _ in range(count)]
        self.taken: list[Snapshot] = []
        self._stop_now = threading.Event()

    def run(self) -> None:
        """Takes them; one that the server's own trouble prevents is left out."""
        for pause in self.pauses:
            if self._stop_now.wait(pause):
                return
            try:
                self.taken.append(take_snapshot(self.pg, self.database, self.tables))
            except psycopg2.Error:
                pass

    def stop(self) -> None:
        """Ends it."""
        self._stop_now.set()
        self.join(30)


def final_rows(pg: Postgres, database: str, table: str) -> dict[int, dict[str, str | None]]:
    """A table as it is, values as test_decoding shows them."""
    connection = pg.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"select * from {table}")
            names = [column.name for column in cursor.description]
            return {
                row[0]: {name: shown(_plain(value)) for name, value in zip(names, row)} for row in cursor.fetchall()
            }
    finally:
        connection.close()


def _plain(value: Any) -> Any:
    return Decimal(value) if isinstance(value, float) else value
