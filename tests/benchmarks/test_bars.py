"""Which bars a run clears."""

import pytest

from benchmarks.bars import bars


def row(name, inflight, *, style="future", rps=1.0, p50_ms=1.0, payload=100):
    """Return a row of a run."""
    return {
        "name": name,
        "inflight": inflight,
        "style": style,
        "rps": rps,
        "p50_ms": p50_ms,
        "payload": payload,
    }


def verdict(what, *rows):
    """Return ratio and verdict of the one bar of which `what` is the beginning."""
    (found,) = [bar for bar in bars(rows, {}) if bar.what.startswith(what)]
    return found.ratio, found.passed


def test_nothing_is_said_of_what_was_not_measured():
    assert {bar.passed for bar in bars([], {})} == {None}


@pytest.mark.parametrize(("ours", "passed"), [(79.0, False), (80.0, True)])
def test_throughput_is_held_against_the_raw_driver_of_the_same_run(ours, passed):
    rows = (row("raw kafka-python", 64, rps=100.0), row("kafka-python", 64, rps=ours))

    assert verdict("1. kafka-python, one record a call: throughput / raw at 64", *rows) == (
        ours / 100,
        passed,
    )


def test_the_better_of_futures_and_asyncio_counts():
    rows = (
        row("raw kafka-python", 512, rps=100.0),
        row("kafka-python, frames", 512, rps=150.0),
        row("kafka-python, frames", 512, style="aio", rps=250.0),
    )

    assert verdict("2. kafka-python with frames: throughput / raw at 512", *rows) == (2.5, True)


@pytest.mark.parametrize(("ours", "passed"), [(1.15, True), (1.2, False)])
def test_latency_is_to_stay_below_its_bar(ours, passed):
    rows = (row("raw kafka-python", 1), row("kafka-python", 1, p50_ms=ours))

    assert verdict("1. p50 / raw at 1", *rows) == (ours, passed)


def test_other_sizes_take_no_part():
    rows = (row("raw kafka-python", 1), row("kafka-python", 1, payload=1000))

    assert verdict("1. p50 / raw at 1", *rows) == (None, None)


def test_both_servers_of_grpc_are_to_be_beaten():
    rows = (
        row("gRPC", 64, rps=10.0),
        row("gRPC aio", 64, style="aio", rps=20.0),
        row("kafka-python, frames", 64, rps=50.0),
    )

    what = "4. kafka-python, frames: throughput / gRPC-Python at 64"
    assert verdict(what, *rows) == (2.5, False)


def test_idle_processes_are_to_use_next_to_nothing():
    found = bars([], {("confluent", "client"): 0.01, ("confluent", "server"): 0.03})

    assert [bar.passed for bar in found if bar.what.startswith("7.")] == [True, False]
