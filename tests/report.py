"""Adds up what `./dev test` left in a directory; the last line is the sum.

stages.txt and lint.txt hold lines of "pass NAME" or "fail NAME", unit.xml is ctest's and e2e.xml pytest's.
A Criterion program counts as its tests do, a sanitizer's report as a failure. A stage that failed with no failing test counts as one.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

_SYNTHESIS = re.compile(r"Tested:\D*(\d+)\D+Passing:\D*(\d+)\D+Failing:\D*(\d+)\D+Crashing:\D*(\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Tally:
    """Numbers of one kind of test, and the names of those that failed."""

    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Adds another tally to this one."""
        self.passed += other.passed
        self.skipped += other.skipped
        self.failed += other.failed


def lines(path: Path) -> Tally:
    """Lines of "pass NAME" and "fail NAME"."""
    tally = Tally()
    for line in path.read_text().splitlines() if path.exists() else []:
        verdict, _, name = line.partition(" ")
        if verdict == "pass":
            tally.passed += 1
        else:
            tally.failed.append(name)
    return tally


def junit(path: Path) -> Tally:
    """A JUnit file of ctest or pytest."""
    tally = Tally()
    if not path.exists():
        return tally
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        failed = case.find("failure") is not None or case.find("error") is not None
        output = _COLOUR.sub("", case.findtext("system-out") or "")
        if inner := _SYNTHESIS.search(output):
            _tested, passing, failing, crashing = map(int, inner.groups())
            tally.passed += passing
            bad = max(failing + crashing, int(failed))
            tally.failed += [f"{case.get('name')} ({number + 1} of {bad})" for number in range(bad)]
        elif failed:
            tally.failed.append(name)
        elif case.find("skipped") is not None:
            tally.skipped += 1
        else:
            tally.passed += 1
    return tally


def main(directory: Path) -> int:
    """Prints the failures and the sum; returns the exit status."""
    total = Tally()
    kinds = {
        "lint": lines(directory / "lint.txt"),
        "unit tests": junit(directory / "unit.xml"),
        "end to end": junit(directory / "e2e.xml"),
    }
    for report in sorted((directory / "sanitizer").glob("*")):
        kinds["unit tests"].failed.append(f"sanitizer report {report}")
    for tally in kinds.values():
        total.add(tally)
    for stage in lines(directory / "stages.txt").failed:
        if stage not in kinds or not kinds[stage].failed:
            total.failed.append(f"stage: {stage}")
    for name in total.failed:
        print(f"FAILED {name}")
    if not total.passed and not total.failed:
        total.failed.append("no test ran")
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {len(total.failed)} failed{skipped}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
