"""The parts of a server that is started, put together: what decides, what runs, what answers.

Owns `rpc-worker-N` and `rpc-loop`, the threads that receive, run handlers and send replies, and
closes them.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from rpc.admission import Admission
from rpc.broker_time import BrokerTime
from rpc.catalog import Catalog
from rpc.clock import Clock
from rpc.dead_letters import DeadLetters
from rpc.dispatcher import Answer, Dispatcher
from rpc.event_loop import EventLoop
from rpc.execution import Execution
from rpc.flag import Flag
from rpc.intake import Intake
from rpc.job import Job
from rpc.limits import Limit, Limits
from rpc.overload import Overload
from rpc.settlement import Settlement
from rpc.workers import Workers
from transports import failpoints
from transports.base import Transport
from transports.together import Batch

__all__ = ["Engine"]

_PATIENCE = 0.5  # seconds for which a burst beyond `max_in_flight` waits before it is refused
_REMEMBERED = 10_000  # replies kept for requests that come twice
_REMEMBERED_BYTES = 16 << 20


class Engine:
    """What is between the receivers of a server and its handlers. `Server` explains the options."""

    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        transport: Transport,
        *,
        workers: int,
        max_in_flight: int,
        limits: Mapping[str, Limit],
        reply_topics: tuple[str, ...],
        dead_letters: bool,
        max_crashes: int,
        clock: Clock,
        threads: bool,
        stopping: Flag,
    ) -> None:
        """Put the parts together; with `threads`, start workers and loop as handlers need them."""
        self._dispatcher = dispatcher
        self._workers: Workers[Job] | None = None
        self._loop: EventLoop[Job] | None = None
        self.settlement = Settlement(
            transport.send,
            catalog.codecs,
            catalog.default_codec,
            clock,
            most_refusals=max_in_flight if threads else sys.maxsize,
        )
        self.dead_letters = DeadLetters(
            transport, enabled=dead_letters, clock=clock, threads=threads
        )
        self._execution = Execution(
            admission=Admission(
                limit=max_in_flight, remembered=_REMEMBERED, remembered_bytes=_REMEMBERED_BYTES
            ),
            limits=Limits(limits),
            overload=Overload(max_in_flight, _PATIENCE if threads else 0.0),
            settlement=self.settlement,
            start=self._start if threads else self._step,
            stop=self._stop,
            clock=clock,
        )
        self.intake = Intake(
            catalog,
            execution=self._execution,
            settlement=self.settlement,
            dead_letters=self.dead_letters,
            time=BrokerTime(transport.now, transport.send, stopping, patient=threads),
            reply_topics=reply_topics,
            max_crashes=max_crashes,
            stopping=stopping,
            frames=transport.frames,
        )
        if threads:
            self._workers = Workers(workers if catalog.has_sync else 0, self._work)
        if threads and catalog.has_async:
            self._loop = EventLoop(self._run_async)

    def receive(self, receive: Callable[[], bool]) -> None:
        """Have the workers call `receive`, one at a time, until it returns False."""
        if self._workers is not None:
            self._workers.receive(receive)

    def drain(self, timeout: float) -> int:
        """Receive no more, and wait `timeout` seconds for what was taken; return what is left."""
        if self._workers is not None:
            self._workers.stop_receiving()
        if failpoints.on:
            failpoints.hit("server.drain")
        return self.settlement.drain(timeout)

    def close(self, timeout: float) -> None:
        """Stop workers and loop; a handler that is stuck is left behind."""
        if self._workers is not None:
            self._workers.close(1.0)  # idle ones end at once
        if self._loop is not None:
            self._dispatcher.close()
            self._loop.close(timeout)

    def _start(self, jobs: Sequence[Job]) -> None:
        """Have handlers run: each on a worker, or on the event loop."""
        busy = [job for job in jobs if not job.plan.handler.is_async]
        if busy and self._workers is not None:
            self._workers.submit(*busy)
        if len(busy) < len(jobs) and self._loop is not None:
            self._loop.submit(*(job for job in jobs if job.plan.handler.is_async))

    def _step(self, jobs: Sequence[Job]) -> None:
        """Run handlers on this thread: there are no others."""
        for job in jobs:
            self._run(job)

    def _stop(self, job: Job) -> None:
        """Cancel the task of a call that nobody waits for; a thread is told by `cancelled`.

        One that has not begun has freed its place: kept here, nothing would bound how many wait.
        """
        task = job.task
        if job.plan.handler.is_async and self._loop is not None:
            self._loop.discard(job) if task is None else self._loop.call(task.cancel)
        elif self._workers is not None:
            self._workers.discard(job)

    def _work(self, job: Job, batch: Batch) -> float:
        """Run a job; return how long its handler took, with what is around it.

        Its reply goes with those of the batch; what the handler sends does not wait for that.
        """
        if not self._execution.claim(job):
            return 0.0
        began = time.perf_counter()
        answer = self._dispatcher.run(job)
        took = time.perf_counter() - began
        with batch:
            self._done(job, answer)
        return took

    def _run(self, job: Job) -> None:
        """Run a job to its end, whatever its handler is."""
        if job.plan.handler.is_async:
            asyncio.run(self._run_async(job))
        elif self._execution.claim(job):
            self._done(job, self._dispatcher.run(job))

    async def _run_async(self, job: Job) -> None:
        job.task = asyncio.current_task()
        if self._execution.claim(job):
            self._done(job, await self._dispatcher.run_async(job))

    def _done(self, job: Job, answer: Answer) -> None:
        if answer is None:
            self._execution.join(job)
        else:
            self._execution.finish(job, answer)
