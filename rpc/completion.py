"""A value that comes once, for waiters of every kind: threads, event loops, callbacks.

A future of the standard library costs a condition variable each; a call in flight needs none until
somebody waits for it, and with hundreds in flight most are done before anybody does. `list.append`
and `list.pop` are the only shared steps, and each is atomic.
"""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar, cast

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
        gate = threading.Lock()
        gate.acquire()
        wake = gate.release
        self.when_done(wake)
        if gate.acquire(timeout=-1 if timeout is None else _waitable(timeout)):
            return True
        self._take_back(wake)
        return self._done

    def __await__(self) -> Generator[None, None, T]:
        if not self._done:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            bridge = _Bridge.to(loop)
            self.when_done(lambda: bridge.wake(future))
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


class _Bridge:
    """Wakes the futures of one event loop from other threads, many of them per wake-up.

    `call_soon_threadsafe` writes to a socket each time; with a hundred replies in one fetch a
    single write is enough.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._ready: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    @classmethod
    def to(cls, loop: asyncio.AbstractEventLoop) -> "_Bridge":
        """Return the loop's bridge; called on the loop's own thread."""
        bridge = _bridges.get(loop)
        if bridge is None:
            bridge = _bridges[loop] = cls(loop)
        return bridge

    def wake(self, future: "asyncio.Future[None]") -> None:
        """Resolve `future` on its loop soon; from any thread."""
        self._ready.append(future)
        if self._scheduled:  # the drain that is scheduled has not begun: it will see the future
            return
        self._scheduled = True
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            self._ready.clear()

    def _drain(self) -> None:
        self._scheduled = False  # before the first pop: a future added from here on schedules again
        while self._ready:
            future = self._ready.popleft()
            if not future.done():
                future.set_result(None)


_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = (
    weakref.WeakKeyDictionary()
)
