"""Poison: what stock makes of a bad record, and how a thread gets out of it."""

import threading

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError

from transports.base import Address, Message
from transports.kafka.driver.fetch import TolerantFetcher


@pytest.fixture
def poisoned(kit, outcome_of, raw_name):
    """A partition with one record between two good ones that kafka-python can't read."""
    topic, transport = kit.topic(1), kit.transport()
    for body, headers in (
        (b"good", ()),
        (b"bad", ((raw_name(b"\xff\xfe"), b"x"),)),
        (b"good", ()),
    ):
        outcome_of(transport, Address(topic, 0), Message(body, headers))
    return topic


def test_stock_raises_once_and_then_never_returns(bootstrap, poisoned):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(poisoned, 0)])
    raised = []

    def poll():
        try:
            consumer.poll(1000)
        except Exception as error:
            raised.append(error)

    while not raised:
        poll()
    polling = threading.Thread(target=poll)
    polling.start()
    polling.join(1.5)
    hung = polling.is_alive()
    TolerantFetcher.abandon(consumer._fetcher)
    polling.join(10)
    consumer.close(timeout_ms=1000)

    assert hung
    assert isinstance(raised[0], CorruptRecordError)
    assert not polling.is_alive(), "what `abandon` takes away does not let the thread out"
