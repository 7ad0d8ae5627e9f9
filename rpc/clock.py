"""Time as a value that is handed in: seconds as floats that never go backwards."""

import time
from collections.abc import Callable

__all__ = ["Clock", "ManualClock", "monotonic"]

Clock = Callable[[], float]
"""Returns seconds since some fixed moment. Only differences mean anything."""

monotonic: Clock = time.monotonic


class ManualClock:
    """A clock that moves only when told to: timeouts of hours are tested in no time."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; backwards raises `ValueError`."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock does not go back ({seconds} s)")
        self._now += seconds
