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


class Job(msgspec.Struct, eq=False, kw_only=True):
    """A request with what is needed to run and to answer it. Run by one worker."""

    request: Request
    handler: Handler
    codec: Codec
    """That of the request: the answer speaks the language of the question."""
    decode: Callable[[bytes], msgspec.Struct]
    context: CallContext
    key: CallKey
    lane: tuple[str, bytes] | None
    """Jobs of one lane run one at a time, in the order in which they came."""
    deliveries: list[Delivery]
    """Acknowledged together once the reply is out: the request, and duplicates that joined."""
    started: bool = False
    """Whether the handler was called."""
    invites_retry: bool = False
    """Whether the reply asks to try again, so that the next attempt must run."""
    task: asyncio.Task[None] | None = None
    """The task that runs an `async def` handler."""
    too_large: bool = False
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
