"""Who may share records: requests to a service that has shown that it takes them apart."""

from typing import Protocol

import pytest
from msgspec.structs import replace

from contracts import RetryPolicy, method
from rpc.request import request_message
from transports.base import Message
from transports.errors import Unreachable


class Ledger(Protocol):
    @method(timeout=2.0, idempotent=True)
    def read(self, account: str) -> int: ...

    @method(timeout=2.0)
    def pay(self, amount: int) -> int: ...


class Mail(Protocol):
    @method
    def post(self, text: str) -> None: ...


@pytest.fixture
def bank(line, wire):
    wire.frames = True
    return line(Ledger)


def frameless(reply: Message) -> Message:
    """Return a reply as of a server that says nothing of frames."""
    return replace(reply, headers=tuple(pair for pair in reply.headers if pair[0] != "rpc-frames"))


def answer(bank, call, *, shows: bool = True):
    """Let the call be answered, by a server that shows that it reads frames, or does not."""
    reply = bank.wire.last.reply(b"5")
    assert ("rpc-frames", b"1") in reply.headers
    bank.arrive(reply if shows else frameless(reply))
    assert call.result(0) == 5


def test_requests_say_that_several_replies_may_come_in_one_record(bank):
    bank.client.pay.future(1)

    assert bank.wire.last.headers["rpc-frames"] == b"1"
    assert bank.wire.last.request.frames


def test_where_the_transport_reads_none_nothing_is_said_of_them(line):
    bank = line(Ledger)
    call = bank.client.pay.future(1)
    bank.arrive(bank.wire.last.reply(b"5"))

    assert call.result(0) == 5
    assert "rpc-frames" not in bank.wire.last.headers


def test_requests_are_packed_once_a_reply_has_shown_that_the_service_reads_them(bank):
    answer(bank, bank.client.pay.future(1))
    first = bank.wire.last.packed
    bank.client.pay.future(2)
    bank.client.read.future("another method of the same service")

    assert not first
    assert [sending.packed for sending in bank.wire.sent] == [False, True, True]


def test_a_service_that_shows_nothing_gets_a_record_for_each_request(bank):
    for amount in range(3):
        answer(bank, bank.client.pay.future(amount), shows=False)

    assert [sending.packed for sending in bank.wire.sent] == [False] * 3


def test_what_one_service_shows_says_nothing_of_another(bank, line):
    other = line(Mail)
    answer(bank, bank.client.pay.future(1))
    other.client.post.future("hi")

    assert not bank.wire.last.packed


def test_retries_hedges_and_cancellations_are_packed_too(bank):
    answer(bank, bank.client.pay.future(1))
    policy = RetryPolicy(attempt_timeout=0.2)
    call = bank.client.read.with_options(retry=policy).future("a")
    bank.wire.last.fail(Unreachable("no broker"))
    bank.advance(0.06)
    bank.wire.last.acknowledge()
    bank.advance(0.2)
    call.cancel()
    kinds = [sending.headers["rpc-kind"] for sending in bank.wire.sent]

    assert kinds == [b"request"] * 4 + [b"cancel"]
    assert [sending.packed for sending in bank.wire.sent] == [False, True, True, True, True]


def test_a_late_reply_that_is_no_call_s_shows_nothing(bank):
    call = bank.client.pay.future(1)
    late = bank.wire.last.reply(b"5")
    call.cancel()
    bank.arrive(late)
    bank.client.pay.future(2)

    assert not bank.wire.last.packed


def test_the_header_stands_among_those_that_no_call_changes(bank):
    bank.client.pay.future(1)
    constant = bank.client.pay._route.constant
    message = request_message(constant, b"id", 1.0, b"")

    assert constant[-1] == ("rpc-frames", b"1")
    assert message.headers[: len(constant)] == constant
