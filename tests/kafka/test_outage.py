"""A broker that goes away and comes back: what was sent is stored, or said to be uncertain."""

import os
import signal
import socket
import threading
import time

import pytest
from kafka import KafkaProducer
from kafka.net.manager import KafkaConnectionManager

from transports.base import Address, Message, Receipt
from transports.errors import SendUncertain, TransportClosed, Unreachable
from transports.kafka import KafkaConfig, KafkaTransport
from transports.kafka.broker import Broker
from transports.kafka.driver.client import Manager

pytestmark = pytest.mark.kafka

IMPATIENT = {"request_timeout": 0.5, "delivery_timeout": 1.5}


@pytest.fixture(scope="module")
def lonely():
    """A broker of our own, to be stopped, continued, killed and started again."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def sender(lonely, topic_prefix):
    """A transport with a prepared topic of one partition; both are warm."""
    opened = []

    def make(**config):
        given = {"bootstrap": (lonely.bootstrap,), "client_id": "lonely", "partitions": 1, **config}
        transport = KafkaTransport(KafkaConfig(**given))
        opened.append(transport)
        transport.prepare(Address(topic_prefix), 10)
        assert isinstance(Outcomes().send(transport, topic_prefix, 1).wait()[0], Receipt)
        return transport

    yield make
    for transport in opened:
        transport.close(1)


class Outcomes:
    """Collects what becomes of sends, with how often each was told."""

    def __init__(self):
        self._told = threading.Condition()
        self._outcomes = []

    def send(self, transport, topic, count, partition=None):
        for _ in range(count):
            outcomes = []
            self._outcomes.append(outcomes)
            transport.send(Address(topic, partition), Message(b"x" * 100), self._keeper(outcomes))
        return self

    def wait(self, patience=30):
        with self._told:
            assert self._told.wait_for(lambda: all(self._outcomes), patience), self._outcomes
            assert {len(outcomes) for outcomes in self._outcomes} == {1}
            return [outcomes[0] for outcomes in self._outcomes]

    def _keeper(self, outcomes):
        def on_sent(outcome):
            with self._told:
                outcomes.append(outcome)
                self._told.notify_all()

        return on_sent


@pytest.fixture
def frozen(lonely, freeze):
    """Freeze the broker for the rest of a test, so that it takes requests and answers none."""
    return lambda: freeze(lonely.pid)


def test_what_was_handed_over_and_not_answered_is_uncertain_and_the_rest_is_not_sent(
    sender, frozen, topic_prefix
):
    transport = sender(**IMPATIENT)
    frozen()
    handed_over = Outcomes().send(transport, topic_prefix, 1)
    threading.Event().wait(0.2)
    behind = Outcomes().send(transport, topic_prefix, 5)
    began = time.monotonic()

    assert [type(outcome) for outcome in handed_over.wait()] == [SendUncertain]
    assert {type(outcome) for outcome in behind.wait()} <= {SendUncertain, Unreachable}
    assert time.monotonic() - began < 6


def cpu_share(thread, seconds):
    """Return how much of a core a thread uses in the coming `seconds`."""
    clock = time.pthread_getcpuclockid(thread.ident)
    used, began = time.clock_gettime(clock), time.monotonic()
    threading.Event().wait(seconds)
    return (time.clock_gettime(clock) - used) / (time.monotonic() - began)


@pytest.mark.alone
def test_stock_spins_while_a_broker_takes_its_time(lonely, sender, frozen, topic_prefix):
    producer = KafkaProducer(
        bootstrap_servers=lonely.bootstrap,
        max_in_flight_requests_per_connection=1,
        enable_idempotence=False,
        acks="all",
    )
    topic = f"{topic_prefix}.two"
    sender(partitions=2).prepare(Address(topic), 10)
    producer.send(topic, b"warm", partition=0).get(10)
    frozen()
    producer.send(topic, b"in flight", partition=0)
    threading.Event().wait(0.2)
    producer.send(topic, b"behind", partition=1)
    share = cpu_share(producer._sender, 1)
    os.kill(lonely.pid, signal.SIGCONT)
    producer.close(timeout=10)

    assert share > 0.3


@pytest.mark.alone
def test_a_sender_rests_while_a_broker_takes_its_time(sender, frozen, topic_prefix):
    transport, topic = sender(partitions=2), f"{topic_prefix}.two"
    transport.prepare(Address(topic), 10)
    warm = Outcomes()
    for partition in (0, 1):
        warm.send(transport, topic, 1, partition)
    warm.wait()
    (thread,) = [t for t in threading.enumerate() if t.name == "rpc-kafka-sender-lonely"]
    frozen()
    outcomes = Outcomes().send(transport, topic, 1, 0)
    threading.Event().wait(0.2)
    outcomes.send(transport, topic, 1, 1)

    assert cpu_share(thread, 1) < 0.1


def test_closing_with_what_can_not_be_sent_is_bounded_and_tells_all(sender, frozen, topic_prefix):
    transport = sender()
    frozen()
    outcomes = Outcomes().send(transport, topic_prefix, 1)
    threading.Event().wait(0.2)
    outcomes.send(transport, topic_prefix, 50)
    began = time.monotonic()
    transport.close(0.5)
    took = time.monotonic() - began
    told = outcomes.wait(1)

    assert took < 2
    assert isinstance(told[0], SendUncertain)
    assert {type(outcome) for outcome in told[1:]} <= {SendUncertain, TransportClosed}
    assert not [t for t in threading.enumerate() if t.name == "rpc-kafka-sender-lonely"]


@pytest.mark.parametrize("shared", [True, False])
def test_a_receiver_closes_in_time_though_nobody_answers(
    sender, frozen, topic_prefix, taken, shared
):
    transport = sender(commit_interval=60)
    receiver = transport.receiver(Address(topic_prefix), shared=shared)
    if shared:
        taken(receiver, 1)
    frozen()
    began = time.monotonic()
    receiver.close(1)

    assert time.monotonic() - began < 1.5


def test_what_is_sent_while_the_broker_is_away_is_stored_when_it_is_back(
    lonely, sender, topic_prefix
):
    transport = sender()
    lonely.kill()
    outcomes = Outcomes().send(transport, topic_prefix, 20)
    with pytest.raises(Unreachable, match="nothing listens"):
        transport.prepare(Address("another"), 0.5)
    lonely.start()

    assert [type(outcome) for outcome in outcomes.wait(60)] == [Receipt] * 20


class Hollow:
    """What stands before a broker that is gone: it takes connections, and hangs up."""

    def __init__(self, address):
        host, port = address.split(":")
        self._socket = socket.create_server((host, int(port)))
        self.taken = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.taken += 1

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def hollow(lonely):
    """Put something hollow in the broker's place for the rest of a test."""
    opened = []

    def replace():
        lonely.kill()
        opened.append(Hollow(lonely.bootstrap))
        return opened[0]

    yield replace
    opened[0].close()
    lonely.start()


@pytest.fixture(params=[False, True])
def stock(request, monkeypatch):
    """Whether connections are made anew as stock does it."""
    if request.param:
        monkeypatch.setattr(Manager, "reset_backoff", KafkaConnectionManager.reset_backoff)
        monkeypatch.setattr(Manager, "_over", lambda *_: None)
    return request.param


def test_who_takes_connections_and_hangs_up_is_left_in_peace_which_stock_does_not(
    stock, sender, hollow, topic_prefix, eventually
):
    transport = sender()
    there, ends = hollow(), time.monotonic() + 2
    while time.monotonic() < ends:
        Outcomes().send(transport, topic_prefix, 1)
        threading.Event().wait(0.01)

    assert there.taken > 100 if stock else 0 < there.taken < 30
    if not stock:
        trouble = eventually(lambda: transport._sends._producer.trouble)
        assert "takes a connection and hangs up" in str(trouble)


def test_receivers_go_on_when_the_broker_is_back(lonely, sender, topic_prefix, taken):
    transport = sender(heartbeat_interval=0.3, session_timeout=2)
    shared = transport.receiver(Address(topic_prefix), shared=True)
    inbox = transport.receiver(Address(f"{topic_prefix}.replies"), shared=False)
    assert len(taken(shared, 1)) == 1
    lonely.kill()
    assert (list(shared.receive(0.5)), list(inbox.receive(0.5))) == ([], [])
    lonely.start()
    Outcomes().send(transport, topic_prefix, 3).wait(60)
    reply = []
    transport.send(inbox.address, Message(b"reply"), reply.append)

    assert len(taken(shared, 3, patience=40)) == 3
    assert [d.message.body for d in taken(inbox, 1, patience=40)] == [b"reply"]
