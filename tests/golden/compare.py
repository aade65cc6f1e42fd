"""What a real Debezium wrote against what walferry writes: every record, every field, with the reasons of accepted differences."""

from __future__ import annotations

import difflib
import fnmatch
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import fastavro

from golden.goldens import Part, Record, load, parsed, topic_prefix

STRICT = "debezium-strict"
DEFAULT = "debezium"
PROFILES = (STRICT, DEFAULT)
ABSENT = "(absent)"

_IDENTITY = re.compile(r"@[0-9a-f]{5,8}\b")  # Java's Object.hashCode in a text
_OF_THE_RUN = ("__debezium.context.runId", "__debezium.context.connectorName")
# Values of now() in the captured SQL: by topic without prefix, column and op.
_NOW = {("public.ddl1", "c4", "u")}


class Difference(NamedTuple):
    """One thing that is not the same. `topic` is without the prefix."""

    run: str
    profile: str
    topic: str
    index: int  # of the pair of records in the topic; -1: of none
    where: str
    golden: str
    ours: str


@dataclass
class Tally:
    """What one run under one profile came to."""

    run: str
    profile: str
    topics: int = 0
    snapshot: int = 0  # records left out: walferry took no snapshot
    records: int = 0
    equal: int = 0
    differences: list[Difference] = field(default_factory=list)

    def records_of(self, differences: Iterable[Difference]) -> set[tuple[str, int]]:
        """The records that differences of this tally belong to."""
        mine = (d for d in differences if (d.run, d.profile) == (self.run, self.profile))
        return {(d.topic, d.index) for d in mine if d.index >= 0}


# ---------------------------------------------------------------- decoding and masking


def decode(part: Part | None) -> Any:
    """The value by its own schema; AssertionError when bytes are left over."""
    if part is None:
        return None
    body = io.BytesIO(part.data)
    value = fastavro.schemaless_reader(body, parsed(part.schema), None)
    assert body.read() == b"", "bytes behind the datum"
    return value


def encode(text: str, value: Any) -> bytes:
    """The one encoding of a value."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed(text), value)
    return body.getvalue()


def _digits(value: Any) -> Any:
    return re.sub(r"\d+", "0", value) if isinstance(value, str) else value


def _sequence(value: Any) -> Any:
    """Two positions; the first is null until a connection has seen a commit."""
    return re.sub(r'"\d+"', '"0"', value.replace("[null,", '["0",')) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return 0 if isinstance(value, int) else value


def _text(_value: Any) -> str:
    return "#"


_MASKS = {
    "version": _text, "lsn": _number, "txId": _number, "sequence": _sequence,
    "ts_ms": _number, "ts_us": _number, "ts_ns": _number,
}  # fmt: skip


def _mask_identity(value: Any) -> Any:
    if isinstance(value, str):
        return _IDENTITY.sub("@#", value)
    if isinstance(value, list):
        return [_mask_identity(item) for item in value]
    return value


def mask(topic: str, value: Any, prefix: str) -> Any:
    """A copy without what differs from run to run. Null stays null: that a field is there counts.

    `prefix` is put in the place of the topic prefix, for a profile that was given another.
    """
    if not isinstance(value, dict):
        return value
    out = dict(value)
    if "status" in out or (topic == "transaction" and set(out) == {"id"}):
        out["id"] = _digits(out["id"])
    for name in ("ts_ms", "ts_us", "ts_ns"):
        if name in out:
            out[name] = _number(out[name])
    if isinstance(source := out.get("source"), dict):
        out["source"] = {k: _MASKS[k](v) if k in _MASKS and v is not None else v for k, v in source.items()}
        out["source"]["name"] = prefix
    if isinstance(block := out.get("transaction"), dict):
        out["transaction"] = {**block, "id": _digits(block["id"])}
    if "serverName" in out:
        out["serverName"] = prefix
    for side in ("before", "after"):
        if isinstance(row := out.get(side), dict):
            out[side] = {
                name: _digits(item) if (topic, name, out.get("op")) in _NOW else _mask_identity(item)
                for name, item in row.items()
            }
    if topic == "transaction" and out.get("data_collections"):
        out["data_collections"] = [
            {**item, "data_collection": _IDENTITY.sub("@#", item["data_collection"])}
            for item in out["data_collections"]
        ]
    return out


def _headers(record: Record, prefix: str) -> list[tuple[str, str]]:
    def masked(name: str, text: str) -> str:
        if name in _OF_THE_RUN:
            return "#"
        return prefix if name.endswith(".connectorLogicalName") else text

    return [(name, masked(name, text)) for name, text in record.headers]


# ---------------------------------------------------------------- one record


def show(value: Any) -> str:
    """A value as short text for people, and for the patterns of accepted.py."""
    if value is ABSENT:
        return ABSENT
    return json.dumps(value, default=lambda v: "0x" + v.hex() if isinstance(v, bytes) else str(v), ensure_ascii=False)


def _same(a: Any, b: Any) -> bool:
    return a == b or show(a) == show(b)  # NaN


def value_differences(where: str, golden: Any, ours: Any, depth: int = 2) -> Iterator[tuple[str, str, str]]:
    """(where, golden, ours) down to the columns of a row and the fields of the source block."""
    if _same(golden, ours) and type(golden) is type(ours):
        return
    if depth and isinstance(golden, dict) and isinstance(ours, dict):
        for name in [*golden, *(name for name in ours if name not in golden)]:
            yield from value_differences(
                f"{where}.{name}", golden.get(name, ABSENT), ours.get(name, ABSENT), depth - 1
            )
        return
    yield where, show(golden), show(ours)


def schema_pieces(text: str) -> dict[str, str]:
    """A schema text in pieces that have a name: the columns, the fields of the envelope, the rest."""

    def fields(prefix: str, record: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for entry in record["fields"]:
            inner = entry["type"]
            row = inner[1] if entry["name"] == "before" and isinstance(inner, list) and len(inner) > 1 else None
            if isinstance(row, dict):
                yield from fields(f"{prefix}.row", row)
            else:
                yield f"{prefix}.{entry['name']}", json.dumps(entry, ensure_ascii=False)
        yield f"{prefix}(fields)", ",".join(entry["name"] for entry in record["fields"])
        yield f"{prefix}(record)", json.dumps({k: v for k, v in record.items() if k != "fields"}, ensure_ascii=False)

    return dict(fields("", json.loads(text)))


def schema_differences(where: str, golden: str, ours: str) -> Iterator[tuple[str, str, str]]:
    """(where, golden, ours) for texts that must be equal."""
    if golden == ours:
        return
    left, right = schema_pieces(golden), schema_pieces(ours)
    found = False
    for name in [*left, *(name for name in right if name not in left)]:
        if left.get(name) != right.get(name):
            found = True
            yield where + name, left.get(name, ABSENT), right.get(name, ABSENT)
    if not found:
        yield where, "(white space or spelling)", "(white space or spelling)"


def _count_differences(golden: Any, ours: Any) -> Iterator[tuple[str, str, str]]:
    """The counts by table at the end of a transaction; their order is a difference of its own."""
    where = "value.data_collections"
    if not golden or not ours:
        yield from value_differences(where, golden, ours)
        return
    left, right = ({entry["data_collection"]: entry["event_count"] for entry in counts} for counts in (golden, ours))
    assert len(left) == len(golden) and len(right) == len(ours), "a table is counted twice"
    yield from value_differences(where, left, right)
    if left == right and list(left) != list(right):
        yield f"{where} (order)", show(list(left)), show(list(right))


def _datum_differences(topic: str, what: str, golden: Any, ours: Any) -> Iterator[tuple[str, str, str]]:
    """As value_differences(), but for the counts of transactions."""
    if topic == "transaction" and what == "value":
        name = "data_collections"
        yield from _count_differences(golden[name], ours[name])
        golden, ours = ({k: v for k, v in value.items() if k != name} for value in (golden, ours))
    yield from value_differences(what, golden, ours)


def _sorted_maps(value: Any) -> Any:
    """The value with the entries of every map in order of their keys; records do not mind."""
    if isinstance(value, dict):
        return {name: _sorted_maps(value[name]) for name in sorted(value)}
    return [_sorted_maps(item) for item in value] if isinstance(value, list) else value


def _byte_differences(what: str, schema: str, golden: Any, ours: Any) -> Iterator[tuple[str, str, str]]:
    """What equal values still can differ in: branches of unions, the order of a map's entries."""
    left, right = encode(schema, golden), encode(schema, ours)
    if left == right:
        return
    unordered = encode(schema, _sorted_maps(golden)) == encode(schema, _sorted_maps(ours))
    yield f"{what} maps (order)" if unordered else f"{what} bytes", left.hex(), right.hex()


class Comparison:
    """Compares one run under one profile; `prefix` is the topic prefix that walferry had."""

    def __init__(self, run: str, profile: str, prefix: str):
        self.profile, self.prefix, self.golden_prefix = profile, prefix, topic_prefix(run)
        self.tally = Tally(run, profile)
        self._schemas_seen: set[tuple[str, str, str]] = set()

    def topic_name(self, golden_topic: str) -> str:
        """The name that a captured topic has in this run."""
        heartbeat = "__debezium-heartbeat."
        if golden_topic.startswith(heartbeat):
            return heartbeat + self.prefix
        return self.prefix + golden_topic.removeprefix(self.golden_prefix)

    def run(self, ours: Mapping[str, Sequence[Record]]) -> Tally:
        """`ours`: the records of every topic that topic_name() gives, and of the truncates."""
        truncated = {}
        if self.profile != STRICT:
            truncated = _by_table(ours.get(f"{self.prefix}.truncate", ()))
        for name, records in load(self.tally.run).items():
            topic = name.removeprefix(self.golden_prefix + ".")
            wanted = [record for record in records if not _of_snapshot(record)]
            got = ours.get(self.topic_name(name), ())
            self.tally.topics += 1
            self.tally.snapshot += len(records) - len(wanted)
            if self.profile != STRICT:
                moved = [record for record in wanted if _op(record) == "t"]
                self._truncates(topic, moved, truncated.get(topic, []))
                wanted = [record for record in wanted if _op(record) != "t"]
            if topic == "transaction":
                got = _trimmed(got)
            elif topic.startswith("__"):
                got = got[: len(wanted)]
            self._topic(topic, wanted, list(got))
        return self.tally

    # -- a topic

    def _topic(self, topic: str, wanted: list[Record], got: list[Record]) -> None:
        for index, (golden, ours) in enumerate(align(wanted, got)):
            self.tally.records += 1
            if golden is None or ours is None:
                found = [("record", _describe(golden), _describe(ours))]
            else:
                found = list(self._record(topic, golden, ours))
            self._note(topic, index, found)
            self.tally.equal += not found

    def _truncates(self, topic: str, wanted: list[Record], got: list[Record]) -> None:
        """They stand in a topic of their own, in a form of their own: op and source are compared."""
        for index, (golden, ours) in enumerate(align(wanted, got)):
            self.tally.records += 1
            found = [("truncate", _describe(golden), _describe(ours))]
            if golden and ours:
                left, right = decode(golden.value), decode(ours.value)
                for name in ("op", "source"):
                    found += value_differences(
                        f"value.{name}" if name == "op" else "value.source",
                        mask(topic, left, self.golden_prefix)[name],
                        mask(topic, right, self.golden_prefix)[name],
                        1,
                    )
                found[0] = ("truncate", "in the topic of the table", "in the topic of truncates")
            self._note(topic, 10000 + index, found)

    def _note(self, topic: str, index: int, found: Iterable[tuple[str, str, str]]) -> None:
        for where, golden, ours in found:
            self.tally.differences.append(
                Difference(self.tally.run, self.profile, topic, index, where, golden, ours)
            )

    # -- a record

    def _record(self, topic: str, golden: Record, ours: Record) -> Iterator[tuple[str, str, str]]:
        before = yield from self._part(topic, "key", golden.key, ours.key)
        before |= yield from self._part(topic, "value", golden.value, ours.value)
        left, right = _headers(golden, self.golden_prefix), _headers(ours, self.golden_prefix)
        if left != right:
            yield from value_differences("headers", dict(left), dict(right))
            if dict(left) == dict(right):
                yield "headers", show(left), show(right)

    def _part(self, topic: str, what: str, golden: Part | None, ours: Part | None):
        """Yields what differs in a key or a value; returns whether anything did."""
        if golden is None or ours is None:
            if (golden is None) != (ours is None):
                yield what, "null" if golden is None else "a datum", "null" if ours is None else "a datum"
            return golden is not ours
        left, right = decode(golden), decode(ours)
        if self.profile == STRICT:
            yield from self._schema(topic, what, golden.schema, ours.schema)
        masked = mask(topic, left, self.golden_prefix), mask(topic, right, self.golden_prefix)
        found = list(_datum_differences(topic, what, *masked))
        yield from found
        if what == "value" and isinstance(right, dict):
            yield from _clock(right)
        if found or self.profile != STRICT:
            return bool(found)
        assert encode(golden.schema, left) == golden.data, "the capture is not what fastavro writes"
        if encode(ours.schema, right) != ours.data:
            yield f"{what} bytes", "canonical", ours.data.hex()
        if golden.schema == ours.schema:
            yield from _byte_differences(what, golden.schema, *masked)
        return False

    def _schema(self, topic: str, what: str, golden: str, ours: str) -> Iterator[tuple[str, str, str]]:
        """Once for each pair of texts: a wrong schema is one fault, not one a record."""
        if (what, golden, ours) in self._schemas_seen:
            return
        self._schemas_seen.add((what, golden, ours))
        yield from schema_differences(f"schema.{what}", golden, ours)


def _clock(value: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """ts_ms, ts_us and ts_ns are one instant."""
    for where, block in (("value", value), ("value.source", value.get("source"))):
        if not isinstance(block, dict) or not block.get("ts_us"):
            continue
        us, ns = block["ts_us"], block.get("ts_ns")
        if block["ts_ms"] != us // 1000 or (ns is not None and ns // 1000 != us):
            yield f"{where} clock", "one instant", show([block["ts_ms"], us, ns])


def _of_snapshot(record: Record) -> bool:
    source = (decode(record.value) or {}).get("source")
    return bool(source) and source["snapshot"] != "false"


def _op(record: Record | None) -> str:
    if record is None:
        return ""
    value = decode(record.value)
    return "tombstone" if value is None else value.get("op") or value.get("status") or ""


def _describe(record: Record | None) -> str:
    if record is None:
        return "(none)"
    return f"{_op(record)} {show(decode(record.key))}"


def _name(record: Record) -> str:
    return f"{_op(record)} {show(mask('transaction', decode(record.key), ''))}"


def align(wanted: list[Record], got: list[Record]) -> Iterator[tuple[Record | None, Record | None]]:
    """Pairs records in order; where one side has more, by op and key."""
    ops = [_op(r) for r in wanted], [_op(r) for r in got]
    if ops[0] == ops[1]:
        yield from zip(wanted, got)
        return
    names = [_name(r) for r in wanted], [_name(r) for r in got]
    for _, a, b, c, d in difflib.SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        for n in range(max(b - a, d - c)):
            yield (wanted[a + n] if a + n < b else None, got[c + n] if c + n < d else None)


def _by_table(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        source = decode(record.value)["source"]
        found.setdefault(f"{source['schema']}.{source['table']}", []).append(record)
    return found


def _trimmed(records: Sequence[Record]) -> list[Record]:
    """Transaction records as the capture keeps them: the first four, then those of more than one event."""
    begin: dict[str, Record] = {}
    kept = list(records[:4])
    for record in records[4:]:
        value = decode(record.value)
        xid = value["id"].split(":")[0]
        if value["status"] == "BEGIN":
            begin[xid] = record
        elif (value["event_count"] or 0) > 1:
            kept += [begin[xid], record] if xid in begin else [record]
    return kept


# ---------------------------------------------------------------- judging


@dataclass(frozen=True)
class Accepted:
    """A difference we mean to have. Patterns are those of fnmatch, with "|" between several.

    `count` None is any number but 0, unless it depends on `timing`: then it may be 0 too.
    """

    reason: str
    where: str
    topics: str = "*"
    profiles: str = "*"
    runs: str = "*"
    golden: str = "*"
    ours: str = "*"
    count: int | None = None
    timing: bool = False

    def explains(self, d: Difference) -> bool:
        """Whether the difference is of this kind."""
        pairs = (
            (d.where, self.where), (d.topic, self.topics), (d.profile, self.profiles), (d.run, self.runs),
            (d.golden, self.golden), (d.ours, self.ours),
        )  # fmt: skip
        return all(any(fnmatch.fnmatchcase(text, p) for p in pattern.split("|")) for text, pattern in pairs)


class Verdict:
    """All tallies of a replay against the table of accepted differences."""

    def __init__(self, tallies: Sequence[Tally], accepted: Sequence[Accepted]):
        self.tallies = tallies
        self.explained: Counter[Accepted] = Counter()
        self.unexplained: list[Difference] = []
        self._explained: list[tuple[Difference, Accepted]] = []
        for difference in (d for tally in tallies for d in tally.differences):
            row = next((row for row in accepted if row.explains(difference)), None)
            if row:
                self.explained[row] += 1
                self._explained.append((difference, row))
            else:
                self.unexplained.append(difference)
        self.idle = [row for row in accepted if not self.explained[row] and not row.timing]
        self.miscounted = [
            row for row in accepted if row.count is not None and self.explained[row] not in (0, row.count)
        ]

    @property
    def good(self) -> bool:
        """No difference without a reason, no reason without a difference."""
        return not (self.unexplained or self.idle or self.miscounted)

    def table(self) -> str:
        """Counts of every run and profile."""
        lines = [f"{'run':5} {'profile':16} topics snapshot records   equal explained unexplained"]
        for t in self.tallies:
            bad = t.records_of(self.unexplained)
            fine = t.records_of(d for d, _ in self._explained) - bad
            lines.append(
                f"{t.run:5} {t.profile:16} {t.topics:6} {t.snapshot:8} {t.records:7} {t.equal:7} "
                f"{len(fine):9} {len(bad):11}"
            )
        return "\n".join(lines)

    def log(self) -> str:
        """Every difference, a JSON line each: its fields, then the reason or null."""
        found = [(d, None) for d in self.unexplained] + [(d, row.reason) for d, row in self._explained]
        return "".join(json.dumps([*d, reason], ensure_ascii=False) + "\n" for d, reason in found)

    def reasons(self) -> str:
        """How often each accepted difference was met."""
        counts: Counter[tuple[str, str]] = Counter()
        for difference, row in self._explained:
            counts[difference.profile, row.reason] += 1
        return "\n".join(f"{n:6}  {profile:16} {reason}" for (profile, reason), n in counts.most_common())

    def faults(self, limit: int = 300) -> str:
        """What has no reason, grouped by likely cause, most frequent first; then rows that are wrong."""
        groups: dict[tuple[str, ...], list[Difference]] = {}
        for d in self.unexplained:
            groups.setdefault((d.profile, *_cause(d)), []).append(d)
        lines = []
        for (profile, where, *_), members in sorted(groups.items(), key=lambda item: -len(item[1])):
            places = list(dict.fromkeys(_place(d) for d in members))
            more = f" and {len(places) - 12} more" if len(places) > 12 else ""
            lines.append(
                f"{len(members):5} {profile} {where} in {' '.join(places[:12])}{more}\n"
                f"        golden {members[0].golden[:limit]}\n        ours   {members[0].ours[:limit]}"
            )
        lines += [f"explains nothing: {row}" for row in self.idle]
        lines += [f"{self.explained[row]} instead of {row.count}: {row}" for row in self.miscounted]
        return "\n".join(lines)


_COLUMN = re.compile(r"(key|value\.before|value\.after|schema\.key|schema\.value\.row)\.([^.]+)$")


def _place(d: Difference) -> str:
    column = _COLUMN.match(d.where)
    return f"{d.run}/{d.topic}{'.' + column[2] if column else ''}"


def _cause(d: Difference) -> tuple[str, str, str]:
    """Differences of one cause are alike but for names and numbers."""
    column = _COLUMN.match(d.where)
    if not column:
        return d.where, re.sub(r"\d+", "0", d.golden)[:40], re.sub(r"\d+", "0", d.ours)[:40]
    where = f"{column[1]} column"
    if not d.where.startswith("schema"):
        return where, _kind(d.golden), _kind(d.ours)
    left, right = _facets(d.golden), _facets(d.ours)
    names = [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]
    return f"{where} ({', '.join(names)})", left.get("type", ""), right.get("type", "")


def _facets(text: str) -> dict[str, str]:
    """What a schema says about a column, by key of its type."""
    if text == ABSENT:
        return {"field": ABSENT}
    entry = json.loads(text)
    branches = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
    node = next((b for b in branches if b != "null"), None)
    facets = {k: show(v) for k, v in node.items()} if isinstance(node, dict) else {"type": show(node)}
    return {**facets, "null at": str(branches.index("null") if "null" in branches else None)} | (
        {"default": show(entry["default"])} if "default" in entry else {}
    )


def _kind(text: str) -> str:
    """What JSON value a text shows."""
    if text in ("null", ABSENT):
        return text
    if text.startswith('"'):
        return "bytes" if text.startswith('"0x') else "text"
    return {"[": "list", "{": "object", "t": "bool", "f": "bool"}.get(text[:1], "number")
