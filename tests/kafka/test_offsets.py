"""Offsets: what may be committed, and what is here already, under every order of events."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from transports.kafka.ledger import Claim, Note
from transports.kafka.offsets import Offsets


def from_start(committed):
    """A claim on a partition of which nothing is noted."""
    base = committed or 0
    return Claim(committed, Note(base), base)


def places(marks):
    return {partition: mark.offset for partition, mark in marks.items()}


@pytest.fixture
def held():
    """Partition 0, from its beginning."""
    offsets = Offsets()
    offsets.assign({0: from_start(None)}, "topic-1")
    return offsets


def taken(offsets, *places, size=10):
    return {place: offsets.take(0, place, size) for place in places}


@pytest.mark.parametrize(
    ("took", "settled", "mark"),
    [
        ([], [], {}),
        ([0, 1, 2], [], {}),
        ([0, 1, 2], [0], {0: 1}),
        ([0, 1, 2], [1, 2], {0: 0}),
        ([0, 1, 2], [2, 0], {0: 1}),
        ([0, 1, 2], [2, 1, 0], {0: 3}),
        ([0, 5, 9], [0], {0: 5}),
        ([0, 5, 9], [0, 9, 5], {0: 10}),
        ([3], [3], {0: 4}),
    ],
)
def test_the_watermark_is_the_first_that_is_not_settled(held, took, settled, mark):
    logs = taken(held, *took)
    for offset in settled:
        assert logs[offset].settle(offset)

    assert places(held.committable()) == mark


def test_what_is_committed_is_not_committed_again(held):
    logs = taken(held, 0, 1)
    logs[0].settle(0)
    held.committed(held.committable())

    assert held.committable() == {}


def test_settling_twice_counts_once(held):
    logs = taken(held, 0)

    assert [logs[0].settle(0), logs[0].settle(0)] == [True, False]
    assert (held.in_flight, held.in_flight_bytes) == (0, 0)


def test_a_partition_that_is_not_held_gives_nothing_and_commits_nothing(held):
    logs = taken(held, 0, 1)
    held.release()
    logs[0].settle(0)

    assert held.committable() == {}
    assert held.take(0, 2, 10) is None
    assert held.take(7, 0, 10) is None
    assert held.in_flight == 1


def test_what_comes_back_in_a_rebalance_is_known(held):
    logs = taken(held, 0, 1, 2)
    logs[1].settle(1)
    held.release()
    held.assign({0: from_start(None)}, "topic-1")

    assert list(taken(held, 0, 1, 2).values()) == [None, None, None]
    assert held.take(0, 3, 10) is not None
    logs[0].settle(0)
    assert places(held.committable()) == {0: 2}


def test_what_others_settled_meanwhile_is_neither_waited_for_nor_lowered(held):
    logs = taken(held, 0, 1, 2)
    held.release()
    held.assign({0: from_start(10)}, "topic-1")
    settled = [logs[0].settle(0), logs[2].settle(2)]

    assert settled == [False, False]
    assert held.committable() == {}
    held.take(0, 10, 10).settle(10)
    assert places(held.committable()) == {0: 11}


def test_what_is_lost_can_be_given_back_and_is_handed_out_again_when_it_comes_again(held):
    logs = taken(held, 0, 1, 2, size=7)
    while_held = logs[1].give_back(1)
    held.release()
    given = [logs[0].give_back(0), logs[1].give_back(1), logs[1].give_back(1)]
    between = (held.in_flight, held.in_flight_bytes)
    held.assign({0: from_start(None)}, "topic-1")
    again = taken(held, 0, 1, 2, size=7)

    assert (while_held, given, between) == (False, [True, True, False], (1, 7))
    assert [log is not None for log in again.values()] == [True, True, False]
    assert [log.settle(place) for place, log in logs.items()] == [True, True, True]
    assert places(held.committable()) == {0: 3}
    assert (held.in_flight, held.in_flight_bytes) == (0, 0)


def test_what_was_given_back_and_settled_by_others_is_not_waited_for(held):
    logs = taken(held, 0, 1, 2)
    held.release()
    logs[1].give_back(1)
    held.assign({0: from_start(2)}, "topic-1")

    assert taken(held, 2) == {2: None}
    assert held.in_flight == 1
    logs[2].settle(2)
    assert places(held.committable()) == {0: 3}


def test_a_message_in_chunks_can_not_be_given_back(held):
    log = held.at(0, 0)
    assert [log.reserve(0), log.reserve(1), log.bind([0, 1], 20)] == [True] * 3
    held.release()

    assert not log.give_back(1)
    assert held.in_flight == 1


@pytest.mark.parametrize(
    ("start", "topic_id"),
    [(None, "topic-2"), (2, "topic-1"), (None, "topic-1")],
)
def test_a_log_that_was_made_anew_is_begun_anew(held, start, topic_id):
    old = taken(held, 0, 1, 2, 3)
    for offset in (0, 1, 2):
        old[offset].settle(offset)
    held.committed(held.committable())
    held.assign({0: from_start(start)}, topic_id)

    new = held.take(0, 2, 10)
    assert new is not None
    old[3].settle(3)
    assert held.in_flight == 1


def test_a_log_that_goes_back_while_it_is_held_is_begun_anew(held):
    old = taken(held, 0, 1, 2)
    new = held.take(0, 0, 10)

    assert new is not None
    assert old[0].settle(0)
    assert held.committable() == {}
    new.settle(0)
    assert places(held.committable()) == {0: 1}


def test_records_before_the_committed_offset_are_of_another_log():
    offsets = Offsets()
    offsets.assign({0: from_start(None)}, "topic-1")
    offsets.take(0, 4, 10)
    offsets.assign({0: from_start(5)}, "topic-1")

    assert offsets.take(0, 0, 10) is not None


def test_a_late_commit_of_a_former_log_does_not_stop_the_new_one(held):
    old = taken(held, *range(9))
    for offset in range(9):
        old[offset].settle(offset)
    under_way = held.committable()
    held.take(0, 0, 10).settle(0)
    held.committed(under_way)

    assert places(held.committable()) == {0: 1}


def test_a_frame_is_settled_when_all_its_parts_are(held):
    logs = {part: held.take(0, 0, 10, part, 3) for part in range(3)}
    held.take(0, 1, 10).settle(1)
    steps = []
    for part in (2, 0, 1):
        assert logs[part].settle(0, part)
        (mark,) = held.committable().values()
        steps.append((mark.offset, [mark.covers(0, n) for n in range(3)], held.in_flight))

    assert steps == [
        (0, [False, False, True], 2),
        (0, [True, False, True], 1),
        (2, [True, True, True], 0),
    ]


def test_parts_that_were_not_taken_before_a_rebalance_come_after_it(held):
    logs = [held.take(0, 0, 10, part, 4) for part in range(2)]
    logs[0].settle(0, 0)
    held.release()
    held.assign({0: from_start(None)}, "topic-1")

    again = [held.take(0, 0, 10, part, 4) is not None for part in range(4)]

    assert again == [False, False, True, True]
    assert (held.in_flight, held.in_flight_bytes) == (3, 30)
    assert not held.take(0, 1, 10).settle(0, 0)


class Group(RuleBasedStateMachine):
    """One partition, one member of ours, others who take over, and a broker that remembers.

    Every third record is a frame of three messages; a place is an offset and a part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offsets = Offsets()
        self.generation = 0
        self.end = 0
        self.committed: int | None = None
        self.held = False
        self.position = (0, 0)
        self.in_flight: dict[tuple[int, tuple[int, int]], object] = {}
        self.done: set[tuple[int, int]] = set()
        self.by_others: set[tuple[int, int]] = set()
        self.fetched = False
        self.known_as = 0

    def parts(self, offset):
        return 3 if offset % 3 == 1 else 1

    def places(self, start, end):
        return [
            (offset, part) for offset in range(start, end) for part in range(self.parts(offset))
        ]

    def flying(self):
        return {place for generation, place in self.in_flight if generation == self.generation}

    @rule(count=st.integers(1, 5))
    def append(self, count):
        self.end += count

    @precondition(lambda self: not self.held)
    @rule()
    def assign(self):
        self.offsets.assign({0: from_start(self.committed)}, self.generation)
        if self.known_as != self.generation:
            # Made anew while it was held, which is told apart from before only now.
            self.forget()
        self.held, self.position, self.fetched = True, (self.committed or 0, 0), False
        if self.committed is not None:
            for key in [k for k in self.in_flight if k == (self.generation, k[1])]:
                if key[1][0] < self.committed:
                    self.by_others.add(key[1])
                    del self.in_flight[key]

    def forget(self):
        self.known_as = self.generation
        self.done = set()
        self.in_flight = {k: v for k, v in self.in_flight.items() if k[0] != self.generation}

    @precondition(lambda self: self.held and self.position[0] < self.end)
    @rule(count=st.integers(1, 4))
    def fetch(self, count):
        ahead = [p for p in self.places(self.position[0], self.end) if p >= self.position]
        for offset, part in ahead[:count]:
            self.fetched = True
            last = part + 1 == self.parts(offset)
            self.position = (offset + 1, 0) if last else (offset, part + 1)
            log = self.offsets.take(0, offset, 1, part, self.parts(offset))

            place = (offset, part)
            assert (log is None) == (place in self.flying() or place in self.done)
            if log is not None:
                self.in_flight[self.generation, place] = log

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def settle(self, data):
        generation, place = data.draw(st.sampled_from(sorted(self.in_flight)))
        self.in_flight.pop((generation, place)).settle(*place)
        if generation == self.generation:
            self.done.add(place)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def give_back(self, data):
        key = data.draw(st.sampled_from(sorted(self.in_flight)))
        log = self.in_flight[key]
        lost = not log.held

        assert log.give_back(*key[1]) == lost
        if lost:
            del self.in_flight[key]
            assert not log.give_back(*key[1])
            assert not log.settle(*key[1])

    @precondition(lambda self: self.held)
    @rule(arrives=st.booleans(), told=st.booleans())
    def commit(self, arrives, told):
        marks = self.offsets.committable()
        for mark in places(marks).values():
            known = self.done | self.by_others | set(self.places(0, self.committed or 0))
            assert mark >= (self.committed or 0)  # equal where the answer to a commit was lost
            assert not [place for place in self.flying() if marks[0].covers(*place)]
            assert set(self.places(0, mark)) <= known
        if arrives and marks:
            self.committed = marks[0].offset
            if told:
                self.offsets.committed(marks)

    @precondition(lambda self: self.held)
    @rule()
    def release(self):
        self.offsets.release()
        self.held = False

    @precondition(lambda self: not self.held and (self.committed or 0) < self.end)
    @rule(data=st.data())
    def others_go_on(self, data):
        upto = data.draw(st.integers((self.committed or 0) + 1, self.end))
        self.by_others |= set(self.places(self.committed or 0, upto))
        self.committed = upto

    @precondition(lambda self: not self.held or self.fetched)
    @rule()
    def recreate(self):
        self.generation += 1
        self.end, self.committed, self.position = 1, None, (0, 0)
        self.done, self.by_others = set(), set()
        if self.held:
            self.fetch(1)

    @invariant()
    def what_is_in_flight_is_counted(self):
        assert self.offsets.in_flight >= len(self.flying())
        assert self.offsets.in_flight == self.offsets.in_flight_bytes


Group.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestGroup = Group.TestCase
