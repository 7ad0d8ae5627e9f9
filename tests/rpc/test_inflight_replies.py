"""Replies that are taken and replies that are not; and cancelling, which is told to the server."""

from itertools import accumulate
from typing import Protocol

import pytest
from msgspec.structs import replace

from contracts import Cancelled, Code, DeadlineExceeded, method
from rpc.request import Cancel, decode_request
from transports.base import Address, Message
from transports.errors import Unreachable
from transports.together import hold

UNREACHABLE = Unreachable("no broker answers at localhost:9092; start one")


class Ledger(Protocol):
    @method(timeout=2.0)
    def pay(self, amount: int) -> int: ...

    @method(timeout=2.0, key="account")
    def close(self, account: str) -> None: ...


@pytest.fixture
def bank(line):
    return line(Ledger)


# -- batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("worth", "pending", "arrive", "batches"),
    [
        (16, 16, 16, [16]),
        (16, 64, 16, [16]),
        (16, 64, 64, [32, 16, 16]),
        (1, 4, 4, [2, 1, 1]),
        (0, 1, 1, [1]),
        (128, 64, 64, [64]),
        (16, 400, 300, [128, 128, 44]),
    ],
    ids=["few", "a part", "all", "all of few", "nothing said", "dear requests", "many"],
)
def test_what_callbacks_send_goes_out_once_half_of_the_calls_have_ended(
    wire, line, worth, pending, arrive, *, batches
):
    wire.worth_a_request = worth
    bank = line(Ledger)
    ended, sent = 0, []

    def send_more(_call):
        nonlocal ended
        ended += 1
        hold(bank, lambda: sent.append(ended))

    for amount in range(pending):
        bank.client.pay.future(amount).add_done_callback(send_more)
    bank.arrive(*(sending.reply(b"5") for sending in bank.wire.sent[:arrive]))

    assert sent == list(accumulate(batches))


# -- replies that are not taken --------------------------------------------------------------------


def test_a_second_reply_is_late_and_changes_nothing(bank):
    call = bank.client.pay.future(5)
    bank.arrive(bank.wire.last.reply(b"5"), bank.wire.last.reply(b"6"))

    assert call.result(0) == 5
    assert (bank.channel.late_replies, bank.channel.foreign_replies) == (1, 0)


def test_a_reply_after_the_deadline_is_counted_and_dropped(bank):
    call = bank.client.pay.future(5)
    bank.advance(2.0)
    bank.arrive(bank.wire.last.reply(b"5"))

    assert isinstance(call.exception(0), DeadlineExceeded)
    assert bank.channel.late_replies == 1


def test_a_reply_after_cancelling_is_counted_and_dropped(bank):
    call = bank.client.pay.future(5)
    call.cancel()
    bank.arrive(bank.wire.sent[0].reply(b"5"))

    assert isinstance(call.exception(0), Cancelled)
    assert bank.channel.late_replies == 1


def changed(message: Message, **headers: bytes | None) -> Message:
    """Return `message` with other headers; None takes one away."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = tuple(pair for pair in message.headers if pair[0] not in named)
    return replace(
        message,
        headers=kept + tuple((name, value) for name, value in named.items() if value is not None),
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"rpc_client": b"another instance"},
        {"rpc_client": b""},
        {"rpc_method": b"Ledger.read"},
        {"rpc_method": b""},
        {"rpc_kind": b"request"},
        {"rpc_kind": b"cancel"},
    ],
)
def test_a_reply_for_somebody_else_is_foreign_and_the_call_goes_on(bank, headers):
    call = bank.client.pay.future(5)
    bank.arrive(changed(bank.wire.last.reply(b"5"), **headers))
    waiting = not call.done()
    bank.arrive(bank.wire.last.reply(b"6"))

    assert waiting
    assert bank.channel.foreign_replies == 1
    assert call.result(0) == 6


def test_garbage_in_the_inbox_is_foreign(bank):
    call = bank.client.pay.future(5)
    bank.arrive(Message(b"\xff\xfe"), Message(b"", (("kafka_correlationId", b"x" * 99),)))
    bank.arrive(bank.wire.last.reply(b"5"))

    assert bank.channel.foreign_replies == 2
    assert call.result(0) == 5


def test_a_reply_of_springs_listener_is_taken_by_its_call_id_alone(bank):
    call = bank.client.pay.future(5)
    bank.arrive(
        Message(b"5", (("kafka_correlationId", call.call_id), ("__TypeId__", b"java.lang.Long")))
    )

    assert call.result(0) == 5


def test_a_reply_with_an_unknown_id_is_late(bank):
    bank.client.pay.future(5)
    bank.arrive(Message(b"5", (("kafka_correlationId", b"nobody's"),)))

    assert bank.channel.late_replies == 1
    assert bank.channel.pending == 1


# -- cancelling ------------------------------------------------------------------------------------


def test_cancelling_an_acknowledged_call_sends_the_cancel_record_to_its_partition(bank):
    call = bank.client.close.future("42")
    bank.wire.last.acknowledge(partition=3)

    assert call.cancel() is True
    assert len(bank.wire.sent) == 2
    assert bank.wire.last.address == Address("Ledger.requests", 3)
    assert bank.wire.last.message.key == b"42"
    assert decode_request(bank.wire.last.message) == Cancel(call.call_id, bank.channel.instance)


def test_cancelling_before_the_acknowledgement_sends_the_record_once_it_comes(bank):
    call = bank.client.pay.future(5)
    call.cancel()
    before = len(bank.wire.sent)
    bank.wire.sent[0].acknowledge(partition=4)

    assert before == 1
    assert bank.wire.last.address == Address("Ledger.requests", 4)
    assert isinstance(decode_request(bank.wire.last.message), Cancel)


def test_cancelling_a_call_whose_send_fails_sends_no_record(bank):
    call = bank.client.pay.future(5)
    call.cancel()
    bank.wire.last.fail(UNREACHABLE)

    assert len(bank.wire.sent) == 1
    assert isinstance(call.exception(0), Cancelled)


def test_a_call_that_has_ended_cannot_be_cancelled(bank):
    call = bank.client.pay.future(5)
    bank.wire.last.acknowledge()
    bank.arrive(bank.wire.last.reply(b"5"))

    assert call.cancel() is False
    assert call.result(0) == 5
    assert len(bank.wire.sent) == 1


# -- many at once ----------------------------------------------------------------------------------


def test_a_thousand_replies_of_one_fetch_end_their_calls_in_the_order_of_arrival(bank):
    ended = []
    calls = [bank.client.pay.future(number) for number in range(1000)]
    for call in calls:
        call.add_done_callback(ended.append)
    replies = [sending.reply(b"%d" % n) for n, sending in enumerate(bank.wire.sent)]
    bank.arrive(*reversed(replies))

    assert [call.result(0) for call in calls] == list(range(1000))
    assert ended == calls[::-1]
    assert bank.channel.pending == 0


def test_a_callback_that_fails_keeps_no_other_call_of_the_batch_from_its_end(bank):
    first, second = bank.client.pay.future(1), bank.client.pay.future(2)

    def leave(_call):
        raise SystemExit

    first.add_done_callback(leave)
    bank.arrive(*(sending.reply(b"5") for sending in bank.wire.sent))

    assert (first.result(0), second.result(0)) == (5, 5)


def test_an_error_that_is_to_be_tried_again_and_a_result_of_one_fetch_end_the_call_once(bank):
    call = bank.client.pay.future(5)
    sent = bank.wire.last
    bank.arrive(sent.error(Code.UNAVAILABLE, "NOT_EXECUTED"), sent.reply(b"5"))
    bank.advance(1.0)

    assert call.result(0) == 5
    assert len(bank.wire.sent) == 1
