"""Something that happens once, and may be told by a signal handler.

The lock of a `threading.Event` may be held by the very thread that a signal interrupts: on its way
into `wait`, or in `set`. Its handler would wait for it for ever.
"""

import math
import time

from rpc.completion import Completion

__all__ = ["Flag"]

_HEARD_WITHIN = 0.5
"""Seconds after which whoever waits looks up; handlers run on the main thread, when it does so.

For a signal the system wakes it, unless it gives the signal to another thread. It does with one
right behind SIGCONT; a main thread that waits for a lock would never learn of that.
"""


class Flag:
    """Set once and for all. Any thread and any signal handler may do anything; no lock is held."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: Completion[None] = Completion()

    def set(self) -> None:
        """Wake who waits; again: nothing."""
        self._told.set(None)

    def is_set(self) -> bool:
        """Tell whether it is."""
        return self._told.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most `timeout` seconds; tell whether it is."""
        ends = math.inf if timeout is None else time.monotonic() + timeout
        while not self._told.wait(min(ends - time.monotonic(), _HEARD_WITHIN)):
            if time.monotonic() >= ends:
                return self._told.done()
        return True
