"""Writers: from one seed, sessions that change tables in every way the server logs.

Every table begins with `id bigint` (its key) and `m bigint`, the mark: a number that no other statement of
the run writes. So the oracle can tell one write from every other, whatever else the row holds.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Iterator

import psycopg2

from faults.plan import Plan
from services import Postgres

EXTRA_TYPES = ("integer", "bigint", "text", "boolean", "numeric(12,2)")
EXTRAS = 6  # most columns beyond the first four
HOT = 150  # keys that every session meets on
HIGH = 10**12  # keys from here on are of one session alone

Statement = tuple[str, str | None]  # SQL, and the rows of a COPY
Statements = Iterator[Statement]


class Table:
    """A table as its writers know it. `columns` are the ones beyond id, m, v and p."""

    def __init__(self, number: int, rng: random.Random):
        self.name = f"t{number}"
        self.partitioned = rng.random() < 0.2
        self.full = rng.random() < 0.3
        self.columns: dict[str, str] = {}
        self.made = 0  # columns so far: a name is never used again
        self.lock = threading.Lock()

    @property
    def relations(self) -> tuple[str, ...]:
        """The table, or its partitions."""
        return (f"{self.name}_p0", f"{self.name}_p1") if self.partitioned else (self.name,)

    def ddl(self) -> str:
        """Makes it."""
        text = f"create table {self.name} (id bigint primary key, m bigint not null, v text, p text)"
        if self.partitioned:
            text += " partition by hash (id)"
            for n, leaf in enumerate(self.relations):
                text += f";create table {leaf} partition of {self.name} for values with (modulus 2, remainder {n})"
        for relation in self.relations:
            text += f";alter table {relation} alter p set storage external"
        return text + ";" + self.identity(self.full)

    def identity(self, full: bool) -> str:
        """Switches the replica identity."""
        word = "full" if full else "default"
        return ";".join(f"alter table {relation} replica identity {word}" for relation in self.relations)


class Writer(threading.Thread):
    """One session. `written`, `aborted`: marks that are certainly in the log, and certainly not."""

    def __init__(self, load: "Workload", number: int):
        super().__init__(daemon=True)
        self.load, self.number = load, number
        self.rng = random.Random(f"writer {load.plan.seed} {number}")
        self.written: set[int] = set()
        self.aborted: set[int] = set()
        self.transactions = 0
        self._marks = 0
        self._open: set[int] = set()  # of the transaction that runs
        self._undone: set[int] = set()  # of its savepoints that were rolled back
        self._copied: set[int] = set()  # by COPY, which always writes
        self._after: list[Callable[[], None]] = []  # what its commit makes known to others
        self._top = HIGH * (number + 1)
        self._prepared = 0
        self._connection = None

    # -- running

    def run(self) -> None:
        """Writes until the workload stops; a server that is away is waited for."""
        try:
            while not self.load.stopping.is_set():
                try:
                    self._reconnect()
                    self._session()
                except psycopg2.Error:
                    time.sleep(0.05)
        except Exception as error:  # a thread's own fault must not go unseen
            self.load.errors.append(error)
        finally:
            if self._connection:
                self._connection.close()

    def _reconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = self.load.pg.connect(self.load.database)
        self._run("set lock_timeout = '1s'")
        self.load.settle(f"{self.load.database}_{self.number}_")

    def _session(self) -> None:
        pause = self.load.plan.sessions / self.load.plan.rate
        while not self.load.stopping.is_set():
            begun = time.monotonic()
            self._transaction()
            self.transactions += 1
            time.sleep(max(0.0, self.rng.uniform(0.5, 1.5) * pause - (time.monotonic() - begun)))

    def _run(self, sql: str, rows: str | None = None) -> None:
        with self._connection.cursor() as cursor:
            if rows is None:
                cursor.execute(sql)
            else:
                cursor.copy_expert(sql, io.StringIO(rows))

    def _transaction(self) -> None:
        self._open, self._undone, self._copied, self._after = set(), set(), set(), []
        sure = False  # that an error means: nothing was committed
        try:
            for sql, rows in self._statements():
                sure = self._in_block() and not sql.startswith(("commit", "prepare"))
                self._run(sql, rows)
        except psycopg2.Error as error:
            if sure or (error.pgcode and not error.pgcode.startswith("57P")):
                self.aborted |= self._open
            if self._connection.closed:
                raise
            self._run("rollback")
            return
        self.written |= self._copied
        self.aborted |= self._undone
        for known in self._after:
            known()

    def _in_block(self) -> bool:
        return self._connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE

    # -- what a transaction is

    def _statements(self) -> Statements:
        rng, what = self.rng, self.rng.random()
        if what < 0.60:
            yield from self._maybe_block(self._row_changes(rng.randint(1, 2)))
        elif what < 0.65:
            yield self._copy()
        elif what < 0.72:
            yield from self._block(self._row_changes(rng.randint(3, 8)))
        elif what < 0.75:
            yield self._key_change()
        elif what < 0.82:
            yield from self._maybe_block(self._toast())
        elif what < 0.90:
            yield from self._block(self._tree(5))
        elif what < 0.95:
            yield from self._aborted()
        elif what < 0.96:
            yield from self._truncate() if self.load.plan.truncate else self._empty()
        elif what < 0.975:
            yield from self._ddl() if self.load.plan.ddl else self._empty()
        elif what < 0.985:
            yield from self._messages()
        elif what < 0.992:
            yield from self._two_phase()
        else:
            yield from self._empty()

    def _maybe_block(self, inner: Statements) -> Statements:
        statements = list(inner)
        yield from statements if len(statements) == 1 else self._block(iter(statements))

    def _block(self, inner: Statements) -> Statements:
        yield "begin", None
        yield from inner
        yield "commit", None

    def _aborted(self) -> Statements:
        yield "begin", None
        yield from self._row_changes(self.rng.randint(1, 4))
        yield "rollback", None
        self._undone |= self._open

    def _tree(self, depth: int) -> Statements:
        """Savepoints in savepoints; some are rolled back, some released, some left open."""
        yield from self._row_changes(1)
        name = f"s{depth}"
        yield f"savepoint {name}", None
        before = set(self._open)
        if depth > 1 and self.rng.random() < 0.6:
            yield from self._tree(depth - 1)
        else:
            yield from self._row_changes(self.rng.randint(1, 3))
        end = self.rng.random()
        if end < 0.3:
            yield f"rollback to {name}", None
            self._undone |= self._open - before
            yield from self._row_changes(1)
        elif end < 0.6:
            yield f"release {name}", None

    def _two_phase(self) -> Statements:
        self._prepared += 1
        name = f"{self.load.database}_{self.number}_{self._prepared}"
        yield "begin", None
        yield from self._row_changes(self.rng.randint(1, 3))
        yield f"prepare transaction '{name}'", None
        time.sleep(self.rng.choice((0, 0.01, 0.2)))
        if self.rng.random() < 0.3:
            yield f"rollback prepared '{name}'", None
            self._undone |= self._open
        else:
            yield f"commit prepared '{name}'", None

    def _empty(self) -> Statements:
        yield from self._block(iter([("select 1", None)] * self.rng.randint(0, 1)))

    def _messages(self) -> Statements:
        if self.load.pg.major < 14:  # pgoutput has none there
            yield from self._empty()
            return
        for _ in range(self.rng.randint(1, 2)):
            transactional = self.rng.random() < 0.6
            yield f"select pg_logical_emit_message({transactional}, 'faults', '{self._mark(count=False)}')", None

    def _truncate(self) -> Statements:
        names = {self._table().name for _ in range(self.rng.randint(1, 2))}
        yield "begin", None
        yield from self._row_changes(1)
        yield f"truncate {', '.join(sorted(names))}", None
        yield from self._row_changes(1)
        yield "commit", None

    # -- rows

    def _mark(self, count: bool = True) -> int:
        self._marks += 1
        mark = (self.number + 1) << 40 | self._marks
        if count:
            self._open.add(mark)
        return mark

    def _table(self) -> Table:
        return self.rng.choice(self.load.tables)

    def _size(self) -> int:
        """Rows of a statement: most have few, one in 2000 has very many."""
        what = self.rng.random()
        if what < 1 / 2000:
            return self.load.plan.big
        return self.rng.randint(1, 10) if what < 0.9 else self.rng.randint(11, 100)

    def _own_keys(self, count: int) -> int:
        first = self._top + 1
        self._top += count
        return first

    def _row_changes(self, count: int) -> Statements:
        for _ in range(count):
            yield self._row_change(), None

    def _row_change(self) -> str:
        rng, table, what = self.rng, self._table(), self.rng.random()
        first, size = rng.randint(1, HOT), self._size()
        mark = self._mark()
        if what < 0.45:
            names, values = self._extra(table, "g")
            first = self._own_keys(size) if size > 100 or rng.random() < 0.5 else first
            return (
                f"insert into {table.name} (id, m, v{names}) select g, {mark}, 'v' || g{values} "
                f"from generate_series({first}, {first + size - 1}) g on conflict (id) do nothing"
            )
        if size > 100:  # over everything there is
            first, size = 0, HIGH * 100
        if what < 0.82:
            names, values = self._extra(table, "id")
            sets = ", ".join(f"{n} = {v}" for n, v in zip(names.split(", ")[1:], values.split(", ")[1:]))
            text = f"update {table.name} set m = {mark}, v = 'u' || {mark}::text{sets and ', ' + sets}"
        else:
            text = f"delete from {table.name}"
        if rng.random() < 0.3:
            first = rng.randint(HIGH * (self.number + 1), self._top)
        return f"{text} where id between {first} and {first + size - 1}"

    def _extra(self, table: Table, base: str) -> tuple[str, str]:
        """One of the added columns and a value for it, each behind a comma; or nothing."""
        columns = list(table.columns.items())
        if not columns or self.rng.random() < 0.4:
            return "", ""
        name, kind = self.rng.choice(columns)
        value = {
            "integer": f"({base} % 1000000)::int", "bigint": f"{base} * 3", "text": f"'it''s ' || {base}",
            "boolean": f"{base} % 2 = 0", "numeric(12,2)": f"({base} % 100000) / 8.0",
        }[kind]  # fmt: skip
        return f", {name}", f", {self.rng.choice((value, value, 'null'))}"

    def _copy(self) -> Statement:
        table, size, mark = self._table(), self._size(), self._mark()
        first = self._own_keys(size)
        self._copied.add(mark)
        rows = "".join(f"{key}\t{mark}\tc{key}\n" for key in range(first, first + size))
        return f"copy {table.name} (id, m, v) from stdin", rows

    def _key_change(self) -> Statement:
        mark = self._mark()
        old, new = self.rng.randint(1, HOT), self._own_keys(1)
        return f"update {self._table().name} set id = {new}, m = {mark} where id = {old}", None

    def _toast(self) -> Statements:
        """A large value, then updates that leave it alone or replace it."""
        name, key, size = self._table().name, self.rng.randint(1, HOT), self.rng.randint(2500, 20000)
        value = f"'{self._mark(count=False)}' || repeat('x', {size})"
        yield (
            f"insert into {name} (id, m, v, p) values ({key}, {self._mark()}, 'big', {value}) "
            f"on conflict (id) do update set m = excluded.m, p = excluded.p"
        ), None
        for _ in range(self.rng.randint(0, 2)):
            yield f"update {name} set m = {self._mark()}, v = 'small' where id = {key}", None

    # -- definitions

    def _ddl(self) -> Statements:
        table = self._table()
        if not table.lock.acquire(blocking=False):  # another session is at it
            yield from self._empty()
            return
        try:
            text, known = self._alteration(table)
            self._after.append(known)
            rows = self.rng.random() < 0.6
            yield "begin", None
            if rows:
                yield from self._row_changes(1)
                mark = self._mark()
                yield f"update {table.name} set m = {mark} where id = {self.rng.randint(1, HOT)}", None
            yield text, None
            if rows:
                mark = self._mark()
                yield f"insert into {table.name} (id, m) values ({self._own_keys(1)}, {mark})", None
            if self.rng.random() < 0.15:
                self._after.clear()
                self._undone |= self._open
                yield "rollback", None
            else:
                yield "commit", None
        finally:
            table.lock.release()

    def _alteration(self, table: Table) -> tuple[str, Callable[[], None]]:
        """A change of a table, and how its writers learn of it once it is committed."""
        what, columns = self.rng.random(), table.columns
        if what < 0.25:
            full = not table.full
            return table.identity(full), lambda: setattr(table, "full", full)
        if what < 0.6 and len(columns) < EXTRAS or not columns:
            table.made += 1
            name, kind = f"c{table.made}", self.rng.choice(EXTRA_TYPES)
            default = " default 7" if kind in ("integer", "bigint") and self.rng.random() < 0.5 else ""
            return f"alter table {table.name} add {name} {kind}{default}", lambda: columns.update({name: kind})
        old = self.rng.choice(list(columns))
        if what < 0.7 and columns[old] == "integer":
            return f"alter table {table.name} alter {old} type bigint", lambda: columns.update({old: "bigint"})
        if what < 0.8:
            return f"alter table {table.name} drop {old}", lambda: columns.pop(old, None)
        table.made += 1
        new = f"c{table.made}"
        return f"alter table {table.name} rename {old} to {new}", lambda: columns.update({new: columns.pop(old)})


class Workload:
    """All sessions of a plan over one database."""

    def __init__(self, plan: Plan, pg: Postgres, database: str):
        self.plan, self.pg, self.database = plan, pg, database
        rng = random.Random(f"tables {plan.seed}")
        self.tables = [Table(number, rng) for number in range(plan.tables)]
        self.writers = [Writer(self, number) for number in range(plan.sessions)]
        self.stopping = threading.Event()
        self.errors: list[Exception] = []

    def ddl(self) -> str:
        """Makes the tables."""
        return ";".join(table.ddl() for table in self.tables)

    def __enter__(self) -> "Workload":
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        for writer in self.writers:
            writer.join(60)
        self.settle(f"{self.database}_")
        if self.errors:
            raise self.errors[0]

    def settle(self, prefix: str) -> None:
        """Ends prepared transactions whose session lost its connection in between."""
        for (name,) in self.pg.sql("select gid from pg_prepared_xacts where database = %s", (self.database,)):
            if name.startswith(prefix):
                word = random.Random(name).choice(("commit", "rollback"))
                self.pg.sql(f"{word} prepared '{name}'", dbname=self.database)

    def marks(self) -> tuple[set[int], set[int]]:
        """The marks of writes that are certainly in the log, and of those that certainly are not."""
        written, aborted = set(), set()
        for writer in self.writers:
            written |= writer.written
            aborted |= writer.aborted
        return written, aborted

    @property
    def transactions(self) -> int:
        """How many transactions were tried."""
        return sum(writer.transactions for writer in self.writers)
