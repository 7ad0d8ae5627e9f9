"""The kit for services under test: in memory with threads, or step by step without any."""

import inspect
import threading
from typing import Protocol

import pytest

import rpc
from contracts import method
from rpc.channel import Channel, ChannelOptions
from rpc.server import Server, ServerOptions
from rpc.testing import ManualClock, StepOptions, Stepper, in_memory


class Echo(Protocol):
    @method(timeout=2.0)
    def say(self, text: str) -> str: ...

    @method(timeout=2.0)
    async def say_async(self, text: str) -> str: ...


class EchoImpl(Echo):
    def say(self, text: str) -> str:
        return text

    async def say_async(self, text: str) -> str:
        return text


@pytest.fixture
def bench():
    made = Stepper(Echo, EchoImpl())
    yield made
    made.close()


def test_in_memory_a_client_calls_what_is_served_here():
    with in_memory(Echo, EchoImpl(), workers=1) as client:
        assert client.say("hi") == "hi"

    with pytest.raises(rpc.Unavailable):
        client.say("over")


@pytest.mark.parametrize("name", ["say", "say_async"])
def test_a_call_is_stepped_through_without_a_thread(bench, name):
    threads = threading.active_count()
    call = getattr(bench.client, name).future("hi")
    before = call.done()

    assert bench.step() == (1, 1)
    assert not before
    assert call.result(0) == "hi"
    assert bench.step() == (0, 0)
    assert threading.active_count() == threads


def test_time_passes_only_when_it_is_told_to(bench):
    call = bench.client.say.future("hi")
    bench.advance(1.9)
    early = call.done()
    bench.advance(0.1)

    assert not early
    assert isinstance(call.exception(0), rpc.DeadlineExceeded)


def test_two_benches_do_not_meet(bench):
    other = Stepper(Echo, EchoImpl(), max_pending=5)
    call = bench.client.say.future("hi")

    assert other.step() == (0, 0)
    assert bench.step() == (1, 1)
    assert call.result(0) == "hi"
    other.close()


def test_the_clock_of_the_kit_is_the_packages_own():
    assert ManualClock is rpc.clock.ManualClock


def test_a_request_that_waited_past_its_deadline_is_answered_and_not_run():
    ran = []

    class Noted(EchoImpl):
        def say(self, text: str) -> str:
            ran.append(text)
            return text

    bench = Stepper(Echo, Noted())
    bench.client.say.future("hi")
    bench.advance(3600.0)

    assert bench.step() == (1, 1)
    assert bench.channel.late_replies == 1
    assert ran == []
    bench.close()


@pytest.mark.parametrize(
    ("options", "owner", "left_out"),
    [
        (ServerOptions, Server, {"transport", "threads"}),
        (ChannelOptions, Channel, {"transport", "threads"}),
        (StepOptions, Channel, {"transport", "threads", "clock", "reply_topic"}),
    ],
)
def test_options_that_are_passed_on_are_those_of_their_owner(options, owner, left_out):
    own = inspect.get_annotations(owner.__init__).keys() - {"return", "implementations"}

    assert inspect.get_annotations(options).keys() == own - left_out
    for name, annotation in inspect.get_annotations(options).items():
        assert annotation == inspect.get_annotations(owner.__init__)[name]
