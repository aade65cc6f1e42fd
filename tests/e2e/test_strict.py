"""What only a cut-over from Debezium needs, beyond the captured records of tests/golden."""

from __future__ import annotations

import pytest
from harness import Decoder, database, kafka_ferry

DDL = """
create table part (a int not null, v text);
create unique index on part (a) where v is null;
create table two (a int not null, b int not null, v text);
create unique index two_1 on two (a) where v is null;
create unique index two_2 on two (b);
alter table part replica identity full;
alter table two replica identity full;
"""


@pytest.mark.parametrize(
    ("profile", "part", "two"),
    [("debezium-strict", [{"a": 1}, {"a": 1}], [{"a": 1}]), ("debezium", [None, None], [{"b": 2}])],
)
def test_a_partial_unique_index_is_a_key_only_where_it_was_debeziums(
    profile, part, two, postgres, run_dir, kafka, registry
):
    """Rows outside of the index share a key."""
    db = database(postgres, DDL)
    ferry = kafka_ferry(run_dir, postgres, db, kafka, registry, format={"profile": profile}).streaming()
    postgres.sql("insert into part values (1, null), (1, 'x'); insert into two values (1, 2, null)", dbname=db)
    ferry.caught_up()
    decoder = Decoder(registry)
    for table, keys in (("part", part), ("two", two)):
        assert [decoder(record.key) for record in kafka.read(ferry.topic(table))] == keys
