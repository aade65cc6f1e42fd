"""Random rows of all types: what fastavro reads is what PostgreSQL prints.

WALFERRY_SEED repeats a run. A value that a profile refuses by design is null there, by
event_converting_failure_handling_mode `warn`, and nothing else is.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import pgvalues
import psycopg2.extensions
import pytest
from harness import Ferry, database
from pgvalues import array, same

from services import MAJORS, Postgres

pytestmark = pytest.mark.usefixtures("numbers_as_they_are")
CHUNK = 10_000  # rows in memory, and of a transaction


class Column(NamedTuple):
    """A column: extreme values and an SQL expression for the others, and what becomes of their text."""

    type: str
    extremes: tuple[str, ...]  # SQL literals
    rest: str  # SQL expression
    debezium: Callable[[str], Any] = same
    native: Callable[[str], Any] | None = None  # as debezium
    seen: Callable[[Any], Any] | None = None  # applied to what was read, and to what is wanted
    since: int = 13
    clause: str = ""  # of the table's definition

    @property
    def sql(self) -> str:
        """A value; every seventh is one of the extremes, every ninth NULL."""
        value = f"({self.rest})::{self.type}"
        if self.extremes:
            whens = " ".join(f"when {i} then ({literal})::{self.type}" for i, literal in enumerate(self.extremes))
            value = f"case floor(random() * {7 * len(self.extremes)})::int {whens} else {value} end"
        if "not null" in self.clause:
            return value
        return f"case when random() < 0.11 then null else {value} end"


def double_bits(value: float | None) -> bytes | None:
    return None if value is None else struct.pack("<d", value)


def pairs(value: Any) -> Any:
    """A JSON object's text as a dict; keys are told apart by it."""
    return json.loads(value) if isinstance(value, str) else value


HELPERS = r"""
create extension hstore;
create extension citext;
create extension ltree;
create type mood as enum ('sad', 'very happy', 'it''s "odd", \ {x}');
create domain positive as int check (value > 0);
create domain price as numeric(8,3);
create type addr as (street text, no int);
create type person as (name text, homes addr[], home addr, moods mood[], paid numeric(8,2), born date, sums numeric(9,3)[], seen timestamptz(3)[]);
create domain home as addr;
create function pick(anyarray) returns anyelement language sql volatile as
    $$ select $1[1 + floor(random() * cardinality($1))::int] $$;
-- small and large numbers alike
create function r_long(bits int) returns bigint language sql volatile as
    $$ select floor((random() * 2 - 1) * power(2, random() * bits))::bigint # floor(random() * 256)::bigint $$;
create function r_digits(n int) returns text language sql volatile as
    $$ select left(translate(md5(random()::text) || md5(random()::text), 'abcdef', '012345'), n) $$;
-- up to so many digits in front of the point and behind it
create function r_decimal(whole int, fraction int) returns numeric language sql volatile as
    $$ select (case when random() < 0.5 then '-' else '' end || r_digits(1 + floor(random() * whole)::int)
               || '.' || r_digits(floor(random() * (fraction + 1))::int) || '0')::numeric $$;
create function r_text(parts int) returns text language sql volatile as
    $$ select coalesce(string_agg(p[1 + floor(random() * cardinality(p))::int], ''), '')
       from (select array['a', 'Z9', ' ', '"', '\', '''', ',', ';', '{', '}', '(', ')', '[', '=>', 'NULL', '%s', '$1',
                          E'\n', E'\r', E'\t', E'\x01', E'\x7f', 'é', 'ß', '日本', '🐘', E'\u00ad', E'\ufeff', '/', '&<']
             as p) words, generate_series(1, floor(random() * parts)::int) $$;
create function r_bytes(n int) returns bytea language sql volatile as
    $$ select decode(left(md5(random()::text) || md5(random()::text) || md5(random()::text), 2 * floor(random() * n)::int), 'hex') $$;
create function r_bits(n int) returns text language sql volatile as
    $$ select left((r_long(63)::bit(64))::text || (r_long(63)::bit(64))::text, n) $$;
create function r_date() returns date language sql volatile as
    $$ select '2000-01-01'::date + ((random() * 2 - 1) * pick(array[100, 40000, 700000, 2000000]))::int $$;
create function r_stamp() returns timestamp language sql volatile as
    $$ select '2000-01-01'::timestamp + make_interval(secs => (random() * 2 - 1) * power(10, 2 + random() * 9)) $$;
create function r_time() returns time language sql volatile as
    $$ select '00:00'::time + make_interval(secs => floor(random() * 86400)
                                                    + pick(array[0, 0.5, random(), random() / 1000])) $$;
create function r_interval() returns interval language sql volatile as
    $$ select make_interval(months => r_long(pick(array[0, 5, 12]))::int, days => r_long(pick(array[0, 5, 16]))::int,
                            secs => (random() * 2 - 1) * power(10, random() * 9)) $$;
create function r_double() returns float8 language sql volatile as
    $$ select case when random() < 0.5 then (random() * 2 - 1) * power(10, random() * 600 - 300)
                   else round(((random() * 2 - 1) * 1000)::numeric, 2)::float8 end $$;
create function r_point() returns point language sql volatile as
    $$ select point(r_double(), r_double()) $$;
create function r_points() returns text language sql volatile as
    $$ select string_agg(format('(%s,%s)', r_double(), r_double()), ',')
       from generate_series(1, 1 + floor(random() * 5)::int) $$;
-- an array of 0 to 4 texts, some NULL
create function r_texts(parts int) returns text[] language sql volatile as
    $$ select coalesce(array_agg(case when random() < 0.8 then r_text(parts) end), '{}')
       from generate_series(1, floor(random() * 5)::int) $$;
create function r_longs(bits int) returns bigint[] language sql volatile as
    $$ select coalesce(array_agg(case when random() < 0.8 then r_long(bits) end), '{}')
       from generate_series(1, floor(random() * 5)::int) $$;
create function r_json() returns jsonb language sql volatile as
    $$ select jsonb_build_object(r_text(3), r_texts(6), r_text(2), r_decimal(20, 9), 'n', null, '', r_long(60)) $$;
create function r_hstore() returns hstore language sql volatile as
    $$ select coalesce(hstore(array_agg(r_text(4)), array_agg(case when random() < 0.8 then r_text(6) end)), '')
       from generate_series(1, floor(random() * 4)::int) $$;
create function r_addr() returns addr language sql volatile as
    $$ select row(case when random() < 0.9 then r_text(6) end, case when random() < 0.9 then r_long(31)::int end)::addr $$;
create function r_addrs() returns addr[] language sql volatile as
    $$ select coalesce(array_agg(case when random() < 0.8 then r_addr() end), '{}')
       from generate_series(1, floor(random() * 3)::int) $$;
create function r_person() returns person language sql volatile as
    $$ select row(r_text(8), r_addrs(), case when random() < 0.8 then r_addr() end,
                  pick(array[null::text, '{}', '{sad,NULL,"very happy"}', array[(enum_range(null::mood))[3]]::text])::mood[],
                  r_decimal(6, 1), r_date(), array[r_decimal(4, 2), null, 0], array[r_stamp(), null])::person $$;
"""


def rounded(low: str, width: str, kind: str) -> str:
    """A range with random bounds and ends, some open."""
    return (
        f"{kind}(case when random() < 0.9 then b end, case when random() < 0.9 then b + {width} end, "
        f"pick(array['[]', '[)', '(]', '()'])) from (select {low} as b) bounds"
    )


def ranges(low: str, width: str, kind: str) -> str:
    return f"select {rounded(low, width, kind)}"


ADDR = pgvalues.record(street=same, no=int)


def person(born: Callable[[str], Any], seen: Callable[[str], Any]) -> Callable[[str], Any]:
    return pgvalues.record(
        name=same, homes=array(ADDR), home=ADDR, moods=array(same), paid=pgvalues.decimal(2), born=born,
        sums=array(pgvalues.decimal(3)), seen=array(seen),
    )  # fmt: skip


PERSON = person(pgvalues.debezium_days, pgvalues.zoned(3))
PERSON_NATIVE = person(pgvalues.days, pgvalues.zoned_micros)


NUMBERS = {
    "c_bool": Column("bool", (), "random() < 0.5", pgvalues.boolean, clause="not null default true"),
    "c_int2": Column("int2", ("-32768", "32767"), "r_long(15)", int, clause="default 7"),
    "c_int4": Column("int4", ("-2147483648", "2147483647"), "r_long(31)", int, clause="not null default 5"),
    "c_int8": Column("int8", ("-9223372036854775808", "9223372036854775807", "0"), "r_long(63)", int),
    "c_oid": Column("oid", ("0", "4294967295", "2147483648"), "abs(r_long(32))", int, clause="not null"),
    "c_float4": Column("float4", ("'NaN'", "'infinity'", "'-infinity'", "'-0'", "3.4028235e38", "1e-45", "16777217"), "((random() * 2 - 1) * power(10, random() * 70 - 35))::float4", pgvalues.single, seen=double_bits),
    "c_float8": Column("float8", ("'NaN'", "'infinity'", "'-infinity'", "'-0'", "1.7976931348623157e308", "5e-324", "9007199254740993"), "r_double()", float, seen=double_bits, clause="not null"),
    "c_numeric": Column("numeric", ("0", "0.00", "'NaN'", "1e40", "-128", "127.0", "-32768.000", "1e-40", "-0.1"), "r_decimal(30, 20)", pgvalues.variable, same),
    "c_decimal": Column("numeric(12,4)", ("0", "'NaN'", "-99999999.9999", "99999999.9999", "-0.0128"), "r_decimal(8, 3)", pgvalues.decimal(4)),
    "c_whole": Column("numeric(38,0)", ("repeat('9', 38)", "'-' || repeat('9', 38)", "9223372036854775808"), "r_decimal(37, 0)", pgvalues.decimal(0), clause="not null default 12"),
    "c_wide": Column("numeric(60,30)", ("1e-30", "-123456789012345678901234567890.5"), "r_decimal(30, 29)", pgvalues.decimal(30)),
    "c_money": Column("money", ("'-92233720368547758.08'", "'92233720368547757.07'", "0"), "r_decimal(14, 2)", pgvalues.money),
    "c_price": Column("price", ("0", "'NaN'"), "r_decimal(5, 2)", pgvalues.decimal(3)),
    "c_tiny": Column("numeric(5,5)", ("0.99999", "-0.00001"), "random()::numeric * 0.9999", pgvalues.decimal(5)),
    "c_hundreds": Column("numeric(5,-2)", ("9999900", "-9999900", "0"), "r_decimal(6, 2)", pgvalues.decimal(0), since=15),
}  # fmt: skip

TEXTS = {
    "c_text": Column("text", ("''", "repeat('x', 3000)", r"E'\\'", "'NULL'"), "r_text(30)", clause="not null default 'it''s \"x\"'"),
    "c_varchar": Column("varchar(20)", ("''",), "left(r_text(20), 20)", clause="default 'none'"),
    "c_bpchar": Column("char(10)", ("''", "'abcdefghij'"), "left(r_text(10), 10)"),
    "c_name": Column("name", ("''",), "left(r_text(12), 10)"),
    "c_char": Column('"char"', ("''", "'x'"), "pick(array['a', '\"', '\\', ' ', '~'])"),
    "c_citext": Column("citext", ("''",), "r_text(10)", clause="not null"),
    "c_xml": Column("xml", ("'<a b=\"1\">&lt;</a>'", "''"), "xmlelement(name x, regexp_replace(r_text(10), E'[\\x01\\x7f\\ufeff]', '', 'g'))"),
    "c_json": Column("json", ("'{\"a\" :  [1, null]}'", "'\"x\\u00e9\"'", "'1e400'", "'{\"a\":1,\"a\":2}'"), "r_json()"),
    "c_jsonb": Column("jsonb", ("'null'", "'\"\\ud83d\\ude00\"'"), "r_json()", clause="not null default '{}'"),
    "c_enum": Column("mood", (), "pick(enum_range(null::mood))", clause="not null default 'sad'"),
    "c_ltree": Column("ltree", ("''",), "'a.' || md5(random()::text) || '.b'"),
}  # fmt: skip

BYTES = {
    "c_uuid": Column("uuid", ("'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"), "md5(random()::text)"),
    "c_bytea": Column("bytea", ("''", r"'\x00'", "decode(repeat('00ff', 2000), 'hex')"), "r_bytes(48)", pgvalues.bytea, clause="not null"),
    "c_bit": Column("bit(12)", ("repeat('0', 12)", "repeat('1', 12)"), "r_bits(12)", pgvalues.bits, same),
    "c_bit1": Column("bit(1)", ("'0'", "'1'"), "r_bits(1)", pgvalues.bit),
    "c_varbit": Column("varbit(100)", ("''", "'0'", "repeat('1', 100)"), "r_bits(floor(random() * 101)::int)", pgvalues.bits, same),
    "c_inet": Column("inet", ("'0.0.0.0/0'", "'::1'", "'::ffff:1.2.3.4/100'"), "'10.1.0.0'::inet + floor(random() * 1e6)::bigint"),
    "c_cidr": Column("cidr", ("'0.0.0.0/0'", "'2001:db8::/32'"), "set_masklen(('10.0.0.0'::inet + floor(random() * 1e6)::bigint)::cidr, 8 + floor(random() * 25)::int)"),
    "c_macaddr": Column("macaddr", ("'ff:ff:ff:ff:ff:ff'",), "left(md5(random()::text), 12)"),
    "c_macaddr8": Column("macaddr8", ("'08:00:2b:01:02:03'",), "left(md5(random()::text), 16)"),
    "c_lsn": Column("pg_lsn", ("'0/0'", "'FFFFFFFF/FFFFFFFF'"), "'0/0'::pg_lsn + abs(r_long(62))", since=14),
    "c_xid": Column("xid", ("'0'", "'4294967295'"), "abs(r_long(31))::text"),
    "c_xid8": Column("xid8", ("'0'", "'18446744073709551615'"), "abs(r_long(63))::text"),
    "c_tsvector": Column("tsvector", ("''", "'a:1 fat:2,4B cat'"), "strip(to_tsvector('simple', r_text(20)))"),
    "c_tsquery": Column("tsquery", ("'fat & (rat | !cat)'",), "plainto_tsquery('simple', 'x ' || r_text(9))"),
    "c_jsonpath": Column("jsonpath", ("'$.a[*] ? (@ > 1)'",), "'$.' || to_json(r_text(5))::text"),
    "c_regtype": Column("regtype", (), "pick(array['int', 'timestamptz', 'text[]', 'mood'])"),
    "c_snapshot": Column("pg_snapshot", (), "pg_current_snapshot()"),
}  # fmt: skip

TIMES = {
    "c_date": Column("date", ("'infinity'", "'-infinity'", "'4713-01-01 BC'", "'0001-12-31 BC'", "'5874897-12-31'", "'0005-02-29 BC'", "'1600-02-29'"), "r_date()", pgvalues.debezium_days, pgvalues.days),
    "c_time": Column("time", ("'00:00'", "'24:00'", "'23:59:59.999999'"), "r_time()", pgvalues.clock, clause="not null"),
    "c_time3": Column("time(3)", ("'24:00'", "'23:59:59.999'"), "r_time()", pgvalues.clock_ms, pgvalues.clock, clause="default '12:00'"),
    "c_timetz": Column("timetz", ("'24:00+00'", "'24:00-15:59'", "'00:00+15:59:59'"), "r_time()::text || pick(array['+00', '-03:30', '+05:45', '-15:59:59', '+14'])", pgvalues.zoned_time, clause="not null"),
    "c_timestamp": Column("timestamp", ("'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999999'", "'294247-01-10 04:00:54.775806'", "'294247-01-10 04:00:54.775807'", "'1969-12-31 23:59:59.999999'"), "r_stamp()", pgvalues.debezium_micros, pgvalues.micros),
    "c_timestamp3": Column("timestamp(3)", ("'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999'"), "r_stamp()", pgvalues.debezium_millis, pgvalues.micros),
    "c_timestamptz": Column("timestamptz", ("'infinity'", "'-infinity'", "'4713-01-02 BC'", "'0001-12-31 23:59:59+00 BC'", "'294276-12-31 23:59:59.999999+00'", "'10000-01-01 00:00+00'"), "r_stamp()", pgvalues.zoned(6), pgvalues.zoned_micros),
    "c_timestamptz3": Column("timestamptz(3)", ("'infinity'", "'2024-02-29 23:59:59.9995+00'"), "r_stamp()", pgvalues.zoned(3), pgvalues.zoned_micros),
    "c_timestamptz0": Column("timestamptz(0)", ("'1999-12-31 23:59:59.5+00'",), "r_stamp()", pgvalues.zoned(0), pgvalues.zoned_micros),
    "c_interval": Column("interval", ("'0'", "'-1 mons +5 days -00:00:01'", "'178000000 years'", "'-178000000 years'", "'2147483647 days'", "'2147483647 hours'", "'-2147483647 hours -59.999999 secs'", "'-00:00:00.000001'"), "r_interval()", pgvalues.duration, pgvalues.interval),
    "c_interval2": Column("interval", ("'infinity'", "'-infinity'"), "r_interval()", pgvalues.duration, pgvalues.interval, since=17),
}  # fmt: skip

RANGES = {
    "c_int4range": Column("int4range", ("'empty'", "'(,)'"), ranges("r_long(30)::int", "floor(random() * 9)::int", "int4range"), clause="not null"),
    "c_int8range": Column("int8range", ("'empty'", "'[1,9223372036854775807)'"), ranges("r_long(60)", "floor(random() * 9)::int", "int8range")),
    "c_numrange": Column("numrange", ("'empty'", "'(,1.50]'"), ranges("r_decimal(9, 9)", "random()::numeric", "numrange")),
    "c_tsrange": Column("tsrange", ("'empty'", "'[-infinity,infinity]'"), ranges("r_stamp()", "r_time()::interval", "tsrange")),
    "c_tstzrange": Column("tstzrange", ("'empty'", "'[2024-01-01 00:00+02,infinity)'"), ranges("r_stamp()::timestamptz", "r_time()::interval", "tstzrange")),
    "c_daterange": Column("daterange", ("'empty'", "'(0044-03-15 BC,)'"), ranges("r_date()", "floor(random() * 9)::int", "daterange")),
    "c_multi": Column("int4multirange", ("'{}'", "'{(,)}'"), f"int4multirange(({ranges('r_long(20)::int', '3', 'int4range')}), ({ranges('r_long(20)::int', '3', 'int4range')}))", since=14),
    "c_tsmulti": Column("tsmultirange", ("'{}'",), f"tsmultirange(({ranges('r_stamp()', 'r_time()::interval', 'tsrange')}))", since=14),
    "c_domain": Column("positive", ("1", "2147483647"), "1 + abs(r_long(30))", int),
}  # fmt: skip

SHAPES = {
    "c_point": Column("point", ("'(0,0)'", "'(-0,1e300)'", "'(infinity,-infinity)'"), "r_point()", pgvalues.point, clause="not null"),
    "c_line": Column("line", ("'{1,0,0}'",), "line(point(random(), random()), point(2 + random(), r_long(20)))", pgvalues.line, same),
    "c_lseg": Column("lseg", ("'[(0,0),(0,0)]'",), "lseg(r_point(), r_point())", pgvalues.lseg, same, clause="not null"),
    "c_box": Column("box", ("'(0,0),(0,0)'",), "box(r_point(), r_point())", pgvalues.box, same),
    "c_path": Column("path", ("'[(0,0)]'", "'((0,0))'"), "case when random() < 0.5 then '[' || r_points() || ']' else '(' || r_points() || ')' end", pgvalues.path, same),
    "c_polygon": Column("polygon", ("'((0,0))'", "'((1,1),(2,2),(1,1))'"), "'(' || r_points() || ')'", pgvalues.polygon, same),
    "c_circle": Column("circle", ("'<(0,0),0>'", "'<(-1,1e300),infinity>'"), "circle(r_point(), abs(r_double()))", pgvalues.circle, same),
}  # fmt: skip

ARRAYS = {
    "a_int": Column("int[]", ("'{}'", "'[5:6]={1,NULL}'", "'{2147483647,-2147483648}'"), "r_longs(31)::int[]", array(int), clause="not null"),
    "a_int8": Column("int8[]", ("'{}'", "'{NULL}'", "(select array_agg(n) from generate_series(1, 300) n)"), "r_longs(63)", array(int)),
    "a_text": Column("text[]", ("'{}'", "'{\"\"}'", "'{NULL,\"NULL\",null}'", "'[0:1]={a,b}'"), "r_texts(8)", array(same)),
    "a_varchar": Column("varchar(9)[]", ("'{}'",), "r_texts(3)", array(same)),
    "a_numeric": Column("numeric[]", ("'{}'", "'{1,NaN}'", "'{1.50,NULL}'"), "array[r_decimal(20, 10), null, r_decimal(1, 0)]", array(pgvalues.variable), array(same)),
    "a_decimal": Column("numeric(9,2)[]", ("'{}'", "'{NULL,0}'"), "array[r_decimal(7, 1), r_decimal(1, 0)]", array(pgvalues.decimal(2)), clause="not null"),
    "a_bool": Column("bool[]", ("'{}'",), "array[random() < 0.5, null, random() < 0.5]", array(pgvalues.boolean)),
    "a_float8": Column("float8[]", ("'{}'", "'{infinity,-infinity}'"), "array[r_double(), null, r_double()]", array(float)),
    "a_date": Column("date[]", ("'{}'", "'{infinity}'"), "array[r_date(), r_date()]", array(pgvalues.debezium_days), array(pgvalues.days)),
    "a_stamp": Column("timestamp[]", ("'{}'",), "array[r_stamp(), null, r_stamp()]", array(pgvalues.debezium_micros), array(pgvalues.micros)),
    "a_stamptz": Column("timestamptz[]", ("'{}'",), "array[r_stamp(), r_stamp()]", array(pgvalues.zoned(6)), array(pgvalues.zoned_micros)),
    "a_interval": Column("interval[]", ("'{}'",), "array[r_interval(), null]", array(pgvalues.duration), array(pgvalues.interval)),
    "a_uuid": Column("uuid[]", ("'{}'",), "array[md5(random()::text), null]", array(same)),
    "a_bytea": Column("bytea[]", ("'{}'",), "array[r_bytes(20), null, '']", array(pgvalues.bytea)),
    "a_bit": Column("bit(9)[]", ("'{}'",), "array[r_bits(9), null]", array(pgvalues.bits), array(same)),
    "a_json": Column("jsonb[]", ("'{}'",), "array[r_json(), null, '{}']", array(same)),
    "a_enum": Column("mood[]", ("'{}'",), "enum_range(null::mood)", array(same)),
    "a_inet": Column("inet[]", ("'{}'",), "array['10.0.0.1/8', null]", array(same)),
    "a_range": Column("int4range[]", ("'{}'",), f"array[({ranges('r_long(20)::int', '3', 'int4range')}), null]", array(same)),
    "a_money": Column("money[]", ("'{}'",), "array[r_decimal(9, 2)::money]", array(pgvalues.money)),
    "a_point": Column("point[]", ("'{}'",), "array[r_point(), null]", array(pgvalues.point)),
    "a_box": Column("box[]", ("'{}'",), "array[box(r_point(), r_point()), null, box(r_point(), r_point())]", array(pgvalues.box, ";"), array(same, ";")),
    "a_domain": Column("positive[]", ("'{}'",), "array[1 + abs(r_long(20))]", array(int)),
}  # fmt: skip

PARTS = {
    "c_addr": Column("addr", ("row(null, null)", "row('', 0)"), "r_addr()", ADDR, clause="not null"),
    "c_home": Column("home", (), "r_addr()", ADDR),
    "c_person": Column("person", (), "r_person()", PERSON, PERSON_NATIVE),
    "a_addr": Column("addr[]", ("'{}'", "'{NULL}'"), "r_addrs()", array(ADDR)),
    "a_person": Column("person[]", ("'{}'",), "array[r_person(), null]", array(PERSON), array(PERSON_NATIVE)),
    "c_hstore": Column("hstore", ("''", "'\"\"=>\"\"'"), "r_hstore()", pgvalues.hstore, seen=pairs, clause="not null"),
    "a_hstore": Column("hstore[]", ("'{}'",), "array[r_hstore(), null]", array(pgvalues.hstore), seen=lambda v: v and [pairs(e) for e in v]),
    "c_int2vector": Column("int2vector", ("''",), "r_long(15) || ' ' || r_long(15)", pgvalues.vector),
    "c_oidvector": Column("oidvector", ("''", "'0 4294967295'"), "abs(r_long(31)) || ' ' || abs(r_long(31))", pgvalues.vector),
}  # fmt: skip

TABLES = {
    "numbers": NUMBERS,
    "texts": TEXTS,
    "bytes": BYTES,
    "times": TIMES,
    "ranges": RANGES,
    "shapes": SHAPES,
    "arrays": ARRAYS,
    "parts": PARTS,
}

PROFILES = ("debezium", "native")

SESSION = "set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set lc_monetary = 'C'; set bytea_output = 'hex'"


def columns_of(table: str, major: int) -> dict[str, Column]:
    return {name: column for name, column in TABLES[table].items() if column.since <= major}


def definition(table: str, major: int) -> str:
    body = ", ".join(f"{name} {column.type} {column.clause}" for name, column in columns_of(table, major).items())
    return f"create table {table} (id int primary key, {body})"


def fill(pg: Postgres, db: str, rows: int, seed: int) -> None:
    """The same rows for the same seed, on servers of one major."""
    connection = pg.connect(db)
    with connection.cursor() as cursor:
        for number, table in enumerate(TABLES):
            values = ", ".join(column.sql for column in columns_of(table, pg.major).values())
            for first in range(1, rows + 1, CHUNK):
                cursor.execute("select setseed(%s)", (random.Random(f"{seed} {number} {first}").uniform(-1, 1),))
                last = min(first + CHUNK - 1, rows)
                cursor.execute(f"insert into {table} select id, {values} from generate_series({first}, {last}) id")
    connection.close()


def printed(connection: Any, table: str, names: list[str], first: int, last: int) -> list[tuple[str | None, ...]]:
    """The columns as the server writes them, one tuple for each."""
    with connection.cursor() as cursor:
        cursor.execute(f"select {', '.join(names)} from {table} where id between {first} and {last} order by id")
        return list(zip(*cursor.fetchall()))


def raw_connection(pg: Postgres, db: str) -> Any:
    """psycopg2 without its own reading of values."""
    connection = pg.connect(db)
    oids = tuple(psycopg2.extensions.string_types)
    raw = psycopg2.extensions.new_type(oids, "RAW", psycopg2.extensions.UNICODE)
    psycopg2.extensions.register_type(raw, connection)
    with connection.cursor() as cursor:
        cursor.execute(SESSION)
    return connection


def after(files: list[Path]) -> Iterator[dict[str, Any]]:
    for path in files:
        with open(path, "rb") as file:
            for record in fastavro.reader(file):
                yield record["after"]


def unequal(column: Column, profile: str, got: list[Any], texts: tuple[str | None, ...]) -> tuple[list[int], int]:
    """Where they differ, in value or Python type; and how many values had to be null."""
    mapping = pgvalues.or_null(column.native if profile == "native" and column.native else column.debezium)
    want = [None if text is None else mapping(text) for text in texts]
    refused = want.count(None) - texts.count(None)
    seen = column.seen
    if seen:
        got, want = list(map(seen, got)), list(map(seen, want))
    if got == want and list(map(type, got)) == list(map(type, want)):
        return [], refused
    return [i for i, (a, b) in enumerate(zip(got, want)) if type(a) is not type(b) or a != b], refused


class Tally:
    """What was compared."""

    def __init__(self) -> None:
        self.rows = self.values = self.refused = 0
        self.wrong: list[str] = []

    def table(self, connection: Any, ferry: Ferry, profile: str, table: str, columns: dict[str, Column]) -> None:
        names = list(columns)
        records = after(ferry.files(ferry.topic(table)))
        expected = 1
        while chunk := list(itertools.islice(records, CHUNK)):
            last = expected + len(chunk) - 1
            assert [row["id"] for row in chunk] == list(range(expected, last + 1)), f"{table}: rows"
            for name, texts in zip(names, printed(connection, table, names, expected, last)):
                got = [row[name] for row in chunk]
                assert len(got) == len(texts), f"{table}: {len(got)} rows, not {len(texts)}"
                wrong, refused = unequal(columns[name], profile, got, texts)
                self.refused += refused
                for i in wrong:
                    self.wrong.append(f"{profile} {table}.{name} id {expected + i}: {got[i]!r} of {texts[i]!r}")
                self.values += len(got)
            self.rows += len(chunk)
            expected = last + 1
        assert expected > 1, f"{table}: no rows"


def compare(pg: Postgres, run_dir: Path, rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Fills all tables with so many rows each, and reads them back from a pipeline of each profile."""
    seed = int(os.environ.get("WALFERRY_SEED") or random.SystemRandom().randrange(10**9))
    started = time.monotonic()
    db = database(pg, ";".join([HELPERS, *(definition(table, pg.major) for table in TABLES)]))
    ferries = {
        profile: Ferry(
            run_dir, pg, db, format={"profile": profile, "event_converting_failure_handling_mode": "warn"}
        ).streaming()
        for profile in PROFILES
    }  # fmt: skip
    fill(pg, db, rows, seed)
    filled = time.monotonic()
    for ferry in ferries.values():
        ferry.caught_up(600)
        assert ferry.stop() == 0
    delivered = time.monotonic()
    tally = Tally()
    connection = raw_connection(pg, db)
    for profile, ferry in ferries.items():
        for table in TABLES:
            tally.table(connection, ferry, profile, table, columns_of(table, pg.major))
    connection.close()
    pg.sql(f"drop database {db} with (force)")
    with capsys.disabled():
        print(
            f"\nrandom rows: PostgreSQL {pg.major}, seed {seed}, {rows * len(TABLES)} rows in {len(TABLES)} tables, "
            f"{tally.rows} read back in {len(PROFILES)} profiles, {tally.values} values compared "
            f"({tally.refused} null by design), "
            f"{len(tally.wrong)} mismatches; filled in {filled - started:.0f} s, delivered in {delivered - filled:.0f} s, "
            f"compared in {time.monotonic() - delivered:.0f} s"
        )
    assert tally.rows == rows * len(TABLES) * len(PROFILES)
    assert not tally.wrong, f"seed {seed}: {len(tally.wrong)} wrong, as\n" + "\n".join(tally.wrong[:20])


@pytest.mark.timeout(120)
def test_random_rows_read_as_postgresql_prints_them(postgres, run_dir, capsys):
    compare(postgres, run_dir, 3000, capsys)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("major", "rows"), ((MAJORS[-1], 125_000), (MAJORS[0], 12_500)))
def test_a_million_random_rows(major, rows, postgres_of, run_dir, capsys):
    compare(postgres_of(major), run_dir, rows, capsys)
