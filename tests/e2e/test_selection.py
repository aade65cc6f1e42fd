"""What is read and what is hidden: tables, columns, rows, operations; topics and keys of single tables."""

from __future__ import annotations

import hashlib

import pytest
from harness import Ferry, database, kafka_ferry

from services import MAJORS

TABLES = """
create table users (id int primary key, name text, email text, phone text, secret text);
create table orders (id int primary key, region text, note text);
create table tmp_1 (id int primary key); create table tmp_x (id int primary key);
create schema audit; create table audit.log (id int primary key);
"""


@pytest.fixture(params=MAJORS)
def server(request, postgres_of):
    return postgres_of(request.param)


def values(ferry, table):
    return [r["after"] for r in ferry.records(ferry.topic(table)) if r["after"]]


def published(pg, db, name):
    return {f"{s}.{t}" for s, t in pg.sql("select schemaname, tablename from pg_publication_tables where pubname = %s", (name,), dbname=db)}  # fmt: skip


def test_tables_by_glob_and_regular_expression(server, run_dir):
    db = database(server, TABLES)
    ferry = Ferry(
        run_dir, server, db,
        source={"tables": ["public.*", "audit.l?g"], "exclude_tables": ["/public\\.tmp_[0-9]+/", "*.orders"]},
    ).streaming()  # fmt: skip
    server.sql("insert into users values (1); insert into orders values (1); insert into tmp_1 values (1);"
               "insert into tmp_x values (1); insert into audit.log values (1)", dbname=db)  # fmt: skip
    ferry.caught_up()
    assert ferry.stop() == 0
    assert published(server, db, ferry.pipeline) == {"public.users", "public.tmp_x", "audit.log"}, "filtered at the source"
    assert {r["source"]["schema"] + "." + r["source"]["table"] for r in ferry.records()} == {
        "public.users", "public.tmp_x", "audit.log",
    }  # fmt: skip


def test_a_filtered_table_never_holds_back_the_slot(server, run_dir):
    """Also when the publication is somebody else's and holds everything."""
    db = database(server, TABLES)
    ferry = Ferry(run_dir, server, db, source={"tables": ["public.users"]})
    server.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
    ferry.streaming()
    server.sql("insert into orders select g from generate_series(1, 1000) g", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0 and ferry.records() == []


def test_columns_left_out_and_hidden(server, run_dir):
    db = database(server, TABLES)
    ferry = Ferry(
        run_dir, server, db,
        source={
            "exclude_columns": ["*.*.secret"], "mask_salt": "pepper",
            "mask": {"public.users.email": "hash", "*.users.phone": "fixed ***", "/.*[.]note/": "truncate 3"},
        },
    ).streaming()  # fmt: skip
    server.sql("insert into users values (1, 'Ann', 'a@b.c', '0123', 'pw'), (2, null, null, null, null)", dbname=db)
    server.sql("insert into orders values (1, 'eu', 'äöüß')", dbname=db)
    server.sql("update users set secret = 'other' where id = 1; alter table users add added text;"
               "insert into users values (3, 'Cy', 'a@b.c', '', 'x', 'new')", dbname=db)  # fmt: skip
    ferry.caught_up()
    assert ferry.stop() == 0
    hashed = hashlib.sha256(b"peppera@b.c").hexdigest()
    first = {"id": 1, "name": "Ann", "email": hashed, "phone": "***"}
    assert values(ferry, "users") == [
        first, {"id": 2, "name": None, "email": None, "phone": None}, first,
        {"id": 3, "name": "Cy", "email": hashed, "phone": "***", "added": "new"},
    ]  # fmt: skip
    assert values(ferry, "orders") == [{"id": 1, "region": "eu", "note": "äöü"}]
    assert "pw" not in ferry.log_text() and "a@b.c" not in ferry.log_text()


def test_named_columns_are_all_that_is_read(server, run_dir):
    db = database(server, TABLES)
    ferry = Ferry(run_dir, server, db, source={"columns": ["public.users.name", "public.users.email"]}).streaming()
    server.sql("insert into users values (1, 'Ann', 'e', 'p', 's'); insert into orders values (1, 'eu', 'n');"
               "update users set name = 'B'; delete from users", dbname=db)  # fmt: skip
    ferry.caught_up()
    assert ferry.stop() == 0
    assert values(ferry, "users")[0] == {"id": 1, "name": "Ann", "email": "e"}, "the key stays"
    assert [r["op"] for r in ferry.records(ferry.topic("users"))] == ["c", "u", "d"]
    assert values(ferry, "orders") == [{"id": 1, "region": "eu", "note": "n"}]
    if server.major >= 15:
        lists = dict(server.sql("select tablename, attnames::text from pg_publication_tables where pubname = %s", (ferry.pipeline,), dbname=db))  # fmt: skip
        assert lists["users"] == "{id,name,email}", "the server does not even send the others"


@pytest.mark.parametrize(
    "source, cause",
    (
        ({"exclude_columns": ["public.users.id"]}, "cannot be left out"),
        ({"mask": {"*.users.*": "fixed x"}}, "different rows would get one key"),
    ),
)
def test_a_key_column_is_refused(postgres, run_dir, source, cause):
    db = database(postgres, TABLES)
    ferry = Ferry(run_dir, postgres, db, source=source).streaming()
    postgres.sql("insert into users values (1)", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert "public.users.id" in line and cause in line


def test_a_key_may_be_hashed(postgres, run_dir, kafka):
    db = database(postgres, "create table p (mail text primary key, v int)")
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, None, format={"encoding": "json"},
        source={"mask": {"*.*.mail": "hash"}, "mask_salt": "s"},
    ).streaming()  # fmt: skip
    postgres.sql("insert into p values ('a@b.c', 1); update p set v = 2; delete from p", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    hashed = hashlib.sha256(b"sa@b.c").hexdigest()
    assert {r.key for r in kafka.stream(ferry.topic("p"))} == {f'{{"mail":"{hashed}"}}'.encode()}


@pytest.mark.parametrize("profile", ["debezium", "debezium-strict", "row"])
def test_nothing_masked_is_anywhere_in_kafka(postgres, run_dir, kafka, profile):
    """Not in old rows, not in keys nor their headers, whatever the operation."""
    db = database(postgres, "create table p (mail text primary key, pin int, tags text[], n numeric);"
                            "alter table p replica identity full")  # fmt: skip
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, None,
        format={"encoding": "single_object", "profile": profile, "event_converting_failure_handling_mode": "warn"},
        source={"mask": {"*.*.mail": "hash", "*.*.pin": "fixed ***", "*.*.tags": "truncate 1"}, "mask_salt": "s"},
    ).streaming()  # fmt: skip
    postgres.sql("insert into p values ('mr-hidden-one', 70707070, '{mr-hidden}', 1); update p set pin = 70707071;"
                 "update p set mail = 'mr-hidden-two'; update p set n = 2; delete from p", dbname=db)  # fmt: skip
    postgres.sql("insert into p values ('mr-hidden-three', 1, null, 'NaN')", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    records = list(kafka.stream(ferry.topic("p")))
    headers = [header for r in records for header in r.headers]
    hashed = [hashlib.sha256(b"s" + mail).hexdigest().encode() for mail in (b"mr-hidden-one", b"mr-hidden-two")]
    assert {(n, v) for n, v in headers if n.endswith("key")} == {
        ("__debezium.newkey", b'{"mail":"%s"}' % hashed[1]), ("__debezium.oldkey", b'{"mail":"%s"}' % hashed[0]),
    }  # fmt: skip
    everything = b"\n".join(part for r in records for part in (r.key, r.value or b"", *(v for _, v in r.headers)))
    assert everything.count(b"***") >= 3 and everything.count(hashed[0]) >= 3, "the rows are there"
    avro_int = bytes((70707070 << 1) >> 7 * i & 0x7F | 0x80 * (i < 3) for i in range(4))
    for secret in (b"r-hidden", b"7070707", avro_int):
        assert secret not in everything, secret
    assert "r-hidden" not in ferry.log_text() and "7070707" not in ferry.log_text()


def test_rows_by_a_condition(server, run_dir):
    db = database(server, TABLES)
    ferry = Ferry(run_dir, server, db, source={"row_filters": {"public.orders": "id < 10"}})
    if server.major < 15:
        status, line = ferry.refused()
        assert status == 78 and "PostgreSQL 15" in line
        return
    ferry.streaming()
    server.sql("insert into orders values (1, 'eu'), (20, 'us'); insert into users values (20)", dbname=db)
    server.sql("update orders set id = 2 where id = 20; update orders set id = 30 where id = 1", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    assert [(r["op"], (r["after"] or r["before"])["id"]) for r in ferry.records(ferry.topic("orders"))] == [
        ("c", 1), ("c", 2), ("d", 1),
    ]  # fmt: skip
    assert [v["id"] for v in values(ferry, "users")] == [20]


def test_a_publication_without_the_configured_condition_is_refused(postgres, run_dir):
    db = database(postgres, TABLES)
    ferry = Ferry(run_dir, postgres, db, source={"row_filters": {"public.orders": "id < 10"}})
    postgres.sql(f"create publication {ferry.pipeline} for all tables", dbname=db)
    status, line = ferry.refused()
    assert status == 78 and "public.orders" in line and "ALTER PUBLICATION" in line


def test_operations_left_out(server, run_dir):
    db = database(server, TABLES)
    ferry = Ferry(run_dir, server, db, source={"skipped_operations": ["u", "t"]}).streaming()
    server.sql("insert into users values (1); update users set name = 'x'; delete from users; truncate orders", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    assert [r["op"] for r in ferry.records()] == ["c", "d"]
    (flags,) = server.sql("select pubinsert, pubupdate, pubdelete, pubtruncate from pg_publication where pubname = %s", (ferry.pipeline,), dbname=db)  # fmt: skip
    assert flags == (True, False, True, False), "not even sent"


def test_topics_and_keys_of_single_tables(postgres, run_dir, kafka):
    db = database(postgres, "create table a (x int, y text, v int); create table b (id int primary key);"
                            "alter table a replica identity full")  # fmt: skip
    ferry = kafka_ferry(
        run_dir, postgres, db, kafka, None,
        format={"encoding": "json", "topics": {"public.a": "own.{table}.v2"}, "keys": {"*.a": "y, x"}},
    ).streaming()  # fmt: skip
    postgres.sql("insert into a values (1, 'k', 5); update a set x = 2; insert into b values (1); delete from a", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0
    records = list(kafka.stream("own.a.v2"))
    assert [r.key for r in records] == [b'{"y":"k","x":1}'] * 3 + [b'{"y":"k","x":2}'] * 3, "c, d and tombstone; c, d and tombstone"
    assert len(list(kafka.stream(ferry.topic("b")))) == 1


def test_a_key_that_is_not_there_is_refused_by_name(postgres, run_dir):
    db = database(postgres, TABLES)
    ferry = Ferry(run_dir, postgres, db, format={"keys": {"public.users": "id, nope"}}).streaming()
    postgres.sql("insert into users values (1)", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert "public.users" in line and "nope" in line and "format.keys" in line


def test_names_that_avro_cannot_hold(postgres, run_dir):
    db = database(postgres, 'create table t (id int primary key, "a-b" int, "a b" int, "A" int, a int)')
    ferry = Ferry(run_dir, postgres, db).streaming()
    postgres.sql("insert into t values (1, 2, 3, 4, 5)", dbname=db)
    line = ferry.wait_log("state=blocked")
    assert '"a-b"' in line.replace("\\", "") and '"a b"' in line.replace("\\", "") and "on_collision" in line
    ferry.kill9()
    ferry.config["format"] = {"on_collision": "suffix"}
    ferry.write()
    ferry.streaming()
    ferry.caught_up()
    assert ferry.stop() == 0
    (row,) = values(ferry, "t")
    assert list(row.items()) == [("id", 1), ("a_b", 2), ("a_b_e951", 3), ("A", 4), ("a", 5)]
