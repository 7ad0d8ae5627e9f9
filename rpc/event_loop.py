"""Where `async def` handlers run: one event loop on a thread of its own."""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from transports.log import get_logger

__all__ = ["EventLoop"]

T = TypeVar("T")

_log = get_logger("rpc.server")


class EventLoop(Generic[T]):
    """One asyncio loop on a daemon thread named `rpc-loop`. `do` must not raise.

    Each task begins with no context variable set, whoever submits it.

    What leaves the loop, as `SystemExit` in a task of a handler's does, is logged; it goes on.
    """

    def __init__(self, do: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        self._do = do
        self._loop = asyncio.new_event_loop()
        self._starting: deque[T] = deque()
        self._scheduled = False
        self._over = False
        self._tasks: set[asyncio.Task[None] | None] = set()  # the loop keeps only weak references
        self._thread = threading.Thread(target=self._run, name="rpc-loop", daemon=True)
        self._thread.start()

    def submit(self, *tasks: T) -> None:
        """Do each soon, side by side; from any thread, many of them per wake-up."""
        self._starting.extend(tasks)
        if not self._scheduled:
            self._scheduled = True
            # Tasks copy the context in which they are made; that of here may be a handler's.
            self._loop.call_soon_threadsafe(self._start, context=contextvars.Context())

    def discard(self, task: T) -> None:
        """Forget `task`, unless it has begun."""
        with contextlib.suppress(ValueError):
            self._starting.remove(task)

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` on the loop soon."""
        self._loop.call_soon_threadsafe(function)

    def close(self, timeout: float) -> None:
        """Cancel what runs, and end the loop within `timeout` seconds."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._over:
                try:
                    self._loop.run_forever()
                except BaseException as error:  # `SystemExit` leaves a task, and the loop with it
                    _log.error("loop.interrupted", exc_info=error)
        finally:
            self._loop.close()

    def _start(self) -> None:
        self._scheduled = False  # before the first pop: what is added from here schedules again
        with contextlib.suppress(IndexError):  # the last one may be discarded at any moment
            while self._starting:
                self._tasks.add(self._loop.create_task(self._hold(self._starting.popleft())))

    async def _hold(self, task: T) -> None:
        """Do one; cheaper than a callback at its end, for which the loop would take a turn more."""
        try:
            await self._do(task)
        finally:
            self._tasks.discard(asyncio.current_task())

    def _stop(self) -> None:
        tasks = [task for task in self._tasks if task is not None]
        for task in tasks:
            task.cancel()
        self._loop.create_task(self._finish(tasks))

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
        finally:
            self._over = True  # what leaves the loop in this moment makes it forget to stop
            self._loop.stop()
