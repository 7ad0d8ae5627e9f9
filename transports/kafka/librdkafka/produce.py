"""A producer on librdkafka, which appends each message once however often it tries.

It is idempotent: brokers recognise what is sent again, so that a retry neither doubles a message
nor disturbs the order.

Owners: `_lock` guards what waits here and the counts of what was put; the thread that polls tells
what became of messages, and counts those, until closing takes over from it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as RawProducer

from transports import failpoints
from transports.base import Address, Message, OnSent, Receipt
from transports.errors import SendUncertain, TransportClosed, TransportError, Unreachable
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.apart import Apart, Put
from transports.kafka.librdkafka.errors import (
    FOR_COMPANY,
    TOPIC_CHANGED,
    definite,
    error_of,
    not_sent,
)
from transports.kafka.librdkafka.flusher import Flusher
from transports.kafka.librdkafka.handle import Trouble, await_broker, retry_after
from transports.kafka.librdkafka.known import KnownTopics
from transports.kafka.librdkafka.messages import check
from transports.kafka.librdkafka.polled import Polled
from transports.kafka.topic_state import TopicState
from transports.log import get_logger
from transports.outcome import tell
from transports.together import hold

__all__ = ["Producer"]

_log = get_logger(__name__)
_LEARN_EVERY = 0.05
_END = 1.0
_LOG_APPEND_TIME = 2


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
        self._given: dict[Address, int] = {}
        """How many of those librdkafka has, or had."""
        self._done: dict[Address, int] = {}
        """How many of these it has told of: counted by the thread that polls."""
        self._apart = Apart()
        self._held: deque[Put] = deque()
        """What goes at the end of its sender's batch: each would be a request of its own."""
        self._polled = Polled(config, self._trouble)
        self._known = KnownTopics(self._current, self._trouble, config.metadata_max_age)
        self._flusher = Flusher(f"rpc-kafka-flusher-{config.client_id}")
        self._threads: list[threading.Thread] = []

    def open(self, timeout: float, cancelled: Callable[[], bool]) -> None:
        """Find a broker, within `timeout` seconds. Raises a `TransportError`."""
        await_broker(self._current(), self._trouble, self._config.bootstrap, timeout, cancelled)
        self._trouble.over()
        self._polled.thread.start()
        self._flusher.thread.start()
        self._threads = [
            self._polled.thread,
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
        now = time.monotonic()
        put = Put(place, message, on_sent, now, now, once)
        with self._lock:
            if self._closed:
                raise TransportClosed("the transport is closed")
            self._held.append(put)  # before its batch knows: another thread may let go of that
            push = not hold(self, self._push)
            if push and len(self._held) == 1:
                self._held.pop()
                self._go(put)
                push = False
            self._put[place] = self._put.get(place, 0) + 1
        if push:  # behind what others hold back
            self._push()

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
        self._known.close()
        self._flusher.stop()
        self._polled.close(max(0.0, deadline - time.monotonic()))
        self._tell_apart()
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
                    self._go(put)
                except TransportError as error:
                    self._put[put.place] -= 1
                    failed = error
            if failed is not None:
                tell(put.on_sent, failed)
        self._flusher.flush()

    def _go(self, put: Put) -> None:
        """Hand a message over, unless others are sent there one by one. Under the lock."""
        if put.place in self._apart:
            self._apart.add(put)
        else:
            self._produce(put)

    def _produce(self, put: Put) -> None:
        """Hand a message to librdkafka. Under the lock."""
        place, message = put.place, put.message
        topic, partition = place
        try:
            self._polled.handle.produce(
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
        self._given[place] = self._given.get(place, 0) + 1

    def _report(self, put: Put, error: KafkaError | None, record: Any) -> None:
        """Tell what became of a message. Where librdkafka is polled."""
        now = time.monotonic()
        place, on_sent = put.place, put.on_sent
        self._done[place] = self._done.get(place, 0) + 1
        if error is None:
            self._acked(put, now, record)
        else:
            if error.code() in TOPIC_CHANGED:
                self._known.ask(place.topic)
            proven = definite(error, now - put.began, self._retry_after)
            doubtful = put.doubtful or not proven
            if error.code() in FOR_COMPANY and not (put.alone or (put.once and doubtful)):
                with self._lock:
                    self._apart.refuse(put._replace(alone=True, doubtful=doubtful))
                    self._put[place] += 1
            else:
                topic, partition = place.topic, place.partition or 0
                tell(on_sent, not_sent(error, topic, partition, doubtful=doubtful))
        if self._apart:
            self._go_on(place)

    def _go_on(self, place: Address) -> None:
        """Send what was refused there by itself, one after the other, and then what waits.

        What has waited as long as a send is tried is given up.
        """
        while place in self._apart and self._given[place] == self._done[place]:
            failed: list[tuple[Put, TransportError]] = []
            now, patience = time.monotonic(), self._config.delivery_timeout
            with self._lock:
                for put in self._apart.next(place):
                    try:
                        if self._closed:
                            raise TransportClosed("the transport was closed before it was sent")
                        if now - put.since > patience:
                            raise Unreachable(f"not sent to {place.topic} within {patience:g} s")
                        self._produce(put._replace(began=now))
                    except TransportError as refused:
                        self._put[place] -= 1
                        failed.append((put, refused))
            for put, why in failed:
                tell(put.on_sent, put.unsent(why))

    def _tell_apart(self) -> None:
        """Tell of what was still to be tried by itself, and of what waits behind, on closing."""
        with self._lock:
            left = self._apart.drain()
        closed = TransportClosed("the transport was closed before it was sent")
        for put in left:
            tell(put.on_sent, put.unsent(closed))

    def _acked(self, put: Put, now: float, record: Any) -> None:
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

    def _current(self) -> RawProducer:
        return self._polled.handle
