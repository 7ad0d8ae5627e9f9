"""One call as its maker sees it: result, sent, cancel, callbacks, and what a timeout tells."""

import asyncio
import threading
from typing import Protocol

import pytest

from contracts import (
    NO_RETRY,
    Cancelled,
    Certainty,
    Code,
    DeadlineExceeded,
    RetryPolicy,
    RpcError,
    Unavailable,
    method,
)
from rpc.calls import CallState
from transports.base import Receipt
from transports.errors import SendUncertain, Unreachable

UNREACHABLE = Unreachable("no broker answers at localhost:9092; start one")


class Echo(Protocol):
    @method(timeout=2.0)
    def say(self, text: str) -> str: ...

    @method(timeout=2.0, idempotent=True)
    def spell(self, text: str) -> str: ...


@pytest.fixture
def phone(line):
    return line(Echo, retry=NO_RETRY)


def test_waiting_shorter_than_the_call_leaves_it_going(phone):
    call = phone.client.say.future("hi")
    with pytest.raises(TimeoutError, match=r"Echo\.say: not done after 0 s.*the call goes on"):
        call.result(0)
    with pytest.raises(TimeoutError):
        call.exception(0)
    phone.arrive(phone.wire.last.reply(b'"hi"'))

    assert call.result(0) == "hi"
    assert call.exception(0) is None
    assert call.result() == "hi"


def test_a_call_tells_its_state_and_its_method(phone):
    call = phone.client.say.future("hi")
    before = repr(call)
    phone.arrive(phone.wire.last.reply(b'"hi"'))

    assert before == f"<Call Echo.say {call.call_id.hex()} pending>"
    assert call.state is CallState.COMPLETED


@pytest.mark.parametrize(
    ("happened", "told", "certainty"),
    [
        ("nothing", "the broker has not acknowledged the request", Certainty.UNKNOWN),
        ("acknowledged", r"acknowledged at Echo\.requests\[3\]@7", Certainty.UNKNOWN),
    ],
)
def test_a_timeout_tells_how_far_the_request_came(phone, happened, told, certainty):
    call = phone.client.say.with_options(timeout=0.5).future("hi")
    if happened == "acknowledged":
        phone.wire.last.acknowledge(offset=7, partition=3)
    phone.advance(0.5)

    with pytest.raises(DeadlineExceeded, match=rf"Echo\.say: no reply within 0\.5 s; .*{told}"):
        call.result(0)
    assert call.exception().certainty is certainty
    assert call.state is CallState.EXPIRED


def test_a_call_does_not_end_before_its_deadline(phone):
    call = phone.client.say.future("hi")
    phone.advance(1.999)

    assert not call.done()


# -- sent ------------------------------------------------------------------------------------------


def test_sent_resolves_when_the_broker_has_the_request(phone):
    call = phone.client.say.future("hi")
    sent = call.sent
    before = sent.done()
    with pytest.raises(TimeoutError, match=r"Echo\.say: not acknowledged in 0 s"):
        sent.result(0)
    phone.wire.last.acknowledge(offset=9, partition=1)

    assert not before
    assert sent.done()
    assert sent.result(0) == call.sent.result(0) == Receipt("Echo.requests", 1, 9)
    assert not call.done()


@pytest.mark.parametrize("asked", ["before", "after"])
def test_sent_fails_as_the_send_did(phone, asked):
    call = phone.client.say.future("hi")
    sent = call.sent if asked == "before" else None
    if sent:
        sent.done()
    phone.wire.last.fail(UNREACHABLE)
    with pytest.raises(Unavailable, match="no broker answers"):
        (sent or call.sent).result(0)

    assert call.sent.done()


@pytest.mark.parametrize("asked", ["before", "after"])
def test_sent_of_a_call_that_was_answered_waits_for_its_acknowledgement(phone, asked):
    call = phone.client.say.future("hi")
    sending, sent = phone.wire.last, call.sent
    if asked == "before":
        sent.done()
    phone.arrive(sending.error(Code.NOT_FOUND, "EXECUTED"))
    answered = sent.done()
    sending.acknowledge(offset=3)

    assert not answered
    assert call.sent.result(0).offset == 3


@pytest.mark.parametrize("asked", ["before", "after"])
def test_sent_of_a_call_that_was_answered_fails_when_the_acknowledgement_is_lost(phone, asked):
    call = phone.client.say.future("hi")
    sending = phone.wire.last
    if asked == "before":
        assert not call.sent.done()
    phone.arrive(sending.reply(b'"hi"'))
    sending.fail(SendUncertain("the receipt was lost"))

    assert call.result(0) == "hi"
    with pytest.raises(Unavailable, match="the receipt was lost"):
        call.sent.result(0)


def test_sent_of_a_call_that_was_answered_fails_where_the_acknowledgement_was_lost_before(line):
    phone = line(Echo, retry=RetryPolicy(codes={Code.UNAVAILABLE}))
    call = phone.client.spell.future("hi")
    first = phone.wire.last
    first.fail(SendUncertain("the receipt was lost"))
    phone.arrive(first.reply(b'"hi"'))

    assert call.result(0) == "hi"
    with pytest.raises(Unavailable, match="the receipt was lost"):
        call.sent.result(0)


def test_sent_of_a_call_waits_for_the_attempt_that_may_still_be_acknowledged(line):
    phone = line(Echo, retry=RetryPolicy(codes={Code.UNAVAILABLE}))
    call = phone.client.spell.future("hi")
    first = phone.wire.last
    first.fail(SendUncertain("the receipt was lost"))
    phone.advance(0.1)
    phone.arrive(first.reply(b'"hi"'))
    answered = call.sent.done()
    phone.wire.sent[1].acknowledge(offset=9)

    assert not answered
    assert call.sent.result(0).offset == 9


@pytest.mark.parametrize("end", ["cancel", "expire", "close"])
def test_sent_ends_with_a_call_that_was_never_acknowledged(phone, end):
    call = phone.client.say.future("hi")
    {"cancel": call.cancel, "expire": lambda: phone.advance(2.0), "close": phone.channel.close}[
        end
    ]()

    assert call.sent.done()
    with pytest.raises(RpcError) as told:
        call.sent.result(0)
    error = call.exception(0)
    assert (type(told.value), vars(told.value)) == (type(error), vars(error))


def test_sent_asked_for_while_the_call_fails_is_not_forgotten(line, patience):
    """Interceptors run between the end of the send and the end of the call."""
    leaving, go = threading.Event(), threading.Event()

    def slow(call):
        try:
            return (yield call)
        finally:
            leaving.set()
            assert go.wait(patience)

    phone = line(Echo, retry=NO_RETRY, interceptors=[slow])
    call = phone.client.say.future("hi")
    failing = threading.Thread(target=phone.wire.last.fail, args=(UNREACHABLE,))
    failing.start()
    assert leaving.wait(patience)
    sent = call.sent
    sent.done()
    go.set()
    failing.join(patience)

    with pytest.raises(Unavailable, match="no broker answers"):
        sent.result(1.0)


def test_two_threads_that_ask_for_sent_at_once_both_get_it(phone, run_together, patience):
    for number in range(100):
        call = phone.client.say.future(str(number))
        sending = phone.wire.last
        receipts = run_together(
            lambda call=call: call.sent.result(patience),
            lambda call=call: call.sent.result(patience),
            sending.acknowledge,
        )
        phone.arrive(sending.reply(b'"x"'))

        assert receipts[0] == receipts[1] == Receipt("Echo.requests", 3, 7)


def test_sent_can_be_awaited(phone):
    async def scenario():
        call = phone.client.say.future("hi")
        waiting = asyncio.ensure_future(asyncio.wait_for(_of(call.sent), 10))
        await asyncio.sleep(0)
        phone.wire.last.acknowledge(offset=1)
        return [await waiting, await call.sent]

    assert asyncio.run(scenario()) == [Receipt("Echo.requests", 3, 1)] * 2


async def _of(awaitable):
    return await awaitable


# -- cancelling and callbacks ----------------------------------------------------------------------


def test_a_cancelled_call_raises_cancelled(phone):
    call = phone.client.say.future("hi")

    assert call.cancel() is True
    assert call.cancel() is False
    assert call.state is CallState.CANCELLED
    with pytest.raises(Cancelled, match=r"Echo\.say: cancelled by the caller"):
        call.result(0)


def test_callbacks_run_once_with_the_call_before_and_after_its_end(phone):
    heard = []
    call = phone.client.say.future("hi")
    call.add_done_callback(heard.append)
    early = list(heard)
    phone.arrive(phone.wire.last.reply(b'"hi"'), phone.wire.last.reply(b'"hi"'))
    call.add_done_callback(heard.append)

    assert early == []
    assert heard == [call, call]


def test_a_callback_that_raises_disturbs_neither_the_call_nor_the_others(phone):
    heard = []
    call = phone.client.say.future("hi")
    call.add_done_callback(lambda _call: 1 / 0)
    call.add_done_callback(heard.append)
    phone.arrive(phone.wire.last.reply(b'"hi"'))

    assert call.result(0) == "hi"
    assert heard == [call]


def test_a_callback_may_make_another_call(phone):
    made = []
    call = phone.client.say.future("first")
    call.add_done_callback(lambda _call: made.append(phone.client.say.future("second")))
    phone.arrive(phone.wire.last.reply(b'"first"'))
    phone.arrive(phone.wire.last.reply(b'"second"'))

    assert made[0].result(0) == "second"


def test_many_threads_read_one_result(phone, run_together, patience):
    call = phone.client.say.future("hi")
    reply = phone.wire.last.reply(b'"hi"')
    readers = [lambda: call.result(patience)] * 30

    assert run_together(*readers, lambda: phone.arrive(reply))[:30] == ["hi"] * 30


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"7", r"Echo\.say: the server's result does not fit the contract: Expected `str`"),
        (b"{", "the server's result does not fit the contract"),
        (b"", "the server's result does not fit the contract"),
    ],
)
def test_a_result_that_does_not_fit_is_an_internal_error_of_a_call_that_ran(phone, body, told):
    call = phone.client.say.future("hi")
    phone.arrive(phone.wire.last.reply(body))

    with pytest.raises(RpcError, match=told) as error:
        call.result(0)
    assert (error.value.code, error.value.certainty) == (Code.INTERNAL, Certainty.EXECUTED)
