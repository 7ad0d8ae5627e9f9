# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""An event loop without a thread of its own: whoever waits for something drives it.

Stock, a consumer's loop runs on an I/O thread, and each poll hands over to that thread and back up
to four times: to look for the coordinator, for offsets, to send a fetch, and to wait for one. Here
the thread that polls does all of that by itself. Of several threads that wait at once one drives,
and when it has what it waited for it leaves the loop to the next.

While the thread that drives waits for the network, another may `borrow` the loop, to send something
without a hand-over between threads.

Owner: the thread that drives, of which there is one at a time, or who has borrowed it.
"""

import math
import threading
import time
from selectors import EVENT_READ
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.future import Future
from kafka.net.selector import KernelEvent, NetworkSelector, Task, TaskState

from transports.log import get_logger

__all__ = ["Loop", "Reading"]

_log = get_logger(__name__)

_STAY = KernelEvent("_stay")
_STUCK = 1.0  # seconds after which nobody who is at work will be done soon


class Loop(NetworkSelector):  # type: ignore[misc]  # kafka-python is untyped
    """A loop that is driven by turns."""

    def __init__(self, **configs: object) -> None:
        super().__init__(**configs)
        self._turn = threading.Condition()
        self._driver: int | None = None
        """The thread that drives, by its number."""
        self.own = threading.Lock()
        """Held by who may touch what the loop owns: not by who drives while it waits."""
        self._looks_at = math.inf
        """When who waits will look again, unless something happens before."""

    def run(self, coro: Any, *args: object) -> Any:
        """Return what `coro` returns, or raise what it raises.

        Any thread but the one that drives. Raises `KafkaConnectionError` when the loop is stopped.
        """
        if self._closed:
            raise RuntimeError("NetworkSelector closed!")
        if self._driver == threading.get_ident():
            raise RuntimeError("what runs on the loop can't wait for the loop")
        future = Future()

        async def work() -> None:
            try:
                future.success(await self._invoke(coro, *args))
            except BaseException as error:  # whatever it is, somebody waits for it
                future.failure(error)

        self.call_soon(work)
        self._drive(future)
        if future.exception is not None:
            raise future.exception
        return future.value

    def step(self, function: Any, *args: object) -> Any:
        """Return what a coroutine returns that waits for nothing, without a round of the loop."""
        self._begin(None)
        coroutine = function(*args)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        finally:
            coroutine.close()
            self._leave()
        raise RuntimeError(f"{function} waits")

    def borrow(self) -> bool:
        """Take what the loop owns while who drives it waits; False where it is at work.

        `give_back` is to follow, soon.
        """
        return not (self._closed or self._stop) and self.own.acquire(blocking=False)

    def give_back(self) -> None:
        """Let the one who drives go on, woken where there is something to do by now."""
        scheduled = self._scheduled
        sooner = bool(self._ready) or (bool(scheduled) and scheduled[0][0] < self._looks_at)
        self.own.release()
        if sooner:
            self.wakeup()

    def poll(self, timeout_ms: float | None = None, future: Any = None) -> None:
        """Drive the loop; see `NetworkSelector.poll`."""
        self._begin(None)
        try:
            super().poll(timeout_ms, future)
        finally:
            self._leave()

    def stop(self, timeout_ms: float | None = None) -> None:
        """End what waits for this loop, and wait until nobody drives it."""
        deadline = time.monotonic() + (timeout_ms or 0.0) / 1000
        self._stop = True
        self.wakeup()
        with self._turn:
            self._turn.notify_all()
            while self._driver not in {None, threading.get_ident()}:
                left = deadline - time.monotonic()
                if left <= 0 or not self._turn.wait(left):
                    return

    def drain(self, scheduled: bool = False) -> None:  # noqa: FBT001, FBT002 - inherited
        """Run what is ready as the loop is closed, unless somebody is stuck in it."""
        if self.own.acquire(timeout=_STUCK):
            try:
                super().drain(scheduled)
            finally:
                self.own.release()

    def _drive(self, future: Any) -> None:
        """Return when `future` is done, and nobody who waits is left behind."""
        if not self._begin(future):
            return
        try:
            while not future.is_done:
                if self._stop:
                    raise KafkaConnectionError("Event loop stopped")
                self._poll_once()
        finally:
            self._leave()

    def _begin(self, future: Any) -> bool:
        """Wait for the turn to drive; False when another has driven until `future` was done."""
        if not self._await_turn(future):
            return False
        self.own.acquire()  # from who has borrowed it for a moment
        return True

    def _await_turn(self, future: Any) -> bool:
        with self._turn:
            if self._take():
                return True
        self.wakeup()  # there is something new to do for who drives
        if future is not None:
            future.add_both(self._done)
        with self._turn:
            while not self._take():
                if future is not None and future.is_done:
                    return False
                if self._stop:
                    raise KafkaConnectionError("Event loop stopped")
                self._turn.wait()
            return True

    def _take(self) -> bool:
        if self._driver is not None:
            return False
        self._driver = threading.get_ident()
        return True

    def _leave(self) -> None:
        self.own.release()
        with self._turn:
            self._driver = None
            self._turn.notify_all()

    def _done(self, _: object) -> None:
        with self._turn:
            self._turn.notify_all()

    def _poll_once(self, timeout: float | None = None) -> None:
        """Wait for what happens next, and run what is ready; only by who drives.

        Stock does the same, and traces each step of it for a logger that nobody listens to.
        """
        scheduled, ready = self._scheduled, self._ready
        if ready:
            timeout = 0.0
        elif scheduled:
            due = max(0.0, scheduled[0][0] - time.monotonic())
            timeout = due if timeout is None else min(timeout, due)
        self._looks_at = math.inf if timeout is None else time.monotonic() + timeout
        self.own.release()
        try:
            events = self._selector.select(timeout)
        finally:
            self.own.acquire()
        self._process_events(events)
        if scheduled:
            self._schedule_tasks()
        for _ in range(len(ready)):
            task = self._current = ready.popleft()
            if task.state is not TaskState.DONE and task.state is not TaskState.CANCELLED:
                self._step(task)
        self._current = None

    def _step(self, task: Any) -> None:
        task.state = TaskState.RUNNING
        try:
            event = task()
        except StopIteration:
            self._task_done(task)
            return
        except BaseException as error:
            self._task_done(task)
            if not isinstance(error, Exception):  # such as Ctrl-C: it is for who drives
                raise
            _log.exception("kafka.task_failed")
            return
        if task.state is TaskState.CANCELLED:
            self._pending_tasks.discard(task)
            task.close()
        elif isinstance(event, Future):
            task.state = TaskState.WAIT_FUTURE
            event.add_both(lambda _: self.call_soon(task))
        else:
            try:
                getattr(self, event.method)(*event.args)
            except Exception as error:  # what was asked of the loop can't be: the task is told
                task.inject_exc(error)
                self._add_ready_task(task)
            if task.state is TaskState.RUNNING:
                task.state = TaskState.UNSCHEDULED

    def _stay(self) -> None:
        """Leave the current task as it is until its file can be read again. See `Reading`."""
        self._current.state = TaskState.WAIT_IO


class Reading(Task):  # type: ignore[misc]  # kafka-python is untyped
    """Reads a transport whenever something is there to be read.

    Stock asks the kernel anew before each read, which costs more than the read.
    """

    def __init__(self, transport: Any) -> None:
        super().__init__(transport.read)
        self._transport = transport

    def __call__(self, _: object = None) -> KernelEvent:
        """Read once; the loop calls this again when there is more."""
        self._transport.read()
        return _STAY

    def begin(self, net: Any, sock: Any) -> None:
        """Be called from now on."""
        self.state = TaskState.WAIT_IO
        net._pending_tasks.add(self)
        net.register_event(sock, EVENT_READ, self)
