"""./dev faults: runs seeds until the time or the faults are used up, one line of JSON for each."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from dataclasses import replace
from math import inf
from typing import Any

from faults import schedule
from faults.plan import AT_LEAST_ONCE, DELIVERIES, MAJORS, Plan, draw
from faults.run import Run, World

TRIES = 6  # smaller plans tried after a failure


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--minutes", type=float, help="new seeds begin until then (without it: --seeds, or one)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; the next ones count up")
    parser.add_argument("--seeds", type=int, help="how many at most")
    parser.add_argument("--delivery", choices=DELIVERIES, default=AT_LEAST_ONCE)
    parser.add_argument("--pg", type=int, choices=MAJORS, help="one major instead of each in turn")
    parser.add_argument("--only", help="kinds of faults, with commas between; --list names them")
    parser.add_argument("--faults", type=int, default=30, help="faults of each seed")
    parser.add_argument("--mean", type=float, default=0.8, help="seconds between two faults")
    parser.add_argument("--list", action="store_true", help="the kinds of faults")
    parser.add_argument("--keep-going", action="store_true", help="go on after a violation, shrink nothing")
    parser.add_argument("--verbose", action="store_true", help="every fault as it happens")
    sizes = parser.add_argument_group("instead of what the seed draws")
    for name in ("sessions", "tables", "big"):
        sizes.add_argument(f"--{name}", type=int)
    sizes.add_argument("--rate", type=float, help="transactions a second")
    sizes.add_argument("--no-ddl", action="store_true")
    sizes.add_argument("--no-truncate", action="store_true")
    return parser.parse_args()


def only_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The kinds that were asked for."""
    return tuple(args.only.split(",")) if args.only else ()


def plan_of(args: argparse.Namespace, seed: int, kinds: dict[str, float]) -> Plan:
    """What a seed and the command line make of it."""
    plan = draw(seed, args.delivery, args.pg, kinds, args.faults, args.mean)
    given = {name: getattr(args, name) for name in ("sessions", "tables", "big", "rate")}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(plan, ddl=not args.no_ddl, truncate=not args.no_truncate, only=only_of(args), **given)


def tell(verdict: dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(verdict), flush=True)


def shrink(world: World, plan: Plan, verbose: bool) -> Plan:
    """The smallest plan found that fails, too. Timing is never the same: a pass proves nothing."""
    tries = TRIES
    while tries:
        for smaller in plan.smaller():
            tries -= 1
            if not Run(world, smaller, verbose).execute()["ok"]:
                plan = smaller
                break
            if not tries:
                break
        else:
            break
    return plan


def table(verdicts: list[dict[str, Any]]) -> None:
    """What was done and what was seen, for people."""
    faults: Counter[str] = Counter()
    for verdict in verdicts:
        faults.update(verdict.get("faults", {}))
    width = shutil.get_terminal_size().columns
    print(f"\n{'fault':<20}{'times':>7}", file=sys.stderr)
    for name, count in sorted(faults.items(), key=lambda pair: -pair[1]):
        print(f"{name:<20}{count:>7}"[:width], file=sys.stderr)
    totals = {
        name: sum(v.get(name, 0) for v in verdicts) for name in ("transactions", "events", "lost", "doubled", "samples")
    }
    bad = [v["seed"] for v in verdicts if not v["ok"]]
    longest = max((v.get("recovery_s", 0) for v in verdicts), default=0)
    print(
        f"{'all':<20}{sum(faults.values()):>7}\n\n{len(verdicts)} seeds, {totals}, "
        f"longest recovery {longest} s, seeds with violations: {bad or 'none'}",
        file=sys.stderr,
    )


def main() -> int:
    """Exit status 1: something was violated."""
    args = arguments()
    lacking = schedule.lacking()
    if args.list:
        for name, kind in schedule.KINDS.items():
            doc = " ".join((kind.strike.__doc__ or "").split())
            print(f"{name:<18}{doc}{'  [' + lacking[name] + ']' if name in lacking else ''}")
        return 0
    kinds = schedule.weights(only_of(args))
    for name, why in lacking.items():
        print(f"without {name}: it {why}", file=sys.stderr)
    until = time.monotonic() + 60 * args.minutes if args.minutes else inf if args.seeds else 0
    verdicts: list[dict[str, Any]] = []
    with World() as world:
        seed = args.seed
        while True:
            plan = plan_of(args, seed, kinds)
            verdict = Run(world, plan, args.verbose).execute()
            verdicts.append(verdict)
            tell(verdict)
            if not verdict["ok"] and not args.keep_going:
                print(f"to do it again: {plan.command()}\nlooking for something smaller ...", file=sys.stderr)
                print(f"smallest that failed: {shrink(world, plan, args.verbose).command()}", file=sys.stderr)
                break
            seed += 1
            if time.monotonic() > until or (args.seeds and len(verdicts) >= args.seeds):
                break
    table(verdicts)
    return 0 if all(verdict["ok"] for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
