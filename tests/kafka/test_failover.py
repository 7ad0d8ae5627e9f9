"""A broker of several that fails: the others' partitions go on, and its own when they are led."""

import threading
import time

import pytest

from transports.base import Address, Message, Receipt
from transports.kafka import KafkaConfig, KafkaTransport
from transports.kafka.broker import Cluster

pytestmark = pytest.mark.kafka

PARTITIONS = 6


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as started:
        yield started


@pytest.fixture
def transport(cluster):
    config = KafkaConfig(bootstrap=tuple(cluster.bootstrap.split(",")), partitions=PARTITIONS)
    with KafkaTransport(config) as opened:
        yield opened


def send_to_each(transport, topic, patience):
    """Send to each partition at once; return after how long each was acknowledged."""
    took, told, began = {}, threading.Semaphore(0), time.monotonic()

    def keeper(partition):
        def on_sent(outcome):
            assert isinstance(outcome, Receipt), outcome
            took[partition] = time.monotonic() - began
            told.release()

        return on_sent

    for partition in range(PARTITIONS):
        transport.send(Address(topic, partition), Message(b""), keeper(partition))
    for _ in range(PARTITIONS):
        assert told.acquire(timeout=patience), took
    return took


def test_a_leader_that_freezes_is_left_when_others_lead_and_not_when_its_answer_is_overdue(
    cluster, transport, freeze, topic_prefix
):
    transport.prepare(Address(topic_prefix), 30)
    send_to_each(transport, topic_prefix, 30)
    victim = transport._sends._producer._cluster._partitions[topic_prefix][0].leader_id
    node = cluster.brokers[victim - 1]
    freeze(node.pid)
    took = send_to_each(transport, topic_prefix, 30)

    assert max(took.values()) < 8.0  # an answer is overdue after ten
