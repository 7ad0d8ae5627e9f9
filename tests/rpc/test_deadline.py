"""Which timeout holds, and which of many deadlines is next."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rpc.deadline import Deadlines, effective_timeout, remaining


@pytest.mark.parametrize(
    ("chosen", "inherited", "expected"),
    [
        (2.0, None, 2.0),
        (2.0, 5.0, 2.0),
        (2.0, 0.5, 0.5),
        (2.0, 0.0, 0.0),
        (2.0, -1.0, -1.0),
    ],
)
def test_a_call_gets_what_was_chosen_or_what_its_caller_has_left(chosen, inherited, expected):
    assert effective_timeout(chosen, inherited) == expected


@pytest.mark.parametrize(
    ("timeout", "age", "expected"),
    [(5.0, 0.0, 5.0), (5.0, 1.5, 3.5), (5.0, 7.0, -2.0), (5.0, -3.0, 5.0)],
)
def test_the_age_of_a_request_is_taken_off_and_skew_gives_no_time(timeout, age, expected):
    assert remaining(timeout, age) == expected


def test_what_expires_comes_earliest_first_and_ties_in_the_order_added():
    deadlines = Deadlines()
    for key, at in (("late", 3.0), ("first", 1.0), ("tie", 1.0), ("never", 9.0)):
        deadlines.add(key, at)

    assert deadlines.expire(3.0) == ["first", "tie", "late"]
    assert deadlines.next_deadline() == 9.0
    assert len(deadlines) == 1


def test_a_second_add_moves_the_deadline():
    deadlines = Deadlines()
    deadlines.add("call", 1.0)
    deadlines.add("call", 5.0)

    assert deadlines.expire(4.0) == []
    assert deadlines.expire(5.0) == ["call"]


def test_removed_keys_do_not_pile_up():
    deadlines = Deadlines()
    deadlines.add("kept", 1e9)
    for number in range(10_000):
        deadlines.add(number, 1e6 + number)
        deadlines.remove(number)

    assert len(deadlines) == 1
    assert len(deadlines._heap) <= 65
    assert deadlines.next_deadline() == 1e9


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 10))), st.floats(0, 10))
def test_nothing_expires_before_its_time_and_nothing_is_forgotten(added, now):
    deadlines, model = Deadlines(), {}
    for key, at in added:
        deadlines.add(key, at)
        model[key] = at
    expired = deadlines.expire(now)

    assert set(expired) == {key for key, at in model.items() if at <= now}
    assert [model[key] for key in expired] == sorted(model[key] for key in expired)


class DeadlinesAgainstADict(RuleBasedStateMachine):
    """The heap beside the plainest thing that could be right."""

    def __init__(self):
        super().__init__()
        self.real, self.model, self.now = Deadlines(), {}, 0

    @rule(key=st.integers(0, 20), after=st.integers(-1, 10), times=st.integers(1, 40))
    def add(self, key, after, times):
        for extra in range(times):
            self.real.add(key, self.now + after + extra)
        self.model[key] = self.now + after + times - 1
        assert len(self.real._heap) <= max(64, 2 * len(self.model))

    @rule(key=st.integers(0, 20))
    def remove(self, key):
        self.real.remove(key)
        self.model.pop(key, None)

    @rule(by=st.integers(0, 5))
    def expire(self, by):
        self.now += by
        due = {key for key, at in self.model.items() if at <= self.now}
        assert set(self.real.expire(self.now)) == due
        self.model = {key: at for key, at in self.model.items() if key not in due}

    @invariant()
    def agree(self):
        assert len(self.real) == len(self.model)
        assert self.real.next_deadline() == min(self.model.values(), default=None)


TestDeadlinesAgainstADict = DeadlinesAgainstADict.TestCase
TestDeadlinesAgainstADict.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None
)
