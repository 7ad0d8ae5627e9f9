"""Which faults come when, by a seed. Pure.

Each period has a fault, or two of different kinds, or, in a quarter of them, none, so that what
recovers is seen to. Once a minute or so, after such a quiet one, comes an upheaval, by itself. A
schedule depends on nothing but its arguments: the seed repeats it.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["FAILPOINTS", "UPHEAVALS", "Period", "Step", "kinds", "schedule"]

SHORTEST, LONGEST = 5.0, 8.0
QUIET_SHARE = 0.25
PAIR_SHARE = 0.2
CALM = 8
"""Periods at least before the first upheaval, and from one to the next."""

FAILPOINTS = {
    "server.taken": 30,
    "server.before_handler": 30,
    "server.after_handler": 30,
    "server.before_reply": 30,
    "server.reply_acked": 30,
    "server.before_ack": 30,
    "idempotency.begin": 5,
    "idempotency.finish": 5,
    "group.fetched": 20,
    "group.before_commit": 4,
    "group.after_commit": 4,
}
"""Where a server is let die between taking a request and committing it, and at which pass at the
latest: what is passed once a second is not passed thirty times while a fault lasts."""

PROCESS = (
    "kill-server",
    "terminate-server",
    "sigstop-server-short",
    "sigstop-server-long",
    "kill-client",
    "rolling-restart",
    "rebalance-storm",
    "failpoint",
)
NETWORK = (
    "delay",
    "throttle",
    "cut",
    "blackhole-up",
    "blackhole-down",
    "half-open",
    "slice",
    "corrupt",
    "hold-produce",
    "lose-acknowledgements",
    "lose-requests",
    "hold-fetch",
)
BROKER = ("kill-broker", "terminate-broker", "sigstop-broker")
UPHEAVALS = (
    "all-brokers-down",
    "two-brokers-down",
    "grow-partitions",
    "overload",
    "step-client-clock",
    "step-server-clock",
)


class Step(NamedTuple):
    """One fault: `target` is a number that its kind makes a server, client or broker of."""

    name: str
    target: int
    everywhere: bool = False
    """Of a network fault: before all brokers, not one."""
    detail: str = ""
    """Of a failpoint: what arms it."""


class Period(NamedTuple):
    """Faults that begin together, and for how many seconds they last."""

    seconds: float
    steps: tuple[Step, ...]


def kinds(brokers: int) -> tuple[str, ...]:
    """Return every fault that a run with so many brokers may have."""
    return _daily(brokers) + _upheavals(brokers)


def _daily(brokers: int) -> tuple[str, ...]:
    return PROCESS + NETWORK + (BROKER if brokers > 1 else ("kill-broker", "sigstop-broker"))


def _upheavals(brokers: int) -> tuple[str, ...]:
    return tuple(name for name in UPHEAVALS if brokers > 2 or name != "two-brokers-down")


def schedule(
    seed: int, seconds: float, *, brokers: int, only: Sequence[str] = ()
) -> tuple[Period, ...]:
    """Return the periods that fill `seconds`; `only`: of these faults alone.

    Kinds are dealt like cards: none comes again before all others have come. Raises `ValueError`
    where none of `only` can come to so many brokers.
    """
    if only:
        names = [name for name in kinds(brokers) if name in only]
        if not names:
            raise ValueError(f"{brokers} broker(s) can have none of {', '.join(only)}")
        return _filling(seconds, _periods(seed, names))
    chance = random.Random(f"upheavals of {seed}")  # its own: days are the same without them
    rare = _dealt(_upheavals(brokers), chance)
    return _filling(seconds, _with_upheavals(_periods(seed, _daily(brokers)), rare, chance))


def _filling(seconds: float, periods: Iterator[Period]) -> tuple[Period, ...]:
    taken: list[Period] = []
    total = 0.0
    while total < seconds:
        taken.append(next(periods))
        total += taken[-1].seconds
    return tuple(taken)


def _with_upheavals(
    days: Iterator[Period], rare: Iterator[str], chance: random.Random
) -> Iterator[Period]:
    """Yield `days`, and behind a quiet one, seldom, an upheaval: what recovers is well by then."""
    calm = 0
    for period in days:
        yield period
        calm += 1
        if calm >= CALM and not period.steps:
            yield Period(_length(chance), (_step(next(rare), chance),))
            calm = 0


def _periods(seed: int, names: Sequence[str]) -> Iterator[Period]:
    chance = random.Random(seed)
    back: list[str] = []
    deck = _dealt(names, chance)
    while True:
        length = _length(chance)
        steps: list[Step] = []
        if chance.random() >= QUIET_SHARE:
            steps.append(_step(back.pop() if back else next(deck), chance))
            if chance.random() < PAIR_SHARE and len(names) > 1:
                other = _step(next(deck), chance)
                if _group(other.name) != _group(steps[0].name):
                    steps.append(other)
                else:
                    back.append(other.name)
        steps.sort(key=lambda step: _group(step.name))  # processes start on a sound network
        yield Period(length, tuple(steps))


def _dealt(names: Sequence[str], chance: random.Random) -> Iterator[str]:
    while True:
        deck = list(names)
        chance.shuffle(deck)
        yield from reversed(deck)


def _length(chance: random.Random) -> float:
    return round(chance.uniform(SHORTEST, LONGEST), 2)


def _group(name: str) -> int:
    """A broker that is down counts as network trouble: one of these at a time is enough."""
    return 0 if name in PROCESS else 1


def _step(name: str, chance: random.Random) -> Step:
    detail = ""
    if name == "failpoint":
        point, latest = chance.choice(list(FAILPOINTS.items()))
        detail = f"{point}:kill@{chance.randint(1, latest)}"
    return Step(name, chance.randrange(1000), chance.random() < 0.3, detail)
