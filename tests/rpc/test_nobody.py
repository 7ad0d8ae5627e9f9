"""Services that nobody serves: told in about a second, unless the caller waits for one."""

import time
from typing import Protocol

import pytest

from contracts import Certainty, DeadlineExceeded, Unavailable, method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub
from transports.base import GroupState
from transports.errors import NotAuthorized, Unreachable

NOBODY = GroupState(0, {})
SOMEBODY = GroupState(2, {3: 37})


class Echo(Protocol):
    @method(timeout=5.0)
    def say(self, text: str) -> str: ...


class EchoImpl(Echo):
    @method
    def say(self, text: str) -> str:
        return text


@pytest.fixture
def phone(line):
    return line(Echo)


@pytest.fixture
def asked(phone):
    """What the broker says when it is asked, and how often it was."""
    answers = [SOMEBODY]
    count = []

    def group():
        count.append(phone.clock())
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    phone.wire.groups = group
    return answers, count


def pass_time(phone, seconds):
    for _ in range(round(seconds * 16)):
        phone.advance(1 / 16)  # which adds up exactly


def test_the_first_call_waits_a_second_for_a_server_and_fails_unsent(phone, asked):
    asked[0].append(NOBODY)
    call = phone.client.say.future("hi")
    pass_time(phone, 0.9)
    waiting = not call.done()
    pass_time(phone, 0.25)

    assert waiting
    assert isinstance(call.exception(0), Unavailable)
    assert call.exception().certainty is Certainty.NOT_EXECUTED
    assert "nobody serves Echo: its group Echo.requests has no member" in call.exception().message
    assert phone.wire.sent == []


def test_the_next_call_tries_again_and_is_sent_when_a_server_appears(phone, asked):
    asked[0].append(NOBODY)
    phone.client.say.future("hi")
    pass_time(phone, 2.0)
    call = phone.client.say.future("again")
    pass_time(phone, 0.3)
    before = len(phone.wire.sent)
    asked[0].append(SOMEBODY)
    pass_time(phone, 0.3)
    phone.arrive(phone.wire.last.reply(b'"x"'))

    assert before == 0
    assert call.result(0) == "x"
    assert len(phone.wire.sent) == 1


def test_a_call_that_waits_longer_than_it_should_is_told_when_the_last_server_has_left(
    phone, asked
):
    call = phone.client.say.future("hi")
    phone.wire.last.acknowledge(partition=3)
    asked[0].append(NOBODY)
    pass_time(phone, 1.6)
    waiting = not call.done()
    pass_time(phone, 0.3)

    assert waiting
    assert isinstance(call.exception(0), Unavailable)
    assert call.exception().certainty is Certainty.UNKNOWN
    assert phone.wire.last.headers["rpc-kind"] == b"cancel"


@pytest.mark.parametrize("how", ["channel", "call"])
def test_who_waits_for_a_server_waits_until_the_deadline(line, phone, asked, how):
    asked[0].append(NOBODY)
    patient = line(Echo, wait_for_ready=True) if how == "channel" else phone
    call = patient.client.say.with_options(wait_for_ready=how == "call" or None).future("hi")
    pass_time(phone, 4.9)
    waiting = not call.done()
    phone.advance(0.2)
    patient.channel.step()

    assert waiting
    assert len(phone.wire.sent) == 1
    assert isinstance(call.exception(0), DeadlineExceeded)


@pytest.mark.parametrize("error", [NotAuthorized("DESCRIBE"), NotImplementedError("no groups")])
def test_who_may_not_ask_or_cannot_asks_once(phone, asked, error):
    asked[0].append(error)
    call = phone.client.say.future("hi")
    pass_time(phone, 5.0)

    assert isinstance(call.exception(0), DeadlineExceeded)
    assert len(asked[1]) == 1


def test_a_broker_that_does_not_answer_proves_nothing(phone, asked):
    asked[0].append(Unreachable("no broker"))
    call = phone.client.say.future("hi")
    pass_time(phone, 4.9)

    assert not call.done()
    assert len(phone.wire.sent) == 1
    assert 4 <= len(asked[1]) <= 6


def test_a_reply_proves_that_somebody_is_there(phone, asked):
    first = phone.client.say.future("hi")
    second = phone.client.say.future("ho")
    asked[0].append(NOBODY)
    pass_time(phone, 1.0)
    phone.arrive(phone.wire.sent[0].reply(b'"x"'))
    asked[0].append(SOMEBODY)
    pass_time(phone, 1.0)

    assert first.result(0) == "x"
    assert not second.done()


def test_a_reply_sends_what_was_held_and_what_is_called_then_comes_behind(phone, asked):
    asked[0].append(NOBODY)
    waits = phone.client.say.with_options(wait_for_ready=True).future("first")
    held = [phone.client.say.future(text) for text in ("second", "third")]
    before = len(phone.wire.sent)
    waits.add_done_callback(lambda _: held.append(phone.client.say.future("fourth")))
    phone.arrive(phone.wire.last.reply(b'"first"'))

    assert before == 1
    assert [sending.message.body for sending in phone.wire.sent[1:]] == [
        b'{"text":"second"}',
        b'{"text":"third"}',
        b'{"text":"fourth"}',
    ]


def test_a_timeout_of_a_call_that_was_held_says_that_it_was_not_sent(phone, asked):
    asked[0].append(NOBODY)
    call = phone.client.say.with_options(timeout=0.25).future("hi")
    pass_time(phone, 0.25)

    assert isinstance(call.exception(0), DeadlineExceeded)
    assert call.exception().certainty is Certainty.NOT_EXECUTED
    assert "not sent, for nobody serves Echo: its group Echo.requests has" in str(call.exception())


def test_a_timeout_tells_how_far_the_group_has_come(phone, asked):
    call = phone.client.say.with_options(timeout=1.0).future("hi")
    phone.wire.last.acknowledge(offset=40, partition=3)
    phone.advance(0.5)
    phone.advance(0.5)

    assert call.exception(0).message.endswith(
        "Echo.requests[3]@40; 1.0 s ago its group had 2 members and had settled that partition up "
        "to 37, 3 before it"
    )


def test_over_a_transport_in_memory_it_takes_about_a_second(memory_url, patience):
    with Channel(memory_url) as channel:
        client = Stub(Echo, channel=channel)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="nobody serves Echo"):
            client.say("hi")
        took = time.monotonic() - began
        call = client.say.future("again")
        with Server(EchoImpl(), transport=memory_url):
            assert call.result(patience) == "again"

    assert 0.7 <= took < 3
