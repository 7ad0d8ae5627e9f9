"""Futures of event loops, resolved from other threads: many of them with one wake-up of their loop.

`call_soon_threadsafe` writes to a socket each time, and the loop that wakes up takes the
interpreter from the thread that woke it. So what one batch of replies ends is held back until the
whole batch has been gone through, and then one wake-up does for each loop.
"""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

__all__ = ["awaiting", "together"]


def awaiting() -> "tuple[asyncio.Future[None], Callable[[], None]]":
    """Return a future of the running loop, and what resolves it from any thread."""
    loop = asyncio.get_running_loop()
    bridge = _here.bridge
    if bridge is None or bridge.loop() is not loop:
        bridge = _here.bridge = _Bridge(loop)
    future: asyncio.Future[None] = loop.create_future()
    return future, _Wake(bridge, future)


@contextmanager
def together() -> Iterator[None]:
    """Hold back, on this thread, the wake-ups of event loops until the end of the block."""
    if _here.held is not None:  # the block around this one wakes them
        yield
        return
    held = _here.held = set()
    try:
        yield
    finally:
        _here.held = None
        for bridge in held:
            bridge.schedule()


class _Bridge:
    """The way of one thread's futures to their loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._ready: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    def wake(self, future: "asyncio.Future[None]") -> None:
        """Resolve `future` on its loop soon; from any thread."""
        self._ready.append(future)
        held = _here.held
        if held is None:
            self.schedule()
        else:
            held.add(self)

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
    held: set[_Bridge] | None = None
    """The bridges whose loops are to be woken at the end of the batch; None: at once."""


_here = _Here()
