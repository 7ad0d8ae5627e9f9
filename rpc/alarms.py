"""Cancels tasks at their deadlines: one timer of the event loop for all of them.

A timer of its own would cost each call more than everything else that the loop does for it, and
nearly none goes off. On the loop's own thread alone.
"""

import asyncio
import itertools
import math
from typing import Self

from rpc.deadline import Deadlines

__all__ = ["Alarms", "Limit"]


class Alarms:
    """The tasks of one event loop that have deadlines."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._numbers = itertools.count()
        self._deadlines: Deadlines[int] = Deadlines()
        self._limits: dict[int, Limit] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def add(self, limit: "Limit", seconds: float) -> int:
        """Expire `limit` after so many seconds; return the number by which `remove` finds it."""
        number, deadline = next(self._numbers), self.loop.time() + seconds
        self._limits[number] = limit
        self._deadlines.add(number, deadline)
        if deadline < self._rings_at:
            self._set(deadline)
        return number

    def remove(self, number: int) -> None:
        """Forget a limit, expired or not."""
        self._limits.pop(number, None)
        self._deadlines.remove(number)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = self.loop.call_at(deadline, self._ring), deadline

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        for number in self._deadlines.expire(self.loop.time()):
            self._limits.pop(number).expire()
        following = self._deadlines.next_deadline()
        if following is not None:
            self._set(following)


class Limit:
    """Cancels the task that enters it after so many seconds, as `asyncio.timeout` does."""

    __slots__ = ("_alarms", "_number", "_seconds", "_task", "expired")

    def __init__(self, alarms: Alarms, seconds: float) -> None:
        self._alarms = alarms
        self._seconds = seconds
        self._number = 0
        self._task: asyncio.Task[object] | None = None
        self.expired = False
        """Whether the time was over before what it limits had ended."""

    def expire(self) -> None:
        """Cancel the task."""
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._number = self._alarms.add(self, self._seconds)
        return self

    def __exit__(self, *_ended: object) -> None:
        self._alarms.remove(self._number)
        if self.expired and self._task is not None:
            self._task.uncancel()
