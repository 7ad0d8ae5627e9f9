"""What all handles of librdkafka are made with, and what is common to their lives.

A handle has threads of its own; its reports, errors and log lines come out where it is polled.
"""

import contextlib
import contextvars
import ctypes
import itertools
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, cimpl

from transports.errors import ConfigurationError
from transports.kafka.config import KafkaConfig
from transports.kafka.connection import check_files
from transports.kafka.librdkafka.errors import cause, connecting, error_of
from transports.kafka.librdkafka.settings import translated
from transports.kafka.settings import Scope

__all__ = [
    "Shared",
    "Trouble",
    "await_broker",
    "drain",
    "give_up",
    "new_consumer",
    "new_producer",
    "request_timeout",
    "retry_after",
]

_RETRY_AFTER_MS = 100
_JITTER = 0.2  # of the pause, by which librdkafka varies it
_LEAST_SETUP_MS = 1000  # librdkafka takes no less
_LOOK_AGAIN = 0.05
_TURN = 0.01
_END = 1.0
"""Seconds in which it is told what is given up."""
_FATAL_WORDS = ("certificate verify failed",)

_logger = logging.getLogger(__name__)
_logger.addHandler(logging.NullHandler())


class _Producer(Producer):
    """A producer that can be found after a fork."""


class _Consumer(Consumer):
    """A consumer that can be found after a fork."""


class Shared:
    """What lets several threads use one consumer.

    Since 2.16 confluent-kafka lets a call wait as long as another thread is in one, so that a
    commit waits for ever behind one who polls. librdkafka itself is safe for threads; so all of
    ours show the identity of one, as confluent-kafka's own asyncio consumer does for its workers.
    """

    _identities = itertools.count(1 << 30)
    _shown: contextvars.ContextVar[int] | None = getattr(cimpl, "_reentry_identity_var", None)

    def __init__(self) -> None:
        self._identity = next(self._identities)

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Make calls of the consumer in this block, on this thread."""
        if self._shown is None:
            yield
            return
        token = self._shown.set(self._identity)
        try:
            yield
        finally:
            self._shown.reset(token)


class Trouble:
    """Why brokers can't be reached at the moment, where that is known. Any thread."""

    def __init__(self) -> None:
        self.error: KafkaError | None = None

    @property
    def cause(self) -> BaseException | None:
        """The same, as kafka-python would have raised it."""
        error = self.error
        return None if error is None else cause(error)

    def note(self, error: KafkaError) -> None:
        """Take note of what librdkafka says; its summary tells less than what came before."""
        known = self.error
        if known is None or not (known.fatal() or error.code() == KafkaError._ALL_BROKERS_DOWN):  # noqa: SLF001 - public
            self.error = error

    def over(self) -> None:
        """Take note that a broker has answered."""
        self.error = None


def request_timeout(config: KafkaConfig) -> float:
    """Return how long one request may stay unanswered."""
    return min(config.request_timeout, config.delivery_timeout)


def retry_after(config: KafkaConfig) -> float:
    """Return how many seconds lie at least between two attempts to send something."""
    told = config.driver.get("retry_backoff_ms")
    pause = told if isinstance(told, int) else _RETRY_AFTER_MS
    return pause * (1 - _JITTER) / 1000


def new_producer(config: KafkaConfig, trouble: Trouble) -> Producer:
    """Return a producer that connects by itself. Raises `ConfigurationError`."""
    settings: dict[str, object] = {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0,
        "batch.size": min(131_072, config.max_message_bytes),
        "request.timeout.ms": max(1, int(request_timeout(config) * 1000)),
        "message.timeout.ms": max(1, int(config.delivery_timeout * 1000)),
        "message.max.bytes": max(config.max_message_bytes, 1_048_576) + 131_072,
        "queue.buffering.max.messages": 0,
        "queue.buffering.max.kbytes": 1_048_576,
        "topic.metadata.propagation.max.ms": max(1, int(config.address_timeout * 1000)),
    }
    made: Producer = _made(_Producer, config, trouble, settings, ("every", "producer"))
    return made


def drain(producer: Producer, seconds: float) -> None:
    """Wait until everything that was put has been told, at most so long.

    Not by `flush`: where it meets an error for good it goes on with that exception set, and what is
    told then fails in the middle.
    """
    deadline = time.monotonic() + seconds
    while len(producer) and (left := deadline - time.monotonic()) > 0:
        try:
            producer.poll(min(left, _TURN))  # another thread may have taken the last report
        except KafkaException as failure:  # the handle has given up: what it has is told next
            _logger.debug("given up by librdkafka: %s", failure)


def give_up(producer: Producer) -> None:
    """End everything that a producer has not sent, and have it told."""
    producer.purge()
    drain(producer, _END)


def new_consumer(config: KafkaConfig, trouble: Trouble, settings: dict[str, object]) -> Consumer:
    """Return a consumer that connects by itself. Raises `ConfigurationError`."""
    made: Consumer = _made(_Consumer, config, trouble, settings, ("every", "consumer"))
    return made


def _made(
    kind: Callable[..., Any],
    config: KafkaConfig,
    trouble: Trouble,
    settings: dict[str, object],
    scopes: tuple[Scope, ...],
) -> Any:
    check_files(config.driver)
    made = {
        "bootstrap.servers": ",".join(config.bootstrap),
        "client.id": config.client_id,
        "socket.timeout.ms": max(100, int(request_timeout(config) * 1000)),
        "socket.connection.setup.timeout.ms": max(
            _LEAST_SETUP_MS, int(config.connect_timeout * 1000)
        ),
        "metadata.max.age.ms": max(10, int(config.metadata_max_age * 1000)),
        "topic.metadata.refresh.interval.ms": max(10, int(config.metadata_max_age * 1000)),
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 1000,
        "retry.backoff.ms": _RETRY_AFTER_MS,
        "connections.max.idle.ms": 540_000,
        "allow.auto.create.topics": False,
        "error_cb": trouble.note,
        **settings,
        **translated(config.settings(*scopes)),
    }
    try:
        handle: Any = kind(made, logger=_logger)
    except (KafkaException, ValueError, TypeError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise ConfigurationError(f"librdkafka refuses its settings: {said}") from error
    _HANDLES.add(handle)
    return handle


def await_broker(
    handle: Producer,
    trouble: Trouble,
    bootstrap: Sequence[str],
    timeout: float,
    cancelled: Callable[[], bool],
) -> None:
    """Find a broker, within `timeout` seconds, or soon after `cancelled`.

    Raises a `TransportError` with the cause.
    """
    deadline = time.monotonic() + timeout
    while not _reached(handle):
        try:
            handle.poll(0)
        except KafkaException as failure:
            trouble.note(error_of(failure))
        error = trouble.error
        if _refused(error) or time.monotonic() >= deadline or cancelled():
            late = KafkaError(KafkaError._TIMED_OUT, f"no broker within {timeout} s")  # noqa: SLF001 - public
            raise connecting(cause(error or late), bootstrap)


def _refused(error: KafkaError | None) -> bool:
    """Whether trying longer would be in vain."""
    if error is None:
        return False
    said = error.str()
    return error.code() == KafkaError._AUTHENTICATION or any(w in said for w in _FATAL_WORDS)  # noqa: SLF001 - public


def _reached(handle: Producer) -> bool:
    """Whether a broker has told which cluster it is of."""
    try:
        return handle.cluster_id(timeout=_LOOK_AGAIN) is not None
    except KafkaException:
        return False


_HANDLES: weakref.WeakSet[Any] = weakref.WeakSet()


def _keep_after_fork() -> None:
    """Never free the parent's handles: freeing one waits for its threads, which are not here."""
    for handle in list(_HANDLES):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))


os.register_at_fork(after_in_child=_keep_after_fork)
