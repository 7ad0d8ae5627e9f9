"""What a server does with a message while handlers run: duplicates, cancelling, overload."""

import threading
from typing import Protocol

import pytest

import rpc
from contracts import Certainty, method
from rpc.channel import Channel
from rpc.clock import ManualClock
from rpc.reply import decode_reply
from rpc.request import cancel_message
from rpc.server import Server
from rpc.stub import Stub
from transports.base import Address


class Slow(Protocol):
    @method
    def wait(self) -> str: ...


class SlowImpl(Slow):
    def __init__(self, patience):
        self.started, self.go = threading.Semaphore(0), threading.Event()
        self.patience, self.runs, self.calls = patience, 0, []

    def wait(self) -> str:
        self.runs += 1
        self.calls.append(rpc.current_call())
        self.started.release()
        assert self.go.wait(self.patience)
        return "done"


@pytest.fixture
def slow(patience):
    impl = SlowImpl(patience)
    yield impl
    impl.go.set()


def test_a_duplicate_of_a_running_request_joins_it(slow, memory_url, request_of, patience):
    with (
        rpc.open_transport(f"{memory_url}?partitions=1") as transport,
        Server(slow, transport=transport) as server,
    ):
        inbox = transport.receiver(Address("rpc.replies.test"), shared=False)
        outcomes = []
        for _ in range(3):
            message = request_of(b"{}", method=b"Slow.wait")
            transport.send(Address("Slow.requests"), message, outcomes.append)
        assert slow.started.acquire(timeout=patience)
        other = request_of(b"{}", call=b"behind the duplicates", method=b"Slow.wait")
        transport.send(Address("Slow.requests"), other, outcomes.append)
        assert slow.started.acquire(timeout=patience)
        slow.go.set()
        replies = []
        while len(replies) < 2:
            replies += inbox.receive(patience)
        left = server.stop(patience)

        assert (slow.runs, left) == (2, 0)
        assert {decode_reply(each.message).call_id for each in replies} == {
            b"0123456789abcdef", b"behind the duplicates",
        }  # fmt: skip
        again = transport.receiver(Address("Slow.requests"), shared=True)
        assert list(again.receive(0)) == []


# -- cancelling and overload -----------------------------------------------------------------------


def test_a_cancel_record_tells_the_handler(slow, memory_url, patience, await_true):
    with Server(slow, transport=memory_url), Channel(memory_url) as channel:
        call = Stub(Slow, channel=channel).wait.future()
        assert slow.started.acquire(timeout=patience)
        (context,) = slow.calls
        before = context.cancelled
        call.sent.result(patience)
        call.cancel()
        with pytest.raises(rpc.Cancelled):
            call.result(patience)
        await_true(lambda: context.cancelled)

        assert not before
        assert context.cancelled
        slow.go.set()


def test_a_cancel_record_of_another_client_cancels_nothing(slow, memory_url, patience):
    with (
        rpc.open_transport(memory_url) as transport,
        Server(slow, transport=transport),
        Channel(transport) as channel,
    ):
        call = Stub(Slow, channel=channel).wait.future()
        assert slow.started.acquire(timeout=patience)
        place = Address("Slow.requests", call.sent.result(patience).partition)
        forged = cancel_message(call.call_id, "Slow.wait", "somebody else", None)
        outcomes = []
        transport.send(place, forged, outcomes.append)
        second = Stub(Slow, channel=channel).wait.future()
        assert slow.started.acquire(timeout=patience)
        cancelled = slow.calls[0].cancelled
        slow.go.set()

        assert not cancelled
        assert call.result(patience) == second.result(patience) == "done"


def test_beyond_max_in_flight_requests_are_shed_at_once(slow, memory_url, patience):
    with (
        Server(slow, transport=memory_url, max_in_flight=1),
        Channel(memory_url) as channel,
    ):
        client = Stub(Slow, channel=channel)
        first = client.wait.future()
        assert slow.started.acquire(timeout=patience)
        with pytest.raises(
            rpc.Overloaded, match=r"1 calls to do already \(max_in_flight\)"
        ) as shed:
            client.wait()
        slow.go.set()

        assert shed.value.certainty is Certainty.NOT_EXECUTED
        assert first.result(patience) == "done"
        assert slow.runs == 1


def test_a_request_that_expires_while_it_waits_for_a_worker_is_not_started(
    slow, memory_url, patience, await_true
):
    clock = ManualClock()
    with (
        Server(slow, transport=memory_url, workers=1, clock=clock) as server,
        Channel(memory_url) as channel,
    ):
        client = Stub(Slow, channel=channel)
        first = client.wait.with_options(timeout=60).future()
        assert slow.started.acquire(timeout=patience)
        queued = client.wait.with_options(timeout=30).future()
        await_true(lambda: server.in_flight == 2)
        clock.advance(31)
        slow.go.set()

        assert first.result(patience) == "done"
        with pytest.raises(rpc.DeadlineExceeded, match="passed before the handler was st") as late:
            queued.result(patience)
        assert late.value.certainty is Certainty.NOT_EXECUTED
        assert slow.runs == 1


def test_what_was_refused_is_refused_again_when_the_same_attempt_comes_twice(
    slow, memory_url, request_of, patience, await_true
):
    def put(**changed):
        message = request_of(b"{}", method=b"Slow.wait", **changed)
        transport.send(Address("Slow.requests"), message, lambda _sent: None)

    def answer():
        replies = []
        await_true(lambda: replies.extend(inbox.receive(1.0)) or replies)
        return decode_reply(replies[0].message)

    with (
        rpc.open_transport(f"{memory_url}?partitions=1") as transport,
        Server(slow, transport=transport, max_in_flight=1),
    ):
        inbox = transport.receiver(Address("rpc.replies.test"), shared=False)
        put(call=b"first")
        assert slow.started.acquire(timeout=patience)
        put(call=b"twice")
        refused = answer()
        slow.go.set()
        assert answer().call_id == b"first"
        put(call=b"twice")
        again = answer()
        put(call=b"twice", attempt=b"2")
        retried = answer()

    assert refused.code is rpc.Code.RESOURCE_EXHAUSTED
    assert again == refused
    assert (retried.code, slow.runs) == (None, 2)
