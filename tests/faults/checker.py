"""Compares what arrived with what was committed. The numbers I1 to I11 are explained in docs/faults.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faults.oracle import UNCHANGED, Item, Snapshot, shown
from faults.plan import EXACTLY_ONCE

PLACEHOLDER = "__debezium_unavailable_value"
EXAMPLES = 4  # of each invariant in a verdict


class Violations:
    """What was found wrong: every invariant with its number of cases, a few of them in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.texts: list[str] = []

    def add(self, invariant: str, text: str) -> None:
        """Counts a case, and keeps it if it is among the first."""
        self.counts[invariant] += 1
        if self.counts[invariant] <= EXAMPLES:
            self.texts.append(f"{invariant} {text}"[:600])

    def listed(self) -> list[str]:
        """All of it in words."""
        more = [f"{name} {n} cases in all" for name, n in self.counts.items() if n > EXAMPLES]
        return self.texts + more


@dataclass
class Sequence:
    """One partition. A place is twice the index of an item; its tombstone has the next one."""

    places: list[int] = field(default_factory=list)
    xids: list[int] = field(default_factory=list)


class Checker:
    """Takes every record of the topics, then the tables, and tells what is wrong.

    `strict`: no request can arrive after its sender's end, so a repeat is a whole run from the start of a
    transaction on. Otherwise single late requests may repeat in between; still nothing new comes out of
    its turn, which is the promise (delivery.md).
    """

    def __init__(self, items: list[Item], delivery: str, metadata: bool = False, strict: bool = True):
        self.items, self.once, self.metadata, self.strict = items, delivery == EXACTLY_ONCE, metadata, strict
        self.wrong = Violations()
        self.aborted: set[int] = set()
        self._index = {item.identity: n for n, item in enumerate(items) if item.op != "m"}
        self._messages = {item.key: n for n, item in enumerate(items) if item.op == "m"}
        self._numbers = _numbers(items)
        self._order = {xid: n for n, xid in enumerate(dict.fromkeys(i.xid for i in items if i.xid))}
        self._collections: dict[int, Counter[str]] = defaultdict(Counter)
        for item in items:
            self._collections[item.xid][_collection(item)] += 1
        self._last_delete: dict[tuple[str, int, int], int] = {}
        self._sequences: dict[tuple[str, int], Sequence] = defaultdict(Sequence)
        self._home: dict[tuple[str, int], int] = {}  # the partition of every key
        self._values: dict[int, dict[str, Any]] = {}
        self.records = self.doubled = self.lost = 0
        if len(self._index) + len(self._messages) != len(items):
            self.wrong.add("I0", "the oracle names two changes alike")

    # -- records, as they stand in the topics

    def row(self, table: str, partition: int, offset: int, key: Any, value: dict[str, Any] | None) -> None:
        """A record of a table's topic."""
        where = f"{table}/{partition}@{offset}"
        if not isinstance(key, dict) or "id" not in key:
            self.wrong.add("I8", f"{where}: key {key}")
            return
        number = key["id"]
        if self._home.setdefault((table, number), partition) != partition:
            self.wrong.add("I3", f"{where}: key {number} was in partition {self._home[(table, number)]} before")
        if value is None:
            self._tombstone(where, table, partition, number)
            return
        source = value["source"]
        identity = (source["txId"], source["lsn"], value["op"], table, number)
        index = self._index.get(identity)
        if index is None:
            self._invented(where, value, identity)
            return
        if value["op"] == "d":
            self._last_delete[(table, partition, number)] = index
        self._compare(where, index, value)
        self._place((table, partition), 2 * index)

    def _tombstone(self, where: str, table: str, partition: int, number: int) -> None:
        index = self._last_delete.get((table, partition, number))
        if index is None:
            self.wrong.add("I5", f"{where}: a tombstone for key {number}, which was not deleted")
        else:
            self._place((table, partition), 2 * index + 1)

    def _invented(self, where: str, value: dict[str, Any], identity: tuple[Any, ...]) -> None:
        mark = (value.get("after") or {}).get("m")
        what = "of a transaction or savepoint rolled back" if mark in self.aborted else "that nobody committed"
        self.wrong.add("I5", f"{where}: an event {what}: {identity} mark {mark}")

    def _compare(self, where: str, index: int, value: dict[str, Any]) -> None:
        """The values, column by column, and the event's numbers in its transaction."""
        item = self.items[index]
        after = value["after"]
        if item.row is not None:
            if after is None or after.keys() != item.row.keys():
                self.wrong.add("I8", f"{where}: columns {after and list(after)}, not {list(item.row)}")
                return
            for name, wanted in item.row.items():
                got = shown(after[name])
                if got != wanted and wanted != UNCHANGED:
                    self.wrong.add("I8", f"{where}: {name} is {got!r:.80}, not {wanted!r:.80}")
        self._values[index] = after or {}
        self._transaction_block(where, index, value)

    def _transaction_block(self, where: str, index: int, value: dict[str, Any]) -> None:
        block = value.get("transaction")
        if not self.metadata or not self.items[index].xid:
            return
        if block is None:
            self.wrong.add("I4", f"{where}: no transaction block")
            return
        got = (int(block["id"].split(":")[0]), block["total_order"], block["data_collection_order"])
        wanted = (self.items[index].xid, *self._numbers[index])
        if got != wanted:
            self.wrong.add("I4", f"{where}: transaction, numbers {got}, not {wanted}")

    def truncate(self, partition: int, offset: int, value: dict[str, Any]) -> None:
        """A record of the topic of truncates, whose schema has no place for a transaction block."""
        source = value["source"]
        identity = (source["txId"], source["lsn"], "t", source["table"], 0)
        if identity not in self._index:
            self.wrong.add("I5", f"truncate@{offset}: an event that nobody committed: {identity}")
            return
        self._place(("truncate", partition), 2 * self._index[identity])

    def message(self, partition: int, offset: int, value: dict[str, Any]) -> None:
        """A record of the topic of logical messages."""
        mark = int(value["message"]["content"])
        index = self._messages.get(mark)
        if index is None or self.items[index].lsn != value["source"]["lsn"]:
            self.wrong.add("I5", f"message@{offset}: {mark} at {value['source']['lsn']} was not written")
            return
        self._transaction_block(f"message@{offset}", index, value)
        self._place(("message", partition), 2 * index)

    def transaction(self, partition: int, offset: int, value: dict[str, Any]) -> None:
        """A record of the topic of transactions."""
        xid, end = int(value["id"].split(":")[0]), value["status"] == "END"
        if xid not in self._order:
            self.wrong.add("I5", f"transaction@{offset}: {value['status']} of {xid}, which committed nothing")
            return
        if end:
            counts = self._collections[xid]
            got = {c["data_collection"]: c["event_count"] for c in value["data_collections"] or ()}
            if value["event_count"] != sum(counts.values()) or got != counts:
                self.wrong.add("I4", f"transaction@{offset}: {xid} has {value['event_count']} {got}, not {dict(counts)}")
        self._place(("transaction", partition), 2 * self._order[xid] + end, xid)

    def undecodable(self, where: str, error: Exception) -> None:
        """A record that the schema it names does not fit."""
        self.wrong.add("I8", f"{where}: {type(error).__name__}: {error}")

    def _place(self, which: tuple[str, int], place: int, xid: int | None = None) -> None:
        self.records += 1
        self._sequences[which].places.append(place)
        self._sequences[which].xids.append(self.items[place // 2].xid if xid is None else xid)

    # -- verdict

    def finish(
        self,
        tables: Mapping[str, dict[int, dict[str, str | None]]],
        snapshots: Iterable[Snapshot] = (),
        written: Iterable[int] = (),
    ) -> Violations:
        """Judges the whole: order, repeats, what is missing, and the tables that a consumer rebuilds."""
        for which, sequence in self._sequences.items():
            self._judge(which, sequence)
        self._missing()
        marks = {item.mark for item in self.items}
        for mark in written:
            if mark not in marks:
                self.wrong.add("I0", f"the oracle does not know the acknowledged write {mark}")
        for table, rows in tables.items():
            self._rebuilt(table, rows)
        for snapshot in snapshots:
            self._at_snapshot(snapshot)
        return self.wrong

    def _judge(self, which: tuple[str, int], sequence: Sequence) -> None:
        """Order and repeats of one partition. Truncates have no key: a repeat may lie in any partition."""
        if which[0] == "truncate" and not self.once:
            self.doubled += len(sequence.places) - len(set(sequence.places))
            return
        distinct = sorted(set(sequence.places))
        rank = {place: n for n, place in enumerate(distinct)}
        xids = dict(zip(sequence.places, sequence.xids))
        high = before = -1

        def where() -> str:
            return f"{which[0]}/{which[1]} record {number}, {self._told(which[0], place)}"

        for number, place in enumerate(sequence.places):
            at = rank[place]
            if at == high + 1:
                if before != high and self.strict:
                    self.wrong.add("I2", f"{where()} comes before a repeat has reached its end")
                high = at
            elif at > high:
                self.wrong.add("I3", f"{where()} comes before {self._told(which[0], distinct[high + 1])}")
                high = at
            else:
                self.doubled += 1
                if self.once:
                    self.wrong.add("I2", f"{where()} comes twice")
                elif self.strict and at not in (0, before + 1) and xids[distinct[at - 1]] == xids[place]:
                    self.wrong.add("I2", f"{where()} goes back into the middle of a transaction")
            before = at

    def _told(self, topic: str, place: int) -> str:
        if topic == "transaction":
            return f"transaction number {place // 2}"
        item = self.items[place // 2]
        return f"{'tombstone of ' if place % 2 else ''}{item.op} {item.key} xid {item.xid} lsn {item.lsn:X}"

    def _missing(self) -> None:
        rows, extra = set(), set()
        for (topic, _), sequence in self._sequences.items():
            (extra if topic == "transaction" else rows).update(sequence.places)
        for index, item in enumerate(self.items):
            wanted = [2 * index] + ([2 * index + 1] if item.op == "d" else [])
            for place in wanted:
                if place not in rows:
                    self.lost += 1
                    self.wrong.add("I1", f"lost: {item.table} {self._told('', place)} mark {item.mark}")
        if self.metadata:
            for xid, n in self._order.items():
                for place in (2 * n, 2 * n + 1):
                    if place not in extra:
                        self.wrong.add("I4", f"no {'END' if place % 2 else 'BEGIN'} of transaction {xid}")

    def _seen(self, table: str) -> list[int]:
        """Indexes of the events of a table and of its truncates that arrived, in commit order."""
        found = set()
        for (topic, _), sequence in self._sequences.items():
            if topic in (table, "truncate"):
                found.update(place // 2 for place in sequence.places)
        return [index for index in sorted(found) if self.items[index].table == table]

    def _rebuilt(self, table: str, rows: dict[int, dict[str, str | None]]) -> None:
        """The table a consumer has who takes each event once, against the table."""
        mine: dict[int, dict[str, Any]] = {}
        for index in self._seen(table):
            item = self.items[index]
            if item.op == "t":
                mine.clear()
            elif item.op == "d":
                mine.pop(item.key, None)
            else:
                old, after = mine.get(item.key, {}), self._values.get(index, {})
                mine[item.key] = {
                    name: old.get(name, value) if value == PLACEHOLDER else value for name, value in after.items()
                }
        for key in mine.keys() ^ rows.keys():
            self.wrong.add("I6", f"{table}: row {key} is only in {'the events' if key in mine else 'the table'}")
        for key in mine.keys() & rows.keys():
            got = {name: shown(value) for name, value in mine[key].items() if value != PLACEHOLDER}
            wanted = {name: value for name, value in rows[key].items() if name in got}
            if {name: got[name] for name in wanted} != wanted:
                self.wrong.add("I6", f"{table}: row {key} is {got!r:.200}, not {wanted!r:.200}")

    def _at_snapshot(self, snapshot: Snapshot) -> None:
        """The same with the events of the transactions that a moment saw, against the table at that moment."""
        for table, wanted in snapshot.marks.items():
            mine: dict[int, int | None] = {}
            for index in self._seen(table):
                item = self.items[index]
                if not snapshot.sees(item.xid):
                    continue
                if item.op == "t":
                    mine.clear()
                elif item.op == "d":
                    mine.pop(item.key, None)
                else:
                    mine[item.key] = item.mark
            for key in mine.keys() | wanted.keys():
                if mine.get(key) != wanted.get(key):
                    self.wrong.add("I6", f"{table} at a snapshot: row {key} has {mine.get(key)}, not {wanted.get(key)}")


def _collection(item: Item) -> str:
    return "LOGICAL_DECODING_MESSAGE" if item.op == "m" else f"public.{item.table}"


def _numbers(items: list[Item]) -> list[tuple[int, int]]:
    """Of every item its number in the transaction, and among those of its table."""
    totals: Counter[int] = Counter()
    tables: Counter[tuple[int, str]] = Counter()
    found = []
    for item in items:
        totals[item.xid] += 1
        tables[(item.xid, _collection(item))] += 1
        found.append((totals[item.xid], tables[(item.xid, _collection(item))]))
    return found
