"""Which sends go wrong, and how: by a script, or by chance with a seed.

Pure: no lock, thread or clock. The same sends in the same order meet the same faults.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from transports.base import Address, Message
from transports.errors import ConfigurationError, TransportError, Unreachable

__all__ = ["Fault", "FaultPlan", "Faults"]


class Fault(Enum):
    """What can happen to a send."""

    DROP = "drop"
    """It vanishes, though the sender gets a receipt (of offset -1): the broker lost it later."""
    LOSE_ACK = "lose_ack"
    """It is delivered, and the sender gets `SendUncertain`."""
    DUPLICATE = "duplicate"
    """It is delivered twice; the sender hears of the first."""
    DELAY = "delay"
    """It is held for a time, while later ones overtake it; the sender hears when it has gone."""
    REORDER = "reorder"
    """It changes places with the next message to its topic; held no longer than a delay."""
    FAIL = "fail"
    """It is not delivered, and the sender gets an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How many sends meet which fault. Raises `ConfigurationError` for what makes no sense."""

    drop: float = 0.0
    """Probability of `Fault.DROP`, 0 to 1; so for the next five. They exclude each other, so their
    sum is at most 1."""
    lose_ack: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    fail: float = 0.0
    seed: int = 0
    """Begins the random numbers: one is drawn for each send that may go wrong."""
    script: tuple[Fault | None, ...] = ()
    """What the first sends meet, in order, None being nothing; after it come the probabilities."""
    topics: frozenset[str] | None = None
    """Only sends to these topics may go wrong; None is any."""
    where: Callable[[Address, Message], bool] | None = None
    """Only sends for which this is true may go wrong; None is any. It is called under a lock: it
    may not send."""
    hold: float = 0.05
    """Seconds that a delayed message is held, and a reordered one at most."""
    error: Callable[[str], TransportError] = Unreachable
    """Makes the error of `Fault.FAIL` from its text."""

    def __post_init__(self) -> None:
        chances = self.chances()
        outside = [f"{kind.value}={p}" for kind, p in chances if not 0 <= p <= 1]
        if outside:
            raise ConfigurationError(f"{', '.join(outside)}: a probability is from 0 to 1")
        if (total := sum(p for _, p in chances)) > 1 + 1e-9:
            raise ConfigurationError(f"the probabilities add up to {total}: at most 1 is possible")
        if self.hold < 0:
            raise ConfigurationError(f"hold={self.hold}: seconds are not negative")

    def chances(self) -> tuple[tuple[Fault, float], ...]:
        """Return each fault with its probability."""
        return tuple((kind, float(getattr(self, kind.value))) for kind in Fault)


class FaultPlan:
    """Says of each send, in the order asked, what it meets."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._chances = faults.chances()
        self._random = random.Random(faults.seed)  # noqa: S311 - faults that repeat, no secrets
        self._asked = 0

    def next(self, address: Address, message: Message) -> Fault | None:
        """Return what this send meets; None if nothing. One that may not go wrong counts not."""
        if not self._concerns(address, message):
            return None
        self._asked += 1
        if self._asked <= len(self._faults.script):
            return self._faults.script[self._asked - 1]
        return self._drawn()

    def _concerns(self, address: Address, message: Message) -> bool:
        topics, where = self._faults.topics, self._faults.where
        return (topics is None or address.topic in topics) and (
            where is None or where(address, message)
        )

    def _drawn(self) -> Fault | None:
        left = self._random.random()
        for kind, chance in self._chances:
            if left < chance:
                return kind
            left -= chance
        return None
