"""How long the calls of one method take, as far as a client has seen, and when one is overdue.

A histogram in buckets that grow by a fifth; the old fades as the new comes. Pure, and cheap: one
logarithm a call, and a look over the buckets every 32 calls.
"""

import math

__all__ = ["LEAST", "MOST", "Latency"]

LEAST, MOST = 0.05, 0.5
"""Seconds: no call counts as overdue sooner, and none later unless its method is slower itself."""

_FINEST = 0.001
_STEPS = 4  # buckets per doubling
_BUCKETS = 72  # up to 2 ** 18 times the finest: four minutes
_EVERY = 32
_FADE_AT = 2048.0
_HEADROOM = 1.5


class Latency:
    """Learns from `add`; `patience` is what a call may take before another attempt is made."""

    __slots__ = ("_counts", "_fresh", "_total", "patience")

    def __init__(self) -> None:
        self.patience = MOST
        """Seconds: one and a half times what 99 of 100 calls took, from 0.05 to 0.5; more for a
        method that usually takes more than a quarter of a second; 0.5 as long as nothing is known.
        """
        self._counts = [0.0] * _BUCKETS
        self._fresh = 0
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Learn how long a call took, from its first attempt to the reply."""
        bucket = int(math.log2(seconds / _FINEST) * _STEPS) + 1 if seconds > _FINEST else 0
        self._counts[bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1.0
        self._fresh += 1
        if self._fresh == _EVERY:
            self._review()

    def _review(self) -> None:
        self._total += self._fresh
        self._fresh = 0
        if self._total > _FADE_AT:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2
        usual = max(MOST, 2 * self._quantile(0.5))
        self.patience = min(max(LEAST, _HEADROOM * self._quantile(0.99)), usual)

    def _quantile(self, share: float) -> float:
        wanted, seen = share * self._total, 0.0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return float(_FINEST * 2 ** (bucket / _STEPS))
        return float(_FINEST * 2 ** (_BUCKETS / _STEPS))
