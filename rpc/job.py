"""One admitted request on its way through the server: from the topic to its acknowledgement."""

import asyncio
from collections.abc import Callable

import msgspec

from contracts import Codec, Handler
from rpc.admission import CallKey
from rpc.context import CallContext
from rpc.envelope import Request
from transports.base import Delivery

__all__ = ["Job"]


class Job:
    """A request with what is needed to run and to answer it. Run by one worker."""

    __slots__ = (
        "codec",
        "context",
        "decode",
        "deliveries",
        "handler",
        "invites_retry",
        "key",
        "lane",
        "request",
        "started",
        "task",
        "too_large",
    )

    def __init__(
        self,
        request: Request,
        delivery: Delivery,
        *,
        handler: Handler,
        codec: Codec,
        decode: Callable[[bytes], msgspec.Struct],
        context: CallContext,
    ) -> None:
        self.request = request
        self.handler = handler
        self.codec = codec
        """That of the request: the answer speaks the language of the question."""
        self.decode = decode
        self.context = context
        self.key: CallKey = (request.client, request.call_id)
        self.lane = None if request.key is None else (handler.spec.service, request.key)
        """Jobs of one lane run one at a time, in the order in which they came."""
        self.deliveries = [delivery]
        """Acknowledged together once the reply is out: the request, and duplicates that joined."""
        self.started = False
        """Whether the handler was called."""
        self.invites_retry = False
        """Whether the reply asks to try again, so that the next attempt must run."""
        self.task: asyncio.Task[None] | None = None
        """The task that runs an `async def` handler."""
        self.too_large = False
        """Whether the reply was refused for its size and an error is on its way instead."""

    def ack(self) -> None:
        """Settle the request and those that joined it."""
        for delivery in self.deliveries:
            delivery.ack()

    def log_fields(self) -> dict[str, object]:
        """Return what every log line about this call says."""
        return {
            "service": self.handler.spec.service,
            "method": self.handler.spec.name,
            "call_id": self.request.call_id.hex(),
            "attempt": self.request.attempt,
            "elapsed": self.context.elapsed,
        }
