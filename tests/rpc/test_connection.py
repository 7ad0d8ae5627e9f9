"""Opening and closing: who waits how long, who is told what, and what is left behind."""

import threading
import time
from typing import Protocol

import pytest

from contracts import Certainty, Code, DeadlineExceeded, RpcError, Unavailable, method
from rpc.channel import Channel
from rpc.reply import is_clock
from rpc.stub import Stub
from transports.base import Address, Message
from transports.errors import NotAuthenticated, NotAuthorized, SendUncertain, Unreachable

REFUSED = Unreachable("no broker answers at localhost:9092; start one")


class Echo(Protocol):
    @method
    def say(self, text: str) -> str: ...

    @method
    def spell(self, text: str) -> str: ...


class Gate:
    """Holds up whoever connects until the test lets go."""

    def __init__(self, patience):
        self.reached, self.go, self.patience = threading.Event(), threading.Event(), patience
        self.error = None

    def __call__(self):
        self.reached.set()
        assert self.go.wait(self.patience)
        if self.error is not None:
            raise self.error


@pytest.fixture
def gate(wire, patience):
    """A wire on which connecting takes as long as the test likes."""
    wire.opens = Gate(patience)
    yield wire.opens
    wire.opens.go.set()


@pytest.fixture
def channel(wire):
    with Channel(wire) as opened:
        yield opened
        opened.close()


def answering(wire):
    wire.on_send = lambda sending: wire.inbox.put(sending.reply(sending.message.body[8:-1]))


def threads_named(*names):
    return [thread for thread in threading.enumerate() if thread.name in names]


def test_the_brokers_time_is_asked_for_at_the_own_inbox_before_the_first_request(wire, channel):
    wire.time = None

    def answer(sending):
        if is_clock(sending.message):
            wire.time = 1234.5
            sending.acknowledge()
        else:
            wire.inbox.put(sending.reply(b'"hello"'))

    wire.on_send = answer
    assert Stub(Echo, channel=channel).say("hello") == "hello"

    asked, request = wire.sent
    assert asked.address == wire.inbox.address
    assert request.request.sent == 1234.5


def test_where_the_own_inbox_may_not_be_written_to_requests_go_without_the_time(wire, channel):
    wire.time = None

    def answer(sending):
        if is_clock(sending.message):
            sending.fail(NotAuthorized("may not write"))
        else:
            wire.inbox.put(sending.reply(b'"hello"'))

    wire.on_send = answer
    assert Stub(Echo, channel=channel).say("hello") == "hello"
    assert wire.last.request.sent is None


def test_nothing_is_sent_as_long_as_no_broker_tells_its_time(wire, channel):
    wire.time = None
    client = Stub(Echo, channel=channel)

    with pytest.raises(DeadlineExceeded, match="still connecting") as late:
        client.say.with_options(timeout=0.05)("hello")
    (asked,) = wire.sent
    asked.fail(Unreachable("cable cut"))

    assert late.value.certainty is Certainty.NOT_EXECUTED
    assert is_clock(asked.message)


def test_that_the_time_may_have_been_told_says_nothing_of_a_call_that_was_not_sent(wire, channel):
    wire.time = None
    wire.on_send = lambda sending: sending.fail(SendUncertain("no answer"))
    error = Stub(Echo, channel=channel).say.future("hello").exception(0)

    assert isinstance(error, Unavailable)
    assert error.certainty is Certainty.NOT_EXECUTED
    assert len(wire.sent) == 1


def test_an_unreachable_reply_partition_is_asked_again_by_the_next_call(wire, channel):
    wire.time = None

    def answer(sending):
        if not is_clock(sending.message):
            wire.inbox.put(sending.reply(b'"hello"'))
        elif len(wire.sent) == 1:
            sending.fail(Unreachable("cable cut"))
        else:
            wire.time = 1234.5
            sending.acknowledge()

    wire.on_send = answer
    client = Stub(Echo, channel=channel)

    with pytest.raises(Unavailable, match="cable cut"):
        client.say("hello")
    assert client.say("hello") == "hello"
    assert wire.last.request.sent == 1234.5


def test_building_a_channel_and_a_stub_opens_nothing_and_starts_no_thread(wire):
    before = threading.active_count()
    channel = Channel(wire)
    Stub(Echo, channel=channel)
    channel.close()

    assert (wire.opened, wire.prepared, wire.closed) == (0, [], 0)
    assert threading.active_count() == before


def test_the_inbox_is_ready_and_the_topic_there_before_the_first_request(wire, channel):
    order = []
    wire.opens = lambda: order.append("inbox")
    wire.prepares = lambda: order.append("topic")
    wire.on_send = lambda sending: (
        order.append("request"),
        wire.inbox.put(sending.reply(b'"x"')),
    )
    client = Stub(Echo, channel=channel)
    client.say("a")
    client.say("b")

    assert order == ["inbox", "topic", "request", "request"]
    assert wire.prepared == [Address("Echo.requests")]
    assert wire.last.request.reply_to == wire.inbox.address


def test_the_first_call_ends_by_its_deadline_while_connecting(gate, channel):
    client = Stub(Echo, channel=channel)
    began = time.monotonic()
    with pytest.raises(
        DeadlineExceeded, match=r"not sent within 0\.05 s: still connecting"
    ) as told:
        client.say.with_options(timeout=0.05)("hi")

    took = time.monotonic() - began
    gate.go.set()

    assert took < 2
    assert told.value.certainty is Certainty.NOT_EXECUTED


def test_what_the_first_call_began_goes_on_for_the_next(wire, gate, channel):
    answering(wire)
    client = Stub(Echo, channel=channel)
    with pytest.raises(DeadlineExceeded):
        client.say.with_options(timeout=0.01)("early")
    gate.go.set()

    assert client.say("hi") == "hi"
    assert wire.opened == 1


def test_calls_of_many_threads_open_one_connection(wire, channel, run_together):
    answering(wire)
    client = Stub(Echo, channel=channel)
    calls = [lambda n=n: (client.say if n % 2 else client.spell)(str(n)) for n in range(20)]

    assert run_together(*calls) == [str(n) for n in range(20)]
    assert wire.opened == 1
    assert len(threads_named("rpc-reader")) == 1
    assert wire.prepared == [Address("Echo.requests")] * 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (REFUSED, Code.UNAVAILABLE),
        (NotAuthenticated("SASL: wrong password for 'shop'"), Code.UNAUTHENTICATED),
        (NotAuthorized("READ on rpc.replies.app"), Code.PERMISSION_DENIED),
        (RuntimeError("a fault of the driver"), Code.INTERNAL),
    ],
)
@pytest.mark.parametrize("where", ["opens", "prepares"])
def test_a_failure_to_open_is_told_at_once_and_the_next_call_tries_again(
    wire, channel, error, code, where
):
    def fails():
        raise error

    setattr(wire, where, fails)
    client = Stub(Echo, channel=channel)
    with pytest.raises(RpcError, match=str(error)) as told:
        client.say("hi")
    setattr(wire, where, lambda: None)
    answering(wire)

    assert (told.value.code, told.value.certainty) == (code, Certainty.NOT_EXECUTED)
    assert client.say("hi") == "hi"


def test_a_failure_to_open_is_told_to_everyone_who_waits(wire, gate, channel, patience, await_true):
    told = []
    client = Stub(Echo, channel=channel)
    threads = [
        threading.Thread(target=lambda: told.append(client.say.future("hi").exception()))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(patience)
    attempt = client.say._route.readiness.begin()
    await_true(lambda: len(attempt._waiters) == 10)
    gate.error = REFUSED
    gate.go.set()
    for thread in threads:
        thread.join(patience)

    assert [type(error) for error in told] == [Unavailable] * 10
    assert wire.opened == 1


def test_opening_ahead_of_the_first_call_tells_what_is_wrong(wire, channel):
    def fails():
        raise REFUSED

    wire.opens = fails
    with pytest.raises(Unavailable, match="opening the channel: no broker answers"):
        channel.open()
    wire.opens = lambda: None
    channel.open()
    channel.open()

    assert wire.opened == 2


def test_closing_ends_threads_and_inbox_but_not_a_transport_of_the_callers(wire, channel):
    channel.open()
    running = threads_named("rpc-reader", "rpc-timer")
    channel.close()
    channel.close()

    assert len(running) == 2
    assert not any(thread.is_alive() for thread in running)
    assert wire.inbox.closed
    assert wire.closed == 0
    assert channel.closed


def test_a_transport_that_the_channel_opened_is_closed_with_it(memory_url):
    with Channel(memory_url) as channel:
        channel.open()
        transport = channel._connection._transport

    outcomes = []
    transport.send(Address("x"), Message(b""), outcomes.append)
    assert "closed" in str(outcomes[0])


def test_a_closed_channel_is_not_opened(wire, channel):
    channel.open()
    channel.close()

    with pytest.raises(Unavailable, match="the channel is closed"):
        channel.open()


@pytest.fixture
def refuse_thread(monkeypatch):
    """Let threads of a name not be started, until the list is cleared."""
    start, refused = threading.Thread.start, []

    def refuse(thread):
        if thread.name in refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return refused


@pytest.mark.parametrize("name", ["rpc-open", "rpc-timer", "rpc-reader"])
def test_a_thread_that_can_not_be_started_fails_the_call_and_the_next_one_tries_again(
    wire, channel, refuse_thread, patience, name
):
    answering(wire)
    client = Stub(Echo, channel=channel)
    refuse_thread.append(name)
    refused = client.say.future("hi").exception(patience)
    refuse_thread.clear()

    assert isinstance(refused, Unavailable)
    assert f"the thread {name} can't be started" in refused.message
    assert refused.certainty is Certainty.NOT_EXECUTED
    assert client.say("hi") == "hi"
    assert len(threads_named("rpc-timer")) == len(threads_named("rpc-reader")) == 1


def test_calls_end_by_their_deadlines_though_it_can_not_be_asked_who_serves(
    wire, refuse_thread, patience
):
    refuse_thread.append("rpc-watch")
    with Channel(wire, wait_for_ready=True) as channel:  # so that no call has asked before
        client = Stub(Echo, channel=channel)
        for _ in range(2):
            call = client.say.with_options(timeout=0.05).future("hi")
            assert isinstance(call.exception(patience), DeadlineExceeded)


def test_calls_after_closing_fail_at_once(wire, channel):
    answering(wire)
    client = Stub(Echo, channel=channel)
    client.say("hi")
    channel.close()

    for call in (client.say.future("old"), client.spell.future("new")):
        with pytest.raises(Unavailable, match="the channel is closed"):
            call.result(0)
        assert call.exception().certainty is Certainty.NOT_EXECUTED


def test_closing_while_connecting_waits_no_longer_than_it_may(wire, gate, channel, patience):
    opening = threading.Thread(target=lambda: refused_as_closed(channel.open))
    opening.start()
    assert gate.reached.wait(patience)
    began = time.monotonic()
    channel.close(timeout=0.05)
    took = time.monotonic() - began
    gate.go.set()
    opening.join(patience)

    assert took < 2
    assert wire.inbox.closed
    assert threads_named("rpc-reader", "rpc-timer") == []


def refused_as_closed(work):
    with pytest.raises(Unavailable, match="closed"):
        work()


def test_a_channel_may_be_closed_from_a_callback_of_its_own_reader(wire, channel, patience):
    closed = threading.Event()
    call = Stub(Echo, channel=channel).say.future("hi")
    call.add_done_callback(lambda _call: (channel.close(), closed.set()))
    wire.inbox.put(wire.last.reply(b'"hi"'))

    assert closed.wait(patience)
    assert call.result() == "hi"


def test_an_inbox_that_fails_ends_every_call_at_once_and_works_again_when_it_heals(
    wire, channel, patience, monkeypatch, await_true
):
    monkeypatch.setattr("rpc.connection._RETRY_WAIT", 0.01)
    client = Stub(Echo, channel=channel)
    calls = [client.say.future("hi") for _ in range(3)]
    wire.inbox.put(NotAuthorized("READ on rpc.replies.app was withdrawn"))
    errors = [call.exception(patience) for call in calls]
    answering(wire)
    wire.inbox.put(wire.last.reply(b'"late"'))
    await_true(lambda: channel.late_replies == 1)

    assert {error.code for error in errors} == {Code.PERMISSION_DENIED}
    assert {error.certainty for error in errors} == {Certainty.UNKNOWN}
    assert client.say("hi") == "hi"


def test_the_timer_ends_calls_in_real_time(wire, channel, patience):
    client = Stub(Echo, channel=channel)
    calls = [client.say.with_options(timeout=0.01 * n).future("hi") for n in (9, 1, 5)]
    for call in calls:
        assert isinstance(call.exception(patience), DeadlineExceeded)

    assert channel.pending == 0


def test_a_deadline_of_a_thousand_years_does_not_stop_the_timer(wire, channel, patience):
    client = Stub(Echo, channel=channel)
    far = client.say.with_options(timeout=3e10).future("far")
    timer = threads_named("rpc-timer")
    near = client.say.with_options(timeout=0.02).future("near")

    assert isinstance(near.exception(patience), DeadlineExceeded)
    assert timer[0].is_alive()
    assert not far.done()


FORK = """
    import os, sys, threading
    from typing import Protocol
    import rpc

    over = threading.Event()

    class Echo(Protocol):
        @rpc.method
        def say(self, text: str) -> str: ...

        @rpc.method
        def spell(self, text: str) -> str: ...

        @rpc.method
        def wait(self) -> bool: ...

    class EchoImpl(Echo):
        def say(self, text: str) -> str:
            return text

        def wait(self) -> bool:
            return over.wait(5)

        def spell(self, text: str) -> str:
            return text

    def told(call):
        error = call.exception(5)
        return type(error).__name__, "fork" in str(error), str(error.certainty)

    def opened(channel):
        try:
            return channel.open()
        except rpc.RpcError as error:
            return type(error).__name__

    with rpc.Server(EchoImpl(), transport="memory://fork"), rpc.Channel("memory://fork") as channel:
        client = rpc.Stub(Echo, channel=channel)
        assert client.say("before") == "before"
        flying = client.wait.future()
        child = os.fork()
        if child == 0:
            outcomes = {told(client.say.future("old")), told(client.spell.future("new"))}
            right = outcomes == {("Unavailable", True, "NOT_EXECUTED")}
            right = right and told(flying) == ("Unavailable", True, "UNKNOWN")
            right = right and flying.sent.done() and opened(channel) == "Unavailable"
            os.environ["RPC_TRANSPORT"] = "memory://child"
            with rpc.Server(EchoImpl()), rpc.Stub(Echo) as fresh:
                right = right and fresh.say("in the child") == "in the child"
            os._exit(0 if right else 1)
        _, status = os.waitpid(child, 0)
        assert client.say("after") == "after"
        over.set()
        assert flying.result()
    print("child", os.waitstatus_to_exitcode(status))
"""

ECHO = """
    import os, threading
    from typing import Protocol
    import rpc

    class Echo(Protocol):
        @rpc.method
        def say(self, text: str) -> str: ...

    class EchoImpl(Echo):
        def say(self, text: str) -> str:
            return text
"""

SIBLINGS = """
    channel = rpc.Channel("memory://siblings")  # a module's, say, as a pre-forking server loads it
    client = rpc.Stub(Echo, channel=channel)
    for _ in range(2):
        child = os.fork()
        if child == 0:
            with rpc.Server(EchoImpl(), transport="memory://siblings"):
                call = client.say.future("hi")
                assert call.result() == "hi"
                print(channel.instance, call.call_id[:8].hex(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    print(channel.instance)
"""

OPENING = """
    os.environ["RPC_TRANSPORT"] = "memory://parent"
    channel = rpc.Channel()
    start = threading.Thread.start

    def fork_and_start(thread):
        if thread.name == "rpc-reader" and os.getpid() == parent:
            if os.fork() == 0:
                os.environ["RPC_TRANSPORT"] = "memory://child"
                with rpc.Server(EchoImpl()):
                    print(rpc.Stub(Echo, channel=channel).say("child"), flush=True)
                os._exit(0)
            os.wait()
        start(thread)

    parent, threading.Thread.start = os.getpid(), fork_and_start
    with rpc.Server(EchoImpl()), channel:
        print(rpc.Stub(Echo, channel=channel).say("parent"))
"""


@pytest.fixture
def forked(run_script):
    """Return what a script prints that forks; it may complain of nothing."""

    def run(script):
        ran = run_script(script, forks=True)
        assert ran.stderr == ""
        return ran.stdout

    return run


def test_after_a_fork_the_child_is_told_and_the_parent_goes_on(forked):
    assert forked(FORK) == "child 0\n"


def test_a_child_forked_while_a_channel_opens_opens_it_anew(forked):
    assert forked(ECHO + OPENING) == "child\nparent\n"


def test_children_that_open_a_channel_of_their_parents_have_ids_of_their_own(forked):
    """Servers take what bears the same ids for the same call, and give one the other's reply."""
    ids = forked(ECHO + SIBLINGS).split()

    assert len(ids) == len(set(ids)) == 5
