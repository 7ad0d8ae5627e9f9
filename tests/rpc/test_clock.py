"""Time that a test moves."""

import time

import pytest

from rpc.clock import ManualClock, monotonic


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(10.0)
    before = clock()
    clock.advance(2.5)

    assert (before, clock()) == (10.0, 12.5)


def test_a_manual_clock_does_not_go_back():
    clock = ManualClock(10.0)
    with pytest.raises(ValueError, match=r"does not go back \(-1"):
        clock.advance(-1)

    assert clock() == 10.0


def test_the_real_clock_never_goes_back():
    assert monotonic is time.monotonic
