"""Faults on sends: each kind, by script and by chance, on a clock moved by hand and a real one."""

import threading

import pytest

from transports.base import Address, Message, Receipt
from transports.conformance import TransportConformance
from transports.errors import (
    AddressUnknown,
    MessageRefused,
    SendUncertain,
    TransportClosed,
    Unreachable,
)
from transports.faults import Fault, Faults
from transports.faulty import FaultyTransport
from transports.memory import MemoryTransport, open_transport

TOPIC = Address("users.requests", 0)
OTHER = Address("orders.requests", 0)


class TestFaultless(TransportConformance):
    """Without faults the wrapper is the transport that it wraps."""

    most_unacked = 1000

    @pytest.fixture
    def factory(self):
        return lambda: FaultyTransport(open_transport("memory://faultless"), Faults())


class TestDelayed(TransportConformance):
    """Where every send is held equally long, all is as promised, only later: outcomes come from
    another thread."""

    most_unacked = 1000

    @pytest.fixture
    def factory(self):
        faults = Faults(delay=1.0, hold=0.001)
        return lambda: FaultyTransport(open_transport("memory://delayed"), faults)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Bench:
    """A faulty memory transport on a clock moved by hand, with an inbox behind it."""

    def __init__(self, **faults):
        self.clock = Clock()
        self.transport = FaultyTransport(
            MemoryTransport("bench"), Faults(**faults), clock=self.clock
        )
        self.inboxes = [self.transport.receiver(at, shared=False) for at in (TOPIC, OTHER)]
        self.outcomes = {}

    def send(self, *bodies, to=TOPIC):
        for body in bodies:
            told = self.outcomes.setdefault(body, [])
            self.transport.send(to, Message(body.encode()), told.append)

    def arrived(self, place=0):
        return [delivery.message.body.decode() for delivery in self.inboxes[place].receive(0)]

    def told(self):
        return {body: [type(outcome) for outcome in told] for body, told in self.outcomes.items()}

    def counts(self):
        return {kind: count for kind, count in self.transport.counts.items() if count}


@pytest.fixture
def bench():
    made = []

    def make(**faults):
        made.append(Bench(**faults))
        return made[-1]

    yield make
    for each in made:
        each.transport.close(1)


@pytest.mark.parametrize(
    ("fault", "arrives", "told"),
    [
        (None, ["a", "b"], [Receipt]),
        (Fault.DROP, ["b"], [Receipt]),
        (Fault.LOSE_ACK, ["a", "b"], [SendUncertain]),
        (Fault.DUPLICATE, ["a", "a", "b"], [Receipt]),
        (Fault.DELAY, ["b"], []),
        (Fault.REORDER, ["b", "a"], [Receipt]),
        (Fault.FAIL, ["b"], [Unreachable]),
    ],
)
def test_each_fault_does_what_it_says_and_is_counted(bench, fault, arrives, told):
    faulty = bench(script=(fault,))

    faulty.send("a", "b")

    assert faulty.arrived() == arrives
    assert faulty.told() == {"a": told, "b": [Receipt]}
    assert faulty.counts() == ({fault: 1} if fault else {})


def test_a_dropped_message_has_a_receipt_that_stands_nowhere(bench):
    faulty = bench(script=(Fault.DROP,))

    faulty.send("a")

    assert faulty.outcomes["a"] == [Receipt("users.requests", 0, -1)]


def test_the_error_of_a_failed_send_may_be_chosen(bench):
    faulty = bench(script=(Fault.FAIL,), error=MessageRefused)

    faulty.send("a")

    assert faulty.told() == {"a": [MessageRefused]}


def test_a_delayed_message_goes_when_its_time_has_come(bench):
    faulty = bench(script=(Fault.DELAY, None, Fault.DELAY), hold=2.0)
    faulty.send("a", "b")
    faulty.clock.now += 1.5
    faulty.send("c")

    assert faulty.transport.release_due() == 0
    faulty.clock.now += 0.5
    assert faulty.transport.release_due() == 1
    assert faulty.arrived() == ["b", "a"]
    assert faulty.transport.held == 1
    assert faulty.told() == {"a": [Receipt], "b": [Receipt], "c": []}


def test_release_sends_everything_held_whatever_the_time(bench):
    faulty = bench(script=(Fault.DELAY, Fault.REORDER, Fault.DELAY), hold=3600)
    faulty.send("a", "b", "c")

    assert faulty.transport.release() == 3
    assert faulty.arrived() == ["a", "b", "c"]
    assert faulty.transport.held == 0
    assert faulty.counts() == {Fault.DELAY: 2}, "nothing has changed places"


def test_a_message_changes_places_only_within_its_topic(bench):
    faulty = bench(script=(Fault.REORDER,))

    faulty.send("a")
    faulty.send("elsewhere", to=OTHER)
    before = faulty.arrived()
    faulty.send("b")

    assert before == []
    assert faulty.arrived(place=1) == ["elsewhere"]
    assert faulty.arrived() == ["b", "a"]


def test_a_message_does_not_change_places_with_one_that_does_not_go(bench):
    faulty = bench(script=(Fault.REORDER, Fault.DROP, Fault.FAIL, None))

    faulty.send("a", "dropped", "failed", "b")

    assert faulty.arrived() == ["b", "a"]


def test_only_the_topics_named_go_wrong(bench):
    faulty = bench(fail=1.0, topics=frozenset({"orders.requests"}))

    faulty.send("fine")
    faulty.send("fails", to=OTHER)

    assert faulty.told() == {"fine": [Receipt], "fails": [Unreachable]}


def test_only_what_the_predicate_picks_goes_wrong_and_counts_in_the_script(bench):
    faulty = bench(script=(Fault.DROP,), where=lambda address, message: message.body == b"b")

    faulty.send("a", "b", "c", "b")

    assert faulty.arrived() == ["a", "c", "b"]


def test_a_lost_ack_of_a_send_that_failed_is_told_as_it_was(bench):
    faulty = bench(script=(Fault.LOSE_ACK,))

    faulty.send("a", to=Address("users.requests", 99))

    assert faulty.told() == {"a": [AddressUnknown]}
    assert faulty.counts() == {}


def run_of(bench, seed):
    faulty = bench(
        drop=0.1, lose_ack=0.1, duplicate=0.1, delay=0.1, reorder=0.1, fail=0.1, seed=seed
    )
    faulty.send(*(str(n) for n in range(500)))
    faulty.transport.release()
    return faulty.arrived(), faulty.told(), faulty.counts()


def test_the_same_seed_gives_the_same_run_and_another_does_not(bench):
    first, again, other = run_of(bench, 7), run_of(bench, 7), run_of(bench, 8)

    assert again == first
    assert other[0] != first[0]


def test_every_kind_bites_as_often_as_its_probability_says(bench):
    _, told, counts = run_of(bench, 1)

    # 500 at 0.1: fifty, give or take four standard deviations.
    assert counts.keys() == set(Fault)
    assert all(22 <= count <= 78 for count in counts.values()), counts
    assert all(len(outcomes) == 1 for outcomes in told.values())


def test_close_fails_what_is_held_and_closes_what_it_wraps():
    inner = MemoryTransport("held")
    transport = FaultyTransport(inner, Faults(delay=1.0, hold=3600))
    transport.prepare(TOPIC, 1)
    told, told_by_inner = [], []
    transport.send(TOPIC, Message(b"held"), told.append)

    transport.close(5)
    transport.close(5)
    transport.send(TOPIC, Message(b"late"), told.append)
    inner.send(TOPIC, Message(b"late"), told_by_inner.append)

    assert [type(outcome) for outcome in told] == [TransportClosed] * 2
    assert [type(outcome) for outcome in told_by_inner] == [TransportClosed]
    assert "rpc-faulty-timer" not in {thread.name for thread in threading.enumerate()}


def test_on_the_real_clock_a_named_thread_lets_go_what_is_held():
    threads = []
    done = threading.Event()

    def on_sent(outcome):
        threads.append((threading.current_thread().name, type(outcome)))
        done.set()

    with FaultyTransport(MemoryTransport("timer"), Faults(delay=1.0, hold=0.02)) as transport:
        inbox = transport.receiver(TOPIC, shared=False)
        transport.send(TOPIC, Message(b"a"), on_sent)
        arrived = inbox.receive(30)
        done.wait(30)

    assert [delivery.message.body for delivery in arrived] == [b"a"]
    assert threads == [("rpc-faulty-timer", Receipt)]


def test_the_shorter_hold_is_not_kept_waiting_by_a_longer_one():
    clockless = Faults(script=(Fault.DELAY,) * 3, hold=0.03)
    with FaultyTransport(MemoryTransport("timer"), clockless) as transport:
        inbox = transport.receiver(TOPIC, shared=False)
        for n in range(3):
            transport.send(TOPIC, Message(b"%d" % n), lambda outcome: None)
        arrived = []
        while len(arrived) < 3:
            deliveries = inbox.receive(30)
            assert deliveries, "what is held did not come"
            arrived += [delivery.message.body for delivery in deliveries]

    assert arrived == [b"0", b"1", b"2"]


def test_closing_from_on_sent_on_the_timer_thread_does_not_hang():
    transport = FaultyTransport(MemoryTransport("self"), Faults(delay=1.0, hold=0.0))
    transport.prepare(TOPIC, 1)
    closed = threading.Event()

    def on_sent(outcome):
        transport.close(5)
        closed.set()

    transport.send(TOPIC, Message(b"a"), on_sent)

    assert closed.wait(30)


def test_prepare_and_client_id_are_the_inner_transports():
    inner = MemoryTransport("inner", client_id="shop")
    with FaultyTransport(inner, Faults(fail=1.0)) as transport:
        transport.prepare(TOPIC, 1)
        told = []
        inner.send(TOPIC, Message(b""), told.append)

        assert transport.client_id == "shop"
        assert [type(outcome) for outcome in told] == [Receipt]
