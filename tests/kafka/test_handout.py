"""Handing out: messages in chunks are in flight, settled and taken over as one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transports.base import Message
from transports.kafka import KafkaConfig
from transports.kafka.backlog import Backlog
from transports.kafka.chunks import Assembler, split
from transports.kafka.handout import Handout
from transports.kafka.ledger import Offer, claim
from transports.kafka.offsets import Offsets
from transports.kafka.records import Record

MINUTE = 60_000


def plain(offset, body=b"plain", timestamp=0):
    return Record(offset, timestamp, Message(body), 10)


def chunk(offset, name, index, count, timestamp=0):
    value = b"%s/%d/%d" % (name.rjust(16, b"0"), index, count)
    return Record(offset, timestamp, Message(b"%d" % index, (("rpc-chunk", value),)), 10)


class Group:
    """What the broker keeps of the group."""

    def __init__(self):
        self.offset, self.text = None, ""


class Member:
    """A receiver without its threads, of one partition: settles, and hands out what it is given."""

    def __init__(self, group, log, most_bytes=1 << 20):
        self.group, self.log = group, log
        self.offsets = Offsets()
        self.backlog = Backlog(Assembler(most_bytes, 60.0))
        config = KafkaConfig(max_unacked=1000)
        self.handout = Handout(self, "topic", config, self.offsets, self.backlog)
        self.join()

    def join(self):
        self.backlog.clear()
        offer = Offer(self.group.offset, self.group.text, 0, len(self.log))
        taken = claim(offer)
        self.handout.assigned()
        self.offsets.assign({0: taken}, "id")
        self.next = taken.committed or 0
        self.put({0: self.offsets._logs[0].mark()})

    def put(self, marks):
        for mark in marks.values():
            self.group.offset, self.group.text = mark.offset, mark.text
        self.offsets.committed(marks)

    def commit(self):
        self.put(self.offsets.committable())

    def leave(self):
        self.put(self.offsets.handover())
        self.offsets.release()

    def fetch(self, count=1000):
        self.backlog.add(0, self.log[self.next : self.next + count])
        self.next = min(len(self.log), self.next + count)
        out = []
        while self.backlog:
            out += self.handout.take()
        return out

    def settle(self, log, offset, part):
        return log.settle(offset, part)

    def ack(self, delivery):
        delivery.ack()
        assert delivery.acked


@pytest.fixture
def group():
    return Group()


def places(deliveries):
    return [(one.receipt.offset, one.message.body) for one in deliveries]


def test_a_message_in_chunks_is_one_delivery_that_settles_all(group):
    log = [plain(0), chunk(1, b"a", 0, 3), chunk(2, b"a", 1, 3), plain(3), chunk(4, b"a", 2, 3)]
    member = Member(group, log)
    first, second, whole = member.fetch()
    assert places([first, second, whole]) == [(0, b"plain"), (3, b"plain"), (4, b"012")]
    assert member.offsets.in_flight == 3
    member.ack(first)
    member.ack(second)
    member.commit()
    assert group.offset == 1
    member.ack(whole)
    member.commit()

    assert group.offset == 5
    assert (member.offsets.in_flight, member.offsets.in_flight_bytes) == (0, 0)
    assert member.offsets.drained()
    assert Member(group, log).fetch() == []


def test_a_crash_in_the_middle_has_all_of_it_delivered_again(group):
    log = [chunk(0, b"a", 0, 2), plain(1), chunk(2, b"a", 1, 2)]
    member = Member(group, log)
    other, _ = member.fetch()
    member.ack(other)
    member.commit()
    (again,) = Member(group, log).fetch()

    assert places([again]) == [(2, b"01")]
    assert (again.redelivered, again.crashes) == (True, 1)


def test_a_message_whose_last_chunk_came_after_the_crash_was_in_nobody_s_hands(group):
    log = [chunk(0, b"a", 0, 2), plain(1)]
    Member(group, log).fetch()
    log.append(chunk(2, b"a", 1, 2))
    group_at_crash = group.offset
    member = Member(group, log[:2])
    member.log = log
    other, whole = member.fetch()

    assert group_at_crash == 0
    assert (other.redelivered, whole.redelivered, whole.crashes) == (True, False, 0)


def test_what_waits_for_the_rest_does_not_hold_a_rebalance_up_and_is_fetched_again(group):
    log = [chunk(0, b"a", 0, 2), chunk(1, b"a", 1, 2)]
    member = Member(group, log)
    assert member.fetch(1) == []
    assert member.offsets.drained()
    assert member.offsets.in_flight == 0
    member.leave()
    member.join()

    assert places(member.fetch()) == [(1, b"01")]


def test_what_is_in_flight_is_not_handed_out_again_after_a_rebalance(group):
    log = [chunk(0, b"a", 0, 2), chunk(1, b"a", 1, 2), chunk(2, b"b", 0, 2)]
    member = Member(group, log)
    (whole,) = member.fetch()
    member.leave()
    member.join()
    assert member.fetch() == []
    member.ack(whole)
    member.commit()

    assert group.offset == 2


def test_what_a_sender_left_behind_is_told_as_a_problem_and_pins_nothing(group):
    log = [chunk(0, b"a", 0, 2), plain(1, timestamp=MINUTE), plain(2, timestamp=MINUTE + 1)]
    member = Member(group, log)
    early, gone, late = member.fetch()

    assert gone.problem == "a message in chunks is given up: 1 of 2 came, not within 60 s"
    for one in (early, gone, late):
        member.ack(one)
    member.commit()
    assert group.offset == 3


def test_a_chunk_that_makes_no_sense_is_one_problem(group):
    member = Member(group, [chunk(0, b"a", 5, 2)])
    (bad,) = member.fetch()
    member.ack(bad)
    member.commit()

    assert bad.problem == "the chunk can't be read: it is chunk 5 of 2"
    assert group.offset == 1


def test_chunks_of_a_topic_that_was_made_anew_are_not_mixed_with_those_before(group):
    log = [plain(0), chunk(1, b"a", 0, 2), plain(2)]
    member = Member(group, log)
    member.fetch()
    member.log, member.next = [chunk(0, b"b", 0, 2), chunk(1, b"b", 1, 2), chunk(2, b"a", 1, 2)], 0

    assert places(member.fetch()) == [(1, b"01")]


def test_at_the_bound_in_bytes_something_is_given_up_and_the_rest_goes_on(group):
    member = Member(group, [chunk(n, b"%x" % n, 0, 2) for n in range(12)], most_bytes=1380)
    given_up = member.fetch()

    assert [one.receipt.offset for one in given_up] == [0, 1]
    assert all(one.problem is not None for one in given_up)


# Anything may happen to a log of messages, whole ones and in chunks.

sizes = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def written(data, counts):
    """Return a log of messages, of so many chunks each, 0 for a plain one; and what is in it."""
    queues = [
        split(Message(b"%d:" % n + b"x" * (700 * count)), f"{n:016x}", 1000)
        if count
        else [Message(b"%d:" % n)]
        for n, count in enumerate(counts)
    ]
    dead = data.draw(st.sets(st.sampled_from(range(len(counts)))))
    queues = [
        q[: data.draw(st.integers(0, len(q) - 1))] if n in dead else q for n, q in enumerate(queues)
    ]
    whole, log = {n for n in range(len(counts)) if n not in dead}, []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        twice = len(queue) > 1 and data.draw(st.integers(0, 7)) == 7
        message = queue[0] if twice else queue.pop(0)
        log.append(Record(len(log), 0, message, len(message.body)))
    log.append(plain(len(log), b"end:", timestamp=MINUTE + 1))
    return log, whole


@settings(max_examples=300, deadline=None)
@given(sizes, st.data())
def test_whatever_happens_each_message_comes_and_what_is_settled_for_good_never_again(counts, data):
    log, whole = written(data, counts)
    group = Group()
    member, lives = Member(group, log), 0
    handed, settled_for_good, acked = [], set(), set()
    mine, given = set(), []

    def take(count):
        for one in member.fetch(count):
            name = one.message.body.partition(b":")[0]
            if one.problem is None:
                assert name not in settled_for_good
                assert name not in mine
                assert one.redelivered or name not in {other for other, _ in handed}
                handed.append((name, lives))
                mine.add(name)
            given.append((name, one))

    for _ in range(data.draw(st.integers(0, 12))):
        match data.draw(st.sampled_from(["take", "take", "ack", "ack", "commit", "crash", "move"])):
            case "take":
                take(data.draw(st.integers(1, 4)))
            case "ack" if given:
                name, one = given.pop(data.draw(st.integers(0, len(given) - 1)))
                member.ack(one)
                if one.problem is None:
                    acked.add(name)
            case "commit":
                member.commit()
                settled_for_good |= acked
            case "crash":
                member, lives = Member(group, log), lives + 1
                mine, given, acked = set(), [], set()
            case "move":
                member.leave()
                settled_for_good |= acked
                member.join()
    take(1000)
    for _, one in given:
        member.ack(one)
    member.commit()

    assert {name for name, _ in handed} == {b"%d" % n for n in whole} | {b"end"}
    assert group.offset == len(log)
    assert member.offsets.in_flight == 0
    assert len(member.backlog.chunks) == 0
