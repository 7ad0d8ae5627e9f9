"""Calls in flight: sent, tried again, matched with replies, ended once, and truthful about it."""

from typing import Protocol

import pytest

from contracts import (
    NO_RETRY,
    Certainty,
    Code,
    DeadlineExceeded,
    Overloaded,
    RetryPolicy,
    RpcError,
    Unavailable,
    method,
)
from transports.base import Address
from transports.errors import MessageTooLarge, NotAuthorized, SendUncertain, Unreachable

NOT_EXECUTED, EXECUTED, UNKNOWN = Certainty.NOT_EXECUTED, Certainty.EXECUTED, Certainty.UNKNOWN
UNREACHABLE = Unreachable("no broker answers at localhost:9092; start one")
UNCERTAIN = SendUncertain("no answer for 'Ledger.requests'")


class Ledger(Protocol):
    @method(timeout=2.0, idempotent=True)
    def read(self, account: str) -> int: ...

    @method(timeout=2.0)
    def pay(self, amount: int) -> int: ...

    @method(timeout=2.0, key="account")
    def close(self, account: str) -> None: ...


@pytest.fixture
def bank(line):
    return line(Ledger)


# -- sending ---------------------------------------------------------------------------------------


def test_a_call_is_registered_before_it_is_sent(bank):
    pending = []
    bank.wire.on_send = lambda sending: pending.append(bank.channel.pending)
    call = bank.client.pay.future(5)

    assert pending == [1]
    assert not call.done()
    assert bank.wire.last.address == Address("Ledger.requests")
    assert bank.wire.last.message.body == b'{"amount":5}'


def test_a_reply_that_comes_while_the_request_is_being_sent_is_taken(bank):
    bank.wire.on_send = lambda sending: bank.arrive(sending.reply(b"5"))

    assert bank.client.pay(5) == 5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MessageTooLarge("1 048 577 bytes"), Code.RESOURCE_EXHAUSTED),
        (NotAuthorized("WRITE on Ledger.requests is missing"), Code.PERMISSION_DENIED),
        (UNREACHABLE, Code.UNAVAILABLE),
    ],
)
def test_a_failed_send_fails_the_call_at_once(line, error, code):
    bank = line(Ledger, retry=NO_RETRY)
    call = bank.client.pay.future(5)
    bank.wire.last.fail(error)

    assert call.done()
    assert (call.exception().code, call.exception().certainty) == (code, NOT_EXECUTED)
    assert str(error) in call.exception().message
    assert bank.channel.pending == 0


def test_a_send_of_unknown_outcome_ends_the_call_as_unknown(bank):
    call = bank.client.pay.future(5)
    bank.wire.last.fail(UNCERTAIN)

    assert isinstance(call.exception(0), Unavailable)
    assert call.exception().certainty is UNKNOWN
    assert len(bank.wire.sent) == 1


def test_the_routing_key_of_the_contract_goes_with_the_request(bank):
    bank.client.close.future("42")
    bank.client.pay.future(5)

    assert [sending.message.key for sending in bank.wire.sent] == [b"42", None]


# -- trying again ----------------------------------------------------------------------------------


def test_a_retry_has_the_same_id_the_next_attempt_and_the_time_that_is_left(bank):
    call = bank.client.pay.future(5)
    bank.wire.last.fail(UNREACHABLE)
    bank.advance(0.049)
    before = len(bank.wire.sent)
    bank.advance(0.001)
    first, second = bank.wire.sent

    assert before == 1
    assert second.request.call_id == first.request.call_id == call.call_id
    assert (first.request.attempt, second.request.attempt) == (1, 2)
    assert "rpc-attempt" not in first.headers
    assert first.request.timeout == 2.0
    assert second.request.timeout == pytest.approx(1.95, abs=0.0011)
    assert second.message.body == first.message.body


def test_a_retry_that_is_answered_is_the_result(bank):
    call = bank.client.pay.future(5)
    bank.wire.last.fail(UNREACHABLE)
    bank.advance(0.05)
    bank.arrive(bank.wire.last.reply(b"5"))

    assert call.result(0) == 5
    assert call.attempt == 2


def test_attempts_end_with_the_policy_and_the_last_error_is_told(bank):
    call = bank.client.pay.future(5)
    for _ in range(4):
        bank.wire.last.fail(UNREACHABLE)
        bank.advance(0.5)

    assert len(bank.wire.sent) == 4
    assert isinstance(call.exception(0), Unavailable)
    assert call.exception().certainty is NOT_EXECUTED


def test_no_attempt_begins_after_the_deadline(line):
    bank = line(Ledger, retry=RetryPolicy(initial=3.0, maximum=3.0))
    call = bank.client.pay.future(5)
    bank.wire.last.fail(UNREACHABLE)

    assert isinstance(call.exception(0), Unavailable)
    assert len(bank.wire.sent) == 1


def test_a_deadline_between_two_attempts_tells_why_the_last_one_failed(bank):
    call = bank.client.pay.future(5)
    bank.wire.last.fail(UNREACHABLE)
    bank.advance(2.0)

    assert isinstance(call.exception(0), DeadlineExceeded)
    assert call.exception().certainty is NOT_EXECUTED
    assert "attempt 1 failed before" in call.exception().message
    assert "no broker answers" in call.exception().message
    assert len(bank.wire.sent) == 1


def test_retries_of_all_calls_have_one_budget(bank):
    calls = [bank.client.pay.future(number) for number in range(41)]
    for sending in tuple(bank.wire.sent):
        sending.fail(UNREACHABLE)
    ended = [call for call in calls if call.done()]

    # 10 to begin with, and 0.2 for each of 41 calls: 18.2
    assert len(ended) == 41 - 18
    assert {call.exception().code for call in ended} == {Code.UNAVAILABLE}


def test_an_answer_of_unavailable_is_tried_again_where_that_is_harmless(bank):
    call = bank.client.read.future("a")
    bank.arrive(bank.wire.last.error(Code.UNAVAILABLE, "EXECUTED"))
    waiting = not call.done()
    bank.advance(0.05)
    bank.arrive(bank.wire.last.reply(b"7"))

    assert waiting
    assert call.result(0) == 7
    assert bank.wire.last.request.attempt == 2


def test_an_answer_of_unavailable_ends_a_call_that_must_not_run_twice(bank):
    call = bank.client.pay.future(5)
    bank.arrive(bank.wire.last.error(Code.UNAVAILABLE, "EXECUTED", "Unavailable"))

    assert isinstance(call.exception(0), Unavailable)
    assert call.exception().certainty is EXECUTED


def test_a_call_that_ends_while_its_retry_waits_is_not_sent_again(bank):
    call = bank.client.pay.future(5)
    bank.wire.last.fail(UNREACHABLE)
    call.cancel()
    bank.advance(1.0)

    assert len(bank.wire.sent) == 1


# -- sending once more without an answer -----------------------------------------------------------


@pytest.fixture
def impatient(line):
    return line(Ledger, retry=RetryPolicy(attempts=3, attempt_timeout=0.5))


def test_an_idempotent_call_without_a_reply_is_sent_once_more(impatient):
    call = impatient.client.read.future("a")
    for _ in range(3):
        impatient.advance(0.5)
    first, *_, last = impatient.wire.sent

    assert [sending.request.attempt for sending in impatient.wire.sent] == [1, 2, 3]
    assert len({sending.request.call_id for sending in impatient.wire.sent}) == 1
    impatient.arrive(first.reply(b"1"), last.reply(b"2"))
    assert call.result(0) == 1
    assert impatient.channel.late_replies == 1


def test_a_call_that_must_not_run_twice_is_not_sent_once_more(impatient):
    impatient.client.pay.future(5)
    impatient.advance(1.9)

    assert len(impatient.wire.sent) == 1


def test_sending_once_more_costs_the_budget_too(impatient):
    for _ in range(41):
        impatient.client.read.future("a")
    impatient.advance(0.5)

    assert len(impatient.wire.sent) == 41 + 18


# -- certainty -------------------------------------------------------------------------------------


def test_a_send_that_fails_leaves_the_call_to_its_other_attempt(impatient):
    call = impatient.client.read.future("a")
    first = impatient.wire.last
    impatient.advance(0.5)
    impatient.wire.last.fail(MessageTooLarge("too large now"))

    assert len(impatient.wire.sent) == 2
    assert not call.done()
    impatient.arrive(first.reply(b"7"))
    assert call.result(0) == 7


def test_a_refused_attempt_leaves_the_call_to_its_other_attempt(impatient):
    call = impatient.client.read.future("a")
    first = impatient.wire.last
    impatient.advance(0.5)
    for _ in range(4):
        impatient.arrive(impatient.wire.last.error(Code.RESOURCE_EXHAUSTED, "NOT_EXECUTED"))
        impatient.advance(0.2)

    assert not call.done()
    impatient.arrive(first.reply(b"7"))
    assert call.result(0) == 7


def test_not_executed_is_lifted_when_one_attempt_ends_the_call_and_another_is_open(impatient):
    call = impatient.client.read.future("a")
    impatient.advance(0.5)
    impatient.arrive(impatient.wire.last.error(Code.DEADLINE_EXCEEDED, "NOT_EXECUTED"))

    assert call.exception(0).code is Code.DEADLINE_EXCEEDED
    assert call.exception().certainty is UNKNOWN


def test_not_executed_stands_when_the_only_attempt_is_refused(bank):
    call = bank.client.read.future("a")
    bank.arrive(bank.wire.last.error(Code.INVALID_ARGUMENT, "NOT_EXECUTED", "InvalidArgument"))

    assert call.exception(0).code is Code.INVALID_ARGUMENT
    assert call.exception().certainty is NOT_EXECUTED


def test_not_executed_stands_when_every_other_attempt_was_not_sent(bank):
    call = bank.client.read.future("a")
    bank.wire.last.fail(UNREACHABLE)
    bank.advance(0.05)
    bank.arrive(bank.wire.last.error(Code.INVALID_ARGUMENT, "NOT_EXECUTED"))

    assert call.exception(0).certainty is NOT_EXECUTED


def test_an_uncertain_attempt_makes_a_refused_retry_uncertain(bank):
    call = bank.client.read.future("a")
    bank.wire.last.fail(UNCERTAIN)
    bank.advance(0.05)
    bank.arrive(bank.wire.last.error(Code.INVALID_ARGUMENT, "NOT_EXECUTED"))

    assert call.exception(0).certainty is UNKNOWN


@pytest.mark.parametrize("end", ["close", "cancel", "expire"])
def test_a_call_that_ends_between_its_registration_and_its_send_is_not_called_not_executed(
    bank, end
):
    """The request leaves nevertheless: another thread is about to send it."""
    in_flight = bank.channel._in_flight

    def end_it():
        in_flight.wake = bool
        (call,) = in_flight._pending._calls.values()
        ends = {"close": bank.channel.close, "cancel": call.cancel}
        ends.get(end, lambda: bank.advance(2.0))()

    bank.channel.open()
    in_flight.wake = end_it  # called once the call is registered, before it is sent
    call = bank.client.pay.future(5)

    assert call.done()
    assert len(bank.wire.sent) == 1
    assert call.exception(0).certainty is UNKNOWN


@pytest.mark.parametrize("again", ["in one fetch", "in another"])
def test_a_refusal_that_comes_twice_is_one(bank, again):
    """Who sends it may append it twice; a third attempt might run beside the second."""
    call = bank.client.pay.future(5)
    refusal = bank.wire.last.error(Code.RESOURCE_EXHAUSTED, "NOT_EXECUTED")
    bank.arrive(*[refusal] * (2 if again == "in one fetch" else 1))
    bank.advance(0.2)
    if again == "in another":
        bank.arrive(refusal)
    bank.advance(0.5)

    assert [sending.request.attempt for sending in bank.wire.sent] == [1, 2]
    assert bank.channel.late_replies == (again == "in another")
    bank.arrive(bank.wire.last.reply(b"5"))
    assert call.result(0) == 5


def test_an_attempt_that_was_refused_says_no_more_when_its_acknowledgement_is_lost(bank):
    call = bank.client.pay.future(5)
    first = bank.wire.last
    bank.arrive(first.error(Code.RESOURCE_EXHAUSTED, "NOT_EXECUTED"))
    bank.advance(0.2)
    first.fail(UNCERTAIN)

    assert not call.done()
    bank.arrive(bank.wire.last.reply(b"5"))
    assert call.result(0) == 5


# -- the end ---------------------------------------------------------------------------------------


def test_closing_ends_every_pending_call_with_what_is_known_of_it(bank):
    calls = [bank.client.pay.future(number) for number in range(3)]
    bank.wire.sent[0].acknowledge()
    bank.wire.sent[2].fail(UNREACHABLE)
    bank.channel.close()

    assert [call.state.value for call in calls] == ["closed"] * 3
    assert all(isinstance(call.exception(0), Unavailable) for call in calls)
    assert [call.exception().certainty for call in calls] == [UNKNOWN, UNKNOWN, NOT_EXECUTED]
    assert bank.channel.pending == 0


def test_beyond_max_pending_a_call_fails_at_once_and_a_later_one_may_pass(line):
    bank = line(Ledger, max_pending=2)
    first, _, third = (bank.client.pay.future(number) for number in range(3))
    bank.arrive(bank.wire.sent[0].reply(b"0"))
    fourth = bank.client.pay.future(4)

    assert isinstance(third.exception(0), Overloaded)
    assert third.exception().certainty is NOT_EXECUTED
    assert len(bank.wire.sent) == 3
    assert first.result(0) == 0
    assert not fourth.done()


def test_an_error_without_a_body_that_can_be_read_still_fails_the_call(bank):
    call = bank.client.pay.future(5)
    bank.arrive(bank.wire.last.reply(b"\xff", Code.NOT_FOUND))

    assert isinstance(call.exception(0), RpcError)
    assert call.exception().code is Code.INTERNAL
    assert "NOT_FOUND error does not fit the contract" in call.exception().message
    assert call.exception().certainty is UNKNOWN
