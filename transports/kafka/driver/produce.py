# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""A producer made of kafka-python's accumulator and sender, without its front.

What the front (`KafkaProducer`) costs is left out: a future per record, sets of partitions built
anew for each send, and a finaliser that silences the module's logger.

Owner: who has the sender's loop, but for the queues of batches, which have their locks.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from kafka.util import ensure_valid_topic_name

from transports.base import Address, Message, OnSent
from transports.errors import MessageTooLarge
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.clients import IN_A_ROW
from transports.kafka.driver.accumulate import Accumulator
from transports.kafka.driver.client import Client
from transports.kafka.driver.sender import SteadySender
from transports.kafka.driver.write import RecordTooLarge
from transports.kafka.topic_state import TopicState
from transports.log import get_logger
from transports.together import hold

__all__ = ["Producer"]

_log = get_logger(__name__)
_CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class Producer:
    """Sends records over one client. All methods may be called from any thread."""

    def __init__(
        self,
        client: Client,
        settings: Mapping[str, Any],
        max_message_bytes: int,
        thread_name: str,
        clock: BrokerClock,
    ) -> None:
        """Start the thread; `clock` learns from what brokers acknowledge."""
        self._client = client
        self._max_message_bytes = max_message_bytes
        self._cluster = client.cluster
        self._accumulator = Accumulator(
            message_version=2,
            compression_attrs=_CODECS[settings.get("compression_type")],
            batch_size=settings["batch_size"],
            linger_ms=settings["linger_ms"],
            retry_backoff_ms=settings["retry_backoff_ms"],
            request_timeout_ms=settings["request_timeout_ms"],
            delivery_timeout_ms=settings["delivery_timeout_ms"],
        )
        self._sender = SteadySender(
            client,
            self._cluster,
            self._accumulator,
            acks=-1,
            guarantee_message_order=True,
            max_request_size=settings["max_request_size"],
            request_timeout_ms=settings["request_timeout_ms"],
            retry_backoff_ms=settings["retry_backoff_ms"],
            client_id=settings["client_id"],
        )
        self._sender.clock = clock
        self._sender.name = thread_name
        self._sender.daemon = True
        self._sender.start()

    @property
    def trouble(self) -> BaseException | None:
        """Why brokers can't be reached at the moment, where that is known."""
        return self._client.trouble

    def on_metadata(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each update of metadata, on the sender's thread."""
        self._cluster.add_listener(lambda _: listener())

    def on_ready(self, flush: Callable[[], None]) -> None:
        """Call `flush` before each look at what is to be sent, by who sends it."""
        self._sender.before_send = flush

    def wake(self, place: Address, *, alone: bool) -> None:
        """Have what is to be sent looked at, as soon as something can go to that partition."""
        self._ring(place, now=alone)

    def view(self, topic: str) -> object:
        """Return what identifies the present knowledge of `topic`; None when it is not known."""
        found: object = self._cluster._partitions.get(topic)
        return found

    def state(self, topic: str) -> TopicState:
        """Return what is known of `topic` without asking."""
        partitions = self._cluster._partitions.get(topic, {})
        every = tuple(sorted(partitions))
        led = tuple(p for p in every if partitions[p].leader_id != -1)
        return TopicState(every, led or every, topic in self._cluster.unauthorized_topics)

    def ask(self, topic: str) -> None:
        """Ask the brokers about `topic`; `on_metadata` listeners learn when they have answered.

        Raises `ValueError` for what can't be the name of a topic.
        """
        ensure_valid_topic_name(topic)

        def look() -> None:
            self._cluster._topics.add(topic)
            self._cluster.request_update()

        self._client._manager.call_soon(look)

    def forget(self, topic: str, error: BaseException) -> None:
        """Fail with `error` what waits to be sent to `topic`, and ask for it no more."""

        def drop() -> None:
            self._cluster._topics.discard(topic)
            self._accumulator.abort_topic(topic, error)

        self._client._manager.call_soon(drop)

    def put(
        self,
        place: Address,
        message: Message,
        on_sent: OnSent,
        *,
        once: bool = False,
        limit: int | None = None,
    ) -> None:
        """Queue a record for a partition that is known; never blocks on the network.

        `once`: there is no second attempt where the first may have been appended. `limit` goes
        before `max_message_bytes`. Raises `TransportClosed` or `MessageTooLarge`, then `on_sent` is
        not called.
        """
        limit = limit or self._max_message_bytes
        try:
            begun = self._accumulator.put(place, message, on_sent, limit, once=once)
        except RecordTooLarge as error:
            raise MessageTooLarge(
                f"a message to {place.topic} takes {error.size} bytes, and max_message_bytes is "
                f"{limit}; send less, or raise max_message_bytes here and max.message.bytes of the "
                "topic"
            ) from None
        if begun:
            self._ring(place, now=self._sender.alone >= IN_A_ROW)

    def waits(self, place: Address) -> bool:
        """Whether a batch for this partition waits to be sent; when read, perhaps no more."""
        return bool(self._accumulator._batches.get(place))

    def _ring(self, tp: Any, *, now: bool) -> None:
        """Have the sender look at what is to be sent, unless it is about to.

        `now`: by this thread, if the sender is not at work. Nothing where the leader's connection
        is full: its reply will do that.
        """
        sender, here = self._sender, threading.get_ident()
        if here in {sender.flushing, sender.ident}:
            return
        connection = self._client._manager._conns.get(self._cluster.leader_for_partition(tp))
        if connection is not None and connection.paused:
            sender.rung = True
        elif hold(self, self._push):
            pass
        elif now:
            self._push()
        else:
            self._call_sender()

    def _push(self) -> None:
        """Send what there is by this thread, if the sender is not at work."""
        if not self._sender.push():
            self._call_sender()

    def _call_sender(self) -> None:
        self._sender.rung = True
        self._client.wakeup()

    def close(self, timeout: float) -> None:
        """Send what is queued within `timeout` seconds, fail the rest, end the thread."""
        self._sender.initiate_close()
        if threading.current_thread() is not self._sender:
            self._sender.join(timeout)
            if self._sender.is_alive():
                self._sender.force_close()
                self._sender.join(1.0)
        if self._sender.is_alive():
            _log.warning("kafka.sender_left_running", thread=self._sender.name)
        else:
            self._client.shut()
        self._accumulator.abort_incomplete_batches()
