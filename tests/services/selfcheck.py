"""Starts every test server once, uses it, and prints how long that took: `./dev services [WORD...]`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psycopg2
from confluent_kafka import KafkaException

from services import (
    MAJORS,
    REPOSITORY,
    Kafka,
    Postgres,
    Registry,
    ServiceError,
    TcpProxy,
    wait_until,
)
from services.guard import start_time

SCHEMA = {"type": "record", "name": "t", "fields": [{"name": "id", "type": "int"}]}
WIDER = {"type": "record", "name": "t", "fields": [{"name": "id", "type": "int"}, {"name": "x", "type": "int"}]}


class Clock:
    """Seconds between named moments, for the table."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def timed(self, name: str, action: Callable[[], object]) -> None:
        """Runs an action and notes how long it took."""
        start = time.monotonic()
        action()
        self.notes.append(f"{name} {time.monotonic() - start:.2f}")


def decoded(pg: Postgres) -> str:
    """One row through a logical slot."""
    pg.sql("create table t (id int primary key)")
    pg.sql("select pg_create_logical_replication_slot('s', 'test_decoding')")
    pg.sql("insert into t values (7)")
    return str(pg.sql("select data from pg_logical_slot_get_changes('s', null, null)"))


def postgres(major: int) -> Callable[[Clock], None]:
    """Start, decode, crash, recover, stop."""

    def check(clock: Clock) -> None:
        pg = Postgres(major, durable=True)
        clock.timed("start", pg.start)
        assert pg.value("show server_version").startswith(f"{major}.")
        assert "id[integer]:7" in decoded(pg)
        clock.timed("kill -9", pg.kill9)
        clock.timed("recover", pg.start)
        assert pg.value("select count(*) from t") == 1
        clock.timed("immediate stop", lambda: pg.stop(mode="immediate"))
        clock.timed("start again", pg.start)
        clock.timed("stop", pg.stop)

    return check


def postgres_tls(clock: Clock) -> None:
    """TLS with a verified name, a second system identifier, password authentication."""
    hba = ["local all all trust", "hostssl all all 127.0.0.1/32 scram-sha-256"]
    with Postgres(17, tls=True, hba=hba) as pg, Postgres(17) as copy, Postgres(17, fresh=True) as other:
        pg.sql("create role joe login password 'pw'")
        with pg.connect(user="joe", tcp=True, password="pw") as connection:
            cursor = connection.cursor()
            cursor.execute("select version from pg_stat_ssl where pid = pg_backend_pid()")
            clock.notes.append(cursor.fetchone()[0])
        try:
            pg.connect(user="joe", tcp=True, password="wrong")
            raise AssertionError("a wrong password was good enough")
        except psycopg2.OperationalError:
            pass
        number = "select system_identifier from pg_control_system()"
        assert copy.value(number) == pg.value(number) != other.value(number)
        clock.timed("pgbench -i", lambda: copy.pgbench("-i", "-q", "-s", "1"))


def kafka(clock: Clock) -> None:
    """Produce, crash, restart, read committed records back, freeze."""
    broker = Kafka()
    clock.timed("format and start", broker.start)
    broker.create_topic("t", partitions=3)
    producer = broker.producer({"transactional.id": "x"})
    producer.init_transactions(30)
    for commit in (True, False, True):
        producer.begin_transaction()
        for number in range(100):
            producer.produce("t", key=str(number), value=str(number))
        producer.flush(10)
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)
    wait_until(lambda: len(broker.read("t")) == 200, 10, "200 committed records")
    clock.timed("kill -9", broker.kill9)
    clock.timed("start after it", broker.start)
    clock.timed("read 200", lambda: _expect(len(broker.read("t")), 200))
    _expect(len(broker.read("t", isolation="read_uncommitted")), 300)
    _expect(broker.topics(), {"t": 3})
    broker.sigstop()
    try:
        broker.admin.list_topics(timeout=1)
        raise AssertionError("a frozen broker answered")
    except KafkaException:
        pass
    broker.sigcont()
    broker.admin.list_topics(timeout=10)
    clock.timed("stop", broker.stop)
    clock.timed("start again", broker.start)
    clock.notes.append(f"RSS {broker.rss_kb() // 1024} MB")
    broker.close()


def kafka_security(clock: Clock) -> None:
    """Every listener lets the right client in and the wrong one not."""
    broker = Kafka(security=True)
    clock.timed("format and start", broker.start)
    with broker:
        broker.create_topic("t")
        for name in ("TLS", "MTLS", "SCRAM", "PLAIN"):
            _expect(_produce(broker.client_conf(name), broker, name), name in ("TLS",))
        for principal, name in (("alice", "SCRAM"), ("carol", "PLAIN"), ("mtls-user", "MTLS")):
            broker.allow(principal, "topic", "t*", "write")
            _expect(_produce(broker.client_conf(name), broker, name), True)
        broker.disallow("carol", "topic", "t*", "write")
        _expect(_produce(broker.client_conf("PLAIN"), broker, "PLAIN again"), False)
        broker.allow("alice", "transactional_id", "w", "write")
        _expect(_produce(broker.client_conf("BADNAME"), broker, "BADNAME"), False)
        wrong = broker.client_conf("SCRAM") | {"sasl.password": "wrong"}
        _expect(_produce(wrong, broker, "wrong password"), False)
        _expect(len(broker.read("t")), 4)


def _produce(conf: dict[str, str], broker: Kafka, name: str) -> bool:
    outcome: list[bool] = []
    producer = broker.producer({**conf, "message.timeout.ms": 1500})
    producer.produce("t", value=name, on_delivery=lambda error, _: outcome.append(error is None))
    producer.flush(10)
    return outcome == [True]


def kafka_proxied(clock: Clock) -> None:
    """A client that loses its network delivers once it is back."""
    with Kafka(proxied=True) as broker:
        assert broker.proxy is not None
        broker.create_topic("t")
        conf = broker.client_conf("PROXIED") | {"reconnect.backoff.max.ms": "200"}
        producer = broker.producer(conf)
        producer.produce("t", value="1")
        _expect(producer.flush(10), 0)
        for lose, mend in (("cut", "restore"), ("hold", "release")):
            getattr(broker.proxy, lose)()
            producer.produce("t", value="2")
            _expect(producer.flush(1), 1)
            getattr(broker.proxy, mend)()
            clock.timed(f"after {lose}", lambda: _expect(producer.flush(10), 0))
        _expect(len(broker.read("t")), 3)


def registry(clock: Clock) -> None:
    """Ids, conflicts, and memory that survives a crash."""
    server = Registry(persistent=True)
    clock.timed("start", server.start)
    number = server.register("t-value", SCHEMA)
    _expect(server.schema(number), SCHEMA)
    try:
        server.register("t-value", WIDER)
        raise AssertionError("an incompatible schema was accepted")
    except ServiceError as error:
        assert ": 409 " in str(error)
    server.kill9()
    clock.timed("start after kill -9", server.start)
    _expect((server.subjects(), server.register("t-value", SCHEMA)), (["t-value"], number))
    clock.notes.append(f"RSS {server.rss_kb() // 1024} MB")
    clock.timed("stop", server.stop)


def registry_secure(clock: Clock) -> None:
    """Basic authentication over TLS."""
    server = Registry(auth=True, tls=True)
    clock.timed("start", server.start)
    with server:
        server.register("t-value", SCHEMA)
        for credentials, code in ((("alice", "no"), 401), (("bob", "bob-pw"), 403)):
            server.credentials = credentials
            try:
                server.register("u-value", SCHEMA)
                raise AssertionError(f"{credentials[0]} may register")
            except ServiceError as error:
                assert f": {code} " in str(error), error


def proxy(clock: Clock) -> None:
    """A replication-like session through the proxy: delay, hold, cut."""
    with Postgres(18) as pg, TcpProxy(("127.0.0.1", pg.port)) as between:
        def connect():
            return psycopg2.connect(
                f"host=127.0.0.1 port={between.port} dbname=postgres user=postgres sslmode=disable connect_timeout=3"
            )

        connection = connect()
        cursor = connection.cursor()
        between.delay = 0.1
        clock.timed("delayed by 0.1", lambda: cursor.execute("select 1"))
        between.delay = 0
        between.cut()
        for attempt in (lambda: cursor.execute("select 1"), connect):
            try:
                attempt()
                raise AssertionError("a cut connection works")
            except psycopg2.OperationalError:
                pass
        between.restore()
        connect().close()
        between.hold()
        try:
            connect()
            raise AssertionError("a held connection works")
        except psycopg2.OperationalError:
            pass
        between.release()
        connect().close()
        wait_until(lambda: between.connections == 0, 5, "the proxy to be empty")


def nothing_left(clock: Clock) -> None:
    """An owner killed by -9 leaves no process and no directory."""
    code = (
        "import time; from services import *; p = Postgres(18).start(); q = Process('sleep', ['sleep', '60']);"
        " q.start(); q.sigstop(); print(p.pid, q.pid, default_run_dir(), flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) as owner:
        assert owner.stdout is not None
        first, second, path = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)

    def gone() -> bool:
        return not (start_time(int(first)) or start_time(int(second)) or Path(path).exists())

    clock.timed("gone after", lambda: wait_until(gone, 10, "the tidying"))


def _expect(seen: object, wanted: object) -> None:
    assert seen == wanted, f"seen {seen!r}, wanted {wanted!r}"


CHECKS: dict[str, Callable[[Clock], None]] = {
    **{f"postgres {major}": postgres(major) for major in MAJORS},
    "postgres tls": postgres_tls,
    "kafka": kafka,
    "kafka security": kafka_security,
    "kafka proxied": kafka_proxied,
    "registry": registry,
    "registry secure": registry_secure,
    "tcp proxy": proxy,
    "nothing left behind": nothing_left,
}


def main(words: list[str]) -> int:
    """Runs the checks whose names hold one of the words; all without."""
    failed = passed = 0
    for name, check in CHECKS.items():
        if words and not any(word in name for word in words):
            continue
        clock = Clock()
        start = time.monotonic()
        try:
            check(clock)
            passed += 1
            verdict = "ok  "
        except Exception:
            failed += 1
            verdict = "FAIL"
            traceback.print_exc()
        print(f"{verdict} {name:20} {time.monotonic() - start:5.1f} s  {', '.join(clock.notes)}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
