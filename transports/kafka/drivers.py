"""Which driver opens a client: the one place where `KafkaConfig.client` is looked at.

A driver is imported when the first client is opened: kafka-python takes 50 ms, and confluent-kafka
need not be installed where it is not chosen.
"""

from collections.abc import Callable
from typing import Protocol

from transports.base import Address
from transports.errors import TransportError, Unreachable
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.clients import Member, MemberEvents, Producer, Reader
from transports.kafka.config import KafkaConfig
from transports.log import get_logger

__all__ = ["Driver", "driver", "open_failure"]

_log = get_logger(__name__)


class Driver(Protocol):
    """What opens clients, connected. Each raises a `TransportError` that tells the cause."""

    @property
    def WORTH_A_REQUEST(self) -> int:  # noqa: N802 - a constant of a module
        """See `Transport.worth_a_request`."""
        ...

    def open_producer(
        self, config: KafkaConfig, clock: BrokerClock, cancelled: Callable[[], bool], /
    ) -> Producer:
        """Open a producer, unless it is `cancelled` meanwhile; `clock` learns from its answers."""
        ...

    def open_reader(self, config: KafkaConfig, place: Address, /) -> Reader:
        """Open a reader; what is appended after this returns will be read."""
        ...

    def open_member(
        self,
        config: KafkaConfig,
        topic: str,
        group: str,
        events: MemberEvents,
        cancelled: Callable[[], bool],
        /,
    ) -> Member:
        """Open a member, unless it is `cancelled` meanwhile; its polls join the group."""
        ...


def driver(config: KafkaConfig) -> Driver:
    """Return the driver that `config` chooses."""
    if config.client == "confluent":
        from transports.kafka.librdkafka import opening as second  # noqa: PLC0415 - may not be there

        return second
    from transports.kafka.driver import opening  # noqa: PLC0415 - imports kafka-python

    return opening


def open_failure(error: Exception) -> TransportError:
    """Return what to tell those who wait for a client that `error` kept from being opened.

    What nobody thought of is logged too; the thread that opens goes on, or all would wait for ever.
    """
    if isinstance(error, TransportError):
        return error
    _log.error("kafka.open_failed", exc_info=error)
    return Unreachable(f"the Kafka client can't be opened: {error!r}")
