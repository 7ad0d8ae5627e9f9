"""Bursts wait for room, overload is refused."""

import pytest

from rpc.overload import Overload


@pytest.fixture
def overload():
    return Overload(limit=10, patience=0.5)


def test_a_burst_may_wait_until_patience_has_run_out_however_often_it_asks(overload):
    assert overload.patience(100.0) == 0.5
    assert overload.patience(100.25) == 0.25
    assert overload.patience(100.5) == 0.0
    assert overload.patience(200.0) == 0.0


@pytest.mark.parametrize(("in_flight", "patience"), [(10, 0.0), (6, 0.0), (5, 0.5), (0, 0.5)])
def test_overload_is_over_once_half_of_the_room_is_free(overload, in_flight, patience):
    overload.patience(100.0)
    overload.ease(in_flight)

    assert overload.patience(101.0) == patience
