"""What a server does with each message: read it, and run it, answer it, or set it aside.

Called by the receiving threads; it waits for nothing but room (`Execution.admit`,
`Settlement.await_refusals`) and, once, for the broker's time (`BrokerTime`).
"""

import threading
from collections import deque
from collections.abc import Sequence

from rpc.broker_time import BrokerTime
from rpc.catalog import Catalog
from rpc.dead_letters import DeadLetters
from rpc.execution import Aged, Execution
from rpc.flag import Flag
from rpc.origin import Origins
from rpc.refusal import Refusal, killed_before, unreadable
from rpc.request import Cancel, MalformedRequest, Request, decode_request
from rpc.settlement import Settlement
from rpc.text import scrubbed
from transports import failpoints
from transports.base import Delivery
from transports.log import get_logger

__all__ = ["Intake"]

_log = get_logger("rpc.server")
_TOGETHER = 64  # requests that are admitted at once, so that the first does not wait for long


class Intake:
    """The messages of one server, from delivery to a job, an answer, or a dead letter."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        execution: Execution,
        settlement: Settlement,
        dead_letters: DeadLetters,
        time: BrokerTime,
        reply_topics: tuple[str, ...],
        max_crashes: int,
        stopping: Flag,
        frames: bool,
    ) -> None:
        self._catalog = catalog
        self._execution = execution
        self._settlement = settlement
        self._dead_letters = dead_letters
        self._time = time
        self._reply_topics = reply_topics
        self._max_crashes = max_crashes
        self._stopping = stopping
        self._origins = Origins(frames=frames)
        self._lock = threading.Lock()
        self.rejected = 0
        """Messages that could be neither run nor answered."""

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Deal with messages, in their order. Never raises for anything that stands in them."""
        self._execution.give_up_late()
        self._settlement.await_refusals(self._stopping)
        jobs: deque[Aged] = deque()
        for delivery in deliveries:
            if failpoints.on and failpoints.hit("server.taken"):
                continue
            request = self._request(delivery, jobs)
            if request is None:
                continue
            age = self._time.age(request, delivery)
            if age is None:  # the server is stopping: another will know how old it is
                continue
            job = self._catalog.job(request, delivery, age)
            if isinstance(job, Refusal):
                self._settlement.opened()
                self._refuse(request, job, [delivery])
                continue
            jobs.append((job, age))
            if len(jobs) >= _TOGETHER:
                self._admit(jobs)
        self._admit(jobs)

    def _request(self, delivery: Delivery, before: deque[Aged]) -> Request | None:
        """Return what is to be run; None for what is dealt with, once all `before` is admitted."""
        if delivery.problem is not None:
            self._reject(delivery, delivery.problem)
            return None
        try:
            inbound = decode_request(delivery.message, self._origins)
        except MalformedRequest as error:
            self._malformed(delivery, error)
            return None
        if isinstance(inbound, Cancel):
            self._admit(before)
            self._execution.cancel((inbound.client, inbound.call_id))
            delivery.ack()
        elif not self._may_answer(inbound):
            self._reject(delivery, _forbidden(inbound))
        elif delivery.crashes >= self._max_crashes:
            refusal = killed_before(scrubbed(inbound.method), delivery.crashes)
            self._set_aside(inbound, delivery, refusal)
        else:
            return inbound
        return None

    def _admit(self, jobs: deque[Aged]) -> None:
        """Hand over all of `jobs`, and answer those that are not run."""
        while jobs and (answered := self._execution.admit(jobs)):
            job, answer = answered
            if isinstance(answer, Refusal):
                self._refuse(job.request, answer, job.deliveries)
            else:
                self._settlement.answer(job.request, answer, job.deliveries)

    def _refuse(self, request: Request, why: Refusal, deliveries: Sequence[Delivery]) -> None:
        self._settlement.refuse(request, why, deliveries)
        self._settlement.await_refusals(self._stopping)

    def _malformed(self, delivery: Delivery, error: MalformedRequest) -> None:
        why, request = scrubbed(str(error)), error.answerable
        if request is None:
            self._reject(delivery, why)
        elif not self._may_answer(request):
            self._reject(delivery, _forbidden(request))
        else:
            self._set_aside(request, delivery, unreadable(why))

    def _set_aside(self, request: Request, delivery: Delivery, refusal: Refusal) -> None:
        """Make a dead letter of a request that nobody can run, and tell its caller."""
        self._settlement.opened()
        self._dead_letters.put(
            delivery,
            refusal.error.message,
            lambda: self._settlement.refuse(request, refusal, [delivery]),
        )

    def _reject(self, delivery: Delivery, why: str) -> None:
        """Make a dead letter of what can't be answered: nobody waits for it, or nobody may."""
        why = scrubbed(why)
        with self._lock:
            self.rejected += 1
        _log.warning(
            "request.rejected",
            why=why,
            topic=delivery.receipt.topic,
            partition=delivery.receipt.partition,
            offset=delivery.receipt.offset,
        )
        self._dead_letters.put(delivery, why, delivery.ack)

    def _may_answer(self, request: Request) -> bool:
        return request.reply_to.topic.startswith(self._reply_topics)


def _forbidden(request: Request) -> str:
    return f"reply topic {request.reply_to.topic!r} is not allowed"
