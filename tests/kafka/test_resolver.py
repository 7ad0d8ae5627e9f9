"""The resolver: who waits, who goes on, in which order, and who is told that it is in vain."""

import threading

import pytest

from transports.base import Address, Message
from transports.errors import (
    AddressUnknown,
    NotAuthenticated,
    NotAuthorized,
    TransportClosed,
    Unreachable,
)
from transports.kafka.resolver import Resolver, Waiting
from transports.kafka.topic_state import TopicState, judge

TWO = TopicState((0, 1), (0, 1))
NONE = TopicState((), ())
HIDDEN = TopicState((), (), unauthorized=True)


@pytest.mark.parametrize(
    ("place", "state", "waited", "verdict"),
    [
        (Address("t"), TWO, 0.0, True),
        (Address("t", 1), TWO, 0.0, True),
        (Address("t"), NONE, 0.0, False),
        (Address("t"), NONE, 1.9, False),
        (Address("t"), NONE, 2.0, AddressUnknown),
        (Address("t", 2), TWO, 1.9, False),
        (Address("t", 2), TWO, 2.0, AddressUnknown),
        (Address("t", -1), TWO, 2.0, AddressUnknown),
        (Address("t"), HIDDEN, 0.0, NotAuthorized),
        (Address("t", 1), HIDDEN, 0.0, NotAuthorized),
    ],
)
def test_what_is_waited_for_and_how_long(place, state, waited, verdict):
    judged = judge(place, state, waited, patience=2.0)

    assert judged is verdict or isinstance(judged, verdict)


class FakeTopics:
    """Topics that a test makes known; `trouble` is why nobody answers."""

    def __init__(self):
        self.known = {}
        self.asked = []
        self.forgotten = []
        self.trouble = None

    def state(self, topic):
        return self.known.get(topic, NONE)

    def ask(self, topic):
        if not topic:
            raise ValueError("empty")
        self.asked.append(topic)

    def forget(self, topic, error):
        self.forgotten.append((topic, type(error)))


class Bench:
    """A resolver over fake topics, with what went on and what was told."""

    def __init__(self, patience=0.2, open_topics=None, give_up=0.4):
        self.topics = FakeTopics()
        self.went, self.told, self.gone, self.broken = [], [], [], []
        self.changed = threading.Condition()
        self.resolver = Resolver(
            "test-resolver",
            patience=patience,
            give_up=give_up,
            open_topics=open_topics or (lambda: self.topics),
            go_on=self._go_on,
            lost=self._lost,
        )

    def waiting(self, topic, body=b"", partition=None):
        return Waiting(Address(topic, partition), Message(body), self._tell)

    def park(self, topic, body=b"", partition=None):
        self.resolver.park(self.waiting(topic, body, partition), whole_topic=partition is None)

    def know(self, topic, state):
        self.topics.known[topic] = state
        self.answer()

    def answer(self):
        """Let an answer come that was under way, and then the one to the question."""
        self.resolver.answered()
        self.resolver.answered()

    def await_(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, 10), (self.went, self.told)

    def _go_on(self, waiting):
        if waiting.message.body in self.broken:
            raise RuntimeError("a bug")
        with self.changed:
            self.went.append(waiting.message.body)
            self.changed.notify_all()

    def _tell(self, outcome):
        with self.changed:
            self.told.append(outcome)
            self.changed.notify_all()

    def _lost(self):
        lost, self.gone = self.gone, []
        return lost


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.resolver.close("the end", 5)


def test_what_waits_goes_on_in_order_when_its_topic_is_known(bench):
    for n in range(100):
        bench.park("t", b"%d" % n)
    bench.know("t", TWO)
    bench.await_(lambda: len(bench.went) == 100)

    assert bench.went == [b"%d" % n for n in range(100)]
    assert not bench.resolver.engaged


def test_a_later_message_waits_behind_earlier_ones(bench):
    bench.park("t", b"first")

    assert bench.resolver.engaged
    assert bench.resolver.wait_behind(bench.waiting("t", b"second", 1))
    assert not bench.resolver.wait_behind(bench.waiting("other", b"free"))
    bench.know("t", TWO)
    bench.await_(lambda: len(bench.went) == 2)
    assert bench.went == [b"first", b"second"]
    assert not bench.resolver.wait_behind(bench.waiting("t", b"third"))


def test_a_topic_that_does_not_turn_up_keeps_no_other_waiting(bench):
    bench.park("nowhere", b"lost")
    bench.park("there", b"found")
    bench.know("there", TWO)
    bench.await_(lambda: bench.went == [b"found"])
    bench.await_(lambda: len(bench.told) == 1)

    assert isinstance(bench.told[0], AddressUnknown)
    assert bench.topics.forgotten == [("nowhere", AddressUnknown)]


def test_what_was_just_looked_for_in_vain_is_refused_at_once_until_forgiven(bench):
    bench.park("nowhere")
    bench.answer()
    bench.await_(lambda: len(bench.told) == 1)
    bench.park("nowhere")
    bench.await_(lambda: len(bench.told) == 2)
    asked = len(bench.topics.asked)
    bench.resolver.forgive("nowhere")
    bench.topics.known["nowhere"] = TWO
    bench.park("nowhere", b"found")
    bench.await_(lambda: bench.went == [b"found"])

    assert [type(outcome) for outcome in bench.told] == [AddressUnknown] * 2
    assert bench.told[0] is not bench.told[1]
    assert len(bench.topics.asked) == asked


def test_an_answer_that_was_under_way_does_not_count(eventually):
    bench = Bench(patience=0.05, give_up=30.0)
    bench.park("late", b"found")
    bench.resolver.answered()
    eventually(lambda: len(bench.topics.asked) > 3)
    told = list(bench.told)
    bench.topics.known["late"] = TWO
    bench.resolver.answered()
    bench.await_(lambda: bench.went == [b"found"])
    bench.resolver.close("the end", 5)

    assert told == []


def test_where_nobody_answers_the_cause_is_told():
    bench = Bench(patience=0.1)
    bench.topics.trouble = OSError("cable cut")
    bench.park("t")
    bench.await_(lambda: bench.told)
    bench.resolver.close("the end", 5)

    assert isinstance(bench.told[0], Unreachable)
    assert "cable cut" in str(bench.told[0])


def test_who_can_not_connect_is_told_why_and_the_next_tries_again():
    attempts, topics = [], FakeTopics()
    topics.known["t"] = TWO

    def open_topics():
        attempts.append(1)
        if len(attempts) == 1:
            raise NotAuthenticated("wrong password")
        return topics

    bench = Bench(open_topics=open_topics)
    bench.park("t")
    bench.await_(lambda: bench.told)
    bench.park("t", b"later")
    bench.await_(lambda: bench.went == [b"later"])
    bench.resolver.close("the end", 5)

    assert [type(outcome) for outcome in bench.told] == [NotAuthenticated]
    assert len(attempts) == 2


def test_a_fault_in_connecting_that_nobody_thought_of_is_told_and_the_next_tries_again():
    faults, topics = [KeyError("zst")], FakeTopics()
    topics.known["t"] = TWO

    def open_topics():
        if faults:
            raise faults.pop()
        return topics

    bench = Bench(open_topics=open_topics)
    bench.park("t")
    bench.await_(lambda: bench.told)
    bench.park("t", b"later")
    bench.await_(lambda: bench.went == [b"later"])
    bench.resolver.close("the end", 5)

    assert [type(outcome) for outcome in bench.told] == [Unreachable]
    assert "KeyError('zst')" in str(bench.told[0])


def test_a_callback_that_raises_keeps_nobody_else_from_being_told(bench):
    def spiteful(outcome):
        raise RuntimeError("not my problem")

    bench.resolver.park(Waiting(Address("nowhere"), Message(b""), spiteful), whole_topic=True)
    bench.park("nowhere")
    bench.answer()
    bench.await_(lambda: bench.told)
    bench.know("t", TWO)
    bench.park("t", b"later")
    bench.await_(lambda: bench.went == [b"later"])

    assert [type(outcome) for outcome in bench.told] == [AddressUnknown]


def test_a_message_that_can_not_go_on_keeps_nobody_behind_it_from_going(bench):
    bench.broken = [b"broken"]
    for body in (b"first", b"broken", b"last"):
        bench.park("t", body)
    bench.know("t", TWO)
    bench.await_(lambda: bench.went == [b"first", b"last"])

    assert bench.told == []


def test_a_topic_that_was_lost_holds_its_messages_until_it_is_back(bench):
    bench.park("other", b"wakes it")
    bench.know("other", TWO)
    bench.await_(lambda: bench.went)
    bench.gone = ["t"]
    bench.answer()
    bench.park("t", b"held")
    bench.know("t", TWO)
    bench.await_(lambda: bench.went == [b"wakes it", b"held"])


def test_what_can_not_be_a_name_is_told(bench):
    bench.park("")
    bench.await_(lambda: bench.told)

    assert isinstance(bench.told[0], AddressUnknown)


def test_there_is_a_bound_to_what_waits_and_to_what_is_remembered(bench):
    for n in range(300):
        bench.park(f"t{n}")
    bench.answer()
    bench.await_(lambda: len(bench.told) == 300)
    kinds = [type(outcome) for outcome in bench.told]

    assert kinds[:100] == [Unreachable] * 100
    assert kinds[100:] == [AddressUnknown] * 200
    for _ in range(6):
        bench.told.clear()
        for n in range(200):
            bench.park(f"{len(bench.topics.forgotten)}-{n}")
        bench.answer()
        bench.await_(lambda: len(bench.told) == 200)
    assert len(bench.resolver._refused) <= 1000


def test_a_fault_that_nobody_thought_of_is_told_and_the_next_message_goes_on(bench):
    def broken(topic):
        raise RuntimeError("loop closed")

    bench.topics.ask = broken
    bench.park("t")
    bench.await_(lambda: bench.told)
    bench.know("t", TWO)
    bench.park("t", b"later")
    bench.await_(lambda: bench.went == [b"later"])

    assert isinstance(bench.told[0], Unreachable)
    assert "loop closed" in str(bench.told[0])


def test_closing_fails_what_waits_and_refuses_the_rest():
    bench = Bench(patience=60)
    bench.park("t")
    bench.resolver.close("shop is shut", 0.1)
    bench.park("t")

    assert [type(outcome) for outcome in bench.told] == [TransportClosed] * 2
    assert not [t for t in threading.enumerate() if t.name == "test-resolver"]


def test_closing_lets_what_waits_go_on_if_it_soon_can():
    bench = Bench(patience=60)
    bench.park("t", b"last")
    closing = threading.Thread(target=lambda: bench.resolver.close("shop is shut", 10))
    closing.start()
    bench.know("t", TWO)
    closing.join(10)

    assert (bench.went, bench.told) == ([b"last"], [])
