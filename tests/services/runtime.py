"""The ground under the servers: installed parts, free ports, run directories, child processes.

Nothing outlives its owner. Python's exit ends every process and removes every run directory made here; when
the owner is killed, guard.py does. WALFERRY_KEEP=1 keeps the directories, to look at the logs.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from services.guard import start_time

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
T = TypeVar("T")


class ServiceError(Exception):
    """A server did not do what it was told; the text ends with the tail of its log."""


def cache_dir() -> Path:
    """Where ./dev puts downloads; the same rule as there."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "walferry"
    return Path(os.environ.get("WALFERRY_CACHE") or default)


def installed(name: str, asked_by: str, more: bytes = b"") -> Path:
    """The directory ./dev filled for one list of wants, a file in tests/services, and `more`."""
    key = hashlib.sha256((HERE / asked_by).read_bytes() + more).hexdigest()[:12]
    path = cache_dir() / name / key
    if not (path / ".done").exists():
        raise ServiceError(f"{path} is not there; run: ./dev deps")
    return path


def wait_until(
    check: Callable[[], T], timeout: float, what: str, interval: float = 0.05
) -> T:
    """Calls `check` until it returns something true and returns that; TimeoutError at the deadline."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(interval)
    return value


_given_ports: set[int] = set()


def free_port() -> int:
    """A TCP port nobody listens on, below the range that outgoing connections take theirs from."""
    for _ in range(1000):
        port = random.randint(20000, 32000)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("", port))  # all addresses: a listener on any of them is in the way
            except OSError:
                continue
        _given_ports.add(port)
        return port
    raise ServiceError("no free TCP port between 20000 and 32000")


# ---------------------------------------------------------------- what must not be left behind

_guard: subprocess.Popen[str] | None = None
_guard_lock = threading.Lock()
_live: list["Process"] = []
_dirs: list[Path] = []
_base: Path | None = None


def _tell_guard(line: str) -> None:
    global _guard
    with _guard_lock:
        if _guard is None:
            _guard = subprocess.Popen(
                [sys.executable, "-S", "-E", str(HERE / "guard.py")],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert _guard.stdin is not None
        _guard.stdin.write(line + "\n")
        _guard.stdin.flush()


def new_run_dir() -> Path:
    """A fresh directory that any user may enter (the servers of PostgreSQL never run as root)."""
    parent = os.environ.get("WALFERRY_RUN") or "/var/tmp"  # a disk: /tmp may be memory
    path = Path(tempfile.mkdtemp(prefix="walferry-", dir=parent))
    path.chmod(0o755)
    if os.environ.get("WALFERRY_KEEP"):
        print(f"keeps {path}", file=sys.stderr)
    else:
        _dirs.append(path)
        _tell_guard(f"dir {path}")
    return path


def default_run_dir() -> Path:
    """The run directory of this Python process, for servers that are given none."""
    global _base
    if _base is None:
        _base = new_run_dir()
    return _base


def running() -> list["Process"]:
    """Every process started here that has not been ended, oldest first."""
    return list(_live)


def walferry() -> Path:
    """The program under test: WALFERRY_BIN, or what `./dev build` made."""
    path = Path(os.environ.get("WALFERRY_BIN") or REPOSITORY / "build" / "release" / "walferry")
    if not path.exists():
        raise ServiceError(f"{path} is not there; run: ./dev build")
    return path


@atexit.register
def _leave_nothing() -> None:
    for process in reversed(running()):
        try:
            process.close()
        except Exception as error:  # the others must still be ended
            print(f"cannot end {process.name}: {error}", file=sys.stderr)
    for path in _dirs:
        shutil.rmtree(path, ignore_errors=True)
    if _guard is not None and _guard.stdin is not None:
        _guard.stdin.close()
        _guard.wait(15)


# ---------------------------------------------------------------- a process


class Process:
    """A child process with a directory, a log file in it, and a deadline on every wait.

    Works as a context manager: started on entry unless it runs already, ended on exit.
    """

    stop_signal = signal.SIGTERM
    guard_signal = signal.SIGKILL  # what it gets when the owner was killed

    def __init__(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]] = (),
        run_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        self.name = name
        self.argv = [os.fspath(arg) for arg in argv]
        self.env = dict(env or {})
        self.dir = self._claim_dir(Path(run_dir) if run_dir else default_run_dir(), name)
        self.log = self.dir / "log"
        self.user: str | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _claim_dir(parent: Path, name: str) -> Path:
        for number in range(1, 10000):
            path = parent / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            path.chmod(0o755)
            return path
        raise ServiceError(f"{parent} is full of {name}")

    # -- life

    def start(self, timeout: float = 60) -> "Process":
        """Starts it and waits until it is ready."""
        if self.alive:
            raise ServiceError(f"{self.name} runs already")
        self._spawn(self.argv)
        self._wait_ready(timeout)
        return self

    def _spawn(self, argv: Sequence[str]) -> None:
        self._forget()  # an earlier life that ended by itself
        who = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        with open(self.log, "ab") as log:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.dir,
                env={**os.environ, **self.env},
                start_new_session=True,  # Ctrl-C is for the owner, who ends it in order
                **who,
            )
        pid = self._child.pid
        _live.append(self)
        _tell_guard(f"run {pid} {start_time(pid) or 0} {int(self.guard_signal)}")

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self._ready():
            if not self.alive:
                raise ServiceError(f"{self.name} ended at once, {self._outcome()}")
            if time.monotonic() > deadline:
                self.kill9()
                raise ServiceError(f"{self.name} is not ready after {timeout:g} s{self.tail()}")
            time.sleep(0.03)

    def _ready(self) -> bool:
        return True

    def stop(self, timeout: float = 30) -> int:
        """Asks it to end and waits; returns its exit status (negative: the signal it died of)."""
        return self.end_by(self.stop_signal, timeout)

    def end_by(self, number: int, timeout: float = 30) -> int:
        """Sends a signal that should end it and waits for that; ServiceError when it does not."""
        self.signal(number)
        return self.wait(timeout)

    def wait(self, timeout: float) -> int:
        """Waits for its end."""
        if self._child is None:
            return 0
        try:
            status = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServiceError(f"{self.name} still runs after {timeout:g} s{self.tail()}") from None
        self._forget()
        return status

    def kill9(self) -> None:
        """Ends it at once, with no chance to tidy up."""
        self.end_by(signal.SIGKILL, 10)

    kill = kill9

    def restart(self, timeout: float = 60) -> None:
        """Stops and starts it, same ports and data."""
        self.stop()
        self.start(timeout)

    def close(self) -> None:
        """Ends it, in order if it will, by force if not. Safe to call twice."""
        if not self.alive:
            self._forget()
            return
        self.sigcont()
        try:
            self.stop(10)
        except ServiceError:
            self.kill9()

    def _forget(self) -> None:
        if self in _live:
            _live.remove(self)
            assert self._child is not None
            _tell_guard(f"end {self._child.pid}")

    def __enter__(self):
        if not self.alive:
            self.start()
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    # -- looking and poking

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; ServiceError when it was never started."""
        if self._child is None:
            raise ServiceError(f"{self.name} was not started")
        return self._child.pid

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._child.poll() if self._child else None

    def signal(self, number: int) -> None:
        """Sends a signal; nothing happens when it has ended."""
        if self._child is not None:
            self._child.send_signal(number)

    def sigstop(self) -> None:
        """Freezes it: connections stay, answers do not come."""
        self.signal(signal.SIGSTOP)

    def sigcont(self) -> None:
        """Lets it go on after sigstop()."""
        self.signal(signal.SIGCONT)

    def rss_kb(self) -> int:
        """Its resident memory now."""
        return self._memory_kb("VmRSS:")

    def peak_rss_kb(self) -> int:
        """The most it was since the process began."""
        return self._memory_kb("VmHWM:")

    def _memory_kb(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
        return 0

    def log_text(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 15) -> str:
        """The end of its log, set off to stand at the end of a message."""
        last = self.log_text().splitlines()[-lines:]
        return "".join(f"\n    {line}" for line in last)

    def _outcome(self) -> str:
        return f"status {self.status}{self.tail()}"
