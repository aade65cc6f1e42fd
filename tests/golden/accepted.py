"""The one table of differences from a real Debezium that walferry means to have.

A row explains differences that the replay finds; a row that explains none fails the test, and so does a
difference that no row explains. docs/debezium-differences.md is generated from it:

    ./dev python -m golden.accepted > docs/debezium-differences.md
"""

from __future__ import annotations

from golden.compare import ABSENT, DEFAULT, PROFILES, STRICT, Accepted

# Patterns for values: one that is there, and is not null.
VALUE = "[!n(]*"

_LEFT_OUT = {
    "public.t_arr": "aco aiv am anm ap avb ax",
    "public.t_other": "adom apri co cu jp ls rc sn ti tx xi",
    "public.t_text": "ea lq tsq",
    "public.t_range": "mr4 mrt",
}
_AS_BYTES = {"public.t_other": "adom apri cu jp ls rc sn ti tx xi", "public.t_text": "ea lq tsq"}


def _columns(names: str) -> str:
    return "|".join(f"value.after.{name}" for name in names.split())


ACCEPTED: tuple[Accepted, ...] = (
    # what surrounds the columns
    Accepted("ts_ns is left out: PostgreSQL's clock has microseconds",
             "value.source.ts_ns|value.ts_ns", profiles=DEFAULT),
    Accepted("headers __debezium.context.* are left out: they tell of a Kafka Connect task",
             "headers.__debezium.context.*", profiles=DEFAULT, golden='"*', ours=ABSENT),
    Accepted("headers __debezium.context.* are always there: extended.headers.enabled=false has no counterpart",
             "headers.__debezium.context.*", profiles=STRICT, runs="alt2", golden=ABSENT, ours='"*'),
    Accepted("truncates go to a topic of their own, {prefix}.truncate: readers of a table's topic know no op t",
             "truncate", profiles=DEFAULT),
    Accepted("a delete without key has no tombstone: one without key tells nobody which row is gone",
             "record", "public.k_full_nopk", profiles=DEFAULT, golden="tombstone null", ours="(none)", count=1),
    Accepted("the end of a transaction counts the tables in the order of their first events, Debezium in Java's hash order",
             "value.data_collections (order)", "transaction"),
    Accepted("the end of a transaction counts messages as LOGICAL_DECODING_MESSAGE; Debezium writes the name of a Java "
             "object, another one each time",
             "value.data_collections.*LogicalDecodingMessage*|value.data_collections.LOGICAL_DECODING_MESSAGE",
             "transaction"),
    Accepted("a namespace part that begins with a digit gets _ in front: registries refuse Debezium's",
             "schema.*(record)", "public.1digit", profiles=STRICT),
    Accepted("DDL in quick succession: defaults and nullability, which the WAL does not tell, are read when the change "
             "is decoded, and may be newer than it", "schema.value.row.*", "public.ddl2", profiles=STRICT, timing=True),
    # columns and values that Debezium loses
    Accepted("a stored NULL of a column with a default stays NULL; Debezium writes the default",
             "value.after.*", "public.t_def", profiles=DEFAULT, golden=VALUE, ours="null", count=122),
    Accepted("a stored NULL of a column with a default stays NULL; Debezium writes the default",
             "value.after.*", "public.ddl1", profiles=DEFAULT, golden=VALUE, ours="null"),
    Accepted("columns that a delete does not carry are null where they may be; Debezium writes their defaults",
             "value.before.*", "public.t_def", profiles=DEFAULT, golden=VALUE, ours="null", count=122),
    *(
        Accepted("columns of types that Debezium leaves out are there, as text or in a form of their own",
                 _columns(names), topic, profiles=DEFAULT, golden=ABSENT)
        for topic, names in _LEFT_OUT.items()
    ),
    *(
        Accepted("text of types without a form of their own is text; Debezium takes it for bytes, here in base64",
                 _columns(names), topic, profiles=DEFAULT, runs="alt1", ours='[["]*')
        for topic, names in _AS_BYTES.items()
    ),
    Accepted("composites are records; Debezium takes their text for bytes, here in base64",
             "value.after.co", "public.t_other", profiles=DEFAULT, runs="alt1", golden='"*', ours="{*"),
    Accepted("composites are records; Debezium takes their text for bytes, here in base64",
             "value.after.aco", "public.t_arr", profiles=DEFAULT, runs="alt1", golden='[["]*', ours="[[]{*"),
    Accepted("columns of type name have their value; Debezium's stream writes null",
             "value.after.nm", "public.t_text", golden="null", ours='"*', count=12),
    Accepted("a NaN in numeric[], as text, leaves the array as it is; Debezium writes null for all of it",
             "value.after.an", "public.t_arr", runs="alt1", golden="null", ours="[[]*", count=2),
    Accepted("values that Debezium turns into null are carried: arrays with NaN, with a NULL label, of bits",
             "value.after.*", "public.t_arr", profiles=DEFAULT, golden="null", ours=VALUE, count=4),
    Accepted("int2vector and oidvector have their values; Debezium writes empty arrays",
             "value.after.iv|value.after.ov", "public.t_other", golden="[[]]", ours="[[]*", count=8),
    # values that Debezium damages
    Accepted("values beyond a long stop the pipeline, or, as here with warn, are null; Debezium wraps a timestamp and "
             "cuts an interval to the largest number", _columns("iv ivm ts0 ts3 ts6"), "public.t_time", ours="null", count=22),
    Accepted("times in an array are those of a column: microseconds or milliseconds, 24:00 as the end of the day; "
             "Debezium's have whole milliseconds and 0", "value.after.atm", "public.t_arr", golden="[[]*", ours="[[]*",
             count=4),
    Accepted("infinity in date[] is the constant that it is in a column; Debezium's arrays have another",
             "value.after.ad", "public.t_arr", golden="[[]*", ours="[[]*", count=4),
    Accepted("arrays of more than one dimension stop the pipeline, or, as here with warn, are null; Debezium writes an "
             "array of nulls or of names of Java objects",
             "value.after.a4|value.after.at", "public.t_arr", golden="[[]*", ours="null", count=8),
    Accepted("numeric(p,-s) has scale 0; Debezium writes scale 2048-s, a number of thousands of digits",
             "value.after.n5_m2", "public.t_num", profiles=DEFAULT, golden='"*', ours='"*', count=11),
    Accepted("hstore has its keys in the server's order, Debezium in Java's hash order",
             "value.after.hs", "public.t_text", ours='"{*', count=4),
    Accepted("hstore has its keys in the server's order, Debezium in Java's hash order",
             "value maps (order)", "public.t_text", profiles=STRICT, runs="alt1"),
)  # fmt: skip

_HEAD = """# Differences from Debezium

Generated from the table in `tests/golden/accepted.py`; a test compares. The records of a real Debezium 3.7 PostgreSQL
connector (`tests/golden/data`) are replayed on real servers: what differs from them and is not in this table fails
the test, and so does a line of this table that no record needs. Profile `debezium-strict` is compared byte by byte with
its schema texts and headers, profile `debezium` value by value.

Left out of the comparison is what changes from run to run: positions, transaction ids, clocks, the connector's version
and run id.
"""


def _where(row: Accepted) -> str:
    names = [text.removeprefix("value.after.") for text in row.where.split("|")]  # columns
    places = "" if names == ["*"] else " ".join(f"`{name}`" for name in names)
    tables = "" if row.topics == "*" else " ".join(f"`{topic}`" for topic in row.topics.split("|"))
    return f"{tables}{': ' if tables and places else ''}{places}"


def docs(rows: tuple[Accepted, ...] = ACCEPTED) -> str:
    """The page: one line a reason, in the table's order."""
    lines = [_HEAD, "| difference | profiles | where |", "|---|---|---|"]
    reasons: dict[str, list[Accepted]] = {}
    for row in rows:
        reasons.setdefault(row.reason, []).append(row)
    for reason, same in reasons.items():
        profiles = [p for p in (DEFAULT, STRICT) if any(row.profiles in ("*", p) for row in same)]
        assert profiles, f"no such profile; there are {PROFILES}"
        lines.append(f"| {reason} | {', '.join(profiles)} | {'; '.join(dict.fromkeys(map(_where, same)))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(docs(), end="")
