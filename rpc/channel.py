"""A client's connection: opens on first use, owns the threads, makes calls.

Threads of an open channel: `rpc-reader` takes replies from the inbox and ends their calls,
`rpc-timer` ends calls at their deadlines and sends retries, `rpc-open` connects and prepares
topics while callers wait no longer than their deadlines. Calls in flight belong to `rpc.inflight`;
`_lock` guards opening and closing.
"""

import asyncio
import contextvars
import os
import random
import secrets
import threading
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from contracts import (
    Certainty,
    Codec,
    DeadlineExceeded,
    EncodeError,
    InternalError,
    MethodSpec,
    RpcError,
    codec_named,
)
from rpc.call import Call
from rpc.calls import CallState
from rpc.clock import Clock, monotonic
from rpc.config import transport_url
from rpc.context import inherited_timeout
from rpc.deadline import DEFAULT_TIMEOUT, effective_timeout
from rpc.envelope import request_headers
from rpc.inflight import InFlight, closed_error
from rpc.interceptor import CallInfo, Chain, Interceptor, Outcome
from rpc.options import CallOptions, metadata_headers
from rpc.readiness import Readiness
from rpc.retry import RetryPolicy
from rpc.route import Route
from rpc.transport_errors import to_rpc_error
from transports.base import Address, Receiver, Transport
from transports.errors import TransportError
from transports.log import get_logger
from transports.registry import open_transport

__all__ = ["Channel"]

_log = get_logger("rpc.channel")
_PREPARE_TIMEOUT = 10.0  # seconds for one attempt; callers wait at most until their deadline
_RECEIVE_WAIT = 1.0  # seconds; `close` ends the wait
_channels: "weakref.WeakSet[Channel]" = weakref.WeakSet()


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
            max_pending: calls in flight at most; one more fails at once with `Overloaded`.
            reply_topic: where replies come; by default `rpc.replies.<client id>`.
            clock: monotonic seconds.
            rng: numbers in [0, 1) for the jitter of retries.
            threads: False for tests that step through calls with `step`.
        """
        if timeout <= 0:
            raise ValueError(f"timeout is {timeout} s, not above 0")
        if max_pending < 1:
            raise ValueError(f"max_pending is {max_pending}, not at least 1")
        self._given = transport
        self._codec = codec_named(codec) if isinstance(codec, str) else codec
        self._timeout = timeout
        self._retry = RetryPolicy() if retry is None else retry
        self._interceptors = tuple(interceptors)
        self._reply_topic = reply_topic
        self._clock = clock
        self._threads = threads
        self._lock = threading.Lock()
        self._closed = False
        self._transport: Transport | None = None
        self._inbox: Receiver | None = None
        self._workers: list[threading.Thread] = []
        self._due = threading.Event()
        self._stop = threading.Event()
        self.instance = secrets.token_hex(8)
        """This channel's id on the wire: replies that bear another are not for us."""
        self._in_flight = InFlight(
            self.instance, max_pending=max_pending, clock=clock, random=rng, wake=self._due.set
        )
        _channels.add(self)

    # -- what a stub needs ---------------------------------------------------------------------

    def route(self, spec: MethodSpec) -> Route:
        """Return the way of one method through this channel. No I/O."""
        timeout = self._timeout if spec.timeout is None else spec.timeout
        route = Route(spec, self._codec, timeout, self._retry)
        route.readiness = Readiness(lambda: self._make_ready(route), self._run)
        return route

    async def ready(self, route: Route, seconds: float) -> RpcError | None:
        """Wait, without holding the event loop up, until calls can be made; return why not."""
        attempt = route.readiness.begin()

        async def outcome() -> RpcError | None:
            return await attempt

        try:
            return await asyncio.wait_for(outcome(), seconds)
        except TimeoutError:
            return _not_sent(route, seconds, "still connecting")

    def call(
        self,
        route: Route,
        arguments: msgspec.Struct,
        options: CallOptions,
        *,
        unready: RpcError | None = None,
    ) -> Call[Any]:
        """Start a call; whatever fails from here on is told by the call.

        Blocks only until `route` is ready, which it is after the first call, or not at all where
        the caller has waited itself and tells what came of it in `unready`.
        """
        timeout = route.timeout if options.timeout is None else options.timeout
        timeout = effective_timeout(timeout, inherited_timeout())
        call: Call[Any] = Call(self, route, os.urandom(16), timeout, self._clock() + timeout)
        call.key = options.key if options.key is not None else route.spec.key_of(arguments)
        call.metadata = options.metadata
        if self._interceptors:
            self._start_intercepted(call, arguments, unready)
        else:
            self._start(call, arguments, unready)
        return call

    def cancel(self, call: Call[Any]) -> bool:
        """End `call` as cancelled and tell the server; False if it had ended."""
        return self._in_flight.cancel(call)

    # -- life ----------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the channel can make no more calls."""
        return self._closed

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
        with self._lock:
            if self._closed:
                raise closed_error("opening")
            if self._inbox is None:
                try:
                    self._connect()
                except TransportError as error:
                    raise to_rpc_error(error, "opening the channel") from error

    def close(self, timeout: float = 5.0) -> None:
        """End every pending call with an error, then the threads and, if ours, the transport.

        Within `timeout` seconds; a second call does nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._in_flight.close()
        self._stop.set()
        self._due.set()
        if self._inbox is not None:
            self._inbox.close(timeout)
        for worker in self._workers:
            if worker is not threading.current_thread():
                worker.join(timeout)
        if self._transport is not None and self._transport is not self._given:
            self._transport.close(timeout)

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
        deliveries = [] if self._inbox is None else self._inbox.receive(0)
        for delivery in deliveries:
            self._in_flight.receive(delivery)
        self._in_flight.tick()
        return len(deliveries)

    # -- inside --------------------------------------------------------------------------------

    def _connect(self) -> None:
        given = transport_url() if self._given is None else self._given
        transport = open_transport(given) if isinstance(given, str) else given
        try:
            topic = self._reply_topic or f"rpc.replies.{transport.client_id}"
            self._inbox = transport.receiver(Address(topic), shared=False)
        except BaseException:
            if transport is not given:
                transport.close(1.0)
            raise
        self._transport = transport
        self._in_flight.open(transport.send)
        if self._threads:
            self._workers = [
                self._thread(self._read, "rpc-reader", self._inbox),
                self._thread(self._keep_time, "rpc-timer"),
            ]
        _log.debug("channel.opened", client=self.instance, inbox=self._inbox.address)

    def _make_ready(self, route: Route) -> None:
        self.open()
        assert self._transport is not None  # noqa: S101 - `open` has set both or raised
        assert self._inbox is not None  # noqa: S101
        try:
            self._transport.prepare(route.address, _PREPARE_TIMEOUT)
        except TransportError as error:
            raise to_rpc_error(error, route.full_name) from error
        route.constant = request_headers(
            route.full_name, self.instance, self._inbox.address, self._codec.content_type
        )

    def _start(self, call: Call[Any], arguments: msgspec.Struct, unready: RpcError | None) -> None:
        if call.timeout <= 0:
            unready = _not_sent(call.route, call.timeout, "its caller's deadline has passed")
        elif call.route.constant is None and unready is None:
            unready = self._await_ready(call)
        if unready is not None:
            call.finish(CallState.FAILED, unready)
            return
        try:
            call.body = call.route.encode(arguments)
        except EncodeError as error:
            told = InternalError(
                message=f"{call.route.full_name}: the arguments can't be encoded: {error}",
                certainty=Certainty.NOT_EXECUTED,
            )
            call.finish(CallState.FAILED, told)
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
            )
        )
        if isinstance(entered, Outcome):
            call.finish(CallState.COMPLETED, entered)
            return
        call.chain = chain
        call.metadata = metadata_headers(entered.metadata)
        self._start(call, entered.arguments, unready)

    def _read(self, inbox: Receiver) -> None:
        failed = False
        while not self._closed:
            try:
                deliveries = inbox.receive(_RECEIVE_WAIT)
            except TransportError as error:
                failed = True
                _log.error("inbox.failed", inbox=inbox.address, error=str(error))
                self._in_flight.inbox_failed(error)
                self._stop.wait(_RECEIVE_WAIT)
                continue
            if failed:
                failed = False
                self._in_flight.inbox_failed(None)
            for delivery in deliveries:
                self._in_flight.receive(delivery)

    def _keep_time(self) -> None:
        while not self._closed:
            due = self._in_flight.next_tick()
            self._due.wait(None if due is None else max(0.0, due - self._clock()))
            self._due.clear()
            self._in_flight.tick()

    def _run(self, work: Callable[[], None]) -> None:
        if self._threads:
            self._thread(work, "rpc-open")
        else:
            work()

    def _after_fork(self) -> None:
        """Give up, in the child, what only the parent's threads can serve."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._closed = self._closed or self._inbox is not None
        self._in_flight.after_fork()

    @staticmethod
    def _thread(work: Callable[..., None], name: str, *args: object) -> threading.Thread:
        thread = threading.Thread(target=work, name=name, args=args, daemon=True)
        thread.start()
        return thread


def _not_sent(route: Route, timeout: float, why: str) -> DeadlineExceeded:
    return DeadlineExceeded(
        message=f"{route.full_name}: not sent within {timeout:g} s: {why}",
        certainty=Certainty.NOT_EXECUTED,
    )


def _after_fork() -> None:
    for channel in list(_channels):
        channel._after_fork()  # noqa: SLF001 - this module's own class


os.register_at_fork(after_in_child=_after_fork)
