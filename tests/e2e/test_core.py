"""The main path on every supported major: what is committed comes out, once, in order, and nothing else."""

from __future__ import annotations

import pytest
from harness import Ferry, database, position, rebuild

from services import MAJORS

SCHEMA = """
create table item (id bigint primary key, name text not null, note text, price numeric(10,2),
                   big text, at timestamptz);
alter table item alter column big set storage external;
create table pair (a int, b int, v text, primary key (b, a));
create table whole (id int primary key, v text, big text);
alter table whole replica identity full;
alter table whole alter column big set storage external;
"""


@pytest.fixture(params=MAJORS)
def server(request, postgres_of):
    return postgres_of(request.param)


def keyed(records):
    """(key, value) pairs of the file sink's values, for tables keyed by id."""
    return [({"id": (r["after"] or r["before"])["id"]}, r) for r in records]


def test_every_kind_of_change_arrives_in_commit_order(server, run_dir):
    db = database(server, SCHEMA)
    ferry = Ferry(run_dir, server, db).streaming()
    server.sql("insert into item values (1, 'one', null, 9.5, null, '2024-02-29 12:00:00.5+02')", dbname=db)
    server.sql("update item set note = 'changed' where id = 1", dbname=db)
    server.sql("insert into item (id, name) values (2, 'two'); delete from item where id = 1", dbname=db)
    server.sql("insert into pair values (1, 2, 'x'); update pair set a = 5", dbname=db)
    ferry.caught_up()
    assert ferry.stop() == 0

    items = ferry.records(ferry.topic("item"))
    assert [r["op"] for r in items] == ["c", "u", "c", "d"]
    created, updated, second, deleted = items
    assert created["before"] is None
    assert created["after"]["name"] == "one"
    assert created["after"]["note"] is None
    assert str(created["after"]["price"]) == "9.50"
    assert created["after"]["at"] == "2024-02-29T10:00:00.500000Z"
    assert updated["after"]["note"] == "changed"
    assert deleted["before"]["id"] == 1 and deleted["after"] is None
    assert [position(r) for r in items] == sorted(position(r) for r in items)
    assert second["source"]["txId"] == deleted["source"]["txId"] != created["source"]["txId"]
    assert created["source"]["db"] == db
    assert created["source"]["schema"] == "public" and created["source"]["table"] == "item"

    pairs = ferry.records(ferry.topic("pair"))
    assert [r["op"] for r in pairs] == ["c", "d", "c"], "a key change is delete and create"
    assert pairs[1]["before"]["a"] == 1 and pairs[2]["after"]["a"] == 5


def test_an_untouched_toasted_value_is_never_null(server, run_dir):
    db = database(server, SCHEMA)
    ferry = Ferry(run_dir, server, db).streaming()
    for table, columns in (("item", "(id, name, big)"), ("whole", "(id, v, big)")):
        server.sql(f"insert into {table} {columns} values (1, 'a', repeat('0123456789', 1000))", dbname=db)
    server.sql("update item set name = 'b'; update whole set v = 'b'", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert ferry.records(ferry.topic("item"))[1]["after"]["big"] == "__debezium_unavailable_value"
    whole = ferry.records(ferry.topic("whole"))[1]
    assert whole["after"]["big"] == "0123456789" * 1000, "under FULL the old row has it"
    assert whole["before"]["v"] == "a"


def test_rolled_back_rows_never_appear(server, run_dir):
    db = database(server, SCHEMA)
    ferry = Ferry(run_dir, server, db).streaming()
    connection = server.connect(db)
    with connection.cursor() as cursor:
        cursor.execute("begin; insert into item (id, name) values (1, 'kept'); savepoint s")
        cursor.execute("insert into item (id, name) values (2, 'gone'); rollback to s; commit")
        cursor.execute("begin; insert into item (id, name) values (3, 'gone'); rollback")
    ferry.caught_up()
    ferry.stop()
    assert [r["after"]["name"] for r in ferry.records(ferry.topic("item"))] == ["kept"]


def test_truncates_and_messages_have_topics_of_their_own(server, run_dir):
    db = database(server, SCHEMA)
    ferry = Ferry(run_dir, server, db).streaming()
    server.sql("insert into item (id, name) values (1, 'x'); truncate item, whole", dbname=db)
    server.sql("select pg_logical_emit_message(true, 'outbox', 'hello')", dbname=db)
    server.sql("select pg_logical_emit_message(false, 'outbox', 'loose')", dbname=db)
    server.sql("insert into item (id, name) values (2, 'y')", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert [r["op"] for r in ferry.records(ferry.topic("item"))] == ["c", "c"]
    truncates = ferry.records(f"{ferry.pipeline}.truncate")
    assert sorted(r["source"]["table"] for r in truncates) == ["item", "whole"]
    if server.major >= 14:
        messages = ferry.records(f"{ferry.pipeline}.message")
        assert [bytes(r["message"]["content"]) for r in messages] == [b"hello", b"loose"]


def test_new_columns_and_types_apply_from_their_first_row_on(server, run_dir):
    db = database(server, SCHEMA)
    ferry = Ferry(run_dir, server, db).streaming()
    server.sql("insert into item (id, name) values (1, 'old')", dbname=db)
    server.sql("alter table item add column extra int default 7", dbname=db)
    server.sql("insert into item (id, name) values (2, 'new')", dbname=db)
    server.sql(
        "begin; insert into item (id, name) values (3, 'in'); alter table item rename column extra to more;"
        "insert into item (id, name) values (4, 'after'); commit",
        dbname=db,
    )
    ferry.caught_up()
    ferry.stop()
    rows = [r["after"] for r in ferry.records(ferry.topic("item"))]
    assert "extra" not in rows[0]
    assert rows[1]["extra"] == 7 and rows[2]["extra"] == 7
    assert rows[3]["more"] == 7 and "extra" not in rows[3]


def test_the_files_rebuild_the_table(server, run_dir):
    db = database(server, SCHEMA)
    ferry = Ferry(run_dir, server, db, {"type": "file", "dir": str(run_dir / "out"), "rotate_size": "64KiB"})
    ferry.streaming()
    server.sql("insert into whole select i, 'v' || i from generate_series(1, 3000) i", dbname=db)
    server.sql("update whole set v = v || '!' where id % 3 = 0", dbname=db)
    server.sql("delete from whole where id % 5 = 0; update whole set id = id + 100000 where id % 7 = 0", dbname=db)
    ferry.caught_up()
    ferry.stop()
    assert len(ferry.files(ferry.topic("whole"))) > 3, "rotation by size"
    rows = rebuild(keyed(ferry.records(ferry.topic("whole"))))
    assert rows == rebuild(
        [({"id": i}, {"op": "c", "after": {"id": i, "v": v, "big": big}})
         for i, v, big in server.sql("select id, v, big from whole", dbname=db)]
    )  # fmt: skip
