"""What time it is at the brokers, learned from their acknowledgements. Pure; times are seconds.

A broker stamps a record with its wall clock some time between the moment the request left here and
the moment the answer came. Both are told on this machine's monotonic clock, which nobody sets, so
each acknowledgement bounds the distance between the two clocks from both sides.

Owner: one thread learns; any may ask, since what is known is replaced and never changed.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["BrokerClock"]

_GRANULARITY = 0.001
"""Stamps are whole milliseconds, cut off."""
_DRIFT = 100e-6
"""How far two clocks may go apart, in seconds per second: crystals and gentle corrections."""
_RECENT = 60.0
"""How much longer ago than the latest an acknowledgement may be, to count beside it."""


class _Offset(NamedTuple):
    """Between what bounds broker time minus monotonic time lay at the moment `learned`."""

    low: float
    high: float
    learned: float

    def at(self, moment: float) -> "_Offset":
        """Return the bounds at a later moment: wider by the drift."""
        drift = _DRIFT * max(0.0, moment - self.learned)
        return _Offset(self.low - drift, self.high + drift, self.learned)

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


class BrokerClock:
    """The clocks of the brokers, each by itself: they need not agree."""

    def __init__(self) -> None:
        self._offsets: Mapping[object, _Offset] = MappingProxyType({})
        self._best: float | None = None

    def learn(self, node: object, stamp: float, sent: float, answered: float) -> None:
        """Take note that `node` stamped a record between two moments of the monotonic clock.

        What contradicts everything before begins anew: one of the clocks was set.
        """
        sample = _Offset(stamp - answered, stamp + _GRANULARITY - sent, answered)
        known = self._offsets.get(node)
        if known is not None:
            before = known.at(answered)
            low, high = max(before.low, sample.low), min(before.high, sample.high)
            if low <= high:
                sample = _Offset(low, high, answered)
        self._offsets = {**self._offsets, node: sample}
        self._best = _best(self._offsets.values())

    def now(self, moment: float, node: object | None = None) -> float | None:
        """Return the brokers' time at a moment of the monotonic clock, None if nothing is known.

        That of `node`, or else of the broker whose clock is known best, among those that were
        heard of lately.
        """
        best = self._best
        if node is not None:
            found = self._offsets.get(node)
            best = None if found is None else found.middle
        return None if best is None else moment + best


def _best(offsets: Collection[_Offset]) -> float:
    """Return the offset that is known best among those that were learned lately.

    From then on all widen alike, about their middles: it stays the best until more is learned.
    """
    latest = max(offset.learned for offset in offsets)
    recent = (offset.at(latest) for offset in offsets if offset.learned >= latest - _RECENT)
    return min(recent, key=lambda offset: offset.width).middle
