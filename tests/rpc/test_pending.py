"""Bounds on calls in flight: who fails at once, who waits for room, and for how long."""

import asyncio
import threading
from typing import Protocol

import pytest

from contracts import Cancelled, Certainty, Overloaded, Unavailable, method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub
from rpc.waiting import WaitingRoom
from transports.errors import MessageTooLarge


class Echo(Protocol):
    @method(timeout=2.0)
    def say(self, text: str) -> str: ...


def test_those_who_wait_come_in_their_order_and_leave_at_their_deadline():
    room = WaitingRoom()
    for name, deadline in ((b"a", 3.0), (b"b", 1.0), (b"c", 2.0)):
        room.add(name, name, deadline)
    first = room.first()
    gone = room.expire(1.0)
    taken = room.take(b"a"), room.take(b"a")

    assert (first, gone, taken) == (b"a", [b"b"], (b"a", None))
    assert room.first() == b"c"
    assert room.next_deadline() == 2.0
    assert room.drain() == [b"c"]
    assert not room
    assert room.next_deadline() is None


def test_beyond_the_bytes_a_call_fails_at_once_and_says_which_bound(line):
    phone = line(Echo, max_pending_bytes=100)
    phone.client.say.future("x" * 60)
    second = phone.client.say.future("y" * 60)

    assert isinstance(second.exception(0), Overloaded)
    assert second.exception().certainty is Certainty.NOT_EXECUTED
    assert "max_pending_bytes" in second.exception().message


def test_a_call_that_waits_is_sent_when_there_is_room(line):
    phone = line(Echo, max_pending=1, when_full="wait")
    calls = [phone.client.say.future(text) for text in "abc"]
    before = len(phone.wire.sent)
    phone.arrive(phone.wire.last.reply(b'"A"'))
    phone.arrive(phone.wire.last.reply(b'"B"'))
    phone.arrive(phone.wire.last.reply(b'"C"'))

    assert before == 1
    assert [call.result(0) for call in calls] == ["A", "B", "C"]


def test_what_finds_no_room_in_its_time_is_not_executed(line):
    phone = line(Echo, max_pending=1, when_full="wait")
    phone.client.say.with_options(timeout=9.0).future("a")
    waiting = phone.client.say.future("b")
    phone.advance(2.0)

    assert isinstance(waiting.exception(0), Overloaded)
    assert waiting.exception().certainty is Certainty.NOT_EXECUTED
    assert "after 2 s of waiting: 1 calls" in waiting.exception().message


def test_a_call_that_waits_can_be_cancelled_and_is_ended_by_closing(line):
    phone = line(Echo, max_pending=1, when_full="wait")
    phone.client.say.future("a")
    given_up, closed = phone.client.say.future("b"), phone.client.say.future("c")
    given_up.cancel()
    phone.channel.close()

    assert isinstance(given_up.exception(0), Cancelled)
    assert isinstance(closed.exception(0), Unavailable)
    assert closed.exception().certainty is Certainty.NOT_EXECUTED
    assert len(phone.wire.sent) == 1


@pytest.fixture
def channel(wire):
    with Channel(wire, max_pending=1, when_full="wait") as opened:
        yield opened


def test_a_thread_is_held_up_until_there_is_room(wire, channel, patience, await_true):
    client = Stub(Echo, channel=channel)
    first = client.say.future("a")
    calls = []
    thread = threading.Thread(target=lambda: calls.append(client.say.future("b")))
    thread.start()
    await_true(lambda: channel._in_flight._waiting)
    held_up = not calls
    wire.inbox.put(wire.last.reply(b'"A"'))
    thread.join(patience)
    wire.inbox.put(wire.last.reply(b'"B"'))

    assert held_up
    assert (first.result(patience), calls[0].result(patience)) == ("A", "B")


def test_an_event_loop_is_not_held_up(wire, channel):
    client = Stub(Echo, channel=channel)

    async def both():
        taken = asyncio.Event()
        loop = asyncio.get_running_loop()
        wire.on_send = lambda sending: loop.call_soon_threadsafe(taken.set)
        first = asyncio.ensure_future(client.say.aio("a"))
        await taken.wait()
        second = asyncio.ensure_future(client.say.aio("b"))
        loop.call_soon(wire.inbox.put, wire.last.reply(b'"A"'))
        wire.on_send = lambda sending: wire.inbox.put(sending.reply(b'"B"'))
        return await asyncio.gather(first, second)

    assert asyncio.run(both()) == ["A", "B"]


def test_a_callback_that_calls_does_not_wait_on_the_thread_that_makes_room(wire, channel, patience):
    client = Stub(Echo, channel=channel)
    later = []
    first = client.say.future("a")
    first.add_done_callback(lambda _call: later.extend(client.say.future(t) for t in "bc"))
    wire.on_send = lambda sending: wire.inbox.put(sending.reply(b'"x"'))
    wire.inbox.put(wire.last.reply(b'"A"'))

    assert first.result(patience) == "A"
    assert [call.result(patience) for call in later] == ["x", "x"]


@pytest.mark.parametrize("by", ["a failed send", "cancel"])
def test_a_callback_that_calls_waits_on_no_thread_that_ends_a_call(wire, channel, patience, by):
    """The room that the call before leaves is given away only once its callbacks have run."""
    client = Stub(Echo, channel=channel)
    channel.open()
    held, again = threading.Event(), []
    first = client.say.future("a")
    waiting = threading.Thread(target=lambda: client.say.future("b"))
    waiting.start()

    def call_again(_call):
        again.append(client.say.future("c"))
        held.set()

    first.add_done_callback(call_again)
    ends = {
        "a failed send": lambda: wire.sent[0].fail(MessageTooLarge("a")),
        "cancel": first.cancel,
    }
    ending = threading.Thread(target=ends[by])
    ending.start()

    assert held.wait(1.0), "it waits for its deadline, at 2 s"
    wire.on_send = lambda sending: wire.inbox.put(sending.reply(b'"x"'))
    waiting.join(patience)
    ending.join(patience)


def test_an_interrupt_while_a_waiting_call_is_sent_lets_others_wait_for_room(line):
    phone = line(Echo, max_pending=1, when_full="wait")
    first, second, third = (phone.client.say.future(text) for text in "abc")

    def interrupt(_sending):
        raise KeyboardInterrupt

    phone.wire.on_send = interrupt
    with pytest.raises(KeyboardInterrupt):
        first.cancel()
    phone.wire.on_send = bool
    second.cancel()

    assert phone.wire.last.message.body == b'{"text":"c"}'
    phone.arrive(phone.wire.last.reply(b'"C"'))
    assert third.result(0) == "C"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_pending_bytes": 0}, "max_pending_bytes is 0"),
        ({"when_full": "block"}, "when_full is 'block'"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        Channel(**options)


class EchoImpl(Echo):
    @method
    def say(self, text: str) -> str:
        return text


def test_five_hundred_threads_share_a_client(memory_url, run_together):

    with (
        Server(EchoImpl(), transport=memory_url),
        Channel(memory_url, max_pending=100, when_full="wait", timeout=20.0) as channel,
    ):
        say = Stub(Echo, channel=channel).say.with_options(timeout=15.0)
        works = [lambda n=n: [say(f"{n}-{m}") for m in range(4)] for n in range(500)]
        results = run_together(*works)

    assert results == [[f"{n}-{m}" for m in range(4)] for n in range(500)]
