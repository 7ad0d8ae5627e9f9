"""Where handlers run: a bounded pool of threads for `def`, one event loop for `async def`.

A pool of the standard library makes a future, a work item and several lock steps of each task;
a queue of callables is all that is needed here. Handlers never run on a thread that receives.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any

__all__ = ["EventLoop", "Workers"]

Task = Callable[[], object]


class Workers:
    """`count` daemon threads named `rpc-worker-N`, fed by one queue. Tasks must not raise."""

    def __init__(self, count: int) -> None:
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"rpc-worker-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Run `task` on the next free thread; the caller bounds how many wait."""
        self._tasks.put(task)

    def close(self, timeout: float) -> None:
        """Stop the threads that are idle, and wait `timeout` seconds for the others.

        A handler that never returns keeps its thread, which does not keep the process.
        """
        for _ in self._threads:
            self._tasks.put(None)
        ends = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            del task  # an idle worker must not keep the last request alive


class EventLoop:
    """One asyncio loop on a daemon thread named `rpc-loop`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._starting: deque[Coroutine[Any, Any, None]] = deque()
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()  # the loop keeps only weak references
        self._thread = threading.Thread(target=self._run, name="rpc-loop", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` as a task soon; from any thread, many of them per wake-up."""
        self._starting.append(coroutine)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._start)

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
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _start(self) -> None:
        self._scheduled = False  # before the first pop: what is added from here schedules again
        while self._starting:
            task = self._loop.create_task(self._starting.popleft())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.create_task(self._finish(list(self._tasks)))

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        self._loop.stop()
