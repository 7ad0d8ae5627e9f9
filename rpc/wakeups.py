"""Futures of event loops, resolved from other threads: many of them with one wake-up of their loop.

`call_soon_threadsafe` writes to a socket each time, and the loop that wakes up takes the
interpreter from the thread that woke it. So what one batch of replies ends is held back until the
whole batch has been gone through, and then one wake-up does for each loop (`transports.together`).
"""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable

import msgspec

from transports.together import hold

__all__ = ["awaiting"]


def awaiting() -> "tuple[asyncio.Future[None], Callable[[], None]]":
    """Return a future of the running loop, and what resolves it from any thread."""
    loop = asyncio.get_running_loop()
    bridge = _here.bridge
    if bridge is None or bridge.loop() is not loop:
        bridge = _here.bridge = _Bridge(loop)
    future: asyncio.Future[None] = loop.create_future()
    return future, _Wake(bridge, future)


class _Bridge:
    """The way of one thread's futures to their loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._ready: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    def wake(self, future: "asyncio.Future[None]") -> None:
        """Resolve `future` on its loop soon; from any thread."""
        self._ready.append(future)
        if not hold(self, self.schedule):
            self.schedule()

    def schedule(self) -> None:
        """Have the loop resolve what is ready."""
        if self._scheduled:  # what is scheduled has not begun: it will see the futures
            return
        self._scheduled = True
        loop = self.loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            self._ready.clear()

    def _resolve(self) -> None:
        self._scheduled = False  # before the first pop: what is added from here on schedules again
        ready = self._ready
        while ready:
            future = ready.popleft()
            if not future.done():
                future.set_result(None)


class _Wake(msgspec.Struct, eq=False, gc=False):
    """Resolves one future; a closure would be three objects for the garbage collector to look at.

    It is let go of when it is called, which it is once.
    """

    bridge: _Bridge
    future: "asyncio.Future[None]"

    def __call__(self) -> None:
        self.bridge.wake(self.future)


class _Here(threading.local):
    """What belongs to one thread."""

    bridge: _Bridge | None = None
    """To the loop that ran here last."""


_here = _Here()
