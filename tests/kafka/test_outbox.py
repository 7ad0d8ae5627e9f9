"""The outbox: what waits for one partition goes together, in order, and each is told once."""

import threading
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from transports.base import Address, Message, Receipt
from transports.errors import MessageRefused, MessageTooLarge, TransportClosed, Unreachable
from transports.kafka.frames import MOST_MESSAGES, unpack
from transports.kafka.outbox import Outbox

PLACE = Address("users.requests", 3)


def bodies(message):
    framed = message.headers and message.headers[0][0] == "rpc-frame"
    return [one.body for one in unpack(message)] if framed else [message.body]


class Writer:
    """Who writes, in the test's hands: what is written waits in `records` for its answer."""

    def __init__(self):
        self.records = []
        self.once = []
        self.refuses = lambda _message: None
        self.gone = False
        self.awake = True
        self.outbox = None
        self.returned = []

    def write(self, place, message, on_sent, *, once, packed):
        error = self.refuses(message)
        if error is not None:
            on_sent(error)
            return
        self.records.append((message, on_sent))
        self.once.append(once)

    def wake(self, place, *, alone):
        if self.awake or alone:
            self.outbox.flush()

    def turn_back(self, place, entries):
        if self.gone:
            self.returned += [entry.message.body for entry in entries]
        return self.gone

    @property
    def written(self):
        return [bodies(message) for message, _ in self.records]

    def answer(self, place, outcome):
        self.records[place][1](outcome)


class Sender:
    """An outbox over a quayside, and what was told of each body."""

    def __init__(self):
        self.writer = Writer()
        self.now = 0.0
        self.outbox = Outbox(self.writer, 30.0, clock=lambda: self.now)
        self.writer.outbox = self.outbox
        self.told = {}

    def send(self, *names, packed=True, once=False, body=b""):
        for name in names:
            told = self.told.setdefault(name, [])
            message = Message(name + body)
            self.outbox.send(PLACE, message, told.append, once=once, packed=packed)


@pytest.fixture
def sender():
    return Sender()


def test_one_message_alone_goes_at_once_as_it_is(sender):
    sender.send(b"a")

    assert [message for message, _ in sender.writer.records] == [Message(b"a")]


def test_what_comes_while_one_is_under_way_goes_together_when_that_is_acknowledged(sender):
    sender.send(b"a", b"b", b"c", b"d")
    before = list(sender.writer.written)
    sender.writer.answer(0, Receipt(*PLACE, 10))
    sender.writer.answer(1, Receipt(*PLACE, 11))

    assert (before, sender.writer.written) == ([[b"a"]], [[b"a"], [b"b", b"c", b"d"]])
    assert sender.told == {
        b"a": [Receipt(*PLACE, 10)],
        b"b": [Receipt(*PLACE, 11, 0)],
        b"c": [Receipt(*PLACE, 11, 1)],
        b"d": [Receipt(*PLACE, 11, 2)],
    }


def test_one_message_after_the_other_goes_without_waking_anybody(sender):
    names = [b"%d" % number for number in range(9)]
    for number, name in enumerate(names):
        sender.writer.awake = number < 8
        sender.send(name)
        sender.writer.answer(number, Receipt(*PLACE, number))

    assert sender.writer.written == [[name] for name in names]


def test_after_some_that_went_together_the_driver_is_waited_for_again(sender):
    for number in range(8):
        sender.send(b"%d" % number)
        sender.writer.answer(number, Receipt(*PLACE, number))
    sender.send(b"a", b"b", b"c")
    sender.writer.answer(8, Receipt(*PLACE, 10))
    sender.writer.answer(9, Receipt(*PLACE, 11))
    sender.writer.awake = False
    sender.send(b"d", b"e")
    before = sender.writer.written[8:]
    sender.outbox.flush()

    assert before == [[b"a"], [b"b", b"c"]]
    assert sender.writer.written[10:] == [[b"d", b"e"]]


def test_what_comes_before_the_driver_is_ready_goes_together(sender):
    sender.writer.awake = False
    sender.send(b"a", b"b")
    sender.send(b"c", packed=False)
    sender.send(b"d")
    before = list(sender.writer.written)
    sender.outbox.flush()

    assert (before, sender.writer.written) == ([], [[b"a", b"b"], [b"c"], [b"d"]])


def test_what_comes_after_closing_goes_though_no_driver_is_ready(sender):
    sender.writer.awake = False
    sender.send(b"a")
    sender.outbox.close()
    sender.writer.answer(0, Receipt(*PLACE, 0))
    sender.send(b"b")

    assert sender.writer.written == [[b"a"], [b"b"]]


def test_what_may_not_be_packed_passes_what_is_under_way_but_nothing_that_waits(sender):
    sender.send(b"a")
    sender.send(b"b", packed=False)
    sender.send(b"c")
    sender.send(b"d", packed=False)
    sender.send(b"e", b"f")
    sender.writer.answer(0, Receipt(*PLACE, 10))

    assert sender.writer.written == [[b"a"], [b"b"], [b"c"], [b"d"], [b"e", b"f"]]


def test_messages_to_be_appended_once_share_no_record_with_others(sender):
    sender.send(b"a", b"b", b"c")
    sender.send(b"d", b"e", once=True)
    sender.send(b"f")
    sender.writer.answer(0, Receipt(*PLACE, 10))

    assert sender.writer.written == [[b"a"], [b"b", b"c"], [b"d", b"e"], [b"f"]]
    assert sender.writer.once == [False, False, True, False]


@pytest.mark.parametrize("kind", [MessageTooLarge, MessageRefused])
def test_a_frame_that_is_refused_is_sent_again_message_by_message(sender, kind):
    sender.send(b"a", b"guilty", b"b", b"c")
    sender.writer.answer(0, Receipt(*PLACE, 1))
    sender.writer.answer(1, kind("not this"))
    sender.send(b"d")
    sender.writer.answer(2, kind("not this"))
    for n in (3, 4):
        sender.writer.answer(n, Receipt(*PLACE, n))

    assert sender.writer.written[2:] == [[b"guilty"], [b"b"], [b"c"], [b"d"]]
    assert [type(told[0]).__name__ for told in list(sender.told.values())[:4]] == [
        "Receipt", kind.__name__, "Receipt", "Receipt",
    ]  # fmt: skip


def test_frames_get_smaller_where_one_was_too_large(sender):
    sender.send(b"-", *(b"%d" % n for n in range(20)), body=b"x" * 10_000)
    sender.writer.answer(0, Receipt(*PLACE, 0))
    assert [len(one) for one in sender.writer.written] == [1, 13, 7]
    sender.writer.answer(1, MessageTooLarge("as the topic says"))
    sender.send(*(b"again %d" % n for n in range(10)), body=b"x" * 10_000)
    for n in range(2, len(sender.writer.records)):
        sender.writer.answer(n, Receipt(*PLACE, n))

    assert [len(one) for one in sender.writer.written[2 + 1 + 13 - 1 + 1 :]] == [6, 4]


def test_an_error_is_told_to_all_of_a_frame_and_the_next_go(sender):
    sender.send(b"a", b"b", b"c")
    sender.writer.answer(0, Receipt(*PLACE, 0))
    sender.send(b"d")
    error = Unreachable("no broker")
    sender.writer.answer(1, error)

    assert (sender.told[b"b"], sender.told[b"c"]) == ([error], [error])
    assert sender.writer.written[-1] == [b"d"]


def test_what_waited_longer_than_patience_is_given_up_unsent(sender):
    sender.send(b"a", b"b")
    sender.now = 20.0
    sender.send(b"c")
    sender.now = 31.0
    sender.writer.answer(0, Unreachable("no broker"))

    assert [type(told) for told in sender.told[b"b"]] == [Unreachable]
    assert sender.writer.written == [[b"a"], [b"c"]]


def test_messages_to_a_topic_that_is_gone_go_back_one_by_one(sender):
    sender.send(b"a", b"b", b"c")
    sender.writer.gone = True
    sender.writer.answer(0, Receipt(*PLACE, 0))
    sender.writer.gone = False
    sender.send(b"d")

    assert sender.writer.returned == [b"b", b"c"]
    assert sender.writer.written == [[b"a"], [b"d"]]


def test_closing_writes_what_waits(sender):
    sender.send(b"a", b"b", b"c")
    sender.outbox.close()

    assert sender.writer.written == [[b"a"], [b"b", b"c"]]


def test_a_sender_that_is_told_may_send_again_at_once(sender):
    sender.writer.refuses = lambda _: TransportClosed("closed")
    told = []

    def again(outcome):
        told.append(outcome)
        if len(told) < 5_000:
            sender.outbox.send(PLACE, Message(b""), again, once=False, packed=True)

    sender.outbox.send(PLACE, Message(b""), again, once=False, packed=True)

    assert len(told) == 5_000


def test_a_message_that_is_none_spoils_nothing_for_its_neighbours(sender):
    sender.send(b"a", b"b")
    sender.outbox.send(PLACE, None, [].append, once=False, packed=True)
    sender.send(b"c")
    sender.writer.answer(0, Receipt(*PLACE, 0))

    assert [message and message.body for message, _ in sender.writer.records] == [
        b"a", b"b", None, b"c",
    ]  # fmt: skip


def test_threads_that_send_together_keep_each_its_order_and_are_all_told():
    sender, threads = Sender(), []
    writer, told = sender.writer, Counter()
    lock, stop = threading.Lock(), threading.Event()

    def answer():
        done = 0
        while not stop.is_set() or done < len(writer.records):
            while done < len(writer.records):
                writer.answer(done, Receipt(*PLACE, done))
                done += 1

    def send(name):
        for n in range(500):

            def count(_outcome, n=n):
                with lock:
                    told[name, n] += 1

            message = Message(b"%d %d" % (name, n))
            sender.outbox.send(PLACE, message, count, once=False, packed=n % 7 > 0)

    answering = threading.Thread(target=answer)
    answering.start()
    for name in range(4):
        threads.append(threading.Thread(target=send, args=(name,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    stop.set()
    answering.join()

    assert told == Counter((name, n) for name in range(4) for n in range(500))
    flat = [tuple(map(int, body.split())) for record in writer.written for body in record]
    for name in range(4):
        assert [n for who, n in flat if who == name] == list(range(500))


class Sends(RuleBasedStateMachine):
    """Any order of sends, answers and refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = Sender()
        self.count = 0
        self.answered = 0
        self.spoilt = False

    @property
    def open_records(self):
        return self.sender.writer.records[self.answered :]

    def packed_open(self):
        """Return those under way for whose answer others wait."""
        return [told for _, told in self.open_records if type(told).__name__ == "_Answer"]

    @rule(packed=st.booleans(), once=st.booleans(), count=st.integers(1, 70))
    def send(self, packed, once, count):
        busy = self.packed_open()
        for _ in range(count):
            self.sender.send(b"%06d" % self.count, packed=packed, once=once)
            self.count += 1
        assert not busy or self.packed_open() == busy

    @rule(awake=st.booleans())
    def sleep_or_wake(self, awake):
        self.sender.writer.awake = awake
        if awake:
            self.sender.outbox.flush()

    @precondition(lambda self: self.open_records)
    @rule(how=st.sampled_from(["ack", "ack", "ack", "large", "fail"]))
    def answer(self, how):
        place, self.answered = self.answered, self.answered + 1
        outcome = {
            "ack": Receipt(*PLACE, place),
            "large": MessageTooLarge("large"),
            "fail": Unreachable("no broker"),
        }[how]
        self.spoilt = self.spoilt or how == "large"
        self.sender.writer.answer(place, outcome)

    @rule()
    def close(self):
        self.sender.outbox.close()

    @invariant()
    def nothing_waits_while_nothing_is_under_way(self):
        waits = self.sender.outbox.waits(PLACE)
        assert not waits or self.open_records or not self.sender.writer.awake

    @invariant()
    def records_are_bounded_and_in_order(self):
        written = self.sender.writer.written
        assert all(len(record) <= MOST_MESSAGES for record in written)
        flat = [body for record in written for body in record]
        assert self.spoilt or flat == sorted(flat)

    @invariant()
    def nobody_is_told_twice(self):
        assert all(len(told) <= 1 for told in self.sender.told.values())

    def teardown(self):
        self.sleep_or_wake(True)
        while self.open_records:
            self.answer("ack")
        assert all(len(told) == 1 for told in self.sender.told.values())
        assert not self.sender.outbox.waits(PLACE)


Sends.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestSends = Sends.TestCase
