"""Where handlers run: a bounded pool of threads for `def`, one event loop for `async def`.

A pool of the standard library makes a future, a work item and several lock steps of each task;
a queue is all that is needed here. Handlers never run on a thread that receives.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["EventLoop", "Workers"]

T = TypeVar("T")

_BRISK = 0.0003  # seconds; a handler that waits for anything takes longer
_PATIENCE = 0.01  # seconds: two turns of the interpreter's lock
_SAMPLES = 64  # so many that a wait for the interpreter's lock, of 5 ms, makes no task slow


class Workers(Generic[T]):
    """`count` daemon threads named `rpc-worker-N`, fed by one queue. `do` must not raise.

    Tasks that block take as many threads as they need: whoever takes one and leaves others behind
    wakes the next thread. Tasks that are brisk are done by one thread, since a second one would
    mostly wait for the interpreter's lock (measured: a fifth of the throughput): the next thread
    then watches, and takes tasks itself once the other is stuck in one for `_PATIENCE`.

    `deque` and `list` steps are atomic; the order in which they are made is what counts here: a
    task is added before the idle are looked at, and a thread is among the idle before it looks for
    tasks a last time.
    """

    def __init__(self, count: int, do: Callable[[T], object]) -> None:
        self._do = do
        self._tasks: deque[T | None] = deque()
        self._idle: list[threading.Lock] = []
        self._waking = False
        self._watching = False
        self._leader: threading.Lock | None = None
        """The gate of the thread that took the last task and has not looked for more in vain."""
        self._average = 0.001
        """Seconds that a task takes, of the last hundred or so."""
        self._took_at = 0.0
        """When the last task was taken."""
        self._threads = [
            threading.Thread(target=self._work, name=f"rpc-worker-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, *tasks: T) -> None:
        """Do each on the next free thread, in this order; the caller bounds how many wait."""
        self._tasks.extend(tasks)
        self._wake_one()

    def close(self, timeout: float) -> None:
        """Stop the threads that are idle, and wait `timeout` seconds for the others.

        A handler that never returns keeps its thread, which does not keep the process.
        """
        self._tasks.extend(None for _ in self._threads)
        self._wake_one()
        ends = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def _work(self) -> None:
        gate = threading.Lock()
        gate.acquire()
        while True:
            try:
                task = self._tasks.popleft()
            except IndexError:
                self._park(gate)
                continue
            if task is None:  # closed: nobody leads any more
                self._leader = None
                self._wake_one()
                return
            self._leader, began = gate, time.perf_counter()
            self._took_at = began
            if self._tasks:
                self._wake_one()
            self._do(task)
            self._average += (time.perf_counter() - began - self._average) / _SAMPLES
            del task  # an idle worker must not keep the last request alive

    def _park(self, gate: threading.Lock) -> None:
        """Wait until there is something to do, or go on at once where there is already."""
        if self._leader is gate:
            self._leader = None
        self._idle.append(gate)
        if self._tasks:
            try:
                self._idle.remove(gate)
            except ValueError:
                pass  # about to be woken: the gate is, or will be, open
            else:
                return
        gate.acquire()
        self._watching = self._led()
        self._waking = False
        while self._led() and (left := self._took_at + _PATIENCE - time.perf_counter()) > 0:
            time.sleep(left)
        self._watching = False

    def _led(self) -> bool:
        """Whether what waits is best left to the thread that takes tasks already."""
        return self._average < _BRISK and self._leader is not None and bool(self._tasks)

    def _wake_one(self) -> None:
        if self._waking or (self._watching and self._leader is not None):
            return
        try:
            gate = self._idle.pop()
        except IndexError:
            return
        self._waking = True
        gate.release()


class EventLoop(Generic[T]):
    """One asyncio loop on a daemon thread named `rpc-loop`. `do` must not raise."""

    def __init__(self, do: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        self._do = do
        self._loop = asyncio.new_event_loop()
        self._starting: deque[T] = deque()
        self._scheduled = False
        self._tasks: set[asyncio.Task[None] | None] = set()  # the loop keeps only weak references
        self._thread = threading.Thread(target=self._run, name="rpc-loop", daemon=True)
        self._thread.start()

    def submit(self, *tasks: T) -> None:
        """Do each soon, side by side; from any thread, many of them per wake-up."""
        self._starting.extend(tasks)
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
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        self._loop.stop()
