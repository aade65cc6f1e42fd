"""./dev bench: walferry against yardsticks that read the same backlog in the same run.

Every client reads a copy of one slot; rounds are shuffled, and the figures are ratios within a round
(the machine is noisy), given as median (min - max). Writes bench/results/<date>.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from services import Kafka, Postgres, Registry, client_tool, default_run_dir, walferry

HERE = Path(__file__).resolve().parent
PUBLICATION = "bench"


class Case:
    """A database with a backlog behind the slot `base_<database>`."""

    def __init__(self, name: str, rows: int):
        self.name, self.rows = name, rows
        self.events = 0
        self.until = ""


def narrow(pg: Postgres, db: str, rows: int) -> int:
    """4 columns, one INSERT a row, 100 rows a transaction."""
    pg.sql("create table narrow (id bigint primary key, n int not null, t text, ts timestamptz)", dbname=db)
    return _in_batches(
        pg, db, rows, 100,
        "insert into narrow select i, i % 1000, 'row number ' || i, now() from generate_series({0}, {1}) i",
    )  # fmt: skip


def wide(pg: Postgres, db: str, rows: int) -> int:
    """20 columns, REPLICA IDENTITY FULL, UPDATEs: the whole row twice an event."""
    columns = ", ".join(
        f"i{n} int not null default {n}, t{n} text, d{n} numeric(12,2), s{n} timestamp" for n in range(4)
    )
    pg.sql(
        f"create table wide (id bigint primary key, {columns}, j jsonb, u uuid, b boolean);"
        "alter table wide replica identity full",
        dbname=db,
    )
    pg.sql(
        "insert into wide (id, t0, t1, t2, t3, d0, d1, d2, d3, s0, s1, s2, s3, j, u, b) "
        "select i, 'a', 'some text', md5(i::text), 'x', i, i/3.0, 1, 2, now(), now(), now(), now(), "
        "'{\"k\": [1, 2]}', gen_random_uuid(), true from generate_series(1, 20000) i",
        dbname=db,
    )
    pg.sql("select pg_replication_slot_advance('base_' || current_database(), pg_current_wal_lsn())", dbname=db)
    return _in_batches(
        pg, db, rows, 1000, "update wide set i0 = i0 + 1 where id between {0} % 20000 and {1} % 20000"
    )


def tpcb(pg: Postgres, db: str, rows: int) -> int:
    """pgbench's TPC-B like transactions: 3 UPDATEs and an INSERT each."""
    pg.pgbench("-i", "-s", "5", "-q", dbname=db)
    pg.sql("alter table pgbench_history replica identity full", dbname=db)
    pg.sql("select pg_replication_slot_advance('base_' || current_database(), pg_current_wal_lsn())", dbname=db)
    transactions = rows // 4
    pg.pgbench("-n", "-c", "4", "-t", str(transactions // 4), dbname=db)
    return transactions // 4 * 16


CASES: dict[str, Callable[[Postgres, str, int], int]] = {"narrow": narrow, "tpcb": tpcb, "wide": wide}


def _in_batches(pg: Postgres, db: str, rows: int, batch: int, statement: str) -> int:
    connection = pg.connect(db)
    done = 0
    with connection.cursor() as cursor:
        for first in range(1, rows + 1, batch):
            cursor.execute(statement.format(first, first + batch - 1))
            done += cursor.rowcount
    connection.close()
    return done


# ---------------------------------------------------------------- clients


def threads_cpu_us(pid: int) -> dict[str, int]:
    """CPU of each thread so far, by name."""
    tick = 1_000_000 // os.sysconf("SC_CLK_TCK")
    found: dict[str, int] = {}
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            head, tail = stat.read_text().rsplit(")", 1)
        except OSError:
            continue
        fields = tail.split()
        name = re.sub(r"\d+$", "", head.split("(", 1)[1])
        found[name] = found.get(name, 0) + (int(fields[11]) + int(fields[12])) * tick
    return found


def peak_rss_kb(pid: int) -> int:
    """The highest RSS so far; getrusage's would include this program before exec."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def run_command(argv: list[str], env: dict[str, str] | None = None, output: Any = None) -> dict[str, Any]:
    """Runs a client to its end: wall time, CPU, highest RSS, CPU by thread, log."""
    began = time.monotonic()
    log = default_run_dir() / "client.log"
    with open(log, "wb") as err:
        child = subprocess.Popen(argv, stdout=output or subprocess.PIPE, stderr=err, env={**os.environ, **(env or {})})
    threads: dict[str, int] = {}
    rss = 0
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        threads = threads_cpu_us(child.pid) or threads
        if time.monotonic() - began > 0.05:  # exec has happened by then
            rss = max(rss, peak_rss_kb(child.pid))
        if time.monotonic() - began > 600:
            child.kill()
            raise SystemExit(f"{argv[0]} does not end: {log.read_text()[-2000:]}")
        time.sleep(0.01)
    child.returncode = os.waitstatus_to_exitcode(status)
    out = child.stdout.read().decode() if child.stdout else ""
    if child.returncode != 0:
        raise SystemExit(f"{argv} failed: {log.read_text()[-2000:]}")
    return {
        "wall": time.monotonic() - began,
        "cpu_us": int((usage.ru_utime + usage.ru_stime) * 1e6),
        "rss_kb": rss,
        "threads": threads,
        "out": out,
        "log": log.read_text(),
    }


def count_client(case: Case, pg: Postgres, slot: str, mode: str) -> dict[str, Any]:
    """The yardstick: reads and counts."""
    binary = default_run_dir() / "count_client"
    if not binary.exists():
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpq"], capture_output=True, text=True, check=True)
        subprocess.run(
            ["cc", "-O2", str(HERE / "count_client.c"), *flags.stdout.split(), "-o", str(binary)], check=True
        )
    result = run_command([str(binary), mode, pg.dsn(case.name), slot, PUBLICATION, case.until])
    result["seconds"] = json.loads(result["out"])["seconds"]
    return result


def recvlogical(case: Case, pg: Postgres, slot: str) -> dict[str, Any]:
    """pg_recvlogical over loopback TCP into /dev/null."""
    argv = [
        client_tool("pg_recvlogical"), "-d", pg.dsn(case.name, tcp=True), "--slot", slot, "--start", "-f", "-",
        "--endpos", case.until, "-o", "proto_version=1", "-o", f"publication_names={PUBLICATION}", "--no-loop",
    ]  # fmt: skip
    with open("/dev/null", "wb") as null:
        result = run_command(argv, output=null)
    result["seconds"] = result["wall"]
    return result


def log_time(log: str, code: str) -> float:
    found = re.search(rf"ts=(\S+)Z .*code={code}\b", log)
    if not found:
        raise SystemExit(f"no {code} in:\n{log}")
    return datetime.datetime.fromisoformat(found.group(1)).timestamp()


def ferry(
    case: Case, pg: Postgres, slot: str, sink: dict[str, Any], format: dict[str, Any], env: dict[str, str] | None = None,
    wrapper: list[str] | None = None, until: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """walferry until everything is delivered and acknowledged."""
    directory = default_run_dir() / slot
    directory.mkdir()
    config = directory / f"{slot}.yaml"
    sink = {k: (v.replace("DIR", str(directory)) if isinstance(v, str) else v) for k, v in sink.items()}
    content = {
        "source": {"dsn": pg.dsn(case.name), "slot": slot, "publication": PUBLICATION},
        "sink": sink,
        "state": {"dir": str(directory / "state")},
    }
    if format:
        content["format"] = format
    config.write_text(yaml.safe_dump(content))
    config.chmod(0o600)
    result = run_command([*(wrapper or []), str(walferry()), "run", "--until", until or case.until, str(config)], env)
    result["seconds"] = log_time(result["log"], "until_reached") - log_time(result["log"], "streaming")
    return result


# ---------------------------------------------------------------- measuring


def make_case(pg: Postgres, name: str, rows: int, label: str | None = None) -> Case:
    case = Case(label or name, rows)
    pg.sql(f"create database {case.name}")
    pg.sql(f"create publication {PUBLICATION} for all tables", dbname=case.name)
    pg.sql("select pg_create_logical_replication_slot('base_' || current_database(), 'pgoutput')", dbname=case.name)
    case.events = CASES[name](pg, case.name, rows)
    case.until = pg.value("select pg_current_wal_lsn()::text", dbname=case.name)
    # something after the end, so that every client sees a position at or past it
    pg.sql("create table after_the_end (id int primary key); insert into after_the_end values (1)", dbname=case.name)
    pg.sql("checkpoint")
    return case


_copies = 0


def copy_slot(pg: Postgres, case: Case) -> str:
    global _copies
    _copies += 1
    name = f"copy{_copies}"
    pg.sql("select pg_copy_logical_replication_slot('base_' || current_database(), %s)", (name,), dbname=case.name)
    return name


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def text(values: dict[str, float], digits: int = 2) -> str:
    return f"{values['median']:.{digits}f} ({values['min']:.{digits}f} - {values['max']:.{digits}f})"


def measure(case: Case, pg: Postgres, sinks: dict[str, tuple[dict, dict]], rounds: int) -> dict[str, Any]:
    clients: dict[str, Callable[[str], dict[str, Any]]] = {
        "eager count": lambda slot: count_client(case, pg, slot, "eager"),
        "paced count": lambda slot: count_client(case, pg, slot, "paced"),
        "pg_recvlogical tcp": lambda slot: recvlogical(case, pg, slot),
    }
    for name, (sink, format) in sinks.items():
        clients[f"walferry {name}"] = lambda slot, s=sink, f=format: ferry(case, pg, slot, s, f)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in clients}
    for number in range(rounds):
        order = list(clients)
        random.shuffle(order)
        for name in order:
            slot = copy_slot(pg, case)
            runs[name].append(clients[name](slot))
            pg.sql("select pg_drop_replication_slot(%s)", (slot,))
        print(f"  {case.name}: round {number + 1} of {rounds}", file=sys.stderr)
    result: dict[str, Any] = {"events": case.events, "clients": {}}
    for name, list_of in runs.items():
        entry: dict[str, Any] = {
            "events_per_s": spread([case.events / run["seconds"] for run in list_of]),
            "cpu_us_per_event": spread([run["cpu_us"] / case.events for run in list_of]),
            "rss_mb": spread([run["rss_kb"] / 1024 for run in list_of]),
        }
        if name.startswith("walferry"):
            for yardstick in ("eager count", "paced count", "pg_recvlogical tcp"):
                entry[f"rate / {yardstick}"] = spread(
                    [other["seconds"] / run["seconds"] for run, other in zip(list_of, runs[yardstick])]
                )
            entry["threads_us_per_event"] = {
                thread: round(us / case.events, 3) for thread, us in sorted(list_of[-1]["threads"].items())
            }
        result["clients"][name] = entry
    return result


def slope(pg: Postgres, name: str, sink: dict[str, Any], format: dict[str, Any]) -> dict[str, float]:
    """Per event, from two backlogs of different size: instructions of the app thread, own allocations."""
    figures = []
    preload = default_run_dir() / "alloc_count.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(HERE / "alloc_count.c"), "-o", str(preload), "-ldl"], check=True)
    for rows in (5_000, 25_000):
        case = make_case(pg, name, rows, f"slope_{name}_{rows}_{random.randrange(10**6)}")
        counts = default_run_dir() / f"alloc{rows}.json"
        ferry(case, pg, copy_slot(pg, case), sink, format,
              env={"LD_PRELOAD": str(preload), "ALLOC_COUNT_FILE": str(counts)})  # fmt: skip
        out = default_run_dir() / f"callgrind.{case.name}"
        ferry(case, pg, copy_slot(pg, case), sink, format,
              wrapper=["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"])  # fmt: skip
        main_thread = Path(f"{out}-01").read_text()
        totals = re.findall(r"^(?:totals|summary): (\d+)", main_thread, re.M)
        figures.append((case.events, int(totals[-1]), json.loads(counts.read_text())))
    (few, few_ir, few_alloc), (many, many_ir, many_alloc) = figures
    return {
        "instructions_per_event": (many_ir - few_ir) / (many - few),
        "own_allocations_per_event": (many_alloc["ours"] - few_alloc["ours"]) / (many - few),
        "all_allocations_per_event": (many_alloc["all"] - few_alloc["all"]) / (many - few),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000, help="events of each backlog (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--case", action="append", choices=[*CASES], help="only these; default all")
    parser.add_argument("--no-kafka", action="store_true")
    parser.add_argument("--no-slope", action="store_true", help="skip callgrind")
    args = parser.parse_args()

    pg = Postgres(18, settings={"max_wal_size": "8GB", "checkpoint_timeout": "1h", "max_replication_slots": 100})
    pg.start()
    # sync: null keeps nothing, file syncs to a disk
    sinks: dict[str, tuple[dict, dict]] = {
        "null": ({"type": "null"}, {}),
        "file": ({"type": "file", "dir": "DIR/out"}, {}),
    }
    if not args.no_kafka:
        kafka, registry = Kafka(), Registry()
        kafka.start()
        registry.start()
        for name, delivery in (("kafka", "at_least_once"), ("kafka exactly once", "exactly_once")):
            sink = {"type": "kafka", "brokers": kafka.bootstrap, "delivery": delivery}
            sinks[name] = (sink, {"registry": registry.url})
    results: dict[str, Any] = {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "command": " ".join(["./dev bench", *sys.argv[1:]]),
        "cases": {},
    }
    for name in args.case or list(CASES):
        case = make_case(pg, name, args.rows)
        result = results["cases"][name] = measure(case, pg, sinks, args.rounds)
        if name == "narrow" and not args.no_slope:
            for sink in [s for s in sinks if s != "file"]:
                result["clients"][f"walferry {sink}"].update(slope(pg, name, *sinks[sink]))
        print(f"\n{name}: {result['events']:,} events; median (min - max) of {args.rounds} rounds")
        for client, entry in result["clients"].items():
            print(f"  {client}")
            for key, value in entry.items():
                if isinstance(value, dict) and "median" in value:
                    print(f"    {key:<28}{text(value, 0 if key == 'events_per_s' else 2)}")
                else:
                    print(f"    {key:<28}{value}")
    target = HERE / "results"
    target.mkdir(exist_ok=True)
    path = target / f"{datetime.date.today()}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten: {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
