"""The one table of differences from a real Debezium that walferry means to have.

A row explains differences that the replay finds; a row that explains none fails the test, and so does a
difference that no row explains. docs/debezium-differences.md is generated from it:

    ./dev python -m golden.accepted > docs/debezium-differences.md
"""

from __future__ import annotations

from golden.compare import DEFAULT, PROFILES, STRICT, Accepted

# Patterns for values: one that is there, and is not null.
VALUE = "[!n(]*"

_LEFT_OUT = {
    "public.t_arr": "aco aiv am anm ap avb ax",
    "public.t_other": "adom apri co cu jp ls rc sn ti tx xi",
    "public.t_text": "ea lq tsq",
    "public.t_range": "mr4 mrt",
}
_AS_BYTES = {"public.t_other": "adom apri co cu jp ls rc sn ti tx xi", "public.t_text": "ea lq tsq"}


def _columns(names: str) -> str:
    return "|".join(f"value.after.{name}" for name in names.split())


ACCEPTED: tuple[Accepted, ...] = (
    Accepted("ts_ns is left out: PostgreSQL's clock has microseconds",
             "value.source.ts_ns|value.ts_ns", profiles=DEFAULT),
    Accepted("truncates go to a topic of their own, {prefix}.truncate: readers of a table's topic know no op t",
             "truncate", profiles=DEFAULT),
    Accepted("a stored NULL of a column with a default stays NULL; Debezium writes the default",
             "value.after.*", "public.t_def|public.ddl1", golden=VALUE, ours="null"),
    Accepted("columns that a delete does not carry are null where they may be; Debezium writes their defaults",
             "value.before.*", "public.t_def", golden=VALUE, ours="null"),
    *(
        Accepted("columns of types that Debezium leaves out are there, as text or in a form of their own",
                 _columns(names), topic, profiles=DEFAULT, golden="(absent)")
        for topic, names in _LEFT_OUT.items()
    ),
    *(
        Accepted("text of types without a form of their own is text; Debezium takes it for bytes, here in base64",
                 _columns(names), topic, profiles=DEFAULT, runs="alt1", ours='[["]*')
        for topic, names in _AS_BYTES.items()
    ),
    Accepted("values that Debezium turns into null are carried: name, arrays with NaN, with a NULL label, of bits",
             "value.after.*", "public.t_arr|public.t_text", profiles=DEFAULT, golden="null", ours=VALUE),
    Accepted("numeric(p,-s) has scale 0; Debezium writes scale 2048-s, a number of thousands of digits",
             "value.after.*", "public.t_num", profiles=DEFAULT, runs="main", golden='"0x*', ours='"0x*'),
    Accepted("a namespace part that begins with a digit gets _ in front: registries refuse Debezium's",
             "schema.*(record)", "public.1digit", profiles=STRICT),
    Accepted("DDL in quick succession: defaults and nullability, which the WAL does not tell, are read when the change "
             "is decoded, and may be newer than it", "schema.value.row.*", "public.ddl2", profiles=STRICT, timing=True),
    Accepted("hstore as JSON has its keys in the server's order, Debezium in Java's hash order",
             "value.after.hs", "public.t_text", ours='"{*'),
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
