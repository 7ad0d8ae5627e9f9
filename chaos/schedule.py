"""Which faults come when, by a seed. Pure.

Each period has a fault, or two of different kinds, or, in a quarter of them, none, so that what
recovers is seen to. A schedule depends on nothing but its arguments: the seed repeats it.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["FAILPOINTS", "Period", "Step", "kinds", "schedule"]

SHORTEST, LONGEST = 5.0, 8.0
QUIET_SHARE = 0.25
PAIR_SHARE = 0.2

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
    return PROCESS + NETWORK + (BROKER if brokers > 1 else ("kill-broker", "sigstop-broker"))


def schedule(
    seed: int, seconds: float, *, brokers: int, only: Sequence[str] = ()
) -> tuple[Period, ...]:
    """Return the periods that fill `seconds`; `only`: of these faults, each at least once.

    Kinds are dealt like cards: none comes again before all others have come.
    """
    chance = random.Random(seed)
    names = [name for name in kinds(brokers) if not only or name in only]
    deck: list[str] = []
    periods: list[Period] = []
    total = 0.0

    def deal() -> str:
        if not deck:
            deck.extend(names)
            chance.shuffle(deck)
        return deck.pop()

    while total < seconds:
        length = round(chance.uniform(SHORTEST, LONGEST), 2)
        steps: list[Step] = []
        if chance.random() >= QUIET_SHARE:
            steps.append(_step(deal(), chance))
            if chance.random() < PAIR_SHARE and len(names) > 1:
                other = _step(deal(), chance)
                if _group(other.name) != _group(steps[0].name):
                    steps.append(other)
                else:
                    deck.append(other.name)
        steps.sort(key=lambda step: _group(step.name))  # processes start on a sound network
        periods.append(Period(length, tuple(steps)))
        total += length
    return tuple(periods)


def _group(name: str) -> int:
    """A broker that is down counts as network trouble: one of these at a time is enough."""
    return 0 if name in PROCESS else 1


def _step(name: str, chance: random.Random) -> Step:
    detail = ""
    if name == "failpoint":
        point, latest = chance.choice(list(FAILPOINTS.items()))
        detail = f"{point}:kill@{chance.randint(1, latest)}"
    return Step(name, chance.randrange(1000), chance.random() < 0.3, detail)
