"""The way of one method through one channel: all that is derived once and used by every call."""

from typing import Any

from contracts import (
    MAX_BODY_BYTES,
    Certainty,
    Codec,
    DecodeError,
    DeliveryMode,
    ErrorBody,
    InternalError,
    MethodSpec,
    RetryPolicy,
    RpcError,
    codec_named,
    from_wire,
    sized,
)
from rpc.interceptor import Outcome
from rpc.latency import Latency
from rpc.peer import Peer
from rpc.readiness import Readiness
from rpc.reply import Reply
from transports.base import Address, Headers

__all__ = ["Route", "request_address"]


def request_address(service: str) -> Address:
    """Return where the requests for a service go: one topic per service."""
    return Address(f"{service}.requests")


class Route:
    """One method on one channel. Built by the channel; `constant` is set once, when it is open."""

    def __init__(
        self,
        spec: MethodSpec,
        codec: Codec,
        timeout: float,
        retry: RetryPolicy,
        peer: Peer,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.spec = spec
        self.full_name = spec.full_name
        self.wire_method = spec.full_name.encode()
        self.encode = codec.encode
        """Return the body of a request. Raises `contracts.EncodeError`."""
        self.timeout = timeout
        self.retry = retry
        self.once = spec.delivery is DeliveryMode.AT_MOST_ONCE
        self.keyed = spec.key is not None
        self.named = spec.delivery is DeliveryMode.EFFECTIVELY_ONCE
        """Whether each call names the work that it wants done."""
        self.repeatable = spec.repeatable and not self.once
        self.address = request_address(spec.service)
        self.peer = peer
        self.latency = Latency()
        """How long its calls take; the channel's lock guards it."""
        self.readiness: Readiness
        """What must be done before the first call; set by the channel that makes the route."""
        self.constant: Headers | None = None
        """The headers that no call changes; None until the channel is open and the topic there."""
        self._content_type = codec.content_type.encode()
        self._max_body_bytes = max_body_bytes
        self._decode = sized(codec.decoder(spec.result), max_body_bytes)
        self._decode_error = sized(codec.decoder(ErrorBody), max_body_bytes)

    def read(self, reply: Reply) -> Outcome:
        """Return what a reply says, decoded; what can't be decoded is an `InternalError`."""
        try:
            if reply.code is not None:
                return Outcome(error=self.read_error(reply))
            if reply.content_type == self._content_type:
                return Outcome(self._decode(reply.body))
            return Outcome(self._decoder(reply)(reply.body))
        except DecodeError as error:
            return Outcome(error=self._unreadable(reply, error))

    def read_error(self, reply: Reply) -> RpcError:
        """Return the error that a reply carries. Raises `DecodeError`."""
        if reply.content_type in {self._content_type, None}:
            body = self._decode_error(reply.body)
        else:
            body = sized(self._codec_of(reply).decoder(ErrorBody), self._max_body_bytes)(reply.body)
        return from_wire(body, self.spec.errors)

    def _decoder(self, reply: Reply) -> Any:
        if reply.content_type is None:
            return self._decode
        return sized(self._codec_of(reply).decoder(self.spec.result), self._max_body_bytes)

    def _codec_of(self, reply: Reply) -> Codec:
        name = (reply.content_type or b"").decode("ascii", "replace")
        try:
            return codec_named(name)
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def _unreadable(self, reply: Reply, error: DecodeError) -> RpcError:
        what = "result" if reply.code is None else f"{reply.code.value} error"
        return InternalError(
            message=f"{self.full_name}: the server's {what} does not fit the contract: {error}",
            certainty=Certainty.EXECUTED if reply.code is None else Certainty.UNKNOWN,
        )
