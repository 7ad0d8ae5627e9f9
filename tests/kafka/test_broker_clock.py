"""The brokers' time, learned from acknowledgements and from no clock that can be set."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Address, Message, Receipt
from transports.kafka.broker_clock import BrokerClock

NODE, OTHER = 1, 2


def learned(*samples):
    clock = BrokerClock()
    for node, stamp, sent, answered in samples:
        clock.learn(node, stamp, sent, answered)
    return clock


def test_nothing_is_known_before_the_first_acknowledgement():
    assert BrokerClock().now(5.0) is None


def test_one_acknowledgement_gives_the_time_to_half_the_round_trip():
    clock = learned((NODE, 1000.0, 10.0, 10.2))

    assert clock.now(10.2) == pytest.approx(1000.1, abs=0.001)
    assert clock.now(15.2) == pytest.approx(1005.1, abs=0.001)


@pytest.mark.parametrize(
    ("samples", "offset"),
    [
        # The stamp fell late in the first round trip and early in the second: both bound it.
        ([(NODE, 1000.0, 10.0, 10.2), (NODE, 1001.0, 11.1, 11.3)], 989.85),
        # A quick answer after a slow one, and before one.
        ([(NODE, 1000.0, 8.0, 12.0), (NODE, 1010.0, 20.0, 20.002)], 989.999),
        ([(NODE, 1010.0, 20.0, 20.002), (NODE, 1013.0, 22.0, 24.0)], 989.999),
    ],
)
def test_several_acknowledgements_narrow_it_down(samples, offset):
    clock = learned(*samples)

    assert clock.now(30.0) == pytest.approx(30.0 + offset, abs=0.004)


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.5, -0.5])
def test_a_clock_that_was_set_is_learned_anew_at_once(step):
    clock = learned((NODE, 1000.0, 10.0, 10.01), (NODE, 1001.0 + step, 11.0, 11.01))

    assert clock.now(12.0) == pytest.approx(1002.0 + step, abs=0.01)


def test_what_was_learned_widens_so_that_clocks_may_drift():
    minute = 60.0
    clock = learned((NODE, 1000.0, 0.0, 0.002))
    for n in range(1, 61):  # the broker's clock gains 50 ms in each thousand seconds
        at = n * minute
        clock.learn(NODE, 1000.0 + at * 1.00005, at, at + 0.002)

    assert clock.now(60 * minute) == pytest.approx(1000.0 + 3600.0 * 1.00005, abs=0.01)


def test_each_broker_has_a_clock_of_its_own():
    clock = learned((NODE, 1000.0, 10.0, 10.002), (OTHER, 4600.0, 10.0, 10.1))

    assert clock.now(10.0, NODE) == pytest.approx(1000.0, abs=0.01)
    assert clock.now(10.0, OTHER) == pytest.approx(4600.0, abs=0.06)
    assert clock.now(10.0, 3) is None


def test_the_clock_that_is_known_best_is_told():
    clock = learned((NODE, 1000.0, 10.0, 10.2), (OTHER, 1000.05, 10.0, 10.002))

    assert clock.now(10.0) == clock.now(10.0, OTHER)


def test_a_broker_that_was_not_heard_of_for_long_is_not_asked():
    clock = learned((NODE, 1000.0, 10.0, 10.001), (OTHER, 1200.0, 110.0, 110.2))

    assert clock.now(110.0) == clock.now(110.0, OTHER)


@given(
    skew=st.floats(-1e9, 1e9),
    trips=st.lists(
        st.tuples(st.floats(0.001, 50), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30
    ),
)
def test_it_is_never_further_off_than_half_of_the_quickest_round_trip(skew, trips):
    clock, at = BrokerClock(), 0.0
    for pause, there, back in trips:
        at += pause
        stamp = int((at + there + skew) * 1000) / 1000
        clock.learn(NODE, stamp, at, at + there + back)
        at += there + back
    quickest = min(there + back for _, there, back in trips)
    drifted = 100e-6 * at

    assert abs(clock.now(at) - (at + skew)) <= quickest / 2 + drifted + 0.002


@pytest.mark.parametrize("skew", [0.0, 3600.0, -3600.0])
def test_the_broker_s_time_is_told_though_the_clock_of_this_machine_is_wrong(  # noqa: PLR0917 - fixtures
    kit, outcome_of, taken, topic_prefix, monkeypatch, skew
):
    transport, right = kit.transport(partitions=1), time.time
    monkeypatch.setattr(time, "time", lambda: right() + skew)
    transport.prepare(Address(topic_prefix), 10)
    inbox = transport.receiver(Address(topic_prefix, 0), shared=False)
    assert transport.now() is None

    for _ in range(5):
        assert isinstance(outcome_of(transport, inbox.address, Message(b"")), Receipt)
    last = taken(inbox, 5)[-1]
    age = transport.now() - last.timestamp

    assert -0.01 <= age < 0.2
    assert transport.now() == pytest.approx(right(), abs=0.2)  # the broker is on this machine


def test_the_first_sender_that_is_told_can_ask_for_the_time(kit, topic_prefix):
    transport, told, asked = kit.transport(partitions=1), threading.Event(), []
    transport.prepare(Address(topic_prefix), 10)

    def on_sent(_):
        asked.append(transport.now())
        told.set()

    transport.send(Address(topic_prefix), Message(b""), on_sent)

    assert told.wait(20)
    assert asked[0] is not None


def test_topics_that_keep_their_producers_time_teach_nothing(kit, outcome_of):
    topic, transport = kit.topic(1, message_timestamp_type="CreateTime"), kit.transport()

    assert isinstance(outcome_of(transport, Address(topic), Message(b"")), Receipt)
    assert transport.now() is None
