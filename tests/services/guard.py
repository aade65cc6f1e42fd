"""Ends what a killed owner leaves behind: a process of its own, fed through standard input.

Lines: `run PID START SIGNAL` (a child and its start time, by which a reused id is told apart),
`end PID`, `dir PATH`. End of file means that the owner is gone: every child that is still there gets
its signal, then SIGKILL, and every directory is removed.
"""

import os
import shutil
import signal
import sys
import time


def start_time(pid: int) -> str:
    """Clock ticks between boot and the start of a process; empty when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _signal(pid: int, start: str, number: int) -> None:
    if start and start_time(pid) == start:
        try:
            os.kill(pid, signal.SIGCONT)  # a stopped process takes no other signal
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def main() -> None:
    """Collects the owner's lines and acts once they end."""
    children: dict[int, tuple[str, int]] = {}
    dirs: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "run":
            pid, start, number = rest.split()
            children[int(pid)] = (start, int(number))
        elif word == "end":
            children.pop(int(rest), None)
        elif word == "dir":
            dirs.append(rest)
    for pid, (start, number) in children.items():
        _signal(pid, start, number)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(start and start_time(pid) == start for pid, (start, _) in children.items()):
            break
        time.sleep(0.05)
    for pid, (start, _) in children.items():
        _signal(pid, start, signal.SIGKILL)
    for path in dirs:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    main()
