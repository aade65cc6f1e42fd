"""The faults, and who lets them loose at their times: two at once at most, none on one part twice at once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from faults import proxy as px
from faults.plan import EXACTLY_ONCE, Fault
from services import ServiceError

if TYPE_CHECKING:
    from faults.run import Run

AT_ONCE = 2
MEMORY_GROUP = Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True)
class Kind:
    """A kind of fault: the part it breaks, how often it is drawn, what it does; False when it found nothing."""

    part: str
    weight: float
    strike: Callable[["Run", random.Random], bool | None]


KINDS: dict[str, Kind] = {}


def kind(part: str, weight: float = 1.0):
    """Enters a function of this file as a kind of fault, under its own name."""

    def enter(function):
        KINDS[function.__name__] = Kind(part, weight, function)
        return function

    return enter


def weights(only: tuple[str, ...] = ()) -> dict[str, float]:
    """Name and weight of the kinds that are asked for. What this machine lacks is drawn, too, and left out
    later: a seed is the same plan everywhere."""
    unknown = set(only) - KINDS.keys()
    if unknown:
        raise SystemExit(f"no fault {', '.join(sorted(unknown))}; there are: {', '.join(KINDS)}")
    return {name: k.weight for name, k in KINDS.items() if not only or name in only}


def lacking() -> dict[str, str]:
    """Kinds that this machine cannot have, and why."""
    found = {}
    root = os.geteuid() == 0
    if not root:
        found["disk_full"] = "needs root, to mount a small file system"
    if not root or not (MEMORY_GROUP / "memory.limit_in_bytes").exists():
        found["memory"] = "needs root and a memory cgroup of version 1"
    if not shutil.which("cc"):
        found["clock"] = "needs a C compiler"
    return found


def wall_clock(run_dir: Path) -> Path | None:
    """wall_clock.c as a library to preload; None without a compiler."""
    library = run_dir / "wall_clock.so"
    if not library.exists() and (compiler := shutil.which("cc")):
        source = Path(__file__).with_name("wall_clock.c")
        command = [compiler, "-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source]
        subprocess.run(command, check=True, timeout=60)
    return library if library.exists() else None


# ---------------------------------------------------------------- walferry itself


@kind("ferry", 3)
def kill(run: Run, _rng: random.Random) -> None:
    """kill -9; it is started again at once."""
    run.keeper.kill()


@kind("ferry", 3)
def start_window(run: Run, rng: random.Random) -> None:
    """kill -9, and again within the first 300 ms of its next lives."""
    for _ in range(rng.randint(2, 4)):
        run.keeper.kill()
        run.keeper.wait_started()
        time.sleep(rng.uniform(0, 0.3))
    run.keeper.kill()


@kind("ferry", 2)
def freeze(run: Run, rng: random.Random) -> None:
    """SIGSTOP, SIGCONT."""
    run.ferry.sigstop()
    time.sleep(rng.choice((rng.uniform(0.1, 1), rng.uniform(1, 5))))
    run.ferry.sigcont()


@kind("ferry", 2)
def sigterm(run: Run, _rng: random.Random) -> None:
    """An orderly end; it is started again."""
    run.keeper.terminate()


@kind("ferry", 0.5)
def memory(run: Run, rng: random.Random) -> None:
    """A memory cgroup that has no room for it."""
    group = MEMORY_GROUP / f"faults-{os.getpid()}"
    group.mkdir(exist_ok=True)
    try:
        (group / "memory.limit_in_bytes").write_text(f"{rng.randint(3, 20)}M")
        (group / "cgroup.procs").write_text(str(run.ferry.pid))
        time.sleep(rng.uniform(0.3, 2))
    except OSError:  # it ended meanwhile
        pass
    finally:
        run.keeper.leave_group(group, MEMORY_GROUP)


@kind("state")
def disk_full(run: Run, rng: random.Random) -> bool:
    """The disk of state.dir is full."""
    if not run.small_disk:
        return False
    ballast = run.small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    if rng.random() < 0.5:
        run.keeper.kill()
    time.sleep(rng.uniform(0.5, 2))
    ballast.unlink()
    return True


@kind("clock", 0.7)
def clock(run: Run, rng: random.Random) -> None:
    """The wall clock of walferry jumps: back by up to two days and soon forth again, or ahead by seconds and back.
    (librdkafka waits for times of that clock: set back for good, it stands still as long as the jump was.)"""
    run.set_clock(rng.choice((-rng.uniform(1, 172800), rng.uniform(1, 5))))
    time.sleep(rng.uniform(0.2, 2))
    run.set_clock(0)


# ---------------------------------------------------------------- PostgreSQL


@kind("pg", 2)
def walsender_ended(run: Run, _rng: random.Random) -> bool:
    """pg_terminate_backend() of whoever serves the slot."""
    try:
        found = run.pg.sql(
            "select pg_terminate_backend(active_pid) from pg_replication_slots "
            "where slot_name = %s and active_pid is not null",
            (run.ferry.pipeline,),
        )
    except psycopg2.Error:
        return False
    return bool(found)


@kind("pg", 2)
def pg_crash(run: Run, rng: random.Random) -> None:
    """The server ends without a checkpoint and recovers."""
    run.pg.stop(mode="immediate")
    time.sleep(rng.choice((0, rng.uniform(0, 1))))
    run.pg.start()


@kind("pg")
def pg_restart(run: Run, rng: random.Random) -> None:
    """The server is restarted in order; a walsender that cannot send keeps it waiting."""
    try:
        run.pg.stop(3)
    except ServiceError:
        run.pg.stop(mode="immediate")
    time.sleep(rng.choice((0, rng.uniform(0, 1))))
    run.pg.start()


def _proxied(proxy: px.FaultProxy, what: str, rng: random.Random) -> None:
    """A fault of the network that needs no knowledge of the protocol."""
    if what == "cut":
        proxy.cut()
        return
    if what == "cut_at":
        proxy.cut_after(rng.choice((px.UP, px.DOWN)), rng.choice((rng.randint(1, 200), rng.randint(200, 50_000))))
        time.sleep(rng.uniform(0.2, 1))
    elif what == "stall":
        proxy.stall(*rng.choice(((px.UP,), (px.DOWN,), (px.UP, px.DOWN))))
        time.sleep(rng.choice((rng.uniform(0.2, 1), rng.uniform(1, 4))))
        if rng.random() < 0.4:
            proxy.cut()
    elif what == "slow":
        proxy.delay, proxy.piece = rng.uniform(0.001, 0.01), rng.choice((100, 1000, 10_000))
        time.sleep(rng.uniform(0.3, 2))
    elif what == "down":
        proxy.refusing = True
        proxy.cut()
        time.sleep(rng.uniform(0.2, 2))
    proxy.heal()


@kind("pg net")
def pg_net_cut(run: Run, rng: random.Random) -> None:
    """Connections to the server are reset."""
    _proxied(run.pg_proxy, "cut", rng)


@kind("pg net", 2)
def pg_net_cut_at(run: Run, rng: random.Random) -> None:
    """A connection to the server is reset in the middle of a message."""
    _proxied(run.pg_proxy, "cut_at", rng)


@kind("pg net")
def pg_net_stall(run: Run, rng: random.Random) -> None:
    """No byte passes, one way or both."""
    _proxied(run.pg_proxy, "stall", rng)


@kind("pg net")
def pg_net_slow(run: Run, rng: random.Random) -> None:
    """Bytes trickle."""
    _proxied(run.pg_proxy, "slow", rng)


@kind("pg net")
def pg_net_down(run: Run, rng: random.Random) -> None:
    """The server cannot be reached."""
    _proxied(run.pg_proxy, "down", rng)


# ---------------------------------------------------------------- Kafka


@kind("kafka")
def broker_freeze(run: Run, rng: random.Random) -> None:
    """SIGSTOP of the broker."""
    run.kafka.sigstop()
    time.sleep(rng.choice((rng.uniform(0.5, 2), rng.uniform(1, 4), rng.uniform(4, 15) / 2)))
    run.kafka.sigcont()


@kind("kafka", 0.4)
def broker_kill(run: Run, rng: random.Random) -> None:
    """kill -9 of the broker. A lone broker forgets a commit that is under way (services/kafka.py), so
    transactions end in the proxy before it is killed, with one open if possible."""
    net = run.kafka_proxy
    rule = net.add(px.Rule(px.END_TXN, "hold", 30, count=1000)) if run.plan.delivery == EXACTLY_ONCE else None
    try:
        if rule:
            deadline = time.monotonic() + 2
            while not rule.hits and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.5)
        run.kafka.kill9()
        time.sleep(rng.choice((0, rng.uniform(0, 1))))
        run.kafka.start()
    finally:
        if rule:
            net.remove(rule)


@kind("kafka net")
def kafka_net_cut(run: Run, rng: random.Random) -> None:
    """Connections to the broker are reset."""
    _proxied(run.kafka_proxy, "cut", rng)


@kind("kafka net", 2)
def kafka_net_cut_at(run: Run, rng: random.Random) -> None:
    """A connection to the broker is reset in the middle of a request or an answer."""
    _proxied(run.kafka_proxy, "cut_at", rng)


@kind("kafka net")
def kafka_net_stall(run: Run, rng: random.Random) -> None:
    """No byte passes, one way or both."""
    _proxied(run.kafka_proxy, "stall", rng)


@kind("kafka net")
def kafka_net_slow(run: Run, rng: random.Random) -> None:
    """Bytes trickle."""
    _proxied(run.kafka_proxy, "slow", rng)


@kind("kafka net")
def kafka_net_down(run: Run, rng: random.Random) -> None:
    """The broker cannot be reached."""
    _proxied(run.kafka_proxy, "down", rng)


def _request(run: Run, rng: random.Random, action: str) -> bool:
    """Something happens to one kind of request; False when none came."""
    apis = [px.PRODUCE, px.PRODUCE, px.INIT_PRODUCER_ID]
    if run.plan.delivery == EXACTLY_ONCE:
        apis += [px.END_TXN, px.END_TXN, px.END_TXN, px.ADD_PARTITIONS_TO_TXN, px.ADD_PARTITIONS_TO_TXN]
    rule = px.Rule(rng.choice(apis), action, rng.uniform(0.2, 3), rng.choice((1, 1, 2, 5)))
    run.kafka_proxy.add(rule)
    if rule.api == px.INIT_PRODUCER_ID or rng.random() < 0.2:
        run.keeper.kill()
    deadline = time.monotonic() + 2
    while not rule.hits and time.monotonic() < deadline:
        time.sleep(0.05)
    if action == "hold" and rule.hits and rng.random() < 0.5:
        time.sleep(rng.uniform(0, rule.seconds))
        if rng.random() < 0.5:
            run.keeper.kill()
        else:
            run.kafka_proxy.cut()
    else:
        time.sleep(rng.uniform(0.1, rule.seconds))
    run.kafka_proxy.remove(rule)
    return rule.hits > 0


@kind("kafka net", 3)
def request_held(run: Run, rng: random.Random) -> bool:
    """A request waits on its way, and arrives when its sender may be gone."""
    return _request(run, rng, "hold")


@kind("kafka net", 3)
def request_late(run: Run, rng: random.Random) -> bool:
    """The connection breaks, and the request arrives later by another one, beside what was sent anew."""
    return _request(run, rng, "late")


@kind("kafka net", 3)
def reply_lost(run: Run, rng: random.Random) -> bool:
    """The broker does as it was told, and the answer is lost with the connection."""
    return _request(run, rng, "drop_reply")


# ---------------------------------------------------------------- the registry


def _answering(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode()


@kind("registry", 0.7)
def registry_500(run: Run, rng: random.Random) -> None:
    """Every call is answered by an error of the server."""
    run.registry_proxy.cut()
    run.registry_proxy.answer = _answering(rng.choice(("500 Internal Server Error", "503 Service Unavailable")))
    time.sleep(rng.uniform(0.3, 2))
    run.registry_proxy.heal()


@kind("registry", 0.7)
def registry_net(run: Run, rng: random.Random) -> None:
    """Its network fails in any of the ways."""
    _proxied(run.registry_proxy, rng.choice(("cut", "cut_at", "stall", "slow", "down")), rng)


@kind("registry", 0.2)
def registry_kill(run: Run, rng: random.Random) -> None:
    """kill -9 of the registry; its schemas are on disk."""
    run.registry.kill9()
    time.sleep(rng.uniform(0, 1))
    run.registry.start()


# ---------------------------------------------------------------- at their times


class Injector:
    """Lets the faults of a plan loose. `struck` counts those that hit, `missed` those that found nothing."""

    def __init__(self, run: "Run"):
        self.run = run
        self.struck: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.errors: list[str] = []
        self._lacking = lacking()
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def play(self, stopped: Callable[[], bool]) -> None:
        """Plays the whole schedule; a fault whose part is broken already waits for its turn."""
        begun = time.monotonic()
        for fault in self.run.plan.faults:
            while not stopped():
                if time.monotonic() - begun >= fault.at and self._begin(fault):
                    break
                time.sleep(0.02)
            if stopped():
                break
        for thread in self._threads:
            thread.join(60)

    def _begin(self, fault: Fault) -> bool:
        part = KINDS[fault.kind].part
        with self._lock:
            if len(self._busy) >= AT_ONCE or part in self._busy:
                return False
            self._busy.add(part)
        thread = threading.Thread(target=self._strike, args=(fault, part), daemon=True)
        self._threads.append(thread)
        thread.start()
        return True

    def _strike(self, fault: Fault, part: str) -> None:
        try:
            hit = fault.kind not in self._lacking and KINDS[fault.kind].strike(self.run, random.Random(fault.seed))
            self.run.note(f"fault {fault.kind}{'' if hit is not False else ' missed'}")
            (self.missed if hit is False else self.struck)[fault.kind] += 1
        except Exception as error:  # told in the verdict
            self.errors.append(f"{fault.kind}: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._busy.discard(part)


def mount_small(path: Path, size: str = "256k") -> bool:
    """A small file system of its own at `path`."""
    path.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", path]
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0


def unmount(path: Path) -> None:
    """Undoes mount_small()."""
    subprocess.run(["umount", "-l", path], check=False, capture_output=True, timeout=20)
