"""What one thread sends in one go goes at its end, by itself, in order; and each is told once."""

import queue
import threading

import pytest

from transports.base import Address, Message, Receipt
from transports.errors import TransportClosed
from transports.together import Batch, together

pytestmark = pytest.mark.parametrize("client", ["kafka-python", "confluent"])
PACKED = pytest.mark.parametrize("packed", [False, True])


@pytest.fixture
def transport(kit, client):
    return kit.transport(client=client)


@pytest.fixture
def place(kit, transport, outcome_of):
    """A partition that was sent to before."""
    address = Address(kit.topic(1), 0)
    assert isinstance(outcome_of(transport, address, Message(b"first")), Receipt)
    return address


def receipts(outcomes, count):
    """Return the places of so many messages, in the order in which they were told."""
    told = [outcomes.get(timeout=20) for _ in range(count)]
    assert outcomes.empty()
    return [(each.offset, each.part) for each in told]


@PACKED
def test_what_a_batch_sends_keeps_its_order(transport, place, taken, packed):
    receiver, outcomes = transport.receiver(Address(place.topic), shared=True), queue.Queue()
    with together():
        for number in range(100):
            transport.send(place, Message(b"%d" % number), outcomes.put, packed=packed)

    places = receipts(outcomes, 100)
    assert places == sorted(places)
    assert [each.message.body for each in taken(receiver, 101)][1:] == [
        b"%d" % number for number in range(100)
    ]


@PACKED
def test_another_thread_may_let_go_of_a_batch_that_is_stuck(transport, place, packed):
    batch, outcomes = Batch(), queue.Queue()
    with batch:
        transport.send(place, Message(b"held"), outcomes.put, packed=packed)
        other = threading.Thread(target=batch.let_go)
        other.start()
        other.join()
        transport.send(place, Message(b"also held"), outcomes.put, packed=packed)
        assert isinstance(outcomes.get(timeout=20), Receipt)
    batch.let_go()

    assert isinstance(outcomes.get(timeout=20), Receipt)


@PACKED
def test_what_is_held_when_the_transport_is_closed_is_told_once(transport, place, packed):
    outcomes = queue.Queue()
    with together():
        transport.send(place, Message(b"held"), outcomes.put, packed=packed)
        transport.close(5)
    told = outcomes.get(timeout=20)

    assert isinstance(told, Receipt | TransportClosed)
    assert outcomes.empty()


def test_many_threads_with_batches_of_their_own_lose_and_swap_nothing(transport, place):
    told = {}

    def work(who):
        outcomes = queue.Queue()
        for start in range(0, 200, 20):
            with together():
                for number in range(start, start + 20):
                    transport.send(
                        place, Message(b"%d" % number), outcomes.put, packed=number % 3 == who % 3
                    )
            told.setdefault(who, []).extend(outcomes.get(timeout=20) for _ in range(20))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = [(each.offset, each.part) for outcomes in told.values() for each in outcomes]

    assert len(places) == len(set(places)) == 1200
