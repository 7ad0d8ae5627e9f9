"""Clients on librdkafka, connected, as `transports.kafka.drivers` asks for them."""

from collections.abc import Callable

from transports.base import Address
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.clients import MemberEvents
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.consume import Reader
from transports.kafka.librdkafka.member import Member
from transports.kafka.librdkafka.produce import Producer

__all__ = ["WORTH_A_REQUEST", "open_member", "open_producer", "open_reader"]

# Measured: up to a quarter more calls with 32 to 128 in flight; with more no difference.
WORTH_A_REQUEST = 16


def open_producer(
    config: KafkaConfig, clock: BrokerClock, cancelled: Callable[[], bool]
) -> Producer:
    """Connect, and start the producer; `clock` learns from what brokers acknowledge.

    Raises a `TransportError`.
    """
    producer = Producer(config, clock)
    try:
        producer.open(config.connect_timeout, cancelled)
    except BaseException:
        producer.close(0.0)
        raise
    return producer


def open_reader(config: KafkaConfig, place: Address) -> Reader:
    """Connect, and stand at the end of a partition. Raises a `TransportError`."""
    reader = Reader(config, place)
    try:
        reader.open(config.connect_timeout)
    except BaseException:
        reader.shut(0.0)
        raise
    return reader


def open_member(
    config: KafkaConfig,
    topic: str,
    group: str,
    events: MemberEvents,
    cancelled: Callable[[], bool],
) -> Member:
    """Connect, and subscribe: the polls that follow join the group. Raises a `TransportError`."""
    member = Member(config, topic, group, events)
    try:
        member.join(config.connect_timeout, cancelled)
    except BaseException:
        member.shut(0.0)
        raise
    return member
