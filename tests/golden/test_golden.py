"""walferry against a real Debezium, record by record; and that the comparison would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden.accepted import ACCEPTED, docs
from golden.compare import DEFAULT, STRICT, Accepted, Comparison, Difference, Tally, Verdict, decode, encode
from golden.goldens import RUNS, Part, Record, load, topic_prefix
from golden.psql_file import PsqlFile
from golden.replay import Replay, report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "debezium-differences.md"
REFUSED_BY_POSTGRESQL = {  # UPDATE and DELETE of published tables without an identity, and no such table any more
    "UPDATE k_none SET b = 'y' WHERE a = 1",
    "DELETE FROM k_nothing WHERE id = 1",
    "DELETE FROM k_uonly WHERE a = 1",
}


@pytest.mark.parametrize(
    "major", [15, 18, *(pytest.param(major, marks=pytest.mark.long) for major in (16, 17))]
)  # the SQL needs PostgreSQL 15: numeric(5,-2)
def test_every_record_is_debeziums_or_has_a_reason(major):
    replay = Replay(major)
    verdict = replay.run()
    print(report(replay, verdict))
    assert {r.statement for r in replay.refused["main"]} == REFUSED_BY_POSTGRESQL
    assert verdict.good, verdict.faults()


def test_the_page_of_differences_is_the_table():
    assert PAGE.read_text() == docs(), "hint: ./dev python -m golden.accepted > docs/debezium-differences.md"


# ---------------------------------------------------------------- the comparison itself


def streamed(run: str) -> dict[str, list[Record]]:
    """The capture without its snapshot, as if walferry had written it."""
    found = {}
    for topic, records in load(run).items():
        values = [(record, decode(record.value) or {}) for record in records]
        found[topic] = [r for r, v in values if v.get("source", {}).get("snapshot", "false") == "false"]
    return found


def compare(run: str, ours: dict[str, list[Record]]) -> Tally:
    return Comparison(run, STRICT, topic_prefix(run)).run(ours)


def changed(record: Record, value: dict) -> Record:
    assert record.value
    return record._replace(value=Part(record.value.schema, encode(record.value.schema, value)))


@pytest.mark.parametrize("run", RUNS)
def test_the_capture_equals_itself(run):
    tally = compare(run, streamed(run))
    assert not tally.differences
    assert tally.equal == tally.records > 0


def test_a_lost_record_is_found():
    ours = streamed("main")
    lost = ours["srv.public.k_def"].pop(2)
    (found,) = compare("main", ours).differences
    assert (found.topic, found.where, found.ours) == ("public.k_def", "record", "(none)")
    assert decode(lost.value)["op"] in found.golden


def test_a_changed_value_is_found():
    ours = streamed("main")
    record = ours["srv.public.k_def"][0]
    value = decode(record.value)
    value["after"]["v"] = "x"
    ours["srv.public.k_def"][0] = changed(record, value)
    (found,) = compare("main", ours).differences
    assert (found.where, found.golden, found.ours) == ("value.after.v", '"v"', '"x"')


def test_a_changed_schema_is_found_once():
    ours = streamed("main")
    ours["srv.public.k_def"] = [
        r if r.key is None else r._replace(key=Part(r.key.schema.replace('"int"', '"long"'), r.key.data))
        for r in ours["srv.public.k_def"]
    ]
    assert [d.where for d in compare("main", ours).differences] == ["schema.key.id"]


def test_a_header_of_another_value_is_found():
    ours = streamed("main")
    record = ours["srv.public.k_def"][0]
    ours["srv.public.k_def"][0] = record._replace(headers=[*record.headers, ("more", "1")])
    assert [d.where for d in compare("main", ours).differences] == ["headers.more"]


def test_counts_of_a_transaction_in_another_order_are_told_from_other_counts():
    ours = streamed("main")
    records = ours["srv.transaction"]
    index, end = next(
        (i, value) for i, value in enumerate(decode(r.value) for r in records) if len(value["data_collections"] or ()) == 2
    )
    end["data_collections"].reverse()
    records[index] = changed(records[index], end)
    assert [d.where for d in compare("main", ours).differences] == ["value.data_collections (order)"]
    table = end["data_collections"][0]["data_collection"]
    end["data_collections"][0]["event_count"] += 1
    records[index] = changed(records[index], end)
    assert [d.where for d in compare("main", ours).differences] == [f"value.data_collections.{table}"]


def test_a_map_in_another_order_is_told_from_another_map():
    ours = streamed("alt1")
    records = ours["alt1.public.t_text"]
    value = decode(records[0].value)
    assert len(value["after"]["hs"]) > 1
    value["after"]["hs"] = dict(reversed(value["after"]["hs"].items()))
    records[0] = changed(records[0], value)
    assert [d.where for d in compare("alt1", ours).differences] == ["value maps (order)"]
    value["after"]["hs"].popitem()
    records[0] = changed(records[0], value)
    assert [d.where for d in compare("alt1", ours).differences] == ["value.after.hs"]


def test_a_reason_without_a_difference_fails_as_a_difference_without_a_reason_does():
    one = Difference("main", STRICT, "public.t", 0, "value.after.a", "1", "2")
    tally = Tally("main", STRICT, records=1, differences=[one])
    row = Accepted("a is doubled", "value.after.a", "public.t")
    assert Verdict([tally], [row]).good
    assert not Verdict([tally], []).good
    assert not Verdict([tally], [row, Accepted("never", "value.after.b")]).good
    assert Verdict([tally], [row, Accepted("now and then", "value.after.b", timing=True)]).good
    assert not Verdict([tally], [Accepted("twice", "value.after.a", count=2)]).good


def test_every_reason_names_a_profile():
    assert all(row.profiles in ("*", STRICT, DEFAULT) for row in ACCEPTED)


class _Connection:
    """Takes statements as a connection does, and keeps them."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def cursor(self) -> "_Connection":
        return self

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        self.statements.append(statement)


def test_a_psql_file_is_read_as_psql_reads_it(tmp_path):
    path = tmp_path / "a.sql"
    path.write_text(
        "-- a; comment\n\\set big 'repeat(1, 8)'\n\\o /dev/null\n"
        "SELECT ':b;', \":b\", :b+1, :'b' -- tail\n, 1::text; BEGIN; COMMIT;\nSELECT 'it''s'"
    )
    connection = _Connection()
    PsqlFile(connection, {"b": 100}).run(path)
    assert connection.statements == [
        "SELECT ':b;', \":b\", 100+1, '100' \n, 1::text", "BEGIN", "COMMIT", "SELECT 'it''s'",
    ]  # fmt: skip
