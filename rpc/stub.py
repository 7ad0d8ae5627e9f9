"""The typed client: a contract's methods, bound to a channel."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, Self, TypeVar, Unpack

from contracts import (
    BINDER,
    BoundMethod,
    Method,
    MethodSpec,
    RetryPolicy,
    ServiceSpec,
    describe,
    routing_key,
)
from rpc.call import Call
from rpc.channel import Channel, ChannelOptions
from rpc.context import inherited_timeout
from rpc.deadline import effective_timeout
from rpc.options import (
    CallOptions,
    Terms,
    check_idempotency_key,
    check_timeout,
    metadata_headers,
)
from rpc.route import Route
from transports.forks import renew_in_child

__all__ = ["Stub", "StubMethod", "close_default_channel", "connect", "default_channel"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Default:
    """The channel that a process's stubs share, once it is asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.channel: Channel | None = None
        renew_in_child(self)

    def after_fork(self) -> None:
        self.lock = threading.Lock()  # another thread of the parent may have held it


_default = _Default()


def default_channel() -> Channel:
    """Return the process's shared channel, at the address in `RPC_TRANSPORT`; opens nothing.

    A child process gets another than its parent, by its first call after the fork.
    """
    channel = _default.channel
    if channel is not None and not channel.closed:
        return channel
    with _default.lock:
        if _default.channel is None or _default.channel.closed:
            _default.channel = Channel()
        return _default.channel


def close_default_channel(timeout: float = 5.0) -> None:
    """Close the shared channel, if there is one; the next call opens another."""
    if _default.channel is not None:
        _default.channel.close(timeout)


def Stub(contract: Callable[..., T], /, *, channel: Channel | None = None) -> T:  # noqa: N802 - reads as the type it stands for
    """Return a client of `contract`: its methods, calling over `channel`. No I/O.

    `client.get(42)` blocks, `await client.get.aio(42)` does not, `client.get.future(42)` is a
    `Call`. Every call ends by its deadline with a result or an `RpcError`. Thread-safe. Used in a
    `with` statement it closes its channel at the end; see `connect` for a typed form of that.

    Args:
        contract: a Protocol class whose methods carry `@method`. Read here, at once: raises
            `ContractError` for one that cannot work.
        channel: the connection to share; by default the process's own (`default_channel`).
    """
    spec = describe(contract)
    base: Any = contract
    kind = type(f"{base.__name__}Stub", (_StubBase, base), {"__module__": base.__module__})
    stub: Any = object.__new__(kind)
    stub.__dict__["_rpc_channel"] = channel
    stub.__dict__["_rpc_spec"] = spec
    stub.__dict__[BINDER] = _Binder(spec, channel)
    made: T = stub
    return made


@contextmanager
def connect(
    contract: Callable[..., T], /, transport: str | None = None, **options: Unpack[ChannelOptions]
) -> Iterator[T]:
    """Open a channel of its own for one client, and close it at the end of the `with` block.

    `options` are those of `Channel`.
    """
    with Channel(transport, **options) as channel:
        yield Stub(contract, channel=channel)


class _StubBase:
    """What every stub can do beside its contract's methods: be used in a `with` statement."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        channel: Channel | None = self.__dict__["_rpc_channel"]
        if channel is None:
            close_default_channel()
        else:
            channel.close()

    def __repr__(self) -> str:
        return f"<Stub {self.__dict__['_rpc_spec'].full_name}>"


class _Binder:
    """Makes the bound method of a stub, once per method: the descriptor keeps it."""

    def __init__(self, spec: ServiceSpec, channel: Channel | None) -> None:
        self._spec = spec
        self._channel = channel

    def __call__(self, method: Method[P, R]) -> "StubMethod[P, R]":
        return StubMethod(self._spec.by_attribute[method.attribute], self._channel, CallOptions())


class StubMethod(BoundMethod[P, R]):
    """A method of a stub: call it, await `.aio(...)`, or take `.future(...)`."""

    def __init__(self, spec: MethodSpec, channel: Channel | None, options: CallOptions) -> None:
        self._spec = spec
        self._fixed = channel
        self._options = options
        self._channel = channel
        self._route: Route | None = None
        self._terms: Terms | None = None
        if channel is not None:
            self._bind_to(channel)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make the call and wait for its end. Raises an `RpcError` where it fails."""
        return self.future(*args, **kwargs).result()

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make the call and await its end. Cancelling the task cancels the call."""
        channel, route, terms = self._bound()
        arguments = self._spec.bind(args, kwargs)
        unready = None
        if route.constant is None:  # connecting must not hold the loop up
            timeout = effective_timeout(terms.timeout, inherited_timeout())
            started = time.monotonic()
            unready = await channel.ready(route, timeout)
            terms = terms._replace(timeout=timeout - (time.monotonic() - started))
        call: Call[R] = channel.calls.start(route, arguments, terms, unready, block=False)
        if not call.done():
            try:
                await call.ended()
            except asyncio.CancelledError:
                call.cancel()
                raise
        return call.result()

    def future(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Make the call and return it at once.

        The first call of a method waits for the connection, within its deadline.
        """
        channel, route, terms = self._bound()
        return channel.calls.start(route, self._spec.bind(args, kwargs), terms)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        key: str | bytes | int | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        retry: RetryPolicy | None = None,
        idempotency_key: str | bytes | None = None,
        wait_for_ready: bool | None = None,
    ) -> "StubMethod[P, R]":
        """Return the same method with other options; those not given stay.

        Args:
            timeout: seconds; the deadline of a call being handled still bounds it.
            key: routing key: calls with one key are handled in order, by one server at a time.
                Raises `ValueError` for what is no str, bytes, int or UUID.
            metadata: headers for the server's `current_call().metadata`, and for any reader of the
                topic. Raises `ValueError` for the protocol's own names or above 8 KiB.
            retry: what is tried again, instead of the method's or the channel's policy.
            idempotency_key: names the work: a call with the same key and arguments gets the reply
                of the first. Only for methods with `delivery="effectively_once"`, for which it is
                the call's id unless given; else `ValueError`.
            wait_for_ready: whether to wait until the deadline where nobody serves, instead of
                failing with UNAVAILABLE in about a second.
        """
        if timeout is not None:
            check_timeout(timeout)
        old = self._options
        options = CallOptions(
            timeout=old.timeout if timeout is None else timeout,
            key=old.key if key is None else routing_key(key),
            metadata=old.metadata if metadata is None else metadata_headers(metadata),
            retry=old.retry if retry is None else retry,
            idempotency_key=(
                old.idempotency_key
                if idempotency_key is None
                else check_idempotency_key(self._spec, idempotency_key)
            ),
            wait_for_ready=old.wait_for_ready if wait_for_ready is None else wait_for_ready,
        )
        other = StubMethod[P, R](self._spec, None, options)
        other._fixed = self._fixed
        other._channel, other._route = self._channel, self._route
        if other._channel is not None and other._route is not None:
            other._terms = other._channel.terms(other._route, options)
        return other

    def __repr__(self) -> str:
        return f"<method {self._spec.full_name} of a stub>"

    def _bound(self) -> tuple[Channel, Route, Terms]:
        channel, route, terms = self._channel, self._route, self._terms
        if (
            channel is None
            or route is None
            or terms is None
            or (self._fixed is None and channel.closed)
        ):
            return self._bind_to(default_channel())
        return channel, route, terms

    def _bind_to(self, channel: Channel) -> tuple[Channel, Route, Terms]:
        route = channel.route(self._spec)
        terms = channel.terms(route, self._options)
        self._channel, self._route, self._terms = channel, route, terms
        return channel, route, terms
