"""The expected wait: measured where others wait, and forgotten where nobody does."""

import pytest

from rpc.overload import Overload


def busy(rate, seconds, queue=100, service=0.1, now=100.0):
    """An overload in which `rate` calls per second ended while `queue` waited."""
    overload = Overload(limit=1000, patience=0.5)
    for _ in range(queue):
        overload.queued(now)
    for step in range(int(rate * seconds)):
        overload.queued(now)
        overload.withdrawn(now)
        overload.ended(service, now + (step + 1) / rate)
    return overload


def test_nothing_is_too_late_where_nothing_is_known():
    overload = Overload(limit=10, patience=0.5)
    for _ in range(1000):
        overload.queued(1.0)

    assert overload.wait() == 0.0
    assert not overload.too_late(0.001)


def test_the_wait_is_what_waits_by_what_ends_per_second():
    assert busy(rate=50, seconds=4).wait() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("remaining", "late"), [(0.1, True), (2.0, True), (2.5, True), (3.0, False), (60.0, False)]
)
def test_a_turn_is_too_late_where_the_call_could_not_end_in_time(remaining, late):
    assert busy(rate=50, seconds=4).too_late(remaining) is late


def bursts(overload, start, count, size, every):
    """Let bursts come of which one call at a time is done, in 1 ms; return when the last ended."""
    now = start
    for burst in range(count):
        now = start + burst * every
        for _ in range(size):
            overload.queued(now)
        for _ in range(size):
            now += 0.001
            overload.withdrawn(now)
            overload.ended(0.001, now)
    return now


def slow():
    """An overload that has seen one call per second end, until 124, and nothing waits any more."""
    overload = busy(rate=1, seconds=24, queue=10)
    for _ in range(10):
        overload.withdrawn(124.0)
    return overload


def test_bursts_that_are_each_too_small_to_be_measured_mend_a_rate_together():
    overload = slow()
    now = bursts(overload, 124.5, count=3, size=4, every=0.5)
    for _ in range(20):
        overload.queued(now)

    assert 0.0 < overload.wait() < 0.1


def test_the_time_in_which_nothing_waits_makes_no_rate_lower():
    overload = slow()
    now = bursts(overload, 124.5, count=40, size=4, every=0.1)
    for _ in range(20):
        overload.queued(now)

    assert 0.0 < overload.wait() < 0.1


@pytest.mark.parametrize(("count", "forgotten"), [(6, False), (13, True)])
def test_a_rate_is_forgotten_where_too_few_are_let_in_to_measure_another(count, forgotten):
    overload = slow()
    now = bursts(overload, 124.5, count=count, size=1, every=0.5)
    for _ in range(20):
        overload.queued(now)

    assert (overload.wait() == 0.0) is forgotten


def test_a_rate_is_kept_as_long_as_something_waits():
    overload = busy(rate=1, seconds=20, queue=10)
    overload.queued(140.0)

    assert overload.wait() == pytest.approx(11.0, rel=0.1)


def test_a_rate_of_long_ago_says_nothing():
    overload = busy(rate=1, seconds=20, queue=10)
    for _ in range(10):
        overload.withdrawn(120.0)
    for _ in range(100):
        overload.queued(130.0)

    assert overload.wait() == 0.0


def test_a_burst_that_is_done_quickly_mends_a_rate_that_was_too_low():
    overload = busy(rate=1, seconds=20, queue=10)
    for _ in range(9):
        overload.withdrawn(120.0)
        overload.ended(0.001, 120.0 + 0.001)
    overload.withdrawn(120.01)
    for _ in range(20):
        overload.queued(120.5)
    for step in range(20):
        overload.ended(0.001, 120.5 + step / 1000)
        overload.withdrawn(120.5 + step / 1000)
    for _ in range(20):
        overload.queued(120.6)

    assert overload.wait() < 0.1
