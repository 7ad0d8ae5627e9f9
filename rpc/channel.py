"""A client's connection as its users see it: options, routes, and the start of every call.

No thread of its own; `rpc.connection` has those, and `rpc.inflight` the calls.
"""

import asyncio
import contextvars
import itertools
import random
import secrets
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypedDict

import msgspec

from contracts import (
    MAX_BODY_BYTES,
    Certainty,
    Codec,
    DeadlineExceeded,
    DeliveryMode,
    EncodeError,
    InternalError,
    MethodSpec,
    RetryPolicy,
    RpcError,
    codec_named,
)
from rpc.call import Call
from rpc.call_errors import closed_error
from rpc.calls import CallState
from rpc.clock import Clock, monotonic
from rpc.connection import Connection
from rpc.context import inherited_timeout
from rpc.deadline import DEFAULT_TIMEOUT, effective_timeout
from rpc.inflight import InFlight
from rpc.interceptor import CallInfo, Chain, Interceptor, Outcome
from rpc.options import CallOptions, check_timeout, metadata_headers
from rpc.readiness import Readiness
from rpc.request import request_headers
from rpc.route import Route, request_address
from rpc.transport_errors import to_rpc_error
from transports.base import Transport
from transports.errors import TransportError

__all__ = ["Channel", "ChannelOptions"]

WhenFull = Literal["fail", "wait"]
"""What becomes of a call for which there is no room."""

_PREPARE_TIMEOUT = 10.0  # seconds for one attempt; callers wait at most until their deadline


class ChannelOptions(TypedDict, total=False):
    """The options of `Channel`, for functions that pass them on; it explains them."""

    codec: str | Codec
    timeout: float
    retry: RetryPolicy | None
    interceptors: Sequence[Interceptor]
    max_pending: int
    max_pending_bytes: int
    when_full: WhenFull
    wait_for_ready: bool
    max_body_bytes: int
    reply_topic: str | None
    clock: Clock
    rng: Callable[[], float]


class Channel:
    """A shared, thread-safe client connection. Building one does no I/O; `with` closes it."""

    def __init__(
        self,
        transport: Transport | str | None = None,
        *,
        codec: str | Codec = "json",
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        interceptors: Sequence[Interceptor] = (),
        max_pending: int = 10_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
        when_full: WhenFull = "fail",
        wait_for_ready: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
        reply_topic: str | None = None,
        clock: Clock = monotonic,
        rng: Callable[[], float] = random.random,
        threads: bool = True,
    ) -> None:
        """Describe a channel; nothing is opened before the first call.

        Args:
            transport: a URL, or a transport (which the caller closes). None: `RPC_TRANSPORT`,
                else `kafka://localhost:9092`.
            codec: `json`, `msgpack`, or a codec of yours.
            timeout: seconds for calls whose method names none. Every call has a deadline.
            retry: what is tried again; `rpc.NO_RETRY` for nothing.
            interceptors: around each call, the first outermost.
            max_pending: calls in flight at most.
            max_pending_bytes: bytes of their encoded arguments at most.
            when_full: what becomes of a call beyond either: it fails at once with `Overloaded`, or
                waits for room, within its deadline, and then fails so.
            wait_for_ready: whether calls wait until their deadline where nobody serves, instead of
                failing with `Unavailable` in about a second.
            max_body_bytes: the largest reply that is decoded.
            reply_topic: where replies come; by default `rpc.replies.<client id>`.
            clock: monotonic seconds.
            rng: numbers in [0, 1) for the jitter of retries.
            threads: False for tests that step through calls with `step`.
        """
        check_timeout(timeout)
        for name, bound in (("max_pending", max_pending), ("max_pending_bytes", max_pending_bytes)):
            if bound < 1:
                raise ValueError(f"{name} is {bound}, not at least 1")
        if when_full not in {"fail", "wait"}:
            raise ValueError(f"when_full is {when_full!r}, neither 'fail' nor 'wait'")
        self._codec = codec_named(codec) if isinstance(codec, str) else codec
        self._timeout = timeout
        self._max_body_bytes = max_body_bytes
        self._retry = RetryPolicy() if retry is None else retry
        self._interceptors = tuple(interceptors)
        self._clock = clock
        self._prefix = secrets.token_bytes(8)
        self._numbers = itertools.count()
        self.instance = secrets.token_hex(8)
        """This channel's id on the wire: replies that bear another are not for us."""
        self._wait_for_ready = wait_for_ready
        self._in_flight = InFlight(
            self.instance,
            max_pending=max_pending,
            max_pending_bytes=max_pending_bytes,
            wait_for_room=when_full == "wait",
            clock=clock,
            random=rng,
        )
        self._routes: dict[MethodSpec, Route] = {}
        self._connection = Connection(
            transport, reply_topic, self._in_flight, clock, client=self.instance, threads=threads
        )

    # -- what a stub needs ---------------------------------------------------------------------

    def route(self, spec: MethodSpec) -> Route:
        """Return the way of one method through this channel, one for all its stubs. No I/O."""
        return self._routes.get(spec) or self._routes.setdefault(spec, self._new_route(spec))

    async def ready(self, route: Route, seconds: float) -> RpcError | None:
        """Wait, without holding the event loop up, until calls can be made; return why not."""
        try:
            # Not `asyncio.wait_for`: before Python 3.12 it loses a cancellation that comes in the
            # moment in which what it waits for is done.
            async with asyncio.timeout(seconds):
                return await route.readiness.begin()
        except TimeoutError:
            return _not_sent(route, seconds, "still connecting")

    def call(
        self,
        route: Route,
        arguments: msgspec.Struct,
        options: CallOptions,
        *,
        unready: RpcError | None = None,
        block: bool = True,
    ) -> Call[Any]:
        """Start a call; whatever fails from here on is told by the call.

        Blocks only until `route` is ready, which it is after the first call, or not at all where
        the caller has waited itself and tells what came of it in `unready`; and for room, where the
        channel is full and calls wait for it. With `block` False it is the call alone that waits.
        """
        timeout = route.timeout if options.timeout is None else options.timeout
        timeout = effective_timeout(timeout, inherited_timeout())
        key = options.key
        if key is None and route.spec.key is not None:
            try:
                key = route.spec.key_of(arguments)
            except EncodeError as error:
                unready = _unwritable(route, error)
        call_id = self._prefix + next(self._numbers).to_bytes(8, "big")
        deadline = self._clock() + timeout
        named = None
        if route.spec.delivery is DeliveryMode.EFFECTIVELY_ONCE:
            named = call_id if options.idempotency_key is None else options.idempotency_key
            key = named if key is None else key  # all attempts to one server, which remembers
        call: Call[Any] = Call(
            self.cancel,
            route,
            call_id,
            timeout,
            deadline,
            key,
            options.metadata,
            route.retry if options.retry is None else options.retry,
            named,
            self._wait_for_ready if options.wait_for_ready is None else options.wait_for_ready,
        )
        if self._interceptors:
            self._start_intercepted(call, arguments, unready)
        else:
            self._start(call, arguments, unready)
        if block and call.room is not None and not self._connection.serves_here():
            call.room.wait(None)  # the timer ends the wait by the deadline
        return call

    def cancel(self, call: Call[Any]) -> bool:
        """End `call` as cancelled and tell the server; False if it had ended."""
        return self._in_flight.cancel(call)

    # -- life ----------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the channel can make no more calls."""
        return self._connection.closed

    @property
    def pending(self) -> int:
        """Calls in flight."""
        return len(self._in_flight)

    @property
    def late_replies(self) -> int:
        """Replies dropped because their call had ended, or because they came twice."""
        return self._in_flight.late

    @property
    def foreign_replies(self) -> int:
        """Messages dropped because they answer no call of this channel."""
        return self._in_flight.foreign

    def open(self) -> None:
        """Connect now and not at the first call. Raises an `RpcError` that says what is wrong."""
        try:
            self._connection.open()
        except TransportError as error:
            raise to_rpc_error(error, "opening the channel") from error

    def close(self, timeout: float = 5.0) -> None:
        """End every pending call with an error, then the threads and, if ours, the transport.

        Within `timeout` seconds; a second call does nothing.
        """
        for route in list(self._routes.values()):
            route.readiness.give_up(closed_error(route.full_name))
        self._connection.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def step(self) -> int:
        """Take what is in the inbox and do what is due, without waiting; return the replies.

        Only for a channel without threads.
        """
        return self._connection.step()

    # -- inside --------------------------------------------------------------------------------

    def _new_route(self, spec: MethodSpec) -> Route:
        timeout = self._timeout if spec.timeout is None else spec.timeout
        retry = self._retry if spec.retry is None else spec.retry
        peer = self._in_flight.peer(spec.service, request_address(spec.service).topic)
        route = Route(spec, self._codec, timeout, retry, peer, max_body_bytes=self._max_body_bytes)
        route.readiness = Readiness(lambda: self._make_ready(route), self._connection.run)
        return route

    def _make_ready(self, route: Route) -> None:
        try:
            transport, inbox = self._connection.open()
            transport.prepare(route.address, _PREPARE_TIMEOUT)
            self._connection.learn_time(_PREPARE_TIMEOUT)
        except TransportError as error:
            raise to_rpc_error(error, route.full_name) from error
        if not self._wait_for_ready and self._in_flight.first_question(route.peer):
            self._connection.watch.ask(route.peer)
        route.constant = request_headers(
            route.full_name, self.instance, inbox.address, self._codec.content_type
        )

    def _start(self, call: Call[Any], arguments: msgspec.Struct, unready: RpcError | None) -> None:
        if unready is None and call.timeout <= 0:
            unready = _not_sent(call.route, call.timeout, "its caller's deadline has passed")
        elif unready is None and call.route.constant is None:
            unready = self._await_ready(call)
        if unready is not None:
            call.finish(CallState.FAILED, unready)
            return
        try:
            call.body = call.route.encode(arguments)
        except EncodeError as error:
            call.finish(CallState.FAILED, _unwritable(call.route, error))
            return
        self._in_flight.submit(call)

    def _await_ready(self, call: Call[Any]) -> RpcError | None:
        attempt = call.route.readiness.begin()
        if attempt.wait(call.deadline - self._clock()):
            return attempt.get()
        return _not_sent(call.route, call.timeout, "still connecting")

    def _start_intercepted(
        self, call: Call[Any], arguments: msgspec.Struct, unready: RpcError | None
    ) -> None:
        chain = Chain(self._interceptors, contextvars.copy_context())
        entered = chain.enter(
            CallInfo(
                side="client",
                service=call.route.spec.service,
                method=call.route.spec.name,
                arguments=arguments,
                metadata=dict[str, str | bytes](call.metadata),
                timeout=call.timeout,
                call_id=call.call_id.hex(),
            )
        )
        if isinstance(entered, Outcome):
            call.finish(CallState.COMPLETED, entered)
            return
        call.chain = chain
        try:
            call.metadata = metadata_headers(entered.metadata)
        except ValueError as error:
            call.finish(CallState.FAILED, Outcome(error=error))
            return
        self._start(call, entered.arguments, unready)


def _unwritable(route: Route, error: EncodeError) -> InternalError:
    return InternalError(
        message=f"{route.full_name}: the arguments can't be encoded: {error}",
        certainty=Certainty.NOT_EXECUTED,
    )


def _not_sent(route: Route, timeout: float, why: str) -> DeadlineExceeded:
    return DeadlineExceeded(
        message=f"{route.full_name}: not sent within {timeout:g} s: {why}",
        certainty=Certainty.NOT_EXECUTED,
    )
