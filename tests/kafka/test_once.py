"""Messages that are appended once at most, whatever becomes of the answer."""

import os
import signal
import threading
from collections import Counter

import pytest

from transports.base import Address, Message, Receipt
from transports.errors import SendUncertain
from transports.kafka import KafkaConfig, KafkaTransport
from transports.kafka.broker import Broker

pytestmark = pytest.mark.kafka

END = b"end"


@pytest.fixture(scope="module")
def freezable():
    """A broker of our own, to be stopped and continued."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def transport(freezable):
    """A transport that gives an answer half a second, and sends what comes together in one."""
    config = KafkaConfig(
        bootstrap=(freezable.bootstrap,),
        partitions=1,
        request_timeout=0.5,
        driver={"linger_ms": 100},
    )
    with KafkaTransport(config) as opened:
        yield opened


class Outcomes:
    """What became of messages, by their bodies."""

    def __init__(self):
        self._told = threading.Condition()
        self._outcomes = {}

    def send(self, transport, topic, body, **options):
        def on_sent(outcome):
            with self._told:
                self._outcomes.setdefault(body, []).append(outcome)
                self._told.notify_all()

        transport.send(Address(topic, 0), Message(body), on_sent, **options)

    def of(self, body, patience=20):
        with self._told:
            assert self._told.wait_for(lambda: body in self._outcomes, patience), body
            (outcome,) = self._outcomes[body]
            return outcome


def appended(transport, topic):
    """Return how often each body stands in the topic."""
    outcomes, found = Outcomes(), Counter()
    outcomes.send(transport, topic, END)
    assert isinstance(outcomes.of(END), Receipt)
    receiver = transport.receiver(Address(topic), shared=True)
    while not found[END]:
        for delivery in receiver.receive(5):
            found[delivery.message.body] += 1
            delivery.ack()
    return found


def test_what_must_be_once_is_there_once_though_its_answer_is_lost_and_its_neighbours_twice(
    freezable, freeze, transport, topic_prefix
):
    outcomes = Outcomes()
    transport.prepare(Address(topic_prefix), 10)
    outcomes.send(transport, topic_prefix, b"warm", once=True)
    assert isinstance(outcomes.of(b"warm"), Receipt)
    # The request is with the broker's socket, and is read after its sender has given up.
    freeze(freezable.pid)
    outcomes.send(transport, topic_prefix, b"before")
    outcomes.send(transport, topic_prefix, b"once", once=True)
    outcomes.send(transport, topic_prefix, b"behind")
    told = outcomes.of(b"once")
    os.kill(freezable.pid, signal.SIGCONT)

    assert isinstance(told, SendUncertain)
    assert isinstance(outcomes.of(b"before"), Receipt)
    assert isinstance(outcomes.of(b"behind"), Receipt)
    found = appended(transport, topic_prefix)
    assert found == {b"warm": 1, b"before": 2, b"once": 1, b"behind": 2, END: 1}


def test_what_must_be_once_and_was_not_handed_over_is_sent_when_the_broker_is_back(
    freezable, transport, topic_prefix, eventually
):
    outcomes = Outcomes()
    transport.prepare(Address(topic_prefix), 10)
    outcomes.send(transport, topic_prefix, b"warm")
    assert isinstance(outcomes.of(b"warm"), Receipt)
    freezable.kill()
    eventually(lambda: transport._sends._producer.trouble)
    outcomes.send(transport, topic_prefix, b"once", once=True)
    freezable.start()

    assert isinstance(outcomes.of(b"once", 40), Receipt)
    assert appended(transport, topic_prefix)[b"once"] == 1
