"""A server: one receiver for each service, workers that receive and run handlers, one event loop.

`Engine` has the threads. One at a time receives from a service, until `stop` closes its receiver.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypedDict

from contracts import (
    JSON,
    MAX_BODY_BYTES,
    MSGPACK,
    Codec,
    Handler,
    ServiceSpec,
    check_implementation,
)
from rpc.catalog import Catalog
from rpc.clock import Clock, monotonic
from rpc.config import transport_url
from rpc.context import inherited_timeout
from rpc.dispatcher import Dispatcher
from rpc.engine import Engine
from rpc.flag import Flag
from rpc.idempotency import IdempotencyStore, MemoryStore
from rpc.intake import Intake
from rpc.interceptor import Interceptor
from rpc.limits import Limit
from rpc.replays import Replays
from rpc.route import request_address
from transports.base import Receiver, Transport
from transports.errors import TransportError
from transports.log import get_logger
from transports.registry import open_transport

__all__ = ["Server", "ServerOptions"]

_log = get_logger("rpc.server")
_RECEIVE_WAIT = 0.2  # seconds; how long a drain waits at most for the receiving threads
_CLOSING = 5.0  # seconds for the broker, beyond those for what was taken


class ServerOptions(TypedDict, total=False):
    """The options of `Server`, for functions that pass them on; it explains them."""

    workers: int
    max_in_flight: int
    interceptors: Sequence[Interceptor]
    codecs: Sequence[Codec]
    reply_topics: Sequence[str]
    drain_timeout: float
    idempotency: IdempotencyStore | None
    limits: Mapping[str, Limit] | None
    dead_letters: bool
    max_crashes: int
    max_body_bytes: int
    clock: Clock


class Server:
    """Serves implementations of contracts. `with Server(Impl()) as server:` starts and drains it.

    For a process of its own, `rpc.serve` adds signals.
    """

    def __init__(
        self,
        *implementations: object,
        transport: Transport | str | None = None,
        workers: int = 32,
        max_in_flight: int = 1000,
        interceptors: Sequence[Interceptor] = (),
        codecs: Sequence[Codec] = (JSON, MSGPACK),
        reply_topics: Sequence[str] = ("rpc.replies.",),
        drain_timeout: float = 30.0,
        idempotency: IdempotencyStore | None = None,
        limits: Mapping[str, Limit] | None = None,
        dead_letters: bool = True,
        max_crashes: int = 3,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Clock = monotonic,
        threads: bool = True,
    ) -> None:
        """Check the implementations against their contracts; opens nothing.

        Raises `ContractError` with everything that does not fit.

        Args:
            implementations: instances of classes that inherit from their contracts.
            transport: a URL, or a transport (which the caller closes). None: `RPC_TRANSPORT`,
                else `kafka://localhost:9092`.
            workers: how many `def` handlers run at once, each on a thread; `async def` ones share
                one event loop.
            max_in_flight: requests running or waiting for a worker. Beyond it no more are taken for
                half a second, and then they are answered at once with RESOURCE_EXHAUSTED,
                NOT_EXECUTED, until half of that is done. So is, whatever this number, a request
                whose turn would come too late.
            interceptors: around each handler, the first outermost.
            codecs: those that callers may use; the first answers who names none.
            reply_topics: prefixes of the topics that replies may go to. A request that wants its
                reply elsewhere is dropped: it could make the server write anywhere.
            drain_timeout: seconds that `stop` gives to what has been taken.
            idempotency: where the replies of `effectively_once` methods are kept; you close it.
                None: in memory, forgotten with the process.
            limits: by a method's full name, as `users.get`, how many of its calls run and wait at
                once; beyond it they are answered with RESOURCE_EXHAUSTED, NOT_EXECUTED.
            dead_letters: whether requests that nobody can run are kept in `<service>.dead`.
            max_crashes: so many servers ended while they were at a request that it is not tried
                again, but answered with INTERNAL and made a dead letter.
            max_body_bytes: the largest request that is decoded; a larger one is answered with
                INVALID_ARGUMENT.
            clock: monotonic seconds.
            threads: False for tests that step through calls with `step`.
        """
        if isinstance(reply_topics, str):  # each of its letters would allow a world of topics
            raise TypeError(f"reply_topics is one string; write [{reply_topics!r}]")
        numbers = {"workers": workers, "max_in_flight": max_in_flight, "max_crashes": max_crashes}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"{name} is {value}, not at least 1")
        self._handlers: dict[str, Handler] = {}
        self.services = self._read(implementations)
        """What is served."""
        self._given = transport
        limited = dict(limits or {})
        if unknown := sorted(limited.keys() - self._handlers.keys()):
            raise ValueError(
                f"limits for {', '.join(unknown)}, which is not served; there is "
                + ", ".join(sorted(self._handlers))
            )
        store = MemoryStore(clock=clock) if idempotency is None else idempotency
        self._stopping = Flag()
        self._make_engine = partial(
            Engine,
            Catalog(self._handlers, tuple(codecs), limited, clock, max_body_bytes),
            Dispatcher(interceptors, Replays(store)),
            workers=workers,
            max_in_flight=max_in_flight,
            limits=limited,
            reply_topics=tuple(reply_topics),
            dead_letters=dead_letters,
            max_crashes=max_crashes,
            clock=clock,
            stopping=self._stopping,
            threads=threads,
        )
        self._drain_timeout = drain_timeout
        self._transport: Transport | None = None
        self._engine: Engine | None = None
        self._receivers: list[Receiver] = []
        self._stops = [None]
        """Whoever takes it stops the server; no lock, since a signal handler may."""
        self._stopper: int | None = None  # the thread that does
        self._over = Flag()
        self._pid = os.getpid()
        self.failure: TransportError | None = None
        """Why the server can't go on, where it can't: a right withdrawn, a topic deleted."""

    def start(self) -> Self:
        """Join the services' groups and take requests. Raises a `TransportError`."""
        if self._transport is not None:
            raise RuntimeError("the server was started before; make another")
        given = transport_url() if self._given is None else self._given
        self._transport = open_transport(given) if isinstance(given, str) else given
        self._engine = self._make_engine(self._transport)
        try:
            for service in self.services:
                address = request_address(service.full_name)
                self._receivers.append(self._transport.receiver(address, shared=True))
        except BaseException:
            self._close(1.0)
            raise
        for receiver in self._receivers:
            self._engine.receive(partial(self._receive, receiver, self._engine.intake))
        _log.info("server.started", services=[service.full_name for service in self.services])
        return self

    def stop(self, timeout: float | None = None) -> int:
        """Take no more, finish what was taken, commit, leave the groups, and close.

        Within `timeout` seconds (`drain_timeout` by default) and a few more for the broker. What
        is unfinished then is not acknowledged, so that another server does it again. Returns how
        many calls that concerns. A second call does nothing and returns 0: once the first is over
        or its own time is, and at once within a handler, since the first may wait for that. So does
        one in a child process: the server is the parent's.
        """
        if self._engine is None or os.getpid() != self._pid:
            return 0
        timeout = self._drain_timeout if timeout is None else timeout
        try:
            self._stops.pop()
        except IndexError:
            if inherited_timeout() is None and self._stopper != threading.get_ident():
                self._over.wait(timeout + _CLOSING)
            return 0
        self._stopper = threading.get_ident()
        try:
            self._stopping.set()
            left = self._engine.drain(timeout)
            self._close(_CLOSING)
        except BaseException:  # a second Ctrl-C: whoever leaves the `with` block goes on with it
            self._stops.append(None)
            raise
        _log.info("server.stopped", unfinished=left)
        self._over.set()
        return left

    def ask_to_stop(self) -> None:
        """End `wait`, and take no more; from any thread or signal handler, `stop` does the rest."""
        self._stopping.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is stopped or has failed; False after `timeout` seconds.

        Raises `RuntimeError` in a child process, where its threads are not.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("the server was made before a fork; make another in the child")
        return self._stopping.wait(timeout)

    def step(self) -> int:
        """Take and run what has arrived, on this thread, without waiting; return how many.

        Only for a server without threads.
        """
        assert self._engine is not None, "start the server first"  # noqa: S101
        taken = 0
        for receiver in self._receivers:
            deliveries = receiver.receive(0)
            self._engine.intake.take(deliveries)
            taken += len(deliveries)
        return taken

    @property
    def in_flight(self) -> int:
        """Requests taken and not yet settled."""
        return 0 if self._engine is None else self._engine.settlement.open

    @property
    def rejected(self) -> int:
        """Messages dropped because they could be neither run nor answered."""
        return 0 if self._engine is None else self._engine.intake.rejected

    @property
    def dead_letters(self) -> int:
        """Messages of which a copy stands in `<service>.dead`."""
        return 0 if self._engine is None else self._engine.dead_letters.sent

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self, implementations: Sequence[object]) -> tuple[ServiceSpec, ...]:
        services: list[ServiceSpec] = []
        for implementation in implementations:
            for spec, handlers in check_implementation(implementation).items():
                if any(spec.full_name == other.full_name for other in services):
                    raise ValueError(f"{spec.full_name} is implemented twice")
                services.append(spec)
                self._handlers.update({handler.spec.full_name: handler for handler in handlers})
        if not services:
            raise ValueError("nothing to serve: pass an instance of an implementation")
        return tuple(services)

    def _receive(self, receiver: Receiver, intake: Intake) -> bool:
        """Take what has arrived, waiting for it a moment; False when there will be no more."""
        if self._stopping.is_set():
            return False
        try:
            intake.take(receiver.receive(_RECEIVE_WAIT))
        except Exception as error:  # also a bug, ours or a transport's: a deaf server helps nobody
            told = error if isinstance(error, TransportError) else TransportError(str(error))
            self.failure = told
            self._stopping.set()
            _log.error("server.failed", topic=receiver.address.topic, error=str(error))
            return False
        return True

    def _close(self, timeout: float) -> None:
        engine = self._engine
        if engine is not None:
            engine.dead_letters.close(timeout)
        for receiver in self._receivers:
            receiver.close(timeout)
        if engine is not None:
            engine.close(timeout)
        if self._transport is not None and self._transport is not self._given:
            self._transport.close(timeout)
