"""How old a request is, by the broker's clock alone."""

import threading

import pytest
import structlog

from rpc.broker_time import BrokerTime
from rpc.reply import is_clock
from rpc.request import decode_request
from transports.base import Delivery, Receipt, Unshared
from transports.errors import SendUncertain, Unreachable


@pytest.fixture
def stopping():
    return threading.Event()


@pytest.fixture
def time(wire, stopping):
    wire.time = None
    return BrokerTime(wire.now, wire.send, stopping, wait=0.01)


@pytest.fixture
def asked(request_of):
    def make(**changed):
        message = request_of(method=b"Ledger.pay", **changed)
        held = Delivery(message, Receipt("Ledger.requests", 0, 0), 100.0, Unshared())
        return decode_request(message), held

    return make


@pytest.mark.parametrize(
    ("moments", "age"),
    [
        ((103.0, None), 3.0),
        ((103.0, b"98000"), 5.0),
        ((103.0, b"102000"), 3.0),
        ((99.0, None), 0.0),
    ],
)
def test_the_age_counts_from_the_earlier_of_record_and_caller(time, wire, asked, moments, age):
    wire.time, sent = moments

    assert time.age(*asked(rpc_sent=sent)) == age
    assert wire.sent == []


def test_before_the_time_is_known_it_is_asked_for_where_the_reply_goes(time, wire, asked):
    def answer(sending):
        wire.time = 102.5
        sending.acknowledge()

    wire.on_send = answer
    age = time.age(*asked(reply_partition=b"\0\0\0\4"))

    assert age == 2.5
    assert is_clock(wire.last.message)
    assert wire.last.address == ("rpc.replies.test", 4)


def test_where_records_bear_no_time_of_the_broker_requests_count_as_new_and_that_is_logged_once(
    time, wire, asked
):
    wire.on_send = lambda sending: sending.acknowledge()
    with structlog.testing.capture_logs() as logs:
        ages = [time.age(*asked()) for _ in range(6)]

    assert ages == [0.0] * 6
    assert [line["event"] for line in logs] == ["clock.unknown"]
    assert len(wire.sent) == 3


def test_as_long_as_no_broker_is_reached_nothing_is_judged(time, wire, asked):
    def answer(sending):
        if len(wire.sent) < 8:
            sending.fail(Unreachable("cable cut") if len(wire.sent) % 2 else SendUncertain("?"))
        else:
            wire.time = 102.5
            sending.acknowledge()

    wire.on_send = answer

    assert time.age(*asked()) == 2.5


def test_a_server_that_stops_meanwhile_leaves_the_request_to_another(time, wire, asked, stopping):
    wire.on_send = lambda _: stopping.set()

    assert time.age(*asked()) is None
