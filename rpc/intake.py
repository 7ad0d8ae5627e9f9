"""What a server does with each message: read it, decide, run it, answer it, acknowledge it.

In this order, so that a request is settled only after its reply is with the broker. One lock
guards admission and the count of what is open; it is never held while something is sent or run.
The receiving threads call `take`; replies are made on workers and on the event loop.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from contracts import (
    MAX_BODY_BYTES,
    Certainty,
    Codec,
    DeadlineExceeded,
    Handler,
    InvalidArgument,
    Overloaded,
    RpcError,
    Unimplemented,
    sized,
)
from rpc.admission import Admission, CallKey, Verdict
from rpc.answers import error_reply, server_fault
from rpc.clock import Clock
from rpc.context import CallContext
from rpc.deadline import DEFAULT_TIMEOUT, remaining
from rpc.envelope import Cancel, EnvelopeError, Request, decode_request
from rpc.job import Job
from rpc.lanes import Lanes
from rpc.overload import Overload
from transports.base import Address, Delivery, Message, Receipt, Send
from transports.errors import MessageTooLarge, TransportError
from transports.log import get_logger

__all__ = ["Intake"]

_log = get_logger("rpc.server")


class Intake:
    """The requests of one server, from delivery to acknowledgement."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        codecs: Sequence[Codec],
        *,
        admission: Admission[Job],
        patience: float,
        reply_topics: tuple[str, ...],
        start: Callable[[Job], None],
        stop: Callable[[Job], None],
        send: Send,
        broker_now: Callable[[], float | None],
        clock: Clock,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._broker_now = broker_now
        self._handlers = handlers
        self._codecs = {codec.content_type: codec for codec in codecs}
        self._decoders = {
            (name, codec.content_type): sized(codec.decoder(handler.spec.arguments), max_body_bytes)
            for name, handler in handlers.items()
            for codec in codecs
        }
        self._default_codec = codecs[0]
        self._admission = admission
        self._reply_topics = reply_topics
        self._start = start
        self._stop = stop
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._overload = Overload(admission.limit, patience)
        self._lanes: Lanes[Job] = Lanes()
        self._open = 0
        self.rejected = 0
        """Messages that could be neither run nor answered."""

    # -- what comes in -------------------------------------------------------------------------

    def take(self, delivery: Delivery) -> None:
        """Deal with one message. Never raises for anything that stands in it."""
        if delivery.problem is not None:
            self._reject(delivery, delivery.problem)
            return
        try:
            inbound = decode_request(delivery.message)
        except EnvelopeError as error:
            if error.answerable is None:
                self._reject(delivery, str(error))
            else:
                wrong = InvalidArgument(message=str(error), certainty=Certainty.NOT_EXECUTED)
                self._refuse(error.answerable, delivery, wrong)
            return
        if isinstance(inbound, Cancel):
            self._cancel(inbound)
            delivery.ack()
        elif not self._may_answer(inbound):
            self._reject(delivery, f"reply topic {inbound.reply_to.topic!r} is not allowed")
        else:
            self._take_request(inbound, delivery)

    def _take_request(self, request: Request, delivery: Delivery) -> None:
        job = self._job(request, delivery)
        if isinstance(job, RpcError):
            self._refuse(request, delivery, job)
            return
        with self._lock:
            admitted = self._admission.admit(job.key, job, job.context.remaining)
            if admitted.verdict is Verdict.SHED and self._await_room():
                admitted = self._admission.admit(job.key, job, job.context.remaining)
            runs = admitted.verdict is Verdict.RUN
            if runs:
                self._open += 1
                runs = job.lane is None or self._lanes.enter(job.lane, job)
            elif admitted.running is not None:
                admitted.running.deliveries.append(delivery)
        if runs:
            self._start(job)
        elif admitted.reply is not None:
            self._answer(request.reply_to, admitted.reply, delivery.ack)
        elif admitted.verdict is Verdict.EXPIRED:
            self._refuse(request, delivery, _expired(job, self._age(request, delivery)))
        elif admitted.verdict is Verdict.SHED:
            self._refuse(request, delivery, self._overloaded(job))

    def _await_room(self) -> bool:
        """Wait a moment for room, which holds up what comes behind; tell whether there is some."""
        patience = self._overload.patience(self._clock())
        return patience > 0 and self._room.wait_for(lambda: not self._admission.full, patience)

    def _job(self, request: Request, delivery: Delivery) -> Job | RpcError:
        handler = self._handlers.get(request.method)
        if handler is None:
            return self._unknown(request.method)
        content_type = request.content_type or self._default_codec.content_type
        codec = self._codecs.get(content_type)
        if codec is None:
            return Unimplemented(
                message=f"{request.method}: content-type {content_type!r} is not spoken here, but "
                + ", ".join(self._codecs),
                certainty=Certainty.NOT_EXECUTED,
            )
        timeout = DEFAULT_TIMEOUT if request.timeout is None else request.timeout
        spec, now = handler.spec, self._clock()
        deadline = now + remaining(timeout, self._age(request, delivery))
        context = CallContext(spec.service, spec.name, deadline, request, now, self._clock)
        decode = self._decoders[request.method, content_type]
        return Job(
            request=request,
            handler=handler,
            codec=codec,
            decode=decode,
            context=context,
            key=(request.client, request.call_id),
            lane=None if request.key is None else (spec.service, request.key),
            deliveries=[delivery],
        )

    def _age(self, request: Request, delivery: Delivery) -> float:
        """Return for how many seconds the caller has been waiting, by the broker's clock."""
        now = self._broker_now()
        since = delivery.timestamp
        if request.sent is not None:
            since = min(since, request.sent)
        return 0.0 if now is None else max(0.0, now - since)

    def _cancel(self, cancel: Cancel) -> None:
        key: CallKey = (cancel.client, cancel.call_id)
        with self._lock:
            job = self._admission.running(key)
        if job is not None:
            job.context.cancel()
            self._stop(job)

    # -- what goes out -------------------------------------------------------------------------

    def finish(self, job: Job, reply: Message) -> None:
        """Send the reply to `job` and settle it once the broker has it."""
        with self._lock:
            if self._admission.full:
                self._room.notify()
            self._admission.finish(job.key, reply, remember=not job.invites_retry)
            self._overload.ease(len(self._admission))
            following = None if job.lane is None else self._lanes.leave(job.lane)
        self._send(job.request.reply_to, reply, partial(self._replied, job))
        if following is not None:
            self._start(following)

    def _replied(self, job: Job, sent: Receipt | TransportError) -> None:
        if isinstance(sent, MessageTooLarge) and not job.too_large:
            job.too_large = True
            error = server_fault(job, f"the result is too large: {sent}", None)
            reply = error_reply(job.request, job.codec, error)
            self._send(job.request.reply_to, reply, partial(self._replied, job))
        else:
            self._settle(sent, job.ack)

    def _refuse(self, request: Request, delivery: Delivery, error: RpcError) -> None:
        """Answer with `error` what is not run."""
        if not self._may_answer(request):
            self._reject(delivery, f"reply topic {request.reply_to.topic!r} is not allowed")
            return
        codec = self._codecs.get(request.content_type or "", self._default_codec)
        self._answer(request.reply_to, error_reply(request, codec, error), delivery.ack)

    def _answer(self, address: Address, reply: Message, ack: Callable[[], None]) -> None:
        with self._lock:
            self._open += 1
        self._send(address, reply, lambda sent: self._settle(sent, ack))

    def _settle(self, sent: Receipt | TransportError, ack: Callable[[], None]) -> None:
        if isinstance(sent, TransportError):
            _log.error("reply.failed", error=str(sent))
        ack()
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._settled.notify_all()

    def _may_answer(self, request: Request) -> bool:
        return request.reply_to.topic.startswith(self._reply_topics)

    def _reject(self, delivery: Delivery, why: str) -> None:
        """Drop what can't be answered: a log line is all that is left of it."""
        with self._lock:
            self.rejected += 1
        _log.warning(
            "request.rejected",
            why=why,
            topic=delivery.receipt.topic,
            partition=delivery.receipt.partition,
            offset=delivery.receipt.offset,
        )
        delivery.ack()

    # -- the end -------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Requests taken and not yet settled."""
        return self._open

    def drain(self, timeout: float) -> int:
        """Wait until everything taken is settled, at most `timeout` seconds; return what is not."""
        with self._settled:
            self._settled.wait_for(lambda: self._open == 0, timeout)
            return self._open

    def _unknown(self, method: str) -> RpcError:
        service = method.rpartition(".")[0]
        served = sorted(self._handlers)
        known = [name for name in served if name.rpartition(".")[0] == service]
        what = f"{service} has no such method" if known else "no such service here"
        return Unimplemented(
            message=f"{method or 'no method named'}: {what}; there is {', '.join(known or served)}",
            certainty=Certainty.NOT_EXECUTED,
        )

    def _overloaded(self, job: Job) -> RpcError:
        return Overloaded(
            message=f"{job.handler.spec.full_name}: the server has {self._admission.limit} calls "
            "to do already (max_in_flight)",
            certainty=Certainty.NOT_EXECUTED,
        )


def _expired(job: Job, age: float) -> RpcError:
    return DeadlineExceeded(
        message=f"{job.handler.spec.full_name}: the deadline passed before the server took the "
        f"request, which was {age:.3f} s old then",
        certainty=Certainty.NOT_EXECUTED,
    )
