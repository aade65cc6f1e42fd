"""Every built-in scalar type through the file sink: fastavro reads what PostgreSQL prints.

What to expect is computed by PostgreSQL itself (a SELECT over the table) and the mapping of docs/types.md.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import fastavro
import fastavro.read
import pytest
from harness import Ferry, database
from pgvalues import bits, point, same, single, variable, wkb

from services import MAJORS


class Column(NamedTuple):
    """A column, the values it takes, and what the event holds for what `sql` gives."""

    type: str
    values: tuple[str, ...]  # SQL literals
    sql: str = "{}::text"
    expect: Callable[[Any], Any] = lambda value: value
    since: int = 13


PRINTED = "case when {0} is not null then format('%s', {0}) end"  # a cast to text adds to an inet
MICROS = "round(extract(epoch from {}) * 1000000)::bigint"
ISO = """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
DURATION = (
    "round((extract(year from {0}) * 12 + extract(month from {0}))::numeric * 30.4375 * 86400000000"
    " + extract(day from {0})::numeric * 86400000000 + extract(hour from {0})::numeric * 3600000000"
    " + extract(minute from {0})::numeric * 60000000 + extract(microseconds from {0})::numeric)::bigint"
)

COLUMNS = {
    "c_bool": Column("bool", ("true", "false"), "{}", same),
    "c_int2": Column("int2", ("-32768", "32767", "0"), "{}", same),
    "c_int4": Column("int4", ("-2147483648", "2147483647"), "{}", same),
    "c_int8": Column("int8", ("-9223372036854775808", "9223372036854775807"), "{}", same),
    "c_oid": Column("oid", ("0", "4294967295"), "{}::bigint", same),
    "c_float4": Column("float4", ("0", "'-0'", "3.4028235e38", "1e-45", "0.1", "'infinity'", "'-infinity'"), "{}", single),
    "c_float8": Column("float8", ("0", "1.7976931348623157e308", "5e-324", "0.1", "'infinity'", "'-infinity'"), "{}", same),
    "c_numeric": Column("numeric", ("0", "1.50", "-0.001", "12345678901234567890123456789.5", "1e20", "-128", "128"), expect=variable),
    "c_decimal": Column("numeric(12,4)", ("0", "-99999999.9999", "99999999.9999", "1.5"), "{}", same),
    "c_wide": Column("numeric(60,30)", ("0.000000000000000000000000000001", "-123456789012345678901234567890.5"), "{}", same),
    "c_money": Column("money", ("'-92233720368547758.08'", "'92233720368547758.07'", "'1.50'"), "{}::numeric", same),
    "c_text": Column("text", ("''", "'größer 日本 🐘'", "E'a\\nb\\tc'", "repeat('x', 3000)")),
    "c_varchar": Column("varchar(10)", ("''", "'ä'")),
    "c_bpchar": Column("char(5)", ("'a'", "''", "'abcde'"), "rpad({}::text, 5)"),
    "c_name": Column("name", ("'a name'",)),
    "c_char": Column('"char"', ("'x'",)),
    "c_xml": Column("xml", ("'<a b=\"1\">&lt;</a>'",)),
    "c_json": Column("json", ("'{\"a\" :  [1, null]}'", "'\"x\"'")),
    "c_jsonb": Column("jsonb", ("'{\"b\":1,\"a\":[1.50, null]}'",)),
    "c_jsonpath": Column("jsonpath", ("'$.a[*] ? (@ > 1)'",)),
    "c_uuid": Column("uuid", ("'00000000-0000-0000-0000-000000000000'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"), "{}::text", UUID),
    "c_bytea": Column("bytea", ("''", "'\\x00ff10'", "decode(repeat('00ff', 2000), 'hex')"), "{}", bytes),
    "c_bit": Column("bit(12)", ("b'000000000001'", "b'111111111111'", "b'000000000000'"), expect=bits),
    "c_bit1": Column("bit(1)", ("b'0'", "b'1'"), expect=lambda text: text == "1"),
    "c_varbit": Column("varbit(20)", ("b'1'", "b'10101010101010101010'", "b''"), expect=bits),
    "c_varbit1": Column("varbit(1)", ("b'0'", "b'1'"), expect=lambda text: text == "1"),
    "c_date": Column("date", ("'1970-01-01'", "'0001-01-01'", "'4713-01-01 BC'", "'5874897-12-31'"), "{} - date '1970-01-01'", same),
    "c_time": Column("time", ("'00:00'", "'23:59:59.999999'"), "{}", same),
    "c_time3": Column("time(3)", ("'00:00'", "'23:59:59.999'"), MICROS, lambda micros: micros // 1000),
    "c_timetz": Column("timetz", ("'00:30+02'", "'12:00:00.5-15:59'"), "({} at time zone 'UTC')::text", lambda t: t.replace("+00", "Z")),
    "c_timestamp": Column("timestamp", ("'1970-01-01'", "'0001-01-01'", "'9999-12-31 23:59:59.999999'"), "{}", same),
    "c_timestamp3": Column("timestamp(3)", ("'1969-12-31 23:59:59.999'", "'2024-02-29 12:00'"), MICROS, lambda micros: micros // 1000),
    "c_timestamptz": Column("timestamptz", ("'2024-02-29 12:00+05:30'", "'0001-01-01 00:00+00'", "'9999-12-31 23:59:59.999999+00'"), ISO),
    "c_interval": Column("interval", ("'0'", "'1 year 2 mons 3 days 04:05:06.789012'", "'-1 mons +5 days -00:00:01'", "'178956970 hours'"), DURATION, same),
    "c_inet": Column("inet", ("'192.168.0.1'", "'10.0.0.0/8'", "'::1'"), PRINTED),
    "c_cidr": Column("cidr", ("'10.0.0.0/8'", "'2001:db8::/32'")),
    "c_macaddr": Column("macaddr", ("'08:00:2b:01:02:03'",)),
    "c_macaddr8": Column("macaddr8", ("'08:00:2b:01:02:03:04:05'",)),
    "c_int4range": Column("int4range", ("'[1,5)'", "'empty'", "'(,)'")),
    "c_int8range": Column("int8range", ("'[1,9223372036854775807)'",)),
    "c_numrange": Column("numrange", ("'[1.5,2.50]'",)),
    "c_tsrange": Column("tsrange", ("'[2024-01-01,2024-01-02 12:00]'",)),
    "c_tstzrange": Column("tstzrange", ("'[2024-01-01 00:00+02,infinity)'",)),
    "c_daterange": Column("daterange", ("'[2024-01-01,2024-01-31]'",)),
    "c_multirange": Column("int4multirange", ("'{[1,2),[5,9)}'",), since=14),
    "c_tsvector": Column("tsvector", ("'a:1 fat:2,4B cat'",)),
    "c_tsquery": Column("tsquery", ("'fat & (rat | cat)'",)),
    "c_point": Column("point", ("'(1.5,-2.25)'", "'(0,1e300)'"), expect=point),
    "c_line": Column("line", ("'{1,2,3}'",), expect=lambda _: {"a": 1.0, "b": 2.0, "c": 3.0}),
    "c_lseg": Column("lseg", ("'[(1,2),(3,4)]'",), expect=lambda _: wkb(2, [(1, 2), (3, 4)], type="lseg")),
    "c_box": Column("box", ("'(3,4),(1,2)'",), expect=lambda _: wkb(3, [(3, 4), (3, 2), (1, 2), (1, 4), (3, 4)], type="box")),
    "c_path": Column("path", ("'[(1,2),(3,4)]'",), expect=lambda _: wkb(2, [(1, 2), (3, 4)], closed="false", type="path")),
    "c_polygon": Column("polygon", ("'((0,0),(1,1),(2,0))'",), expect=lambda _: wkb(3, [(0, 0), (1, 1), (2, 0), (0, 0)], type="polygon")),
    "c_circle": Column("circle", ("'<(1,2),3>'",), expect=lambda _: {"center": point("(1,2)"), "radius": 3.0}),
    "c_lsn": Column("pg_lsn", ("'16/B374D848'",)),
    "c_snapshot": Column("pg_snapshot", ("'10:20:10,14'",)),
    "c_xid": Column("xid", ("'4294967295'",)),
    "c_xid8": Column("xid8", ("'18446744073709551615'",)),
    "c_regclass": Column("regclass", ("'pg_class'",)),
    "c_regtype": Column("regtype", ("'integer'",)),
    "c_enum": Column("mood", ("'sad'", "'very happy'")),
    "c_domain": Column("positive", ("1", "2147483647"), "{}", same),
    "c_composite": Column("pair", ("row(1, 'x, \"y\"')",), expect=lambda _: {"a": 1, "b": 'x, "y"'}),
    "c_array": Column("int[]", ("'{1,NULL,3}'", "'{}'"), "{}", same),
}  # fmt: skip

TYPES = """
create type mood as enum ('sad', 'very happy');
create domain positive as int check (value > 0);
create type pair as (a int, b text);
"""


def columns_of(major: int) -> dict[str, Column]:
    return {name: column for name, column in COLUMNS.items() if column.since <= major}


def insert_all(pg, db: str, columns: dict[str, Column]) -> int:
    """A row per value of the column that has the most; the others end in NULL. Returns the rows."""
    height = max(len(column.values) for column in columns.values()) + 1
    for row in range(height):
        values = [c.values[row] if row < len(c.values) else "null" for c in columns.values()]
        pg.sql(f"insert into every values ({row}, {', '.join(values)})", dbname=db)
    return height


def expected(pg, db: str, columns: dict[str, Column]) -> list[dict[str, Any]]:
    select = ", ".join(column.sql.format(name) for name, column in columns.items())
    rows = pg.sql(f"set timezone = 'UTC'; select {select} from every order by id", dbname=db)
    return [
        {name: None if value is None else column.expect(value) for (name, column), value in zip(columns.items(), row)}
        for row in rows
    ]


@pytest.mark.parametrize("major", (MAJORS[0], MAJORS[-1]))
def test_every_built_in_type_reads_as_postgresql_prints_it(major, postgres_of, run_dir):
    pg = postgres_of(major)
    columns = columns_of(major)
    body = ", ".join(f"{name} {column.type}" for name, column in columns.items())
    db = database(pg, f"{TYPES} create table every (id int primary key, {body})")
    ferry = Ferry(run_dir, pg, db).streaming()
    height = insert_all(pg, db, columns)
    ferry.caught_up()
    assert ferry.stop() == 0
    wanted = expected(pg, db, columns)
    rows = [record["after"] for record in ferry.records()]
    assert len(rows) == height == len(wanted)
    wrong = [
        f"row {number}, {name} ({columns[name].type}): {row[name]!r}, not {value!r}"
        for number, (row, want) in enumerate(zip(rows, wanted))
        for name, value in want.items()
        if not equal(row[name], value)
    ]
    assert not wrong, "\n".join(wrong)


def equal(got: Any, want: Any) -> bool:
    if isinstance(want, Decimal):
        return isinstance(got, Decimal) and got == want
    return type(got) is type(want) and got == want and repr(got) == repr(want)


EXTREMES = {
    "e_float4": ("float4", "'NaN'", "nan"),
    "e_float8": ("float8", "'NaN'", "nan"),
    "e_date": ("date", "'infinity'", 2146033979),
    "e_date2": ("date", "'-infinity'", -2147472691),
    "e_time": ("time", "'24:00'", 86_400_000_000),
    "e_time0": ("time(0)", "'24:00'", 86_400_000),
    "e_timestamp": ("timestamp", "'infinity'", 2**63 - 1),
    "e_timestamp2": ("timestamp", "'-infinity'", -(2**63)),
    "e_timestamp3": ("timestamp(3)", "'infinity'", 9223372036825200000),
    "e_timestamp4": ("timestamp(3)", "'-infinity'", -9223372036832400000),
    "e_year10000": ("timestamp", "'10000-01-01'", 253_402_300_800_000_000),
    "e_bc": ("timestamp", "'4713-01-01 BC'", -210_863_520_000_000_000),
    "e_timestamptz": ("timestamptz", "'infinity'", "infinity"),
    "e_timestamptz2": ("timestamptz", "'-infinity'", "-infinity"),
    "e_timestamptz3": ("timestamptz", "'0001-01-01 00:00+00 BC'", "0000-01-01T00:00:00.000000Z"),
}  # fmt: skip


def test_what_a_reader_s_calendar_has_no_room_for_is_exact_in_the_bytes(postgres, run_dir, monkeypatch):
    body = ", ".join(f"{name} {kind}" for name, (kind, _, _) in EXTREMES.items())
    db = database(postgres, f"create table every (id int primary key, {body})")
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql(f"insert into every values (1, {', '.join(v for _, v, _ in EXTREMES.values())})", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    for logical in ("long-time-micros", "long-local-timestamp-micros", "int-date", "int-time-millis"):
        if logical in fastavro.read.LOGICAL_READERS:  # Python's own calendar ends with the year 9999
            monkeypatch.delitem(fastavro.read.LOGICAL_READERS, logical)
    (row,) = (record["after"] for record in ferry.records())
    for name, (kind, literal, value) in EXTREMES.items():
        got = repr(row[name]) if value == "nan" else row[name]
        assert got == value, f"{kind} {literal}"


def test_a_value_no_avro_type_holds_stops_the_pipeline_by_name(postgres, run_dir):
    """Nothing is rounded, wrapped or turned into null."""
    db = database(postgres, "create table every (id int primary key, c_n numeric)")
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into every values (1, 1.5)", dbname=db)
    ferry.caught_up()
    postgres.sql("insert into every values (2, 'NaN')", dbname=db)
    ferry.wait_log("level=error|state=blocked", 20)
    line = next(line for line in ferry.log_text().splitlines() if "c_n" in line)
    assert "public.every" in line or "every" in line
    assert "nothing is skipped" in ferry.log_text()
    ferry.kill9()
    assert ferry.confirmed() <= ferry.checkpoint()[0]


def test_a_type_carried_as_text_is_announced_once(postgres, run_dir):
    db = database(postgres, "create type mine as range (subtype = text); create type other as range (subtype = text);"
                            "create table a (id int primary key, v mine); create table b (id int primary key, v mine, w other)")  # fmt: skip
    ferry = Ferry(run_dir, postgres, db, format={"include_unknown_datatypes": "on"}).streaming()
    postgres.sql("insert into a values (1, '[a,b)'); insert into b values (1, '[a,b)', '[c,d)')", dbname=db)
    postgres.sql("alter table a add x int; insert into a values (2)", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    told = [line for line in ferry.log_text().splitlines() if "code=type_as_text" in line]
    assert len(told) == 2, told
    assert "type mine " in told[0] and "public.a.v" in told[0] and "type other " in told[1] and "public.b.w" in told[1]
    assert [r["after"]["v"] for r in ferry.records()] == ["[a,b)", None, "[a,b)"]
