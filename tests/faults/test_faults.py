"""The campaign itself: what the checker must see, what the proxy must do, and one short seed of each delivery."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from faults import proxy as px
from faults import schedule
from faults.checker import Checker
from faults.oracle import Item, Snapshot, parse_line, parse_row
from faults.plan import AT_LEAST_ONCE, DELIVERIES, EXACTLY_ONCE, draw
from faults.proxy import FaultProxy, Rule
from faults.run import Run, World

# ---------------------------------------------------------------- the checker against made-up logs


def item(xid: int, where: int, op: str, key: int, mark: int | None) -> Item:
    row = {"id": str(key), "m": str(mark)} if op in "cu" else None
    return Item(xid, where, op, "t", key, mark, row)


ITEMS = [
    item(1, 10, "c", 1, 100),
    item(1, 11, "c", 2, 100),
    item(2, 20, "u", 1, 101),
    item(3, 30, "d", 2, None),
    item(4, 40, "c", 2, 102),
    item(4, 41, "u", 2, 103),
]
ROWS = {"t": {1: {"id": "1", "m": "101"}, 2: {"id": "2", "m": "103"}}}
Log = list[tuple[int, dict | None]]


def record(change: Item, **more) -> tuple[int, dict]:
    """The record that a change should become."""
    number = ITEMS.index(change) if change in ITEMS else 0
    total = 1 + sum(other.xid == change.xid for other in ITEMS[:number])
    after = change.row and {name: int(value) for name, value in change.row.items()}
    return change.key, {
        "op": change.op, "after": after, "source": {"txId": change.xid, "lsn": change.lsn},
        "transaction": {"id": f"{change.xid}:0", "total_order": total, "data_collection_order": total},
    } | more  # fmt: skip


def good() -> Log:
    """A faultless log of one partition."""
    log: Log = []
    for change in ITEMS:
        log.append(record(change))
        if change.op == "d":
            log.append((change.key, None))
    return log


def boundaries() -> list[dict]:
    """A faultless topic of transactions."""
    found = []
    for xid, count in ((1, 2), (2, 1), (3, 1), (4, 2)):
        found.append({"id": f"{xid}:0", "status": "BEGIN", "event_count": None, "data_collections": None})
        counts = [{"data_collection": "public.t", "event_count": count}]
        found.append({"id": f"{xid}:9", "status": "END", "event_count": count, "data_collections": counts})
    return found


def judge(log: Log, delivery: str = EXACTLY_ONCE, strict: bool = True, ends: list[dict] | None = None, **more):
    """The invariants that a log violates."""
    checker = Checker(ITEMS, delivery, metadata=True, strict=strict)
    checker.aborted = {666}
    for offset, (key, value) in enumerate(log):
        checker.row("t", 0, offset, {"id": key}, value)
    for offset, value in enumerate(boundaries() if ends is None else ends):
        checker.transaction(0, offset, value)
    wrong = checker.finish({**ROWS, **more.pop("rows", {})}, **more)
    return set(wrong.counts), checker


def test_a_faultless_log_passes():
    for delivery in DELIVERIES:
        found, checker = judge(good(), delivery)
        assert not found and checker.records == 15 and checker.lost == checker.doubled == 0


def test_a_lost_event_is_reported():
    for place in range(len(good())):
        log = good()
        del log[place]
        found, checker = judge(log)
        assert "I1" in found and checker.lost == 1 + (log and place == 3), place  # a delete takes its tombstone along


def test_a_doubled_event_is_reported():
    for place in range(len(good())):
        log = good()
        log.insert(place, log[place])
        found, checker = judge(log)
        assert "I2" in found and checker.doubled == 1, place


def test_a_repeat_is_fine_at_least_once_from_the_start_of_a_transaction_only():
    log = good()
    assert judge(log + log[2:], AT_LEAST_ONCE)[0] == set()
    assert judge(log + log[2:], EXACTLY_ONCE)[0] == {"I2"}
    assert judge(log[:3] + log, AT_LEAST_ONCE)[0] == set()
    assert judge(log + log[1:], AT_LEAST_ONCE)[0] == {"I2"}, "back into a transaction"
    assert judge(log[:4] + log[:2] + log[4:], AT_LEAST_ONCE)[0] == {"I2"}, "the repeat ends too early"
    assert judge(log[:4] + log[:2] + log[4:], AT_LEAST_ONCE, strict=False)[0] == set(), "a late request may do that"


def test_a_reordered_event_is_reported():
    for delivery in DELIVERIES:
        for place in range(len(good()) - 1):
            log = good()
            log[place], log[place + 1] = log[place + 1], log[place]
            assert judge(log, delivery, strict=False)[0] & {"I3", "I5"}, place


def test_a_key_that_changes_its_partition_is_reported():
    checker = Checker(ITEMS, EXACTLY_ONCE)
    for partition, change in enumerate(ITEMS[:2] + ITEMS[2:3]):
        checker.row("t", partition, 0, {"id": change.key}, record(change)[1])
    assert "I3" in checker.finish({}).counts


def test_an_event_of_a_transaction_rolled_back_is_reported():
    log = good()
    log.insert(2, record(item(9, 15, "c", 7, 666)))
    found, checker = judge(log)
    assert found == {"I5"} and "rolled back" in checker.wrong.texts[0]
    log[2] = record(item(9, 15, "c", 7, 5))
    found, checker = judge(log)
    assert found == {"I5"} and "nobody committed" in checker.wrong.texts[0]
    assert judge([*good(), (9, None)])[0] == {"I5"}, "a tombstone without delete"


def test_a_wrong_value_and_a_missing_column_are_reported():
    for after in ({"id": 1, "m": 7}, {"id": 1, "m": None}, {"id": 1}, None):
        log = good()
        log[2] = record(ITEMS[2], after=after)
        assert "I8" in judge(log)[0]


def test_wrong_numbers_in_a_transaction_are_reported():
    log = good()
    log[1] = record(ITEMS[1], transaction={"id": "1:0", "total_order": 3, "data_collection_order": 2})
    assert judge(log)[0] == {"I4"}
    log[1] = record(ITEMS[1], transaction=None)
    assert judge(log)[0] == {"I4"}
    ends = boundaries()
    ends[1]["event_count"] = 3
    assert judge(good(), ends=ends)[0] == {"I4"}
    assert judge(good(), ends=boundaries()[:-1])[0] == {"I4"}, "an END that is missing"
    assert "I5" in judge(good(), ends=[*boundaries(), {"id": "77:0", "status": "BEGIN"}])[0]


def test_a_table_that_is_not_what_the_events_make_of_it_is_reported():
    assert judge(good(), rows={"t": {1: {"id": "1", "m": "101"}}})[0] == {"I6"}
    assert judge(good(), rows={"t": {**ROWS["t"], 3: {"id": "3", "m": "1"}}})[0] == {"I6"}
    assert judge(good(), rows={"t": {**ROWS["t"], 1: {"id": "1", "m": "100"}}})[0] == {"I6"}


def test_a_table_at_a_snapshot_is_compared_with_what_that_moment_saw():
    seen = Snapshot(2, 4, frozenset({2}), {"t": {1: 100}})  # sees 1 and 3, not 2 and 4
    assert judge(good(), snapshots=[seen])[0] == set()
    for marks in ({1: 101}, {}, {1: 100, 2: 100}):
        assert judge(good(), snapshots=[replace(seen, marks={"t": marks})])[0] == {"I6"}


def test_a_write_that_the_oracle_missed_is_reported():
    assert judge(good(), written=[100, 103])[0] == set()
    assert judge(good(), written=[100, 999])[0] == {"I0"}


def test_the_oracles_lines_are_understood():
    assert parse_row("id[bigint]:1 c[text]:'it''s [x]:1' n[numeric]:-1.5 b[boolean]:true p[text]:null") == {
        "id": "1", "c": "it's [x]:1", "n": "-1.5", "b": "true", "p": None,
    }  # fmt: skip
    roots = {"t": "t", "t_p0": "t", "u": "u"}

    def ops(line: str) -> list[tuple]:
        return [(i.op, i.table, i.key, i.mark) for i in parse_line(1, 2, line, roots)]

    update = "table public.t_p0: UPDATE: old-key: id[bigint]:{} m[bigint]:5 new-tuple: id[bigint]:2 m[bigint]:6"
    assert ops(update.format(2)) == [("u", "t", 2, 6)]
    assert ops(update.format(1)) == [("d", "t", 1, None), ("c", "t", 2, 6)]
    assert ops("table public.t: DELETE: id[bigint]:3") == [("d", "t", 3, None)]
    assert ops("table public.t, public.t_p0, public.u: TRUNCATE: (no-flags)") == [("t", "t", 0, None), ("t", "u", 0, None)]
    assert ops("message: transactional: 0 prefix: faults, sz: 2 content:42") == [("m", "", 42, None)]


# ---------------------------------------------------------------- the proxy


class Broker:
    """Answers every framed request with its own number; `got` has the numbers in the order they came."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.getsockname()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as stream:
                while len(head := stream.read(4)) == 4:
                    body = stream.read(struct.unpack(">i", head)[0])
                    if len(body) < 8:
                        return
                    self.got.append(struct.unpack(">i", body[4:8])[0])
                    client.sendall(struct.pack(">ii", 4, self.got[-1]))
        except OSError:
            pass


class Client:
    """Sends framed requests."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def send(self, api: int, number: int, size: int = 0) -> None:
        body = struct.pack(">hhi", api, 0, number) + b"x" * size
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def answer(self) -> int | None:
        """The number of the next answer, None when the connection is gone."""
        try:
            data = self.socket.recv(8)
        except ConnectionError:
            return None
        return struct.unpack(">i", data[4:])[0] if data else None


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.listener.close()


@pytest.fixture
def net(broker: Broker) -> Iterator[FaultProxy]:
    with FaultProxy(broker.address, framed=True) as made:
        yield made


def test_requests_pass_and_a_held_one_holds_those_behind_it(broker, net):
    client = Client(net.port)
    client.send(px.METADATA, 1, 100_000)
    assert client.answer() == 1
    rule = net.add(Rule(px.END_TXN, "hold", 10))
    client.send(px.END_TXN, 2)
    client.send(px.METADATA, 3)
    time.sleep(0.2)
    assert broker.got == [1] and rule.hits == 1
    net.remove(rule)
    assert (client.answer(), client.answer()) == (2, 3)


def test_a_held_request_arrives_after_its_sender_has_gone(broker, net):
    client = Client(net.port)
    net.add(Rule(px.PRODUCE, "hold", 0.4))
    client.send(px.PRODUCE, 1)
    time.sleep(0.1)
    client.socket.close()
    other = Client(net.port)
    other.send(px.PRODUCE, 2)
    assert other.answer() == 2 and broker.got == [2]
    time.sleep(0.6)
    assert broker.got == [2, 1]


def test_a_late_request_arrives_beside_the_one_sent_anew(broker, net):
    client = Client(net.port)
    net.add(Rule(px.END_TXN, "late", 0.3))
    client.send(px.END_TXN, 1)
    assert client.answer() is None and broker.got == []
    again = Client(net.port)
    again.send(px.END_TXN, 2)
    assert again.answer() == 2
    time.sleep(0.6)
    assert broker.got == [2, 1] and len(net.late) == 1


def test_a_lost_reply_was_obeyed(broker, net):
    client = Client(net.port)
    net.add(Rule(px.END_TXN, "drop_reply"))
    client.send(px.END_TXN, 1)
    assert client.answer() is None and broker.got == [1]


def test_a_connection_is_cut_at_a_byte_refused_and_stalled(broker, net):
    client = Client(net.port)
    net.cut_after(px.UP, 20)
    client.send(px.METADATA, 1, 100)
    assert client.answer() is None and broker.got == []
    net.refusing = True
    with pytest.raises(ConnectionError):
        refused = Client(net.port)
        refused.send(px.METADATA, 2)
        assert refused.socket.recv(1), "ended in order"
    net.heal()
    client = Client(net.port)
    net.stall(px.DOWN)
    client.send(px.METADATA, 3)
    client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.answer()
    assert broker.got == [3]
    net.heal()
    assert client.answer() == 3


# ---------------------------------------------------------------- one short seed of each


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_short_seed_violates_nothing(world, delivery, record_property):
    kinds = schedule.weights()
    for name in ("broker_kill", "registry_kill"):  # long ones
        kinds.pop(name, None)
    seed = 7 if delivery == AT_LEAST_ONCE else 8
    plan = replace(draw(seed, delivery, 17, kinds, 8, 0.6), sessions=4, tables=4, vandalism=True)
    verdict = Run(world, plan).execute()
    print(verdict)
    assert verdict["ok"], "\n".join(verdict["violations"]) + f"\n{plan.command()}"
    assert sum(verdict["faults"].values()) + verdict["missed"] == 8
    assert verdict["events"] > 200 and verdict["samples"] > 20 and verdict["refusal"] == 76
    for name in ("events", "doubled", "lost"):
        record_property(name, verdict[name])


def test_a_plan_is_a_matter_of_its_seed_alone():
    kinds = {"kill": 1.0, "freeze": 2.0}
    assert draw(3, AT_LEAST_ONCE, None, kinds, 5, 1.0) == draw(3, AT_LEAST_ONCE, None, kinds, 5, 1.0)
    assert draw(3, AT_LEAST_ONCE, None, kinds, 5, 1.0).faults != draw(4, AT_LEAST_ONCE, None, kinds, 5, 1.0).faults
