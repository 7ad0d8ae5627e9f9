import pytest

from chaos.schedule import (
    BROKER,
    CALM,
    LONGEST,
    NETWORK,
    PROCESS,
    SHORTEST,
    UPHEAVALS,
    kinds,
    schedule,
)


def test_a_seed_repeats_a_schedule_and_another_differs():
    first = schedule(7, 600, brokers=3)

    assert schedule(7, 600, brokers=3) == first
    assert schedule(8, 600, brokers=3) != first


def test_every_kind_of_fault_comes_in_a_long_run_and_a_quarter_of_it_is_quiet():
    periods = schedule(3, 3600, brokers=3)

    assert {step.name for period in periods for step in period.steps} == set(kinds(3))
    quiet = sum(not period.steps for period in periods) / len(periods)
    assert 0.18 < quiet < 0.32


def test_periods_are_bounded_and_fill_the_time():
    periods = schedule(1, 100, brokers=1)

    assert all(SHORTEST <= period.seconds <= LONGEST for period in periods)
    assert 100 <= sum(period.seconds for period in periods) < 100 + LONGEST


def test_two_faults_at_once_are_of_processes_and_of_the_network_and_never_two_brokers():
    for seed in range(50):
        for period in schedule(seed, 300, brokers=3):
            names = [step.name for step in period.steps]
            assert len(names) <= 2
            assert sum(name in PROCESS for name in names) <= 1
            assert sum(name in NETWORK + BROKER for name in names) <= 1


def test_an_upheaval_comes_alone_after_a_quiet_period_and_seldom():
    for seed in range(50):
        periods = schedule(seed, 1200, brokers=3)
        when = [n for n, period in enumerate(periods) if names(period) & set(UPHEAVALS)]
        assert when
        for number, before in zip(when, [-1, *when], strict=False):
            assert len(periods[number].steps) == 1
            assert not periods[number - 1].steps
            assert number - before > CALM


def names(period):
    return {step.name for step in period.steps}


def test_what_takes_two_brokers_of_three_does_not_come_to_one():
    assert "two-brokers-down" not in kinds(1)
    with pytest.raises(ValueError, match=r"1 broker\(s\) can have none of two-brokers-down"):
        schedule(1, 60, brokers=1, only=["two-brokers-down"])


def test_a_choice_of_faults_has_no_others():
    periods = schedule(5, 200, brokers=1, only=["cut", "kill-server"])

    assert {step.name for period in periods for step in period.steps} == {"cut", "kill-server"}
