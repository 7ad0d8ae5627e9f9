"""The pure plan: which send meets which fault."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Address, Message
from transports.errors import ConfigurationError
from transports.faults import Fault, FaultPlan, Faults

HERE = Address("t")
MESSAGE = Message(b"")


def drawn(faults, count):
    plan = FaultPlan(faults)
    return [plan.next(HERE, MESSAGE) for _ in range(count)]


def test_the_script_comes_first_and_then_the_probabilities():
    faults = Faults(script=(None, Fault.DROP), fail=1.0)

    assert drawn(faults, 4) == [None, Fault.DROP, Fault.FAIL, Fault.FAIL]


def test_without_faults_nothing_goes_wrong():
    assert drawn(Faults(), 100) == [None] * 100


@given(seed=st.integers(), kind=st.sampled_from(Fault))
def test_a_probability_of_one_is_always(seed, kind):
    faults = replace(Faults(seed=seed), **{kind.value: 1.0})

    assert drawn(faults, 20) == [kind] * 20


@given(seed=st.integers(), chances=st.lists(st.floats(0, 1 / 6), min_size=6, max_size=6))
def test_a_seed_gives_one_sequence(seed, chances):
    drop, lose_ack, duplicate, delay, reorder, fail = chances
    faults = Faults(
        seed=seed,
        drop=drop,
        lose_ack=lose_ack,
        duplicate=duplicate,
        delay=delay,
        reorder=reorder,
        fail=fail,
    )

    assert drawn(faults, 50) == drawn(faults, 50)


def test_what_may_not_go_wrong_draws_nothing():
    faults = Faults(drop=0.5, seed=3, topics=frozenset({"t"}))
    plan = FaultPlan(faults)
    mixed = []
    for _ in range(30):
        assert plan.next(Address("other"), MESSAGE) is None
        mixed.append(plan.next(HERE, MESSAGE))

    assert mixed == drawn(faults, 30)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"drop": 1.5}, "drop=1.5: a probability is from 0 to 1"),
        ({"fail": -0.1, "delay": 2}, "delay=2.0, fail=-0.1"),
        ({"drop": 0.6, "fail": 0.6}, "add up to 1.2: at most 1"),
        ({"drop": float("nan")}, "drop=nan"),
        ({"hold": -1}, "hold=-1: seconds are not negative"),
    ],
)
def test_faults_that_make_no_sense_are_refused_by_name(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        Faults(**settings)
