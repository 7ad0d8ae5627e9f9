"""Whose turn it is on a server: limits, cancelling what waits, requests that killed others."""

import threading
from typing import Protocol

import pytest

import rpc
from contracts import ErrorBody, method
from contracts.codec import JSON
from rpc.reply import decode_reply
from rpc.request import cancel_message
from rpc.server import Server
from transports.base import Address, Delivery, Receipt, Unshared
from transports.memory import MemoryTransport


class Slow(Protocol):
    @method
    def wait(self) -> str: ...

    @method(key="key")
    def keyed(self, key: str) -> str: ...

    @method
    async def hold(self) -> str: ...


class SlowImpl(Slow):
    def __init__(self, patience):
        self.started, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.patience, self.running, self.most = patience, 0, 0

    def wait(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.started.release()
        assert self.go.acquire(timeout=self.patience)
        self.running -= 1
        return "done"

    def keyed(self, key: str) -> str:
        return self.wait()

    async def hold(self) -> str:
        return self.wait()  # which holds up the loop


class Phone:
    """A server with threads, and the requests and answers of one client by hand."""

    def __init__(self, transport, request_of, patience):
        self.transport, self.request_of, self.patience = transport, request_of, patience
        self.inbox = transport.receiver(Address("rpc.replies.test"), shared=False)

    def request(self, call, name=b"Slow.wait", key=None, timeout=b"60000"):
        body = b"{}" if key is None else b'{"key":"k"}'
        return self.request_of(body, key, call=call, client=b"me", method=name, timeout=timeout)

    def put(self, *messages):
        for message in messages:
            self.transport.send(Address("Slow.requests"), message, lambda _: None)

    def cancel(self, call):
        self.put(cancel_message(call, "Slow.wait", "me", None))

    def replies(self, count):
        found = []
        while len(found) < count:
            found += self.inbox.receive(self.patience)
        return {decode_reply(each.message).call_id: each.message.body for each in found}


@pytest.fixture
def slow(patience):
    impl = SlowImpl(patience)
    yield impl
    for _ in range(100):
        impl.go.release()


@pytest.fixture
def phone(memory_url, request_of, patience):
    with rpc.open_transport(f"{memory_url}?partitions=1") as transport:
        yield Phone(transport, request_of, patience)


@pytest.fixture
def clocked(memory_url, request_of, clock, patience):
    """A phone whose time is the test's."""
    with MemoryTransport(memory_url, clock=clock, partitions=1) as transport:
        yield Phone(transport, request_of, patience)


def error(body):
    return JSON.decoder(ErrorBody)(body)


def test_beyond_its_limit_a_method_is_refused_and_others_are_not(slow, phone, patience):
    limits = {"Slow.wait": rpc.Limit(running=1, waiting=1)}
    with Server(slow, transport=phone.transport, limits=limits):
        phone.put(*(phone.request(call) for call in (b"a", b"b", b"c")))
        refused = phone.replies(1)
        phone.put(phone.request(b"d", b"Slow.keyed", b"k"))
        for _ in range(2):
            assert slow.started.acquire(timeout=patience)
        assert not slow.started.acquire(blocking=False)
        for _ in range(3):
            slow.go.release()
        done = phone.replies(3)

    assert list(refused) == [b"c"]
    assert error(refused[b"c"]).code == "RESOURCE_EXHAUSTED"
    assert error(refused[b"c"]).certainty == "NOT_EXECUTED"
    assert done == dict.fromkeys((b"a", b"b", b"d"), b'"done"')


def test_limits_for_what_is_not_served_are_refused(slow):
    with pytest.raises(
        ValueError, match=r"limits for Slow.walk.*there is Slow.hold, Slow.keyed, Slow.wait"
    ):
        Server(slow, limits={"Slow.walk": rpc.Limit(running=1)})


@pytest.mark.parametrize(("running", "waiting"), [(0, 1), (1, -1)])
def test_a_limit_under_which_nothing_would_run_is_refused(running, waiting):
    with pytest.raises(ValueError, match="at least"):
        rpc.Limit(running=running, waiting=waiting)


@pytest.mark.parametrize("where", ["worker", "lane", "limit"])
def test_a_cancelled_call_that_waits_ends_at_once_and_makes_room(slow, phone, patience, where):
    options = {
        "worker": {"workers": 1},
        "lane": {},
        "limit": {"limits": {"Slow.wait": rpc.Limit(running=1)}},
    }[where]
    name, key = (b"Slow.keyed", b"k") if where == "lane" else (b"Slow.wait", None)
    with Server(slow, transport=phone.transport, max_in_flight=2, **options) as server:
        phone.put(phone.request(b"a", name, key))
        assert slow.started.acquire(timeout=patience)
        phone.put(phone.request(b"b", name, key))
        phone.cancel(b"b")
        cancelled = phone.replies(1)
        phone.put(phone.request(b"c", name, key))
        slow.go.release()
        slow.go.release()
        done = phone.replies(2)
        left = server.stop(patience)

    assert error(cancelled[b"b"]).code == "CANCELLED"
    assert error(cancelled[b"b"]).certainty == "NOT_EXECUTED"
    assert (done, left) == ({b"a": b'"done"', b"c": b'"done"'}, 0)


def test_those_behind_one_that_hangs_end_at_their_deadline_and_make_room(
    slow, clocked, clock, patience, await_true
):
    with Server(slow, transport=clocked.transport, clock=clock, max_in_flight=4) as server:
        clocked.put(clocked.request(b"a", b"Slow.keyed", b"k"))
        assert slow.started.acquire(timeout=patience)
        for call, timeout in ((b"b", b"1000"), (b"c", b"60000"), (b"d", b"1000")):
            clocked.put(clocked.request(call, b"Slow.keyed", b"k", timeout))
        await_true(lambda: server.in_flight == 4)
        clock.advance(1.0)
        late = clocked.replies(2)
        clocked.put(clocked.request(b"e", b"Slow.keyed", b"other"))
        clocked.put(clocked.request(b"f", b"Slow.keyed", b"k"))
        assert slow.started.acquire(timeout=patience), "there is no room for another key"
        for _ in range(4):
            slow.go.release()
        done = clocked.replies(4)

    assert sorted(late) == [b"b", b"d"]
    assert {error(body).code for body in late.values()} == {"DEADLINE_EXCEEDED"}
    assert {error(body).certainty for body in late.values()} == {"NOT_EXECUTED"}
    assert done == dict.fromkeys((b"a", b"c", b"e", b"f"), b'"done"')
    assert [call for call in done if call != b"e"] == [b"a", b"c", b"f"]


@pytest.mark.parametrize("name", [b"Slow.wait", b"Slow.hold"])
def test_nothing_is_kept_of_calls_that_are_cancelled_before_they_begin(
    slow, phone, patience, await_true, name
):
    with Server(slow, transport=phone.transport, workers=1) as server:
        phone.put(phone.request(b"a", name))
        assert slow.started.acquire(timeout=patience)
        for call in (b"b", b"c"):
            phone.put(phone.request(call, name))
            phone.cancel(call)
        cancelled = phone.replies(2)
        engine = server._engine
        await_true(lambda: not engine._workers._tasks and not engine._loop._starting)
        slow.go.release()
        done = phone.replies(1)

    assert {error(body).code for body in cancelled.values()} == {"CANCELLED"}
    assert done == {b"a": b'"done"'}


def suspect(phone, call, timeout=b"60000", number=0):
    return Delivery(
        phone.request(call, timeout=timeout),
        Receipt("Slow.requests", 0, number),
        phone.transport.now(),
        Unshared(),
        redelivered=True,
        crashes=2,
    )


def test_a_request_at_which_servers_died_runs_alone(slow, phone, patience):
    with Server(slow, transport=phone.transport) as server:
        phone.put(phone.request(b"a"))
        assert slow.started.acquire(timeout=patience)
        server._engine.intake.take([suspect(phone, b"killer")])
        phone.put(phone.request(b"b"))
        for _ in range(3):
            slow.go.release()
        done = phone.replies(3)

    assert list(done) == [b"a", b"killer", b"b"]
    assert slow.most == 1


def test_one_that_waits_to_run_alone_does_not_hold_up_others_beyond_its_deadline(
    slow, phone, patience
):
    with Server(slow, transport=phone.transport) as server:
        phone.put(phone.request(b"a"))
        assert slow.started.acquire(timeout=patience)
        server._engine.intake.take([suspect(phone, b"killer", b"1")])
        while not phone.inbox.receive(0):
            phone.put(phone.request(b"b"))
        assert slow.started.acquire(timeout=patience), "it holds up those behind it"
        for _ in range(10_000):
            slow.go.release()
