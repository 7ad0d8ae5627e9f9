"""Calls from event loops: awaiting, giving up, many at once, many loops."""

import asyncio
import contextvars
import threading
import time
from typing import Protocol

import pytest

import rpc
from contracts import Cancelled, Certainty, DeadlineExceeded, Unavailable, method
from rpc.channel import Channel
from rpc.context import CallContext, handling
from rpc.request import Cancel, decode_request
from rpc.server import Server
from rpc.stub import Stub


class Echo(Protocol):
    @method(timeout=20.0)
    def say(self, text: str) -> str: ...


class Relay(Protocol):
    @method
    async def forward(self, text: str) -> str: ...


class EchoImpl(Echo):
    def say(self, text: str) -> str:
        return text


@pytest.fixture
def phone(line):
    return line(Echo)


@pytest.fixture
def echo(memory_url):
    with Server(EchoImpl(), transport=memory_url), Channel(memory_url) as channel:
        yield Stub(Echo, channel=channel)


@pytest.fixture
def never_opens(wire, patience):
    """A channel that is still connecting when the test ends."""
    go = threading.Event()
    wire.opens = lambda: go.wait(patience)
    with Channel(wire) as channel:
        yield channel
        go.set()


def test_a_call_is_awaited(echo):
    assert asyncio.run(echo.say.aio("hi")) == "hi"


def test_an_error_is_raised_where_it_is_awaited(phone):
    async def scenario():
        phone.channel.close()
        with pytest.raises(Unavailable, match="closed"):
            await phone.client.say.aio("hi")
        with pytest.raises(TypeError, match="missing"):
            await phone.client.say.aio()

    asyncio.run(scenario())


def test_a_thousand_calls_are_gathered(echo):
    async def scenario():
        return await asyncio.gather(*(echo.say.aio(str(n)) for n in range(1000)))

    assert asyncio.run(scenario()) == [str(n) for n in range(1000)]


def test_several_loops_share_one_channel(echo, run_together):
    async def scenario(loop):
        return await asyncio.gather(*(echo.say.aio(f"{loop}.{n}") for n in range(50)))

    results = run_together(*(lambda loop=loop: asyncio.run(scenario(loop)) for loop in range(6)))

    assert results == [[f"{loop}.{n}" for n in range(50)] for loop in range(6)]


def test_a_future_is_awaited_more_than_once_and_read_by_threads_too(echo):
    async def scenario():
        call = echo.say.future("hi")
        return [await call, await call, await asyncio.to_thread(call.result)]

    assert asyncio.run(scenario()) == ["hi"] * 3


def test_cancelling_the_task_cancels_the_call_and_tells_the_server(phone):
    async def scenario():
        sent = asyncio.Event()
        phone.wire.on_send = lambda _sending: sent.set()
        task = asyncio.create_task(phone.client.say.aio("hi"))
        await sent.wait()
        phone.wire.last.acknowledge()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())

    assert phone.channel.pending == 0
    assert isinstance(decode_request(phone.wire.last.message), Cancel)


def test_a_timeout_of_asyncio_cancels_the_call(phone):
    async def scenario():
        await phone.client.say.aio("hi")

    async def timed():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scenario(), 0.01)

    asyncio.run(timed())

    assert len(phone.wire.sent) == 1
    assert phone.channel.pending == 0


@pytest.mark.parametrize("steps", range(5))
def test_giving_up_is_not_lost_in_the_moment_in_which_the_connection_is_there(phone, steps):
    async def scenario():
        task = asyncio.create_task(phone.client.say.aio("hi"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5.0)
        return task.cancelled()

    assert asyncio.run(scenario())
    assert phone.channel.pending == 0


def test_awaiting_a_future_and_giving_up_leaves_the_call_going(phone):
    async def scenario():
        call = phone.client.say.future("hi")

        async def waits():
            return await call

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        going = not call.done()
        phone.arrive(phone.wire.last.reply(b'"hi"'))
        return going, await call

    assert asyncio.run(scenario()) == (True, "hi")


def test_a_call_cancelled_by_another_task_raises_cancelled(phone):
    async def scenario():
        call = phone.client.say.future("hi")

        async def waits():
            return await call

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(Cancelled):
            await task

    asyncio.run(scenario())


def test_connecting_does_not_hold_the_loop_up(never_opens):
    async def scenario():
        call = asyncio.create_task(Stub(Echo, channel=never_opens).say.aio("hi"))
        turns = 0
        while turns < 100:
            await asyncio.sleep(0)
            turns += 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return turns

    assert asyncio.run(scenario()) == 100


def test_the_first_call_ends_by_its_deadline_while_connecting_and_says_so(never_opens):
    call = Stub(Echo, channel=never_opens).say.with_options(timeout=0.05)
    with pytest.raises(
        DeadlineExceeded, match=r"not sent within 0\.05 s: still connecting"
    ) as told:
        asyncio.run(call.aio("hi"))

    assert told.value.certainty is Certainty.NOT_EXECUTED


def test_a_nested_call_waits_for_the_connection_no_longer_than_its_caller(never_opens, request_of):
    async def handler():
        request = decode_request(request_of(method=b"Relay.forward"))
        deadline = time.monotonic() + 0.05
        handling(
            CallContext("Relay", "forward", deadline, request, time.monotonic(), time.monotonic)
        )
        await Stub(Echo, channel=never_opens).say.aio("hi")

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="still connecting"):
        asyncio.run(handler())

    assert time.monotonic() - began < 5


def test_context_variables_of_the_caller_are_there_after_the_call(echo):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    def interceptor(call):
        seen.append(variable.get())
        result = yield call
        seen.append(variable.get())
        return result

    async def one(client, value):
        variable.set(value)
        await client.say.aio(value)
        return variable.get()

    async def scenario(client):
        return await asyncio.gather(*(one(client, str(n)) for n in range(20)))

    with Channel(echo.say._channel._connection._given, interceptors=[interceptor]) as channel:
        results = asyncio.run(scenario(Stub(Echo, channel=channel)))

    assert results == [str(n) for n in range(20)]
    assert sorted(seen) == sorted(results * 2)


def test_a_call_made_inside_an_async_handler_is_awaited_there(memory_url):
    class RelayImpl(Relay):
        async def forward(self, text: str) -> str:
            return await inner.say.aio(text + str(rpc.current_call().metadata.get("tenant")))

    with (
        Server(RelayImpl(), EchoImpl(), transport=memory_url),
        Channel(memory_url) as channel,
    ):
        inner = Stub(Echo, channel=channel)
        forward = Stub(Relay, channel=channel).forward.with_options(metadata={"tenant": "a"})

        assert asyncio.run(forward.aio("hi ")) == "hi a"
