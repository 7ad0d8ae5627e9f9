"""When a call is overdue, by what the calls of its method took."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.latency import LEAST, MOST, Latency


def after(*seconds):
    latency = Latency()
    for one in seconds:
        latency.add(one)
    return latency.patience


def test_as_long_as_nothing_is_known_the_patience_is_the_longest():
    assert after() == MOST
    assert after(*[0.01] * 31) == MOST


@pytest.mark.parametrize(
    ("seconds", "patience"),
    [
        ([0.002] * 64, LEAST),
        ([0.0] * 64, LEAST),
        ([0.1] * 64, pytest.approx(0.15, rel=0.2)),
        ([0.01] * 95 + [0.2] * 33, pytest.approx(0.3, rel=0.2)),
        ([0.01] * 90 + [3.0] * 38, MOST),
        ([4.0] * 64, pytest.approx(6.0, rel=0.2)),
    ],
)
def test_it_is_half_as_much_again_as_nearly_all_calls_took_within_bounds(seconds, patience):
    assert after(*seconds) == patience


def test_what_was_long_ago_fades():
    latency = Latency()
    for _ in range(4096):
        latency.add(0.3)
    before = latency.patience
    for _ in range(4096 * 8):
        latency.add(0.002)

    assert before == pytest.approx(0.45, rel=0.2)
    assert latency.patience == LEAST


@given(st.lists(st.floats(0, 1e9), max_size=300))
def test_it_is_never_below_the_least_whatever_comes(seconds):
    assert after(*seconds) >= LEAST
