"""Everything that a seed decides: sizes, modes, the faults and when they come."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

AT_LEAST_ONCE, EXACTLY_ONCE = "at_least_once", "exactly_once"
DELIVERIES = (AT_LEAST_ONCE, EXACTLY_ONCE)
MAJORS = (13, 15, 17, 18)


@dataclass(frozen=True)
class Fault:
    """One fault: when it begins, of which kind, and the seed of its details."""

    at: float
    kind: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """One run. `rate`: transactions a second of all sessions; `big`: rows of the rare big statement."""

    seed: int
    delivery: str
    major: int
    tables: int
    sessions: int
    rate: float
    big: int
    partitions: int
    metadata: bool
    vandalism: bool
    ddl: bool = True
    truncate: bool = True
    only: tuple[str, ...] = ()  # the kinds that were asked for, all if empty
    mean: float = 0.8
    faults: tuple[Fault, ...] = field(default=(), repr=False)

    @property
    def seconds(self) -> float:
        """How long the writers write."""
        return (self.faults[-1].at if self.faults else 3) + 1

    def command(self) -> str:
        """The command that does it again: fewer faults are the first ones of the same schedule."""
        return (
            f"./dev faults --seed {self.seed} --delivery {self.delivery} --pg {self.major} "
            f"--sessions {self.sessions} --tables {self.tables} --rate {self.rate:g} --big {self.big} "
            f"--faults {len(self.faults)} --mean {self.mean:g}"
            + (f" --only {','.join(self.only)}" if self.only else "")
            + ("" if self.ddl else " --no-ddl")
            + ("" if self.truncate else " --no-truncate")
        )

    def smaller(self) -> list["Plan"]:
        """Plans that are a step simpler, the largest step first."""
        half = len(self.faults) // 2
        found = [replace(self, faults=self.faults[:half])] if half else []
        if self.sessions > 1:
            found.append(replace(self, sessions=self.sessions // 2))
        if self.tables > 1:
            found.append(replace(self, tables=self.tables // 2))
        if self.ddl:
            found.append(replace(self, ddl=False))
        if self.truncate:
            found.append(replace(self, truncate=False))
        return found


def draw(
    seed: int, delivery: str, major: int | None, kinds: dict[str, float], faults: int, mean: float = 0.8
) -> Plan:
    """The plan of a seed: `faults` of the `kinds` (name: weight), about `mean` seconds apart."""
    rng = random.Random(f"plan {seed}")
    plan = Plan(
        seed=seed,
        delivery=delivery,
        major=major or MAJORS[seed % len(MAJORS)],
        tables=rng.randint(2, 12),
        sessions=rng.randint(1, 16),
        rate=rng.choice((60.0, 120.0, 200.0)),
        big=5_000,
        partitions=rng.choice((1, 3, 3, 6)),
        metadata=rng.random() < 0.5,
        vandalism=rng.random() < 0.25,
        mean=mean,
    )
    at, schedule = 0.0, []
    names, weights = list(kinds), list(kinds.values())
    for _ in range(faults):
        at += rng.expovariate(1 / mean)
        schedule.append(Fault(round(at, 2), rng.choices(names, weights)[0], rng.getrandbits(32)))
    return replace(plan, faults=tuple(schedule))
