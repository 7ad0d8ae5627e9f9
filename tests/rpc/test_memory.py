"""What a call in flight costs its client in memory, and what is left of it."""

import asyncio
import contextlib
import gc
import tracemalloc
from typing import Protocol

import pytest

from contracts import NO_RETRY, Code, RpcError, method
from rpc.call import Call
from transports.errors import Unreachable

BYTES = 1_300
"""Of memory, at most, for a pending call with small arguments, its message included."""


class Echo(Protocol):
    @method(timeout=30.0, idempotent=True)
    def say(self, text: str) -> str: ...


def test_a_pending_call_takes_about_a_kilobyte_and_leaves_little(line):
    phone = line(Echo)
    say = phone.client.say

    def call_all() -> list[object]:
        calls = [say.future("hello") for _ in range(1000)]
        for sending in phone.wire.sent:
            sending.acknowledge()
        return calls

    def answer_all() -> None:
        sent, phone.wire.sent = phone.wire.sent, []
        phone.arrive(*(sending.reply(b'"x"') for sending in sent))

    call_all()
    answer_all()  # what is made once, is made
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        calls = call_all()
        pending = tracemalloc.get_traced_memory()[0] - before
        answer_all()
        assert all(call.done() for call in calls)
        calls.clear()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert pending / 1000 < BYTES
    assert left / 1000 < 200


def asked_for(call):
    with contextlib.suppress(RpcError):
        call.result(0)


def asked_in_a_callback(call):
    def done(ended):
        try:
            ended.result()
        except RpcError as error:
            str(error)

    call.add_done_callback(done)


def awaited(call):
    async def wait():
        try:
            await call
        except RpcError as error:
            str(error)

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(wait())


def asked_whether_it_was_sent(call):
    with contextlib.suppress(RpcError, TimeoutError):
        call.sent.result(0)


def looks_on(call):
    try:
        return (yield call)
    except RpcError as error:
        str(error)
        raise


@pytest.fixture
def alive():
    """How many calls there are, of those that are made in the test: without garbage collection."""
    gc.collect()
    gc.disable()
    before = {id(each) for each in gc.get_objects() if isinstance(each, Call)}
    yield lambda: sum(isinstance(x, Call) and id(x) not in before for x in gc.get_objects())
    gc.enable()


@pytest.mark.parametrize("interceptors", [[], [looks_on, looks_on]])
@pytest.mark.parametrize("happens", ["deadline", "reply", "not sent"])
@pytest.mark.parametrize(
    "asked",
    [
        (asked_in_a_callback, "before"),
        (asked_in_a_callback, "after"),
        (asked_for, "after"),
        (awaited, "after"),
        (asked_whether_it_was_sent, "after"),
    ],
)
def test_what_failed_is_let_go_of_without_the_garbage_collector(
    line, alive, interceptors, asked, happens
):
    ask, when = asked
    phone = line(Echo, interceptors=interceptors, retry=NO_RETRY)

    def fail():
        call = phone.client.say.future("hello")
        if when == "before":
            ask(call)
        if happens == "deadline":
            phone.advance(31.0)
        elif happens == "reply":
            phone.arrive(phone.wire.last.error(Code.INTERNAL, "EXECUTED"))
        else:
            phone.wire.last.fail(Unreachable("no broker"))
        if when == "after":
            ask(call)
        phone.wire.sent.clear()

    for _ in range(20):
        fail()

    assert alive() == 0
