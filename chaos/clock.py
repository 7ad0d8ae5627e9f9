"""A wall clock that is wrong, or is set while calls are under way, in this process alone.

What Python code reads by `time.time` and `time.time_ns` is changed, which is all that the library
and kafka-python read. The monotonic clock, by which histories are written, stays right.
"""

import os
import signal
import time

__all__ = ["BACK", "ENV", "FORWARD", "HOUR", "WallClock"]

ENV = "CHAOS_SKEW"
"""Seconds by which a process's wall clock is wrong from its start."""
FORWARD, BACK = signal.SIGUSR1, signal.SIGUSR2
"""Set the wall clock an hour forward, or back."""
HOUR = 3600.0


class WallClock:
    """The wall clock of this process, `skew` seconds from the true one. Made once, before use."""

    def __init__(self) -> None:
        self.skew = float(os.environ.get(ENV, "0"))
        true, true_ns = time.time, time.time_ns
        time.time = lambda: true() + self.skew
        time.time_ns = lambda: true_ns() + int(self.skew * 1e9)
        signal.signal(FORWARD, lambda *_: self._set(HOUR))
        signal.signal(BACK, lambda *_: self._set(-HOUR))

    def _set(self, step: float) -> None:
        self.skew += step
