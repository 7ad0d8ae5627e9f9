"""The send path: a message becomes a record in a queue, without waiting for the network.

Owners: `_routes`, `_limits` and `_chunked` are read by any thread and replaced entry by entry, with
values that never change; the sender's thread teaches the clock; the turns of messages without a key
are taken under `_turns`; the producer is opened by the resolver's thread, once, unless it is too
late: `_abandoned`, also under `_turns`.
"""

import random
import threading
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

from transports import failpoints
from transports.base import Address, Message, OnSent
from transports.errors import MessageRefused, MessageTooLarge, TransportClosed, TransportError
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.chunk_sending import cut, send_chunks
from transports.kafka.clients import Producer
from transports.kafka.config import KafkaConfig
from transports.kafka.drivers import driver
from transports.kafka.outbox import Outbox
from transports.kafka.partition_queue import Entry
from transports.kafka.partitioner import StickySpread, partition_for_key
from transports.kafka.resolver import Resolver, Waiting
from transports.kafka.topic_state import Topics
from transports.log import get_logger

__all__ = ["SendPath"]

_log = get_logger(__name__)
_RUN = 64


class _Route(NamedTuple):
    """What is known of a topic, as long as the brokers' answer is this `view`."""

    view: object
    places: tuple[Address, ...]
    """All its partitions."""
    led: tuple[Address, ...]
    """Those that have a leader."""
    spread: StickySpread


class SendPath:
    """Sends for one transport; connects at the first send. All methods from any thread."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._clock = BrokerClock()
        self._closed: str | None = None
        self._abandoned = False
        self._producer: Producer | None = None
        self._routes: dict[str, _Route] = {}
        self._limits: dict[str, int] = {}
        self._chunked: set[str] = set()
        self._turns = threading.Lock()
        self._outbox = Outbox(self, config.delivery_timeout, config.max_message_bytes // 2)
        self._resolver = Resolver(
            f"rpc-kafka-resolver-{config.client_id}",
            patience=config.address_timeout,
            give_up=max(config.connect_timeout, config.address_timeout),
            open_topics=self._open,
            go_on=self._go_on,
            lost=self._lost,
        )

    def send(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> None:
        """Queue `message`; see `Transport.send`."""
        if failpoints.on and failpoints.hit("producer.before_send"):
            return
        if self._closed is not None:
            on_sent(TransportClosed(self._closed))
            return
        if not (
            self._resolver.engaged
            and self._resolver.wait_behind(Waiting(address, message, on_sent, avoid, once, packed))
        ):
            self._dispatch(address, message, on_sent, avoid, once=once, packed=packed)

    def now(self) -> float | None:
        """Return the brokers' time; None until one has acknowledged a message with its time."""
        return self._clock.now(time.monotonic())

    def take(self, topic: str, most: int) -> None:
        """Take messages of up to `most` bytes for `topic`, beyond `max_message_bytes`."""
        self._limits[topic] = most

    def allow_chunks(self, topic: str) -> None:
        """Let what is too large go to `topic` in chunks, though not said to be for who packs."""
        self._chunked.add(topic)

    def forgive(self, topic: str) -> None:
        """Look for `topic` anew at the next send, though it was not there a moment ago."""
        self._resolver.forgive(topic)

    def refuse(self, reason: str) -> None:
        """Refuse every further send with `reason`."""
        self._closed = self._closed or reason

    def close(self, timeout: float) -> None:
        """Send what is queued within `timeout` seconds, fail the rest."""
        deadline = time.monotonic() + timeout
        self.refuse("the transport is closed")
        self._resolver.close(self._closed or "", timeout)
        with self._turns:
            self._abandoned = True
        if self._producer is not None:
            self._outbox.close()
            self._producer.close(max(0.0, deadline - time.monotonic()))

    def _dispatch(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        avoid: Collection[int],
        *,
        once: bool,
        packed: bool,
    ) -> None:
        topic, partition = address
        producer = self._producer
        route = None if producer is None else self._route(topic, producer)
        if producer is None or route is None:
            waiting = Waiting(address, message, on_sent, avoid, once, packed)
            self._resolver.park(waiting, whole_topic=True)
        elif partition is None:
            place = self._choose(route, message.key, avoid)
            self._put(place, message, on_sent, once=once, packed=packed)
        elif 0 <= partition < len(route.places):
            self._put(route.places[partition], message, on_sent, once=once, packed=packed)
        else:
            waiting = Waiting(address, message, on_sent, avoid, once, packed)
            self._resolver.park(waiting, whole_topic=False)

    def _route(self, topic: str, producer: Producer) -> _Route | None:
        """Return what is known of `topic`, looking closer only when the brokers' answer is new."""
        view, route = producer.view(topic), self._routes.get(topic)
        if route is not None and route.view is view:
            return route
        state = producer.state(topic)
        if not state.partitions:
            return None
        spread = StickySpread(_begin(), _RUN) if route is None else route.spread
        places = tuple(Address(topic, partition) for partition in state.partitions)
        led = tuple(Address(topic, partition) for partition in state.led)
        route = _Route(view, places, led, spread)
        self._routes[topic] = route
        return route

    def _choose(self, route: _Route, key: bytes | None, avoid: Collection[int]) -> Address:
        if key is not None:
            return route.places[partition_for_key(key, len(route.places))]
        shunned = {route.places[n] for n in avoid if 0 <= n < len(route.places)} if avoid else ()
        with self._turns:
            return route.spread.choose(route.led, self._waits, shunned)

    def _waits(self, place: Address) -> bool:
        """Whether what is sent there now can go with others."""
        producer = self._producer
        return self._outbox.waits(place) or (producer is not None and producer.waits(place))

    def _put(
        self, place: Address, message: Message, on_sent: OnSent, *, once: bool, packed: bool
    ) -> None:
        if packed or self._outbox.knows(place):
            self._outbox.send(place, message, on_sent, once=once, packed=packed)
        else:
            self.write(place, message, on_sent, once=once, packed=packed)

    def write(
        self, place: Address, message: Message, on_sent: OnSent, *, once: bool, packed: bool
    ) -> None:
        """Queue a record, or chunks; `on_sent` is told once. For the outbox too.

        Once there is a producer.
        """
        producer = self._producer
        if producer is None:
            on_sent(TransportClosed(self._closed or "the transport is not open"))
            return
        limit = self._limits.get(place.topic) if self._limits else None
        try:
            try:
                producer.put(place, message, on_sent, once=once, limit=limit)
            except MessageTooLarge as error:
                reads = packed or place.topic in self._chunked
                most = limit or self._config.max_message_bytes
                chunks = cut(message, most, self._config.max_chunked_bytes if reads else 0, error)
                put = partial(producer.put, place, once=once, limit=limit)
                send_chunks(put, chunks, on_sent)
        except TransportError as error:
            on_sent(error)
        except Exception as reason:
            # Whatever is in a message that is none: nobody waits for ever, and no thread ends of it
            on_sent(MessageRefused(f"a message to {place.topic} can't be written: {reason}"))

    def wake(self, place: Address, *, alone: bool) -> None:
        """Have the outbox flushed when the driver is ready to send. For the outbox."""
        producer = self._producer
        if producer is not None:
            producer.wake(place, alone=alone)

    def turn_back(self, place: Address, entries: Sequence[Entry]) -> bool:
        """Let messages wait for their topic, where it is gone. For the outbox."""
        producer = self._producer
        if producer is None or producer.view(place.topic) is not None:
            return False
        for message, on_sent, once, packed, _ in entries:
            self._dispatch(place, message, on_sent, (), once=once, packed=packed)
        return True

    def _go_on(self, waiting: Waiting) -> None:
        """Send what has waited. On the resolver's thread."""
        address, message, on_sent, avoid, once, packed = waiting
        self._dispatch(address, message, on_sent, avoid, once=once, packed=packed)

    def _lost(self) -> list[str]:
        """Forget topics that the brokers know no more, and name them. On the resolver's thread."""
        producer = self._producer
        if producer is None:
            return []
        lost = [topic for topic in list(self._routes) if producer.view(topic) is None]
        for topic in lost:
            _log.warning("kafka.topic_gone", topic=topic)
            del self._routes[topic]
        return lost

    def _open(self) -> Topics:
        """Connect, and start the producer. On the resolver's thread."""
        config = self._config
        producer = driver(config).open_producer(config, self._clock, lambda: self._resolver.closed)
        producer.on_metadata(self._resolver.answered)
        producer.on_ready(self._outbox.flush)
        with self._turns:
            if not self._abandoned:
                self._producer = producer
                return producer
        producer.close(0.0)
        raise TransportClosed("the transport was closed while it was connecting")


def _begin() -> int:
    """Return where to begin a round, so that many clients don't all begin at partition 0."""
    return random.randrange(1 << 16)  # noqa: S311 - no secret
