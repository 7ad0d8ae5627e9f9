"""A server: one receiver and one thread for each service, workers for handlers, one event loop.

Threads: `rpc-server-<service>` receives and decides, and is the only one that touches its
receiver until `stop` closes it; `rpc-worker-N` and `rpc-loop` run handlers and send replies.
"""

import asyncio
import threading
from collections.abc import Sequence
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
from rpc.admission import Admission
from rpc.clock import Clock, monotonic
from rpc.config import transport_url
from rpc.dispatcher import Dispatcher
from rpc.intake import Intake
from rpc.interceptor import Interceptor
from rpc.job import Job
from rpc.route import request_address
from rpc.workers import EventLoop, Workers
from transports.base import Message, Receiver, Transport
from transports.errors import TransportError
from transports.log import get_logger
from transports.registry import open_transport

__all__ = ["Server", "ServerOptions"]

_log = get_logger("rpc.server")
_RECEIVE_WAIT = 0.2  # seconds; how long a drain waits at most for the receiving threads
_PATIENCE = 0.5  # seconds for which a burst beyond `max_in_flight` waits before it is refused
_REMEMBERED = 10_000  # replies kept for requests that come twice
_REMEMBERED_BYTES = 16 << 20


class ServerOptions(TypedDict, total=False):
    """The options of `Server`, for functions that pass them on; it explains them."""

    workers: int
    max_in_flight: int
    max_body_bytes: int
    interceptors: Sequence[Interceptor]
    codecs: Sequence[Codec]
    reply_topics: Sequence[str]
    drain_timeout: float
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
        max_body_bytes: int = MAX_BODY_BYTES,
        interceptors: Sequence[Interceptor] = (),
        codecs: Sequence[Codec] = (JSON, MSGPACK),
        reply_topics: Sequence[str] = ("rpc.replies.",),
        drain_timeout: float = 30.0,
        clock: Clock = monotonic,
        threads: bool = True,
    ) -> None:
        """Check the implementations against their contracts; opens nothing.

        Raises `ContractError` with everything that does not fit.

        Args:
            implementations: instances of classes that inherit from their contracts.
            transport: a URL, or a transport (which the caller closes). None: `RPC_TRANSPORT`,
                else `kafka://localhost:9092`.
            workers: threads for `def` handlers. `async def` ones share one event loop.
            max_in_flight: requests running or waiting for a worker. Beyond it no more are taken for
                half a second, and then they are answered at once with RESOURCE_EXHAUSTED,
                NOT_EXECUTED, until half of that is done.
            max_body_bytes: the largest request that is decoded; a larger one is answered with
                INVALID_ARGUMENT.
            interceptors: around each handler, the first outermost.
            codecs: those that callers may use; the first answers who names none.
            reply_topics: prefixes of the topics that replies may go to. A request that wants its
                reply elsewhere is dropped: it could make the server write anywhere.
            drain_timeout: seconds that `stop` gives to what has been taken.
            clock: monotonic seconds.
            threads: False for tests that step through calls with `step`.
        """
        if isinstance(reply_topics, str):  # each of its letters would allow a world of topics
            raise TypeError(f"reply_topics is one string; write [{reply_topics!r}]")
        for name, value in (("workers", workers), ("max_in_flight", max_in_flight)):
            if value < 1:
                raise ValueError(f"{name} is {value}, not at least 1")
        self._handlers: dict[str, Handler] = {}
        self.services = self._read(implementations)
        """What is served."""
        self._given = transport
        self._worker_count = workers
        self._limit = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._dispatcher = Dispatcher(interceptors)
        self._codecs = tuple(codecs)
        self._reply_topics = tuple(reply_topics)
        self._drain_timeout = drain_timeout
        self._clock = clock
        self._threads = threads
        self._transport: Transport | None = None
        self._intake: Intake | None = None
        self._workers: Workers[Job] | None = None
        self._loop: EventLoop | None = None
        self._receivers: list[Receiver] = []
        self._receiving: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._over = threading.Event()
        self.failure: TransportError | None = None
        """Why the server can't go on, where it can't: a right withdrawn, a topic deleted."""

    def start(self) -> Self:
        """Join the services' groups and take requests. Raises a `TransportError`."""
        if self._transport is not None:
            raise RuntimeError("the server was started before; make another")
        given = transport_url() if self._given is None else self._given
        self._transport = open_transport(given) if isinstance(given, str) else given
        self._intake = Intake(
            self._handlers,
            self._codecs,
            admission=Admission(
                limit=self._limit, remembered=_REMEMBERED, remembered_bytes=_REMEMBERED_BYTES
            ),
            patience=_PATIENCE if self._threads else 0.0,
            reply_topics=self._reply_topics,
            start=self._start_job if self._threads else self._run_here,
            stop=self._stop_job,
            send=self._transport.send,
            broker_now=self._transport.now,
            clock=self._clock,
            max_body_bytes=self._max_body_bytes,
        )
        try:
            for service in self.services:
                address = request_address(service.full_name)
                self._receivers.append(self._transport.receiver(address, shared=True))
        except BaseException:
            self._close(1.0)
            raise
        if self._threads:
            self._start_threads()
        _log.info("server.started", services=[service.full_name for service in self.services])
        return self

    def stop(self, timeout: float | None = None) -> int:
        """Take no more, finish what was taken, commit, leave the groups, and close.

        Within `timeout` seconds (`drain_timeout` by default) and a few more for the broker. What
        is unfinished then is not acknowledged, so that another server does it again. Returns how
        many calls that concerns; a second call does nothing and returns 0.
        """
        if self._over.is_set() or self._intake is None:
            return 0
        self._stopping.set()
        for thread in self._receiving:
            thread.join()
        left = self._intake.drain(self._drain_timeout if timeout is None else timeout)
        self._close(5.0)
        _log.info("server.stopped", unfinished=left)
        self._over.set()
        return left

    def ask_to_stop(self) -> None:
        """End `wait`, and take no more; from any thread or signal handler, `stop` does the rest."""
        self._stopping.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is stopped or has failed; False after `timeout` seconds."""
        return self._stopping.wait(timeout)

    def step(self) -> int:
        """Take and run what has arrived, on this thread, without waiting; return how many.

        Only for a server without threads.
        """
        assert self._intake is not None, "start the server first"  # noqa: S101
        taken = 0
        for receiver in self._receivers:
            for delivery in receiver.receive(0):
                self._intake.take(delivery)
                taken += 1
        return taken

    @property
    def in_flight(self) -> int:
        """Requests taken and not yet settled."""
        return 0 if self._intake is None else self._intake.open

    @property
    def rejected(self) -> int:
        """Messages dropped because they could be neither run nor answered."""
        return 0 if self._intake is None else self._intake.rejected

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

    # -- threads -------------------------------------------------------------------------------

    def _start_threads(self) -> None:
        if not all(handler.is_async for handler in self._handlers.values()):
            self._workers = Workers(self._worker_count, self._run_here)
        if any(handler.is_async for handler in self._handlers.values()):
            self._loop = EventLoop()
        for service, receiver in zip(self.services, self._receivers, strict=True):
            thread = threading.Thread(
                target=self._receive,
                args=(receiver,),
                name=f"rpc-server-{service.full_name}",
                daemon=True,
            )
            self._receiving.append(thread)
            thread.start()

    def _receive(self, receiver: Receiver) -> None:
        assert self._intake is not None  # noqa: S101 - set before the thread starts
        while not self._stopping.is_set():
            try:
                deliveries = receiver.receive(_RECEIVE_WAIT)
            except Exception as error:  # also a transport's bug: a deaf server helps nobody
                told = error if isinstance(error, TransportError) else TransportError(str(error))
                self.failure = told
                self._stopping.set()
                _log.error("server.failed", topic=receiver.address.topic, error=str(error))
                return
            for delivery in deliveries:
                self._intake.take(delivery)

    # -- jobs ----------------------------------------------------------------------------------

    def _start_job(self, job: Job) -> None:
        if not job.handler.is_async and self._workers is not None:
            self._workers.submit(job)
        elif self._loop is not None:
            self._loop.submit(self._run_async(job))

    def _stop_job(self, job: Job) -> None:
        """Cancel the task of a call that nobody waits for; a thread is told by `cancelled`."""
        task = job.task
        if task is not None and self._loop is not None:
            self._loop.call(task.cancel)

    async def _run_async(self, job: Job) -> None:
        job.task = asyncio.current_task()
        self._done(job, await self._dispatcher.run_async(job))

    def _done(self, job: Job, reply: Message) -> None:
        assert self._intake is not None  # noqa: S101 - it made the job
        self._intake.finish(job, reply)

    def _run_here(self, job: Job) -> None:
        if job.handler.is_async:
            asyncio.run(self._run_async(job))
        else:
            self._done(job, self._dispatcher.run(job))

    def _close(self, timeout: float) -> None:
        for receiver in self._receivers:
            receiver.close(timeout)
        if self._workers is not None:
            self._workers.close(1.0)  # idle ones end at once; a stuck one is left behind
        if self._loop is not None:
            self._loop.close(timeout)
        if self._transport is not None and self._transport is not self._given:
            self._transport.close(timeout)
