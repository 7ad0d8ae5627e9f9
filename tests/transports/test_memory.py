"""The memory transport: the conformance suite, and what is its own."""

import threading
import time

import pytest

from transports.base import Address, Message, Receipt
from transports.conformance import TransportConformance
from transports.errors import (
    AddressUnknown,
    ConfigurationError,
    MessageRefused,
    MessageTooLarge,
    TransportClosed,
)
from transports.memory import MemoryTransport, open_transport
from transports.memory import topic as topic_module

REQUESTS = Address("users.requests")


class TestMemory(TransportConformance):
    most_unacked = 1000

    @pytest.fixture
    def factory(self):
        return lambda: open_transport("memory://conformance")


@pytest.fixture
def transport(request):
    with MemoryTransport(request.node.name) as opened:
        yield opened


def outcome_of(transport, address, message):
    outcomes = []
    transport.send(address, message, outcomes.append)
    (outcome,) = outcomes
    return outcome


def bodies(deliveries):
    return [delivery.message.body for delivery in deliveries]


def test_a_call_is_stepped_through_without_a_thread_or_a_wait(transport):
    threads = threading.active_count()
    server = transport.receiver(REQUESTS, shared=True)
    client = transport.receiver(Address("replies"), shared=False)

    assert outcome_of(transport, REQUESTS, Message(b"question")) == Receipt("users.requests", 0, 0)
    (request,) = server.receive(0)
    outcome_of(transport, client.address, Message(b"answer"))
    request.ack()

    assert bodies(client.receive(0)) == [b"answer"]
    assert list(server.receive(0)) == []
    assert threading.active_count() == threads


def test_time_is_told_by_the_clock_that_was_given():
    now = [100.0]
    with MemoryTransport("clock", clock=lambda: now[0]) as transport:
        receiver = transport.receiver(REQUESTS, shared=True)
        outcome_of(transport, REQUESTS, Message(b""))
        now[0] += 2.5
        (delivery,) = receiver.receive(0)

        assert delivery.timestamp == 100.0
        assert transport.now() == 102.5


def test_two_clocks_under_one_name_are_refused():
    with (
        MemoryTransport("clock", clock=lambda: 0.0),
        pytest.raises(ConfigurationError, match="memory://clock is open on another clock"),
    ):
        MemoryTransport("clock", clock=lambda: 1.0)


def test_transports_of_one_name_share_and_of_another_do_not():
    with MemoryTransport("a") as one, MemoryTransport("a") as same, MemoryTransport("b") as other:
        one.prepare(REQUESTS, 1)

        assert isinstance(outcome_of(same, REQUESTS, Message(b"")), Receipt)
        assert isinstance(outcome_of(other, REQUESTS, Message(b"")), AddressUnknown)


def test_messages_are_dropped_when_the_last_transport_of_a_name_closes():
    with MemoryTransport("short") as transport:
        with MemoryTransport("short") as first:
            first.prepare(REQUESTS, 1)
            outcome_of(first, REQUESTS, Message(b"kept"))
        kept = bodies(transport.receiver(REQUESTS, shared=True).receive(0))
    with MemoryTransport("short") as transport:
        dropped = bodies(transport.receiver(REQUESTS, shared=True).receive(0))

    assert kept == [b"kept"]
    assert dropped == []


def test_a_topic_is_not_created_by_sending_to_it(transport):
    outcome = outcome_of(transport, REQUESTS, Message(b""))

    assert isinstance(outcome, AddressUnknown)
    assert "'users.requests' does not exist; call `prepare`" in str(outcome)


def test_messages_without_a_key_go_to_each_partition_in_turn():
    with MemoryTransport("turns", partitions=3) as transport:
        transport.prepare(REQUESTS, 1)
        partitions = [outcome_of(transport, REQUESTS, Message(b"")).partition for _ in range(6)]

    assert partitions == [0, 1, 2, 0, 1, 2]


# CRC-32 as published for these: 0, 0xE8B7BE43, 0xCBF43926, modulo 12.
@pytest.mark.parametrize(("key", "partition"), [(b"", 0), (b"a", 3), (b"123456789", 2)])
def test_the_partition_of_a_key_is_the_same_in_every_run(transport, key, partition):
    transport.prepare(REQUESTS, 1)

    assert outcome_of(transport, REQUESTS, Message(b"", key=key)).partition == partition


def test_inboxes_are_spread_over_partitions(transport):
    inboxes = [transport.receiver(Address("replies"), shared=False) for _ in range(13)]

    assert [inbox.address.partition for inbox in inboxes] == [*range(12), 0]


def test_a_member_that_joins_gets_no_duplicate_and_cannot_overtake(transport):
    first = transport.receiver(REQUESTS, shared=True)
    for n in range(4):
        outcome_of(transport, Address("users.requests", 1), Message(b"%d" % n))
    held = first.receive(0)
    second = transport.receiver(REQUESTS, shared=True)
    outcome_of(transport, Address("users.requests", 1), Message(b"next"))

    # Partition 1 is the second one's now, and waits for the first to settle.
    assert bodies(second.receive(0)) == []
    for delivery in held:
        delivery.ack()
    assert bodies(second.receive(0)) == [b"next"]
    assert bodies(first.receive(0)) == []


def test_a_handover_wakes_the_one_that_waits_for_it(transport):
    first = transport.receiver(REQUESTS, shared=True)
    outcome_of(transport, Address("users.requests", 1), Message(b"held"))
    (held,) = first.receive(0)
    second = transport.receiver(REQUESTS, shared=True)
    outcome_of(transport, Address("users.requests", 1), Message(b"next"))
    came = []
    waiting = threading.Thread(target=lambda: came.extend(second.receive(30)))
    waiting.start()

    held.ack()
    waiting.join(30)

    assert bodies(came) == [b"next"]


def test_a_close_wakes_the_one_that_inherits(transport):
    first = transport.receiver(REQUESTS, shared=True)
    outcome_of(transport, Address("users.requests", 1), Message(b"held"))
    held = first.receive(0)
    second = transport.receiver(REQUESTS, shared=True)
    came = []
    waiting = threading.Thread(target=lambda: came.extend(second.receive(30)))
    waiting.start()
    begun = time.monotonic()

    first.close(1)
    waiting.join(30)

    assert bodies(came) == bodies(held) == [b"held"]
    assert time.monotonic() - begun < 15


def test_a_receiver_at_its_bound_gets_one_more_for_each_it_acknowledges():
    with MemoryTransport("bound", max_unacked=3) as transport:
        receiver = transport.receiver(REQUESTS, shared=True)
        for n in range(5):
            outcome_of(transport, Address("users.requests", 0), Message(b"%d" % n))
        taken = list(receiver.receive(0))
        at_bound = list(receiver.receive(0))
        taken[1].ack()
        after_ack = bodies(receiver.receive(0))

    assert bodies(taken) == [b"0", b"1", b"2"]
    assert at_bound == []
    assert after_ack == [b"3"]


def test_a_partition_that_nobody_reads_refuses_more_at_its_bound(transport, monkeypatch):
    monkeypatch.setattr(topic_module, "MAX_BACKLOG", 10)
    transport.prepare(REQUESTS, 1)
    address = Address("users.requests", 0)

    outcomes = [outcome_of(transport, address, Message(b"")) for _ in range(11)]
    receiver = transport.receiver(REQUESTS, shared=True)
    for delivery in receiver.receive(0):
        delivery.ack()
    after = outcome_of(transport, address, Message(b""))

    assert [type(outcome) for outcome in outcomes] == [Receipt] * 10 + [MessageRefused]
    assert "'users.requests' is full: 10 messages" in str(outcomes[-1])
    assert after == Receipt("users.requests", 0, 10)


def test_a_message_too_large_names_both_sizes():
    with MemoryTransport("small", max_message_bytes=100) as transport:
        transport.prepare(REQUESTS, 1)
        fits = outcome_of(transport, REQUESTS, Message(b"x" * 90, (("ab", b"cd"),), b"ef"))
        outcome = outcome_of(transport, REQUESTS, Message(b"x" * 99, (("ab", b"cd"),), b"ef"))

    assert isinstance(fits, Receipt)
    assert isinstance(outcome, MessageTooLarge)
    assert "105 bytes" in str(outcome)
    assert "max_message_bytes = 100" in str(outcome)


def test_send_raises_nothing_though_on_sent_does(transport, caplog):
    transport.prepare(REQUESTS, 1)

    def on_sent(outcome):
        raise RuntimeError("mine")

    transport.send(REQUESTS, Message(b""), on_sent)

    assert [record.message for record in caplog.records] == ["on_sent_failed"]
    assert outcome_of(transport, REQUESTS, Message(b"")) == Receipt("users.requests", 1, 0)


def test_on_sent_may_send_and_close(transport):
    transport.prepare(REQUESTS, 1)
    outcomes = []

    def on_sent(outcome):
        outcomes.append(outcome)
        transport.send(REQUESTS, Message(b"second"), outcomes.append)
        transport.close(1)

    transport.send(REQUESTS, Message(b"first"), on_sent)

    assert outcomes == [Receipt("users.requests", 0, 0), Receipt("users.requests", 1, 0)]


def test_a_shared_receiver_of_one_partition_is_refused(transport):
    with pytest.raises(ConfigurationError, match="leave the partition out"):
        transport.receiver(Address("users.requests", 3), shared=True)


def test_a_closed_transport_says_which(transport):
    transport.close(1)

    with pytest.raises(TransportClosed, match="memory://test_a_closed_transport_says_which"):
        transport.prepare(REQUESTS, 1)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "x" * 250])
def test_a_topic_name_that_kafka_refuses_is_refused(transport, name):
    with pytest.raises(ConfigurationError, match="cannot name a topic"):
        transport.prepare(Address(name), 1)


def test_a_url_sets_what_the_constructor_does():
    url = "memory://here?client_id=shop&partitions=2&max_unacked=1&max_message_bytes=9"
    with open_transport(url) as transport, MemoryTransport("here") as other:
        receiver = transport.receiver(REQUESTS, shared=True)
        outcomes = [outcome_of(transport, REQUESTS, Message(b"x" * n)) for n in (9, 9, 9, 10)]

        assert transport.client_id == "shop"
        assert [type(outcome) for outcome in outcomes] == [Receipt] * 3 + [MessageTooLarge]
        assert {receipt.partition for receipt in outcomes[:3]} == {0, 1}
        assert len(receiver.receive(0)) == 1
        assert isinstance(outcome_of(other, REQUESTS, Message(b"")), Receipt)


def test_the_shortest_url_is_the_broker_without_a_name():
    with open_transport("memory://") as transport, MemoryTransport() as other:
        transport.prepare(REQUESTS, 1)

        assert isinstance(outcome_of(other, REQUESTS, Message(b"")), Receipt)
        assert transport.client_id == "app"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://a?partition=3", "unknown setting partition; known: client_id, partitions"),
        ("memory://a?partitions=many", "partitions = 'many' is not a whole number"),
        ("memory://a?partitions=0", "partitions = 0: at least 1 is needed"),
        ("memory://a?max_unacked=", "max_unacked = '' is not a whole number"),
        ("memory://a/b", "with no path"),
        ("memory://a#b", "with no path"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_by_name(url, says):
    with pytest.raises(ConfigurationError, match=says):
        open_transport(url)
