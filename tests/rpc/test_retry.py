"""When a failed call is tried again, after what, and how many of them at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import NO_RETRY, Certainty, Code, RetryPolicy, RpcError
from rpc.retry import RetryBudget, allows, delay

NOT_EXECUTED, EXECUTED, UNKNOWN = Certainty.NOT_EXECUTED, Certainty.EXECUTED, Certainty.UNKNOWN


@pytest.mark.parametrize(
    ("code", "certainty", "attempt", "idempotent", "allowed"),
    [
        (Code.UNAVAILABLE, NOT_EXECUTED, 1, False, True),
        (Code.UNAVAILABLE, NOT_EXECUTED, 3, False, True),
        (Code.UNAVAILABLE, NOT_EXECUTED, 4, False, False),
        (Code.UNAVAILABLE, NOT_EXECUTED, 4, True, False),
        (Code.UNAVAILABLE, UNKNOWN, 1, False, False),
        (Code.UNAVAILABLE, UNKNOWN, 1, True, True),
        (Code.UNAVAILABLE, EXECUTED, 1, False, False),
        (Code.UNAVAILABLE, EXECUTED, 1, True, True),
        (Code.RESOURCE_EXHAUSTED, NOT_EXECUTED, 1, False, True),
        (Code.DEADLINE_EXCEEDED, NOT_EXECUTED, 1, True, False),
        (Code.INTERNAL, EXECUTED, 1, True, False),
    ],
)
def test_only_what_did_not_run_or_may_run_twice_is_tried_again(
    code, certainty, attempt, idempotent, allowed
):
    error = RpcError(code=code, certainty=certainty)

    assert allows(RetryPolicy(), error, attempt, idempotent=idempotent) is allowed


def test_other_codes_are_tried_again_where_the_policy_names_them():
    policy = RetryPolicy(codes=frozenset({Code.ABORTED}))
    aborted = RpcError(code=Code.ABORTED, certainty=NOT_EXECUTED)
    unavailable = RpcError(code=Code.UNAVAILABLE, certainty=NOT_EXECUTED)

    assert allows(policy, aborted, 1, idempotent=False)
    assert not allows(policy, unavailable, 1, idempotent=False)


def test_no_retry_allows_no_second_attempt():
    error = RpcError(code=Code.UNAVAILABLE, certainty=NOT_EXECUTED)

    assert not allows(NO_RETRY, error, 1, idempotent=True)


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [
        (1, 0.5, 0.05),
        (2, 0.5, 0.1),
        (3, 0.5, 0.2),
        (9, 0.5, 1.0),
        (1, 0.0, 0.04),
        (1, 1.0, 0.06),
        (9, 1.0, 1.2),
    ],
)
def test_delays_double_up_to_the_maximum_with_jitter_around_each(attempt, chance, seconds):
    assert delay(RetryPolicy(), attempt, lambda: chance) == pytest.approx(seconds)


@given(
    attempt=st.integers(1, 100_000),
    multiplier=st.floats(0.1, 1e300),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_no_delay_exceeds_the_maximum_by_more_than_the_jitter(attempt, multiplier, chance):
    policy = RetryPolicy(attempts=100_001, multiplier=multiplier)

    assert 0 <= delay(policy, attempt, lambda: chance) <= policy.maximum * (1 + policy.jitter)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"attempts": 0}, "attempts is 0"),
        ({"initial": 0.0}, "initial is 0.0"),
        ({"multiplier": -1.0}, "multiplier is -1.0"),
        ({"maximum": 0.0}, "maximum is 0.0"),
        ({"jitter": 1.0}, "jitter is 1.0"),
        ({"jitter": -0.1}, "jitter is -0.1"),
        ({"attempt_timeout": 0.0}, "attempt_timeout is 0.0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_its_figure(options, told):
    with pytest.raises(ValueError, match=told):
        RetryPolicy(**options)


def test_the_budget_begins_with_its_floor_and_then_refuses():
    budget = RetryBudget(share=0.2, floor=3.0)

    assert [budget.withdraw(0.0) for _ in range(4)] == [True, True, True, False]


def test_five_calls_pay_for_one_retry():
    budget = RetryBudget(share=0.2, floor=1.0)
    before = [budget.withdraw(0.0), budget.withdraw(0.0)]
    for _ in range(5):
        budget.deposit()

    assert before == [True, False]
    assert budget.withdraw(0.0)
    assert not budget.withdraw(0.0)


def test_the_floor_comes_back_with_time():
    budget = RetryBudget(share=0.2, floor=10.0)
    while budget.withdraw(0.0):
        pass

    assert [budget.withdraw(0.1), budget.withdraw(0.1), budget.withdraw(0.3)] == [True, False, True]


@given(st.lists(st.one_of(st.none(), st.floats(0, 3)), max_size=300))
def test_retries_stay_within_a_share_of_the_calls_and_the_floor(steps):
    budget, now, calls, retries = RetryBudget(share=0.2, floor=2.0, window=5.0), 0.0, 0, 0
    for step in steps:
        if step is None:
            budget.deposit()
            calls += 1
        else:
            now += step
            retries += budget.withdraw(now)

    assert retries <= 2.0 + 0.2 * calls + 2.0 * now + 1e-6
    assert retries <= 2.0 * 5.0 + 0.2 * calls + 2.0 * now
