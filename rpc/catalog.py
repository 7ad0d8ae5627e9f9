"""What a server serves: from a request to the job that runs it, or why there is none. Pure."""

from collections.abc import Mapping, Sequence

from contracts import (
    MAX_BODY_BYTES,
    Certainty,
    Codec,
    DeliveryMode,
    Handler,
    Unimplemented,
    sized,
)
from rpc.clock import Clock
from rpc.context import CallContext
from rpc.deadline import DEFAULT_TIMEOUT, remaining
from rpc.job import Job, Plan
from rpc.limits import Limit
from rpc.refusal import Refusal
from rpc.request import Request
from rpc.text import scrubbed
from rpc.turns import Turn
from transports.base import Delivery

__all__ = ["Catalog"]


class Catalog:
    """The handlers and codecs of one server. Any thread."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        codecs: Sequence[Codec],
        limits: Mapping[str, Limit],
        clock: Clock,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._handlers = handlers
        self.codecs = {codec.content_type: codec for codec in codecs}
        """By content type."""
        self.default_codec = codecs[0]
        """That of a caller who names none."""
        self._plans = {
            (name, codec.content_type): Plan(
                handler=handler,
                method=name,
                codec=codec,
                decode=sized(codec.decoder(handler.spec.arguments), max_body_bytes),
                at_most_once=handler.spec.delivery is DeliveryMode.AT_MOST_ONCE,
                effectively_once=_joins(handler.spec.delivery),
                in_order=handler.spec.key is not None or not _joins(handler.spec.delivery),
                limited=(Turn(name, limits[name].running),) if name in limits else (),
            )
            for name, handler in handlers.items()
            for codec in codecs
        }
        self.has_async = any(handler.is_async for handler in handlers.values())
        """Whether there are handlers for an event loop."""
        self.has_sync = not all(handler.is_async for handler in handlers.values())
        """Whether there are handlers for threads."""
        self._clock = clock

    def job(self, request: Request, delivery: Delivery, age: float) -> Job | Refusal:
        """Return what runs `request`, which is `age` seconds old."""
        origin = request.origin
        content_type = origin.content_type or self.default_codec.content_type
        plan = self._plans.get((origin.method, content_type))
        if plan is None:
            return self._unplanned(origin.method, content_type)
        timeout = DEFAULT_TIMEOUT if request.timeout is None else request.timeout
        spec, now = plan.handler.spec, self._clock()
        context = CallContext(
            spec.service, spec.name, now + remaining(timeout, age), request, now, self._clock
        )
        turns, key = plan.limited, request.message.key
        # A key that the caller has not chosen is the name of the work, or the call's.
        if key is not None and (
            plan.in_order or key not in (request.idempotency_key, request.call_id)
        ):
            turns = (Turn((spec.service, key)), *turns)
        return Job(
            request,
            plan,
            context,
            (origin.client, request.call_id),
            turns,
            [delivery],
            delivery.crashes >= _SUSPECT,
        )

    def _unplanned(self, method: str, content_type: str) -> Refusal:
        if method not in self._handlers:
            return _unimplemented(self._unknown(method))
        return _unimplemented(
            f"{method}: content-type {content_type!r} is not spoken here, but "
            + ", ".join(self.codecs)
        )

    def _unknown(self, method: str) -> str:
        service = method.rpartition(".")[0]
        served = sorted(self._handlers)
        known = [name for name in served if name.rpartition(".")[0] == service]
        what = f"{service} has no such method" if known else "no such service here"
        named = method or "no method named"
        return f"{scrubbed(named)}: {what}; there is {', '.join(known or served)}"


def _joins(mode: DeliveryMode) -> bool:
    """Whether requests of one key join each other, so that none needs to wait for another."""
    return mode is DeliveryMode.EFFECTIVELY_ONCE


_SUSPECT = 2
"""Receivers that died while they may have been at a request, from which on it runs alone."""


def _unimplemented(message: str) -> Refusal:
    error = Unimplemented(message=scrubbed(message), certainty=Certainty.NOT_EXECUTED)
    return Refusal(error)
