"""Answers, and what is settled before or after each, so that an answer claims no more than is so.

A reply to what ran goes out first and the request is settled behind it: whoever crashes between
leaves it to be run again. A refusal that says NOT_EXECUTED is the other way round: the request is
settled for good first, since a crash between would let another server run what its caller was told
never ran. Any thread; the lock guards the count of what is open, and nothing is sent under it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy

import msgspec

from contracts import Certainty, Codec
from rpc.answers import error_reply
from rpc.clock import Clock
from rpc.flag import Flag
from rpc.refusal import Refusal, Refusals
from rpc.request import Request
from transports import failpoints
from transports.base import Delivery, Message, OnSent, Receipt, Send
from transports.errors import SendUncertain, TransportError, Unreachable
from transports.log import get_logger

__all__ = ["Settlement", "commit_all"]

_log = get_logger("rpc.server")
_LASTS = 60.0  # seconds; calls that last longer are asked for again, or lost with their broker
_PATIENT = 0.5  # seconds after which an attempt did not fail at once
_REMEMBERED = 10_000  # refusals kept for requests that come twice
_LOOK_AGAIN = 0.1  # seconds between looks whether the server is told to stop


class _Outgoing(msgspec.Struct, eq=False):
    """A reply that is being sent, until `ends`."""

    settlement: "Settlement"
    request: Request
    message: Message
    on_sent: OnSent
    began: float
    ends: float

    def attempt(self) -> None:
        """Send it."""
        origin = self.request.origin
        self.settlement.hand_over(origin.reply_to, self.message, self.sent, packed=origin.frames)

    def sent(self, sent: Receipt | TransportError) -> None:
        """Try again where no broker has it for sure, or tell what became of it.

        A reply that comes twice does no harm.
        """
        if isinstance(sent, Unreachable | SendUncertain) and self.settlement.goes_on(self):
            self.attempt()
        else:
            self.on_sent(sent)


class Settlement:
    """What one server has taken and not settled yet."""

    def __init__(
        self,
        send: Send,
        codecs: Mapping[str, Codec],
        default: Codec,
        clock: Clock,
        *,
        most_refusals: int,
    ) -> None:
        """Answer by `send`; `await_refusals` holds whoever takes more up at `most_refusals`."""
        self.hand_over = send
        self._clock = clock
        self._codecs = codecs
        self._default = default
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._open = 0
        self._refusals = Refusals(_REMEMBERED)
        self.refused = self._refusals.of
        """Why this very attempt was refused here before; None: it was not."""
        self._most_refusals = most_refusals
        self._refusing = 0

    @property
    def open(self) -> int:
        """Requests taken and not yet settled."""
        return self._open

    def opened(self) -> None:
        """Count one more; `answer`, `refuse` or `drop` counts it off."""
        with self._lock:
            self._open += 1

    def answer(self, request: Request, reply: Message, deliveries: Sequence[Delivery]) -> None:
        """Send `reply`, and settle once the broker has it."""
        self.send(request, reply, lambda sent: self.settle(sent, deliveries))

    def send(self, request: Request, reply: Message, on_sent: OnSent) -> None:
        """Send `reply` to `request`, and again where no broker has it for sure.

        For as long as a call may last: what is unsent after that has no caller any more. An attempt
        that fails at once is not made again: there is nothing to wait for.
        """
        if failpoints.on and failpoints.hit("server.before_reply"):
            return
        now = self._clock()
        _Outgoing(self, request, reply, on_sent, now, now + _LASTS).attempt()

    def goes_on(self, out: _Outgoing) -> bool:
        """Tell whether a reply that no broker may have is to be sent again, which begins now."""
        now = self._clock()
        if now - out.began < _PATIENT or now >= out.ends:
            return False
        out.began = now
        return True

    def settle(self, sent: Receipt | TransportError, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge what was answered, also where the answer could not be sent."""
        if isinstance(sent, TransportError):
            _log.error("reply.failed", error=str(sent))
        elif failpoints.on:
            failpoints.hit("server.reply_acked")
        _ack(deliveries)
        self.drop()

    def drop(self) -> None:
        """Count off one that is not answered, or whose answer is out."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._settled.notify_all()

    def refuse(
        self,
        request: Request,
        refusal: Refusal,
        deliveries: Sequence[Delivery],
        *,
        committed: bool = False,
    ) -> None:
        """Tell why it is not run, as NOT_EXECUTED only where that is proven.

        `committed`: it was settled for good before, so that no other server gets it.
        """
        error = refusal.error
        if error.__traceback__ is not None:
            # It holds the frames that it passed, and they the request, for as long as the refusal
            # is remembered; and whoever raised it may raise the very same for other requests.
            error = copy(error)
            refusal = refusal._replace(error=error)
        with self._settled:
            self._refusals.note(request, refusal)
            self._refusing += 1
        claims = error.certainty is Certainty.NOT_EXECUTED
        if claims and not (committed or all(each.owned for each in deliveries)):
            error.certainty = Certainty.UNKNOWN
        if any(each.redelivered for each in deliveries):  # who had it before may have run it
            error.certainty = Certainty.UNKNOWN
        if committed or refusal.lasting or error.certainty is not Certainty.NOT_EXECUTED:
            self._tell(request, refusal, deliveries)
            return
        _ack(deliveries)

        def told(kept: bool) -> None:  # noqa: FBT001 - the signature of `Delivery.commit`
            if not kept:
                error.certainty = Certainty.UNKNOWN
            self._tell(request, refusal, deliveries)

        commit_all(deliveries, told)

    def _tell(self, request: Request, refusal: Refusal, deliveries: Sequence[Delivery]) -> None:
        codec = self._codecs.get(request.content_type or "", self._default)
        reply = error_reply(request, codec, refusal.error, refusal.retry_after)

        def told(sent: Receipt | TransportError) -> None:
            with self._settled:
                self._refusing -= 1
                if self._refusing == self._most_refusals - 1:
                    self._settled.notify_all()
            self.settle(sent, deliveries)

        self.send(request, reply, told)

    def await_refusals(self, stopping: Flag) -> None:
        """Wait while so many refusals are being told that no more may be begun.

        They are settled before they are told, so that the transport's bound on what is not settled
        does not hold them; nor may they pile up where the brokers take no replies.
        """
        if self._refusing < self._most_refusals:
            return
        with self._settled:
            while self._refusing >= self._most_refusals and not stopping.is_set():
                self._settled.wait(_LOOK_AGAIN)

    def drain(self, timeout: float) -> int:
        """Wait until everything taken is settled, at most `timeout` seconds; return what is not."""
        with self._settled:
            self._settled.wait_for(lambda: self._open == 0, timeout)
            return self._open


def _ack(deliveries: Sequence[Delivery]) -> None:
    if failpoints.on and failpoints.hit("server.before_ack"):
        return
    for each in deliveries:
        each.ack()


def commit_all(deliveries: Sequence[Delivery], then: Callable[[bool], object]) -> None:
    """Call `then` once for all of them: True where each is durable and ours."""
    if len(deliveries) == 1:
        deliveries[0].commit(then)
        return
    lock = threading.Lock()
    missing, kept = len(deliveries), True

    def one(its: bool) -> None:  # noqa: FBT001 - the signature of `Delivery.commit`
        nonlocal missing, kept
        with lock:
            missing -= 1
            kept = kept and its
            if missing:
                return
        then(kept)

    for each in deliveries:
        each.commit(one)
