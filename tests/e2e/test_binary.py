"""`source.binary: on`: values that come in binary form give the events of values that come as text."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from functools import partial

import pytest
from golden.goldens import run_captured
from harness import Ferry, both, comparable, database

pytestmark = pytest.mark.usefixtures("numbers_as_they_are")
KINDS = ({"binary": False}, {"binary": True})
UNREADABLE = ("public.t_other.rc",)  # regclass: a number in binary form, a name in the text


def assert_equal(binary: Ferry, text: Ferry) -> int:
    """Every event of every topic; returns how many there were."""
    got, wanted = comparable(binary), comparable(text)
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

    run = partial(run_captured, postgres, db)

    run("01-schema")
    # A scale that fastavro refuses; types whose text only the server can tell.
    text, binary = both(run_dir, postgres, db, KINDS, {"exclude_columns": ["public.t_num.n3_5", *UNREADABLE]}, profile=profile)
    run("02-rows", b=100)
    run("03-stream")
    assert assert_equal(binary, text) > 100
    assert was_binary(binary), [line for line in binary.log_text().splitlines() if "binary_off" in line]


# ---- random values of every type

ODD = "aé€😀 \t\n\"\\'{}()[],;:=>%_NULnul0-"


def word(rng: random.Random, most: int = 12) -> str:
    return "".join(rng.choice(ODD) for _ in range(rng.randrange(most)))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def real(rng: random.Random, size: int) -> str:
    """Any bit pattern, and numbers whose shortest text is short."""
    kind = rng.randrange(6)
    if kind < 3:
        value = struct.unpack("<d" if size == 8 else "<f", rng.randbytes(size))[0]
    elif kind == 3:
        value = round(rng.uniform(-1000, 1000), rng.randrange(6))
    elif kind == 4:
        value = rng.choice((-1, 1)) * 2.0 ** rng.randrange(-1074 if size == 8 else -149, 1023 if size == 8 else 127)
    else:
        value = rng.choice((0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, 1e15, 123456.0, 1e23))
        value = value if size == 8 or abs(value) > 1e-40 or value == 0 else 1e-45
    return repr(value)


def numeric(rng: random.Random) -> str:
    if rng.random() < 0.1:
        return rng.choice(("0", "0.000", "NaN", "Infinity", "-Infinity", "10000", "0.0001", "-9999.9999"))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 60)))
    point = rng.randrange(len(digits) + 1)
    return rng.choice(("", "-")) + (digits[:point] or "0") + ("." + digits[point:] if digits[point:] else "")


def stamp(rng: random.Random) -> str:
    if rng.random() < 0.1:
        return rng.choice(("infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999"))
    era = rng.random() < 0.2
    text = f"{rng.randrange(1, 4000 if era else 12000):04}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
    return text + f" {clock(rng)}" + (" BC" if era else "")


def clock(rng: random.Random) -> str:
    fraction = rng.choice(("", f".{rng.randrange(10**6):06}", f".{rng.randrange(100):02}"))
    return f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}{fraction}"


def span(rng: random.Random) -> str:
    def part(most: int) -> int:
        return rng.choice((0, 1, -1, rng.randrange(-most, most)))

    return f"{part(2000)} mons {part(4000)} days {part(10**14)} microseconds"


def pairs(rng: random.Random, n: int) -> str:
    return ",".join(f"({real(rng, 8)},{real(rng, 8)})" for _ in range(n))


def finite(rng: random.Random) -> str:
    return f"{rng.uniform(-1e6, 1e6)!r}"


def ipv6(rng: random.Random) -> str:
    return ":".join(f"{rng.choice((0, 0, rng.randrange(65536))):x}" for _ in range(8))


def lexemes(rng: random.Random) -> str:
    words = []
    for _ in range(rng.randrange(4)):
        text = "".join(rng.choice("abé'\\ ") for _ in range(rng.randrange(1, 6)))
        inside = text.replace("\\", "\\\\").replace("'", "''")
        words.append(f"'{inside}'" + rng.choice(("", ":1", ":3A,5B,7C", ":16383", ":2,4D")))
    return " ".join(words)


def query(rng: random.Random, depth: int = 0) -> str:
    kind = rng.randrange(6) if depth < 5 else 0
    if kind < 2:
        text = "".join(rng.choice("abé'") for _ in range(rng.randrange(1, 5))).replace("'", "''")
        return f"'{text}'" + rng.choice(("", ":*", ":A", ":*BD"))
    if kind == 2:
        return f"!({query(rng, depth + 1)})"
    operator = rng.choice((" & ", " | ", " <-> ", " <3> "))
    return f"({query(rng, depth + 1)}){operator}({query(rng, depth + 1)})"


def pairs_of(rng: random.Random) -> str:
    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return ", ".join(f"{quote(word(rng))}=>{rng.choice(('NULL', quote(word(rng))))}" for _ in range(rng.randrange(4)))


def whole(bits: int) -> Callable[[random.Random], str]:
    return lambda rng: str(rng.choice((0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), rng.getrandbits(bits) - 2 ** (bits - 1))))


def natural(bits: int) -> Callable[[random.Random], str]:
    return lambda rng: str(rng.getrandbits(rng.randrange(1, bits + 1)))


TYPES: dict[str, Callable[[random.Random], str]] = {
    "bool": lambda rng: rng.choice("tf"),
    "int2": whole(16),
    "int4": whole(32),
    "int8": whole(64),
    "oid": natural(32),
    "xid": natural(32),
    "cid": natural(32),
    "xid8": natural(64),
    "float4": lambda rng: real(rng, 4),
    "float8": lambda rng: real(rng, 8),
    "numeric": numeric,
    "numeric(20,5)": lambda rng: f"{rng.randrange(-10**20, 10**20) / 10**6}",
    "money": lambda rng: f"{rng.randrange(-10**15, 10**15)}.{rng.randrange(100):02}",
    "text": word,
    "varchar(40)": word,
    "char(14)": word,
    "name": word,
    '"char"': lambda rng: rng.choice(("a", "", "{", '"', "\\", " ")),
    "bytea": lambda rng: "\\x" + rng.randbytes(rng.randrange(20)).hex(),
    "uuid": lambda rng: rng.randbytes(16).hex(),
    "date": lambda rng: rng.choice((stamp(rng).split(" ")[0], f"{rng.randrange(1, 4713):04}-02-28 BC", "5874897-12-31")),
    "time": lambda rng: rng.choice((clock(rng), "24:00")),
    "time(2)": clock,
    "timetz": lambda rng: clock(rng) + rng.choice(("+00", "-03:30", "+05:45", "+01:02:03", "-15:59")),
    "timestamp": stamp,
    "timestamp(3)": stamp,
    "timestamptz": stamp,
    "interval": span,
    "inet": lambda rng: rng.choice((f"10.{rng.randrange(256)}.0.1/{rng.randrange(33)}", "::ffff:1.2.3.4", "::1", ipv6(rng), ipv6(rng) + f"/{rng.randrange(129)}")),
    "cidr": lambda rng: rng.choice(("10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32", "::/0", "1.2.3.4/32")),
    "macaddr": lambda rng: rng.randbytes(6).hex(),
    "macaddr8": lambda rng: rng.randbytes(8).hex(),
    "bit(11)": lambda rng: f"{rng.getrandbits(11):011b}",
    "varbit": lambda rng: "".join(rng.choice("01") for _ in range(rng.randrange(40))),
    "json": lambda rng: json.dumps({word(rng): [word(rng), rng.random(), None]}),
    "jsonb": lambda rng: json.dumps({word(rng): [word(rng), rng.random(), None]}),
    "jsonpath": lambda rng: rng.choice(("$", "$.a[*] ? (@.b > 1)", 'lax $."x y"')),
    "xml": lambda rng: rng.choice(("<a>é</a>", "x", '<?xml version="1.0" encoding="UTF-8"?><b/>', '<?xml version="1.1" standalone="yes"?><c/>')),
    "point": lambda rng: pairs(rng, 1),
    "lseg": lambda rng: f"[{pairs(rng, 2)}]",
    "box": lambda rng: pairs(rng, 2),
    "line": lambda rng: f"{{{finite(rng)},{finite(rng)},{finite(rng)}}}",
    "path": lambda rng: rng.choice(("[{}]", "({})")).format(pairs(rng, rng.randrange(1, 4))),
    "polygon": lambda rng: f"({pairs(rng, rng.randrange(1, 4))})",
    "circle": lambda rng: f"<({finite(rng)},{finite(rng)}),{abs(float(finite(rng)))!r}>",
    "tsvector": lexemes,
    "tsquery": query,
    "pg_lsn": lambda rng: f"{rng.getrandbits(32):X}/{rng.getrandbits(32):X}",
    "tid": lambda rng: f"({rng.getrandbits(32)},{rng.getrandbits(16)})",
    "pg_snapshot": lambda rng: rng.choice(("10:20:", "10:20:10,14,15")),
    "int2vector": lambda rng: " ".join(whole(16)(rng) for _ in range(rng.randrange(4))),
    "oidvector": lambda rng: " ".join(natural(32)(rng) for _ in range(rng.randrange(4))),
    "int4range": lambda rng: rng.choice(("empty", "[1,5)", "(,5]", "[3,)", "(,)")),
    "int8range": lambda rng: f"[{rng.randrange(-100, 0)},{rng.getrandbits(60)}]",
    "numrange": lambda rng: rng.choice(("empty", "(1.50,2]", "[-1e3,NaN]", "(,0.0]")),
    "tsrange": lambda rng: f'["{1000 + rng.randrange(999)}-01-01 {clock(rng)}",infinity)',
    "tstzrange": lambda rng: f'("{1000 + rng.randrange(999)}-01-01 BC","{2000 + rng.randrange(999)}-01-01 {clock(rng)}"]',
    "daterange": lambda rng: f"[2000-01-01,{2001 + rng.randrange(9000)}-02-03)",
    "int4multirange": lambda rng: rng.choice(("{}", "{[1,3),[5,9)}", "{(,2),[7,)}")),
    "tstzmultirange": lambda rng: "{[2000-01-01,2000-01-02),[2001-01-01,infinity]}",
    "citext": word,
    "hstore": pairs_of,
    "ltree": lambda rng: rng.choice(("", "a.b.c", "top_1")),
    "lquery": lambda rng: rng.choice(("a.*.b", "*{1,2}.x@%|y")),
    "ltxtquery": lambda rng: "a & !b*@",
    "cube": lambda rng: rng.choice(("(1,2,3)", f"({finite(rng)},1e300),({finite(rng)},4)", "(0)")),
    "mood": lambda rng: rng.choice(("so so", 'a"b', "NULL", "é")),
    "dom": numeric,
    "pair": lambda rng: f"row({rng.randrange(9)},{quoted(word(rng))},{rng.choice(('null', quoted(word(rng))))},'{{1,null}}')",
}  # fmt: skip
EXPRESSIONS = {"pair"}
SETUP = (
    "create extension citext; create extension hstore; create extension ltree; create extension cube;"
    "create type mood as enum ('so so', 'a\"b', 'NULL', 'é'); create domain dom as numeric check (value is null or true);"
    "create type pair as (a int, b text, c mytext, d int[])"
)


def sql_value(rng: random.Random, name: str) -> str:
    if rng.random() < 0.05:
        return "null"
    text = TYPES[name](rng)
    return f"{text}::pair" if name in EXPRESSIONS else f"{quoted(text)}::{name}"


def sql_array(rng: random.Random, name: str) -> str:
    kind = name + "[]"
    if rng.random() < 0.1:
        return rng.choice(("null", "'{}'")) + f"::{kind}"
    elements = ",".join(sql_value(rng, name) for _ in range(rng.randrange(1, 4)))
    array = f"array[{elements}]::{kind}"
    if rng.random() < 0.2:
        array = f"array[{array},{array}]"
    return array


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_random_values_of_every_type_give_the_same_events(postgres, run_dir, seed):
    """Arrays as their text, so that every element's text is compared to the letter."""
    rng = random.Random(seed)
    db = database(postgres, "create domain mytext as text; " + SETUP)
    columns = ", ".join(f"c{i} {name}, a{i} {name}[]" for i, name in enumerate(TYPES))
    postgres.sql(f"create table every (id serial primary key, {columns})", dbname=db)
    text, binary = both(run_dir, postgres, db, KINDS, profile="native", array_handling_mode="string", include_unknown_datatypes="on")
    for _ in range(10):
        rows = ", ".join(
            "(" + ", ".join(f"{sql_value(rng, name)}, {sql_array(rng, name)}" for name in TYPES) + ")" for _ in range(40)
        )
        names = ", ".join(f"c{i}, a{i}" for i in range(len(TYPES)))
        postgres.sql(f"insert into every ({names}) values {rows}", dbname=db)
    binary.caught_up()
    assert was_binary(binary), [line for line in binary.log_text().splitlines() if "binary_off" in line]
    assert assert_equal(binary, text) == 400


# ---- what cannot be read, or cannot be sent

FALLBACKS = {
    "aclitem[]": ("aclitem[]", "array['postgres=r/postgres'::aclitem]"),  # the server: no binary output function
    "regclass": ("regclass", "'pg_class'"),
    "a range of ours": ("mine", "'[a,b)'"),
    "an interval that may be infinite": ("interval", "'infinity'"),
    "a char above 127": ('"char"', "'\\377'"),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_it_goes_back_to_text_by_itself(postgres, run_dir, name):
    kind, value = FALLBACKS[name]
    db = database(postgres, f"create type mine as range (subtype = text); create table t (id int primary key, v {kind})")
    text, binary = both(run_dir, postgres, db, KINDS, include_unknown_datatypes="on", interval_handling_mode="string")
    postgres.sql("insert into t values (1, null)", dbname=db)
    binary.caught_up()
    assert "code=binary_off" not in binary.log_text()
    postgres.sql(f"insert into t values (2, {value}); insert into t values (3, null)", dbname=db)
    binary.wait_log("code=binary_off", 20)
    got, wanted = comparable(binary), comparable(text)
    distinct = {record["after"]["id"]: record["after"] for record in got["x.public.t"]}
    assert distinct == {record["after"]["id"]: record["after"] for record in wanted["x.public.t"]}
    assert binary.log_text().count("code=binary_off") == 1
    assert sorted(distinct) == [1, 2, 3]


def test_enums_and_composites_need_no_fallback(postgres, run_dir):
    db = database(
        postgres,
        "create type mood as enum ('so so', 'ok'); create type addr as (street text, moods mood[]);"
        "create domain home as addr; create table t (id int primary key, m mood, a addr, h home, l addr[])",
    )
    text, binary = both(run_dir, postgres, db, KINDS, include_unknown_datatypes="on")
    postgres.sql(
        "insert into t values (1, 'ok', row('a \"b\"', '{so so,ok}'), row(null, '{}'), array[row('x', null)::addr, null])",
        dbname=db,
    )
    assert assert_equal(binary, text) == 1
    assert was_binary(binary)


def test_a_server_before_14_sends_text(postgres_of, run_dir):
    pg = postgres_of(13)
    db = database(pg, "create table t (id int primary key, v numeric)")
    text, binary = both(run_dir, pg, db, KINDS)
    pg.sql("insert into t values (1, 1.5)", dbname=db)
    assert assert_equal(binary, text) == 1
    assert "binary 'true'" not in pg.log_text()
