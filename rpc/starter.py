"""The start of every call: its deadline, key and id; interceptors; its arguments encoded.

Any thread. What is derived once, per method and options, comes as a route and as terms; here is
only what differs from call to call.
"""

import contextvars
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from contracts import EncodeError, RpcError
from rpc.call import Call
from rpc.call_errors import not_sent_error, unwritable_error
from rpc.calls import CallState
from rpc.context import inherited_timeout
from rpc.inflight import InFlight
from rpc.instance import Instance
from rpc.interceptor import CallInfo, Chain, Interceptor, Outcome
from rpc.options import Terms, metadata_headers
from rpc.route import Route

__all__ = ["Starter"]


class Starter:
    """Starts the calls of one channel."""

    def __init__(
        self,
        instance: Instance,
        in_flight: InFlight,
        interceptors: Sequence[Interceptor],
        may_wait: Callable[[], bool],
    ) -> None:
        """Take calls to `in_flight`; `may_wait` tells whether this thread may wait for room."""
        self._instance = instance
        self._in_flight = in_flight
        self._interceptors = tuple(interceptors)
        self._may_wait = may_wait
        self._cancel = in_flight.cancel
        self._clock = in_flight.clock
        self._numbers = itertools.count()

    def start(
        self,
        route: Route,
        arguments: msgspec.Struct,
        terms: Terms,
        unready: RpcError | None = None,
        *,
        block: bool = True,
    ) -> Call[Any]:
        """Start a call; whatever fails from here on is told by the call.

        Blocks only until `route` is ready, which it is after the first call, or not at all where
        the caller has waited itself and tells what came of it in `unready`; and for room, where the
        channel is full and calls wait for it. With `block` False it is the call alone that waits.
        """
        timeout, inherited = terms.timeout, inherited_timeout()
        if inherited is not None and inherited < timeout:
            timeout = inherited
        call_id = self._instance.prefix + next(self._numbers).to_bytes(8, "big")
        named = (terms.idempotency_key or call_id) if route.named else None
        deadline = self._clock() + timeout
        call: Call[Any] = Call(
            self._cancel, route, terms, call_id, timeout, deadline, terms.key, named
        )
        if self._interceptors:
            self._intercepted(call, arguments, unready)
        else:
            self._go(call, arguments, unready)
        if block and (room := call.room) is not None and self._may_wait():
            room.wait(None)  # the timer ends the wait by the deadline
        return call

    def _go(self, call: Call[Any], arguments: msgspec.Struct, unready: RpcError | None) -> None:
        route = call.route
        if unready is None and call.timeout <= 0:
            why = "its caller's deadline has passed"
            unready = not_sent_error(route.full_name, call.timeout, why)
        elif unready is None and route.constant is None:
            unready = self._await_ready(call)
        if unready is not None:
            call.finish(CallState.FAILED, unready)
            return
        try:
            if call.key is None and route.keyed:
                call.key = route.spec.key_of(arguments)
            call.body = route.encode(arguments)
        except EncodeError as error:
            call.finish(CallState.FAILED, unwritable_error(route.full_name, error))
            return
        if call.key is None:
            call.key = call.idempotency_key  # all attempts to one server, which remembers
        self._in_flight.submit(call)

    def _await_ready(self, call: Call[Any]) -> RpcError | None:
        attempt = call.route.readiness.begin()
        if attempt.wait(call.deadline - self._clock()):
            return attempt.get()
        return not_sent_error(call.route.full_name, call.timeout, "still connecting")

    def _intercepted(
        self, call: Call[Any], arguments: msgspec.Struct, unready: RpcError | None
    ) -> None:
        chain = Chain(self._interceptors, contextvars.copy_context())
        entered = chain.enter(
            CallInfo(
                side="client",
                service=call.route.spec.service,
                method=call.route.spec.name,
                arguments=arguments,
                metadata=dict[str, str | bytes](call.terms.metadata),
                timeout=call.timeout,
                call_id=call.call_id.hex(),
            )
        )
        if isinstance(entered, Outcome):
            call.finish(CallState.COMPLETED, entered)
            return
        call.intercepted(chain)
        try:
            call.terms = call.terms._replace(metadata=metadata_headers(entered.metadata))
        except Exception as error:  # of whatever an interceptor has put there
            call.finish(CallState.FAILED, Outcome(error=error))
            return
        self._go(call, entered.arguments, unready)
