"""A producer on librdkafka, which appends each message once however often it tries.

It is idempotent: brokers recognise what is sent again, so that a retry neither doubles a message
nor disturbs the order. librdkafka gives such a handle up for good after some errors; then another
takes its place.

Owners: `_lock` guards the handle in use and the counts of what was put; the thread that polls
tells what became of messages, and counts those, until closing takes over from it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as RawProducer

from transports import failpoints
from transports.base import Address, Message, OnSent, Receipt
from transports.errors import SendUncertain, TransportClosed, TransportError, Unreachable
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.errors import (
    FOR_COMPANY,
    TOPIC_CHANGED,
    definite,
    error_of,
    not_sent,
)
from transports.kafka.librdkafka.flusher import Flusher
from transports.kafka.librdkafka.handle import (
    Trouble,
    await_broker,
    give_up,
    new_producer,
    retry_after,
)
from transports.kafka.librdkafka.known import KnownTopics
from transports.kafka.librdkafka.messages import check
from transports.kafka.topic_state import TopicState
from transports.log import get_logger
from transports.outcome import tell
from transports.together import hold

__all__ = ["Producer"]

_log = get_logger(__name__)
_POLL = 0.5
_LEARN_EVERY = 0.05
_END = 1.0
_LOG_APPEND_TIME = 2


class _Put(NamedTuple):
    """A message that was handed to librdkafka, and when."""

    place: Address
    message: Message
    on_sent: OnSent
    began: float
    once: bool = False
    alone: bool = False
    """Whether it is sent by itself, since a batch with it was refused."""
    doubtful: bool = False
    """Whether that batch may have been appended in an attempt before."""


class Producer:
    """Sends records. See `transports.kafka.clients.Producer`."""

    def __init__(self, config: KafkaConfig, clock: BrokerClock) -> None:
        """Make the handle; `open` connects, and starts the threads."""
        self._config = config
        self._clock = clock
        self._learn_at = 0.0
        self._retry_after = retry_after(config)
        self._trouble = Trouble()
        self._lock = threading.Lock()
        self._closed = False
        self._put: dict[Address, int] = {}
        self._done: dict[Address, int] = {}
        self._outcasts: deque[_Put] = deque()
        self._held: deque[_Put] = deque()
        """What goes at the end of its sender's batch: each would be a request of its own."""
        self._alone = False
        self._handle = new_producer(config, self._trouble)
        self._known = KnownTopics(self._current, self._trouble, config.metadata_max_age)
        self._stopped = threading.Event()
        self._flusher = Flusher(f"rpc-kafka-flusher-{config.client_id}")
        self._threads: list[threading.Thread] = []

    def open(self, timeout: float, cancelled: Callable[[], bool]) -> None:
        """Find a broker, within `timeout` seconds. Raises a `TransportError`."""
        await_broker(self._handle, self._trouble, self._config.bootstrap, timeout, cancelled)
        self._trouble.over()
        name = f"rpc-kafka-sender-{self._config.client_id}"
        poller = threading.Thread(target=self._run, name=name, daemon=True)
        poller.start()
        self._flusher.thread.start()
        self._threads = [
            poller,
            self._flusher.thread,
            self._known.start(f"rpc-kafka-topics-{self._config.client_id}"),
        ]

    @property
    def trouble(self) -> BaseException | None:
        """Why brokers can't be reached at the moment, where that is known."""
        return self._trouble.cause

    def on_metadata(self, listener: Callable[[], None]) -> None:
        """See `clients.Producer`."""
        self._known.listen(listener)

    def on_ready(self, flush: Callable[[], None]) -> None:
        """See `clients.Producer`."""
        self._flusher.flush = flush

    def wake(self, place: Address, *, alone: bool) -> None:
        """See `clients.Producer`; librdkafka is always ready."""
        del place
        if hold(self, self._push):
            return
        (self._flusher.flush if alone else self._flusher.wake)()

    def view(self, topic: str) -> object:
        """See `clients.Producer`."""
        return self._known.view(topic)

    def state(self, topic: str) -> TopicState:
        """Return what is known of `topic` without asking."""
        return self._known.state(topic)

    def ask(self, topic: str) -> None:
        """Ask the brokers about `topic`. Raises `ValueError` for what can't be a topic's name."""
        self._known.ask(topic)

    def forget(self, topic: str, error: BaseException) -> None:
        """Ask for `topic` no more; librdkafka fails what waits for it."""
        del error
        self._known.forget(topic)

    def put(
        self,
        place: Address,
        message: Message,
        on_sent: OnSent,
        *,
        once: bool = False,
        limit: int | None = None,
    ) -> None:
        """See `clients.Producer`."""
        check(place, message, limit or self._config.max_message_bytes)
        put = _Put(place, message, on_sent, time.monotonic(), once)
        with self._lock:
            if self._closed:
                raise TransportClosed("the transport is closed")
            if hold(self, self._push):
                self._held.append(put)
            else:
                self._produce(put)
            self._put[place] = self._put.get(place, 0) + 1

    def waits(self, place: Address) -> bool:
        """Whether something put there is not done."""
        return self._put.get(place, 0) > self._done.get(place, 0)

    def close(self, timeout: float) -> None:
        """See `clients.Producer`."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if self._closed:
                return
            self._closed = True
            handle = self._handle
        self._known.close()
        self._stopped.set()
        self._flusher.stop()
        handle.flush(max(0.0, deadline - time.monotonic()))
        give_up(handle)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_END)
                if thread.is_alive():
                    _log.warning("kafka.sender_left_running", thread=thread.name)

    def _push(self) -> None:
        """Send what was held back, and flush."""
        while self._held:
            failed: TransportError | None = None
            with self._lock:  # in the order in which they came, whoever lets go of them
                try:
                    put = self._held.popleft()
                except IndexError:
                    break
                try:
                    if self._closed:
                        raise TransportClosed("the transport was closed before it was sent")
                    self._produce(put)
                except TransportError as error:
                    self._put[put.place] -= 1
                    failed = error
            if failed is not None:
                tell(put.on_sent, failed)
        self._flusher.flush()

    def _produce(self, put: _Put) -> None:
        """Hand a message to librdkafka. Under the lock."""
        (topic, partition), message = put.place, put.message
        try:
            self._handle.produce(
                topic,
                message.body,
                message.key,
                partition=partition or 0,
                headers=list(message.headers),
                on_delivery=partial(self._report, put),
            )
        except BufferError:
            raise Unreachable(f"too much waits to be sent already, also to {topic}") from None
        except KafkaException as failure:
            raise not_sent(error_of(failure), topic, partition or 0, doubtful=False) from failure

    def _report(self, put: _Put, error: KafkaError | None, record: Any) -> None:
        """Tell what became of a message. Where librdkafka is polled."""
        now = time.monotonic()
        place, on_sent, alone = put.place, put.on_sent, put.alone
        self._done[place] = self._done.get(place, 0) + 1
        if error is None:
            self._acked(put, now, record)
        else:
            if error.code() in TOPIC_CHANGED:
                self._known.ask(place.topic)
            proven = definite(error, now - put.began, self._retry_after)
            doubtful = put.doubtful or not proven
            if error.code() in FOR_COMPANY and not (alone or (put.once and doubtful)):
                self._outcasts.append(put._replace(alone=True, doubtful=doubtful))
            else:
                topic, partition = place.topic, place.partition or 0
                tell(on_sent, not_sent(error, topic, partition, doubtful=doubtful))
        if alone:
            self._alone = False
        while self._outcasts and not self._alone:
            self._try_alone(self._outcasts.popleft())

    def _try_alone(self, put: _Put) -> None:
        """Send one again that was refused with a whole batch; the next when that has ended."""
        try:
            with self._lock:
                if self._closed:
                    raise TransportClosed("the transport was closed before it was sent again")
                self._produce(put._replace(began=time.monotonic()))
                self._put[put.place] += 1
            self._alone = True
        except TransportError as error:
            uncertain = SendUncertain(f"sent, and refused with others; not sent again: {error}")
            tell(put.on_sent, uncertain if put.doubtful else error)

    def _acked(self, put: _Put, now: float, record: Any) -> None:
        self._trouble.over()
        (topic, partition), on_sent = put.place, put.on_sent
        if failpoints.on:
            failpoints.hit("producer.acked")  # telling can't be dropped: each sender is told once
        offset = record.offset()
        if offset is None or offset < 0:  # a broker that knows only that it had it before
            tell(on_sent, SendUncertain(f"it is in {topic}/{partition}, but not known where"))
            return
        if now >= self._learn_at:
            kind, stamp = record.timestamp()
            if kind == _LOG_APPEND_TIME:  # none on topics that keep their producers' time
                self._learn_at = now + _LEARN_EVERY
                node = self._known.leader(topic, partition or 0)
                self._clock.learn(node, stamp / 1000, put.began, now)
        tell(on_sent, Receipt(topic, partition or 0, offset))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._current().poll(_POLL)
            except Exception:  # whatever it is: somebody waits to be told of the next message
                _log.exception("kafka.report_failed")
            error = self._trouble.error
            if error is not None and error.fatal():
                self._renew(error)

    def _renew(self, error: KafkaError) -> None:
        """Go on with another handle, and tell of what the old one leaves."""
        _log.error("kafka.producer_renewed", why=error.str())
        fresh = new_producer(self._config, self._trouble)
        with self._lock:
            old, self._handle = self._handle, fresh
        self._trouble.over()
        give_up(old)

    def _current(self) -> RawProducer:
        return self._handle
