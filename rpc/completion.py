"""A value that comes once, for waiters of every kind: threads, event loops, callbacks.

A future of the standard library costs a condition variable each; a call in flight needs none until
somebody waits for it, and with hundreds in flight most are done before anybody does. `list.append`
and `list.pop` are the only shared steps, and each is atomic.
"""

import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

from rpc.wakeups import awaiting
from transports.together import let_go

__all__ = ["Completion"]

T = TypeVar("T")


class Completion(Generic[T]):
    """A value set once. Any thread may set, wait and await; a second `set` is the owner's bug."""

    __slots__ = ("_done", "_value", "_waiters")

    def __init__(self) -> None:
        self._done = False
        self._value: T | None = None
        self._waiters: list[Callable[[], object]] = []

    def done(self) -> bool:
        """Tell whether the value is there."""
        return self._done

    def set(self, value: T) -> None:
        """Give the value, and run every waiter on this thread."""
        self._value = value
        self._done = True  # before the waiters are run: whoever comes later sees it
        while self._waiters:
            try:
                waiter = self._waiters.pop(0)
            except IndexError:  # its owner took it back between the two lines
                return
            waiter()

    def get(self) -> T:
        """Return the value; only after `done`."""
        return cast("T", self._value)

    def when_done(self, waiter: Callable[[], object]) -> None:
        """Run `waiter` once the value is there: now, or on the thread that sets it."""
        self._waiters.append(waiter)
        # `set` may have run through the list before the line above: whoever gets the entry out of
        # the list, `set` or we, runs it.
        if self._done and self._take_back(waiter):
            waiter()

    def wait(self, timeout: float | None) -> bool:
        """Wait until the value is there, at most `timeout` seconds; tell whether it is."""
        if self._done:
            return True
        let_go()
        gate = threading.Lock()
        gate.acquire()
        wake = gate.release
        self.when_done(wake)
        if gate.acquire(timeout=-1 if timeout is None else _waitable(timeout)):
            return True
        self._take_back(wake)
        return self._done

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            future, wake = awaiting()
            self.when_done(wake)
            yield from future
        return self.get()

    def _take_back(self, waiter: Callable[[], object]) -> bool:
        try:
            self._waiters.remove(waiter)
        except ValueError:
            return False
        return True


def _waitable(seconds: float) -> float:
    return min(max(0.0, seconds), threading.TIMEOUT_MAX)
