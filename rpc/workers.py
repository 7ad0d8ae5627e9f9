"""The threads of a server: they take turns at receiving, and run `def` handlers.

Whoever has received runs what came, while another one receives: a request is handed to no other
thread, which would cost more than most handlers do (Schmidt and others: "Leader/Followers", 2000).
"""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from transports.log import get_logger
from transports.together import Batch

__all__ = ["Workers"]

T = TypeVar("T")

_log = get_logger("rpc.server")

_BRISK = 0.0003  # seconds; a handler that waits for anything takes longer
_PATIENCE = 0.01  # seconds: two turns of the interpreter's lock
_SAMPLES = 64  # so many that a wait for the interpreter's lock, of 5 ms, makes no task slow
_TOGETHER = 64  # tasks; what they send fills a frame
_STANDBY = 0.1  # seconds without a task, after which nobody stands by any more


class _Source:
    """Something to receive from, by one thread at a time: the one that has the lock.

    `taken` tells the others without asking for it, and stays true at the end.
    """

    __slots__ = ("lock", "receive", "taken")

    def __init__(self, receive: Callable[[], bool]) -> None:
        self.receive = receive
        self.lock = threading.RLock()  # a handler on the thread that receives may stop the server
        self.taken = False


class Workers(Generic[T]):
    """Daemon threads named `rpc-worker-N`: `count` for tasks, and one for each source.

    At most `count` tasks run at once. `do` must not raise; nor must what receives, which is asked
    no more then. What is raised nevertheless is logged, and its thread goes on.

    Tasks that block take as many threads as they need: whoever takes one, and leaves others or a
    source behind, wakes the next thread. Tasks that are brisk are done by the thread that received
    them, since another one would mostly wait for the interpreter's lock (measured: a fifth of the
    throughput, and a quarter of a lone call's time). The next thread then stands by, and takes
    over once nobody has taken a task for `_PATIENCE` and there is something to do.

    `deque` and `list` steps are atomic; the order in which they are made is what counts here: a
    task is added before the idle and the seats are looked at; a seat is given back, and a thread is
    among the idle, before it looks for tasks a last time.
    """

    def __init__(self, count: int, do: Callable[[T, Batch], float]) -> None:
        """`do` returns how many seconds of it may have been waiting, by `perf_counter`.

        What it sends had better go with what the next ones send, by the batch that it is given.
        """
        self._do = do
        self._count = count
        self._seats = [None] * count
        """One for each task that may run beside those that do."""
        self._tasks: deque[T] = deque()
        self._sources: tuple[_Source, ...] = ()
        self._idle: list[threading.Lock] = []
        self._closed = False
        self._waking = False
        self._urgent = False
        """Whether who is being woken had better look for something to do at once."""
        self._standing_by = False
        self._average = 0.001
        """Seconds that a task takes, of the last hundred or so."""
        self._batch = Batch()
        """Of the thread that began last to do tasks: that one alone holds back what it sends."""
        self._batches: dict[Batch, float] = {}
        """Of the threads that do tasks, and when each took its last: others let them go in time."""
        self._took_at = 0.0
        """When the last task was taken."""
        self._threads: list[threading.Thread] = []
        self._own: set[int] = set()
        for _ in range(count):
            self._add_thread()

    def receive(self, receive: Callable[[], bool]) -> None:
        """Call `receive`, again and again, until it returns False; from one thread at a time.

        It submits what came, and waits for it at most for a moment.
        """
        self._sources = (*self._sources, _Source(receive))
        self._add_thread()
        self._wake_one(urgent=True)

    def stop_receiving(self) -> None:
        """Return when nothing is received any more; what was submitted is still done."""
        for source in self._sources:
            source.lock.acquire()  # for good
            source.taken = True

    def submit(self, *tasks: T) -> None:
        """Do each on the next free thread, in this order; the caller bounds how many wait."""
        self._tasks.extend(tasks)
        own = threading.get_ident() in self._own
        if self._standing_by and self._brisk and (own or len(self._seats) < self._count):
            return  # a thread that is at work looks for more when it is done
        self._wake_one(urgent=not own)

    def discard(self, task: T) -> None:
        """Forget `task`, unless a thread has taken it."""
        with contextlib.suppress(ValueError):
            self._tasks.remove(task)

    def close(self, timeout: float) -> None:
        """Stop the threads that are idle, and wait `timeout` seconds for the others.

        What was submitted is done before. A handler that never returns keeps its thread, which does
        not keep the process.
        """
        self._closed = True
        while self._idle:
            self._idle.pop().release()
        ends = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, ends - time.monotonic()))

    def _add_thread(self) -> None:
        name = f"rpc-worker-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        self._own.add(threading.get_ident())
        gate = threading.Lock()
        gate.acquire()
        while True:
            try:
                if self._run() or (not self._closed and self._receive()):
                    continue
            except BaseException as error:  # a worker that dies is a slot lost
                _log.error("worker.failed", exc_info=error)
                continue
            if self._closed:
                return
            self._park(gate)

    def _run(self) -> bool:
        """Do tasks until there are none; False where there are none, or as many run as may."""
        if not self._tasks or not self._seats:
            return False
        try:
            self._seats.pop()
        except IndexError:
            return False  # another thread was faster
        batch, since, done = Batch(), 0.0, 0
        self._batch = batch
        try:
            while self._tasks:
                try:
                    task = self._tasks.popleft()
                except IndexError:
                    break
                self._took_at = self._batches[batch] = now = time.perf_counter()
                alone = self._batch is batch and self._standing_by and self._brisk
                if not alone and (self._tasks or self._deserted):
                    self._wake_one()
                if not alone or done == _TOGETHER or now - since > _PATIENCE:
                    batch.let_go()
                    since, done = now, 0
                    if len(self._batches) > 1:
                        self._let_go(now - _PATIENCE)  # of whom nobody who stands by sees it
                took = self._do(task, batch)
                done += 1
                del task  # who is idle must not keep the last request alive
                self._average += (took - self._average) / _SAMPLES
        finally:
            try:
                batch.let_go()
            finally:
                self._batches.pop(batch, None)
                self._seats.append(None)
        return True

    def _receive(self) -> bool:
        """Receive once where nobody else does; False where there is nothing to receive from."""
        for source in self._sources:
            if not source.taken and source.lock.acquire(blocking=False):
                source.taken = True
                try:
                    source.taken = not source.receive()
                finally:
                    source.lock.release()
                return True
        return False

    @property
    def _brisk(self) -> bool:
        return self._average < _BRISK

    @property
    def _deserted(self) -> bool:
        """Whether there is a source from which nobody receives."""
        return any(not source.taken for source in self._sources)

    def _park(self, gate: threading.Lock) -> None:
        """Wait until there is something to do, or go on at once where there is already."""
        self._idle.append(gate)
        if (self._tasks and self._seats) or self._deserted or self._closed:
            if self._withdraw(gate):
                return
        else:
            gate.acquire()
        if not self._roused() and self._brisk:
            self._standing_by = True
            self._stand_by(gate)
            self._standing_by = False
            self._let_go()  # from here on nobody would see that it is stuck

    def _stand_by(self, gate: threading.Lock) -> None:
        """Return when whoever took the last task is stuck in it, or nothing was done for long."""
        while self._brisk and not self._closed:
            since = time.perf_counter() - self._took_at
            if since >= _PATIENCE:
                self._let_go()
                if since > _STANDBY or self._tasks or self._deserted:
                    return
            self._idle.append(gate)
            woken = gate.acquire(timeout=_PATIENCE) or not self._withdraw(gate)
            if woken and self._roused():
                return

    def _let_go(self, before: float = math.inf) -> None:
        """Do what those threads hold back that took their last task `before`: they may be stuck."""
        for batch, took_at in self._batches.copy().items():
            if took_at < before:
                batch.let_go()

    def _withdraw(self, gate: threading.Lock) -> bool:
        """Be idle no more; False where another thread is waking, or has woken, this one."""
        try:
            self._idle.remove(gate)
        except ValueError:
            gate.acquire()
            return False
        return True

    def _roused(self) -> bool:
        """Let others be woken from now on; tell whether this one had better not stand by."""
        self._waking = False
        urgent, self._urgent = self._urgent, False
        return urgent

    def _wake_one(self, *, urgent: bool = False) -> None:
        if urgent:
            self._urgent = True  # before it is seen whether somebody is being woken already
        if self._waking:
            return
        try:
            gate = self._idle.pop()
        except IndexError:
            return
        self._waking = True
        gate.release()
