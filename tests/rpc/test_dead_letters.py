"""What nobody can run is kept for people, and never holds up what comes behind it."""

from typing import Protocol

import pytest

from contracts import method
from rpc.dead_letters import DeadLetters, dead_address, dead_letter
from rpc.reply import decode_reply
from transports.base import Address, Delivery, Message, Receipt, Unshared
from transports.errors import Unreachable


class Echo(Protocol):
    @method
    def say(self, text: str) -> str: ...


class EchoImpl(Echo):
    def say(self, text: str) -> str:
        return text


HEADERS = (("rpc-method", b"Echo.say"), ("rpc-dead-reason", b"forged"), ("trace", b"1"))


def delivery(problem=None, number=0):
    message = Message(b"body", HEADERS, b"key")
    return Delivery(message, Receipt("Echo.requests", 3, number), 12.5, Unshared(), problem=problem)


def test_a_dead_letter_is_the_message_as_it_was_with_the_reason_and_its_place():
    letter = dead_letter(delivery(number=7), "no\nreason" + "!" * 600)
    headers = dict(letter.headers)

    assert (letter.body, letter.key) == (b"body", b"key")
    assert (headers["rpc-method"], headers["trace"]) == (b"Echo.say", b"1")
    assert headers["rpc-dead-reason"].startswith(rb"no\nreason!")
    assert len(headers["rpc-dead-reason"]) <= 500
    assert {name: headers[f"rpc-dead-{name}"] for name in ("topic", "partition", "offset")} == {
        "topic": b"Echo.requests", "partition": b"3", "offset": b"7",
    }  # fmt: skip
    assert headers["rpc-dead-timestamp"] == b"12500"
    assert sum(name == "rpc-dead-reason" for name, _ in letter.headers) == 1


def test_a_dead_letter_from_a_frame_tells_which_message_of_it():
    message, receipt = Message(b"body"), Receipt("Echo.requests", 3, 7, 5)
    letter = dead_letter(Delivery(message, receipt, 12.5, Unshared()), "why")

    assert dict(letter.headers)["rpc-dead-part"] == b"5"
    assert "rpc-dead-part" not in dict(dead_letter(delivery(), "why").headers)


def test_dead_letters_of_a_service_go_to_one_topic():
    assert dead_address("users.v2.requests") == Address("users.v2.dead")


@pytest.fixture
def letters(wire, clock):
    return DeadLetters(wire, enabled=True, clock=clock, threads=False)


def test_the_original_is_settled_once_the_copy_is_with_the_broker(letters, wire):
    settled = []
    letters.put(delivery(), "why", lambda: settled.append(1))
    before = list(settled)
    wire.last.acknowledge()

    assert (before, settled, letters.sent) == ([], [1], 1)
    assert wire.prepared == [Address("Echo.dead")]


def test_a_copy_that_can_not_be_made_holds_up_nothing(letters, wire):
    settled = []
    letters.put(delivery(), "why", lambda: settled.append(1))
    wire.last.fail(Unreachable("no broker"))

    def refuse():
        raise Unreachable("no right")

    wire.prepares = refuse
    letters._prepared.clear()
    letters.put(delivery(), "why", lambda: settled.append(2))

    assert (settled, letters.sent) == ([1, 2], 0)


def test_beyond_a_hundred_a_second_no_copies_are_made(letters, wire, clock):
    settled = []
    for number in range(150):
        letters.put(delivery(number=number), "why", lambda: settled.append(1))
    assert (len(wire.sent), len(settled), letters.skipped) == (100, 50, 50)
    clock.advance(1.0)
    letters.put(delivery(), "why", lambda: settled.append(1))

    assert len(wire.sent) == 101


def test_switched_off_nothing_is_copied(wire, clock):
    settled = []
    off = DeadLetters(wire, enabled=False, clock=clock, threads=False)
    off.put(delivery(), "why", lambda: settled.append(1))

    assert (wire.sent, settled) == ([], [1])


def test_a_thread_makes_them_and_ends(wire, clock, await_true):
    letters = DeadLetters(wire, enabled=True, clock=clock)
    wire.on_send = lambda sending: sending.acknowledge()
    settled = []
    letters.put(delivery(), "why", lambda: settled.append(1))
    letters.close(10.0)

    assert (settled, letters.sent) == ([1], 1)
    await_true(lambda: not letters._thread.is_alive())


# -- by a server -----------------------------------------------------------------------------------


@pytest.fixture
def echo(desk):
    return desk(EchoImpl())


@pytest.fixture
def dead(echo):
    return echo.transport.receiver(Address("Echo.dead"), shared=False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"timeout": b"soon"}, (b"rpc-timeout is not a whole number", 1)),
        ({"call": None}, (b"kafka_correlationId has 0 bytes", 0)),
        ({"reply_topic": b"secrets"}, (b"reply topic 'secrets' is not allowed", 0)),
    ],
)
def test_what_can_not_be_read_or_answered_is_kept_and_answered_where_that_is_allowed(
    echo, dead, request_of, changed, told
):
    reason, answered = told
    echo.put(request_of(b'{"text":"hi"}', **{"method": b"Echo.say", **changed}))
    replies = echo.replies()
    (kept,) = dead.receive(0)

    assert len(replies) == answered
    assert reason in dict(kept.message.headers)["rpc-dead-reason"]
    assert (echo.server.dead_letters, echo.server.in_flight) == (1, 0)
    assert echo.transport.group("Echo.requests", 1).committed[0] == 1


def test_arguments_that_do_not_fit_are_their_callers_business(echo, dead, request_of):
    echo.ask(request_of(b"{}", method=b"Echo.say"))

    assert list(dead.receive(0)) == []


@pytest.mark.parametrize("crashes", [0, 1, 2, 3, 4])
def test_a_request_at_which_too_many_servers_died_is_set_aside(echo, dead, request_of, crashes):
    message = request_of(b'{"text":"hi"}', method=b"Echo.say")
    held = Delivery(
        message, Receipt("Echo.requests", 0, 0), 1000.0, Unshared(), crashes=crashes,
        redelivered=crashes > 0,
    )  # fmt: skip
    echo.server._engine.intake.take([held])
    (reply,) = echo.inbox.receive(0)
    code = decode_reply(reply.message).code

    assert (code is None) == (crashes < 3)
    assert len(dead.receive(0)) == (crashes >= 3)
    if crashes >= 3:
        assert (code.value, b'"UNKNOWN"' in reply.message.body) == ("INTERNAL", True)
