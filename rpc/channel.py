"""A client's connection as its users see it: its options, its routes, its life.

No thread of its own; `rpc.connection` has those, `rpc.starter` the start of every call, and
`rpc.inflight` what follows.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Self, TypedDict

from contracts import (
    MAX_BODY_BYTES,
    Codec,
    MethodSpec,
    RetryPolicy,
    RpcError,
    codec_named,
)
from rpc.call_errors import closed_error, not_sent_error
from rpc.clock import Clock, monotonic
from rpc.connection import Connection
from rpc.deadline import DEFAULT_TIMEOUT
from rpc.inflight import InFlight
from rpc.instance import Instance
from rpc.interceptor import Interceptor
from rpc.options import CallOptions, Terms, check_timeout
from rpc.readiness import Readiness
from rpc.request import request_headers
from rpc.route import Route, request_address
from rpc.starter import Starter
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
        self._instance = Instance()
        self._wait_for_ready = wait_for_ready
        self._in_flight = InFlight(
            max_pending=max_pending,
            max_pending_bytes=max_pending_bytes,
            wait_for_room=when_full == "wait",
            clock=clock,
            random=rng,
        )
        self._routes: dict[MethodSpec, Route] = {}
        self._connection = Connection(
            transport, reply_topic, self._in_flight, self._instance, threads=threads
        )
        may_wait = self._connection.may_wait
        self.calls = Starter(self._instance, self._in_flight, interceptors, may_wait)
        """Starts calls, for the stubs."""

    # -- what a stub needs ---------------------------------------------------------------------

    def route(self, spec: MethodSpec) -> Route:
        """Return the way of one method through this channel, one for all its stubs. No I/O."""
        return self._routes.get(spec) or self._routes.setdefault(spec, self._new_route(spec))

    def terms(self, route: Route, options: CallOptions) -> Terms:
        """Return what holds of the calls of `route` with these options."""
        return Terms(
            route.timeout if options.timeout is None else options.timeout,
            options.key,
            options.metadata,
            route.retry if options.retry is None else options.retry,
            options.idempotency_key,
            self._wait_for_ready if options.wait_for_ready is None else options.wait_for_ready,
        )

    async def ready(self, route: Route, seconds: float) -> RpcError | None:
        """Wait, without holding the event loop up, until calls can be made; return why not."""
        try:
            # Not `asyncio.wait_for`: before Python 3.12 it loses a cancellation that comes in the
            # moment in which what it waits for is done.
            async with asyncio.timeout(seconds):
                return await route.readiness.begin()
        except TimeoutError:
            return not_sent_error(route.full_name, seconds, "still connecting")

    # -- life ----------------------------------------------------------------------------------

    @property
    def instance(self) -> str:
        """This channel's id on the wire: replies that bear another are not for us."""
        return self._instance.name

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
            route.full_name,
            self.instance,
            inbox.address,
            self._codec.content_type,
            frames=transport.frames,
        )
