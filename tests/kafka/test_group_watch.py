"""How a group stands: its members and how far they are, told in time or not at all."""

import os
import signal
import threading
import time

import pytest

from transports.base import Address, Message, Receipt
from transports.errors import AddressUnknown, TransportClosed, TransportError, Unreachable
from transports.kafka import KafkaConfig, KafkaTransport
from transports.kafka.broker import Broker


def test_a_group_that_nobody_was_in_has_no_members(kit):
    state = kit.transport().group(kit.topic(2), 10)

    assert (state.members, dict(state.committed)) == (0, {})


def test_members_are_counted_and_what_they_settled_is_told(kit, outcome_of, taken, eventually):
    topic, transport = kit.topic(2), kit.transport(commit_interval=0.1, group_prefix="shop.")
    for _ in range(3):
        assert isinstance(outcome_of(transport, Address(topic, 1), Message(b"")), Receipt)
    receiver = kit.transport(group_prefix="shop.", commit_interval=0.1).receiver(
        Address(topic), shared=True
    )
    taken(receiver, 3)

    def settled():
        receiver.receive(0.05)
        return transport.group(topic, 10).committed.get(1) == 3

    eventually(settled)
    assert transport.group(topic, 10).members == 1
    receiver.close(5)
    assert transport.group(topic, 10).members == 0
    assert transport.group(topic, 10).committed[1] == 3


def test_members_count_while_they_share_out_their_partitions(kit, taken, outcome_of):
    topic, transport = kit.topic(2), kit.transport()
    outcome_of(transport, Address(topic), Message(b""))
    first = transport.receiver(Address(topic), shared=True)
    taken(first, 1)
    counted, joined = [], threading.Event()

    def join():
        second = transport.receiver(Address(topic), shared=True)
        end = time.monotonic() + 10
        while transport.group(topic, 10).members < 2 and time.monotonic() < end:
            first.receive(0.05)
            second.receive(0.05)
        joined.set()

    other = threading.Thread(target=join)
    other.start()
    while not joined.is_set():
        counted.append(transport.group(topic, 10).members)
    other.join()
    counted.append(transport.group(topic, 10).members)

    assert set(counted) == {1, 2}


def test_a_topic_that_is_not_there_is_told(kit):
    began = time.monotonic()
    with pytest.raises(AddressUnknown, match="test-nowhere does not exist"):
        kit.transport().group("test-nowhere", 10)

    assert time.monotonic() - began < 5


def test_questions_go_over_one_connection_that_ends_with_the_transport(kit):
    topic, transport = kit.topic(1), kit.transport(client_id="curious")
    admins = []
    for _ in range(3):
        transport.group(topic, 10)
        admins.append(transport._groups._admin)
    assert admins == [admins[0]] * 3
    assert not admins[0]._net._closed
    transport.close(5)
    assert admins[0]._net._closed
    assert not [t.name for t in threading.enumerate() if "curious" in t.name]
    with pytest.raises(TransportClosed):
        transport.group(topic, 10)


def test_where_nobody_listens_that_is_told():
    with (
        KafkaTransport(KafkaConfig(bootstrap=("127.0.0.1:1",))) as transport,
        pytest.raises(Unreachable, match="nothing listens"),
    ):
        transport.group("t", 0.5)


def test_closing_does_not_wait_for_whoever_is_connecting():
    transport = KafkaTransport(KafkaConfig(bootstrap=("127.0.0.1:1",), client_id="looking"))
    raised = []

    def look():
        try:
            transport.group("t", 30)
        except TransportError as error:
            raised.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    began = time.monotonic()
    while not transport._groups._lock.locked():
        assert time.monotonic() < began + 10
    transport.close(1)
    looking.join(2)

    assert not looking.is_alive()
    assert len(raised) == 1


@pytest.mark.kafka
def test_a_broker_that_does_not_answer_holds_nobody_longer_than_asked(freeze):
    with (
        Broker() as broker,
        KafkaTransport(KafkaConfig(bootstrap=(broker.bootstrap,), partitions=1)) as transport,
    ):
        transport.prepare(Address("t"), 10)
        assert transport.group("t", 10).members == 0
        freeze(broker.pid)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="the group of topic t"):
            transport.group("t", 0.5)
        took = time.monotonic() - began
        os.kill(broker.pid, signal.SIGCONT)

        assert took < 1.5
        assert transport.group("t", 10).members == 0
