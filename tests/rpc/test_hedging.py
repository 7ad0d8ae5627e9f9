"""Attempts beside attempts: where they go, which are told to stop, and which never are made."""

from typing import Protocol

import pytest
from msgspec.structs import replace

from contracts import Certainty, Code, ErrorBody, RetryPolicy, method
from contracts.codec import JSON
from rpc.reply import clock_message, reply_message
from rpc.request import Cancel, decode_request
from transports import failpoints
from transports.base import Address
from transports.errors import SendUncertain, Unreachable


class Ledger(Protocol):
    @method(timeout=4.0, idempotent=True)
    def read(self, account: str) -> int: ...

    @method(timeout=4.0, idempotent=True, key="account")
    def balance(self, account: str) -> int: ...

    @method(timeout=4.0)
    def pay(self, amount: int) -> int: ...

    @method(timeout=4.0, delivery="at_most_once")
    def fire(self, amount: int) -> int: ...

    @method(timeout=4.0, delivery="effectively_once")
    def book(self, amount: int) -> int: ...

    @method(timeout=4.0, retry=RetryPolicy(attempts=2))
    def twice(self, amount: int) -> int: ...


UNREACHABLE = Unreachable("no broker answers")


@pytest.fixture
def bank(line):
    return line(Ledger)


def pushed_back(sending, seconds):
    body = JSON.encode(ErrorBody("UNAVAILABLE", "", "told", {}, "NOT_EXECUTED"))
    return reply_message(
        sending.request, Code.UNAVAILABLE, JSON.content_type, body, retry_after=seconds
    )


# -- hedging ---------------------------------------------------------------------------------------


def test_an_overdue_call_is_sent_once_more_away_from_where_it_stands(bank):
    call = bank.client.read.future("a")
    bank.wire.last.acknowledge(partition=3)
    bank.advance(0.499)
    before = len(bank.wire.sent)
    bank.advance(0.001)
    bank.wire.last.acknowledge(partition=4)
    bank.advance(0.5)

    assert before == 1
    assert [sending.request.attempt for sending in bank.wire.sent] == [1, 2, 3]
    assert [set(sending.avoid) for sending in bank.wire.sent] == [set(), {3}, {3, 4}]
    assert not call.done()


def test_the_delay_follows_what_the_method_usually_takes(bank):
    for _ in range(32):
        bank.client.read.future("a")
        bank.advance(0.01)
        bank.arrive(bank.wire.last.reply(b"7"))
    bank.client.read.future("b")
    bank.advance(0.049)
    before = len(bank.wire.sent)
    bank.advance(0.001)

    assert (before, len(bank.wire.sent)) == (33, 34)


@pytest.mark.parametrize(
    ("name", "argument"), [("pay", 5), ("fire", 5), ("book", 5), ("balance", "a")]
)
def test_what_may_not_run_twice_or_has_a_key_is_not_hedged(bank, name, argument):
    getattr(bank.client, name).future(argument)
    bank.advance(3.9)

    assert len(bank.wire.sent) == 1


def test_a_policy_turns_hedging_off(line):
    bank = line(Ledger, retry=RetryPolicy(hedge=False))
    bank.client.read.future("a")
    bank.advance(3.9)

    assert len(bank.wire.sent) == 1


def test_the_attempt_that_lost_is_told_to_stop_and_the_one_that_won_is_not(bank):
    call = bank.client.read.future("a")
    bank.wire.last.acknowledge(partition=3)
    bank.advance(0.5)
    second = bank.wire.last
    second.acknowledge(partition=4)
    bank.arrive(second.reply(b"7"))

    assert call.result(0) == 7
    assert bank.wire.last.address == Address("Ledger.requests", 3)
    assert decode_request(bank.wire.last.message) == Cancel(call.call_id, bank.channel.instance)
    assert len(bank.wire.sent) == 3


def test_an_attempt_that_is_acknowledged_after_it_lost_is_told_to_stop_then(bank):
    bank.client.read.future("a")
    first = bank.wire.last
    bank.advance(0.5)
    bank.arrive(bank.wire.last.reply(b"7"))
    before = len(bank.wire.sent)
    first.acknowledge(partition=5)

    assert before == 2
    assert bank.wire.last.address == Address("Ledger.requests", 5)


def test_a_single_attempt_that_is_answered_costs_no_cancel_record(bank):
    bank.client.read.future("a")
    bank.arrive(bank.wire.last.reply(b"7"))
    bank.wire.last.acknowledge(partition=5)

    assert len(bank.wire.sent) == 1


def test_cancelling_tells_every_partition_where_an_attempt_stands(bank):
    call = bank.client.read.future("a")
    bank.wire.last.acknowledge(partition=3)
    bank.advance(0.5)
    bank.wire.last.acknowledge(partition=4)
    call.cancel()

    assert {sending.address.partition for sending in bank.wire.sent[2:]} == {3, 4}


def test_calls_avoid_a_partition_that_stalls_until_it_replies(bank):
    stuck = bank.client.pay.future(5)
    first = bank.wire.last
    first.acknowledge(partition=3)
    bank.advance(0.5)
    bank.client.pay.future(6)
    while_stalled = bank.wire.last
    bank.arrive(first.reply(b"5"))
    bank.client.pay.future(7)

    assert while_stalled.avoid == {3}
    assert bank.wire.last.avoid == set()
    assert stuck.result(0) == 5


# -- retries ---------------------------------------------------------------------------------------


def test_the_policy_of_the_call_goes_before_the_methods_and_that_before_the_channels(bank):
    for call, attempts in (
        (bank.client.twice, 2),
        (bank.client.twice.with_options(retry=RetryPolicy(attempts=3)), 3),
        (bank.client.pay, 4),
    ):
        began = len(bank.wire.sent)
        ended = call.future(5)
        while not ended.done():
            bank.wire.last.fail(UNREACHABLE)
            bank.advance(0.5)
        assert len(bank.wire.sent) - began == attempts


@pytest.mark.parametrize("seconds", [0.0, 0.7, 3.0])
def test_a_server_that_asks_for_a_delay_gets_exactly_that(bank, seconds):
    bank.client.pay.future(5)
    bank.arrive(pushed_back(bank.wire.last, seconds))
    bank.advance(max(0.0, seconds - 0.001))
    before = len(bank.wire.sent)
    bank.advance(0.0011)

    assert before == (1 if seconds else 2)
    assert len(bank.wire.sent) == 2


def test_a_server_that_wants_no_retry_gets_none(bank):
    call = bank.client.pay.future(5)
    reply = pushed_back(bank.wire.last, 0.0)
    headers = tuple(
        (name, b"never" if name == "rpc-retry-after" else value) for name, value in reply.headers
    )
    bank.arrive(replace(reply, headers=headers))

    assert call.exception(0).code is Code.UNAVAILABLE
    assert call.exception().certainty is Certainty.NOT_EXECUTED


def test_at_most_once_is_sent_so_and_not_again_unless_it_certainly_did_not_run(bank):
    lost = bank.client.fire.future(5)
    bank.wire.last.fail(SendUncertain("no answer"))
    again = bank.client.fire.future(6)
    bank.wire.last.fail(UNREACHABLE)
    bank.advance(0.05)

    assert lost.exception(0).certainty is Certainty.UNKNOWN
    assert [sending.once for sending in bank.wire.sent] == [True] * 3
    assert not again.done()


def test_effectively_once_is_named_and_goes_where_its_name_leads(bank):
    call = bank.client.book.future(5)
    bank.client.book.with_options(idempotency_key="order-1").future(5)
    bank.client.book.with_options(idempotency_key="order-1", key="7").future(5)
    named = [sending.request.idempotency_key for sending in bank.wire.sent]

    assert named == [call.call_id, b"order-1", b"order-1"]
    assert [sending.message.key for sending in bank.wire.sent] == [call.call_id, b"order-1", b"7"]


def test_effectively_once_is_retried_although_it_may_have_run(bank):
    bank.client.book.future(5)
    bank.wire.last.fail(SendUncertain("no answer"))
    bank.advance(0.05)

    assert bank.wire.last.request.attempt == 2
    assert bank.wire.last.message.key == bank.wire.sent[0].message.key


# -- the broker's time -----------------------------------------------------------------------------


def test_each_attempt_says_when_it_was_sent_by_the_brokers_clock(bank):
    bank.client.pay.future(5)
    bank.wire.time = 1234.5
    bank.wire.last.fail(UNREACHABLE)
    bank.advance(0.05)

    assert [sending.request.sent for sending in bank.wire.sent] == [100.0, 1234.5]


def test_a_servers_question_for_the_time_is_nothing_to_count(bank):
    bank.client.pay.future(5)
    bank.arrive(clock_message())

    assert (bank.channel.foreign_replies, bank.channel.late_replies) == (0, 0)


def test_a_reply_to_an_attempt_that_was_not_made_is_foreign(bank):
    call = bank.client.pay.future(5)
    reply = bank.wire.last.reply(b"5")
    bank.arrive(replace(reply, headers=(*reply.headers, ("rpc-attempt", b"999999999999"))))

    assert bank.channel.foreign_replies == 1
    assert not call.done()


# -- named points ----------------------------------------------------------------------------------


@pytest.fixture
def armed():
    yield lambda text: failpoints.arm(failpoints.parse(text))
    failpoints.arm({})


@pytest.mark.parametrize(
    ("point", "sent"), [("client.before_send:drop", 0), ("client.reply:drop", 1)]
)
def test_a_call_whose_request_or_reply_is_lost_ends_by_its_deadline(bank, armed, point, sent):
    armed(point)
    call = bank.client.pay.future(5)
    for sending in tuple(bank.wire.sent):
        bank.arrive(sending.reply(b"5"))
    bank.advance(4.0)

    assert call.exception(0).certainty is Certainty.UNKNOWN
    assert len(bank.wire.sent) == sent


def test_the_point_after_a_send_finds_the_request_on_its_way(bank, armed):
    armed("client.after_send:raise")
    with pytest.raises(failpoints.Failpoint):
        bank.client.pay.future(5)

    assert len(bank.wire.sent) == 1


def test_what_is_due_is_done_step_by_step_so_that_nothing_waits_for_all_of_it(bank):
    for number in range(100):
        bank.client.pay.future(number)
    tracker, then = bank.channel._in_flight.tracker, bank.clock() + 4.0
    steps = [tracker.due(then) for _ in range(2)]

    assert [(len(step.expired), step.more) for step in steps] == [(64, True), (36, False)]
