"""Handlers that run on the thread that takes the requests, because their implementation says so."""

import threading
from typing import Protocol

import pytest

import rpc
from contracts import Code, ContractError, describe, method
from rpc.reply import decode_reply
from rpc.server import Server
from transports.base import Address


class Where(Protocol):
    @method
    def here(self) -> str: ...

    @method
    def there(self) -> str: ...

    @method(key="key")
    def next(self, key: str, number: int) -> str: ...

    @method(delivery="at_most_once")
    def once(self) -> str: ...


class WhereImpl(Where):
    def __init__(self):
        self.order = []

    @method(inline=True)
    def here(self) -> str:
        return threading.current_thread().name

    def there(self) -> str:
        return threading.current_thread().name

    @method(inline=True)
    def next(self, key: str, number: int) -> str:
        self.order.append((key, number))
        return threading.current_thread().name

    @method(inline=True)
    def once(self) -> str:
        return threading.current_thread().name


@pytest.fixture
def transport(memory_url):
    with rpc.open_transport(f"{memory_url}?partitions=1") as opened:
        yield opened


@pytest.fixture
def replies(transport, patience):
    """Serve what was put in, and return so many replies, by call."""
    inbox = transport.receiver(Address("rpc.replies.test"), shared=False)

    def take(count):
        found = []
        while len(found) < count:
            found += [decode_reply(each.message) for each in inbox.receive(patience)]
        return {each.call_id: each for each in found}

    return take


@pytest.fixture
def put(transport, request_of):
    transport.prepare(Address("Where.requests"), 1.0)

    def send(call, name, body=b"{}", key=None, timeout=b"60000"):
        method = b"Where." + name
        message = request_of(body, key, call=call, client=b"me", method=method, timeout=timeout)
        transport.send(Address("Where.requests"), message, lambda _: None)

    return send


def test_an_inline_handler_runs_before_anything_else_is_received(transport, put, replies):
    class Waits(WhereImpl):
        at_once = 0

        @method(inline=True)
        def here(self) -> str:
            receiving = [t for t in server._engine._workers._sources if t.taken]
            return f"{len(receiving)} {threading.current_thread().name}"

    put(b"a", b"here")
    put(b"b", b"there")
    put(b"c", b"here")
    server = Server(Waits(), transport=transport)
    with server:
        told = replies(3)

    assert told[b"a"].body == told[b"c"].body
    assert told[b"a"].body.startswith(b'"1 rpc-worker-')


def test_an_inline_handler_may_stop_its_server(transport, put, patience):
    stopped, threads = threading.Event(), []

    class Stops(WhereImpl):
        @method(inline=True)
        def here(self) -> str:
            threads.append(threading.current_thread())
            server.stop(0)
            stopped.set()
            return ""

    server = Server(Stops(), transport=transport)
    server.start()
    put(b"a", b"here")

    assert stopped.wait(patience)
    threads[0].join(patience)
    assert not threads[0].is_alive()


def test_inline_calls_with_one_key_keep_their_order(transport, put, replies):
    for number in range(100):
        key = b"x" if number % 2 else b"y"
        body = b'{"key":"%s","number":%d}' % (key, number)
        put(b"%d" % number, b"next", body, key)
    impl = WhereImpl()
    with Server(impl, transport=transport):
        told = replies(100)

    assert all(reply.code is None for reply in told.values())
    for key in ("x", "y"):
        numbers = [number for its, number in impl.order if its == key]
        assert numbers == sorted(numbers)
        assert len(numbers) == 50


def test_what_waits_for_a_commit_first_is_run_by_a_worker(transport, put, replies):
    put(b"a", b"once")
    with Server(WhereImpl(), transport=transport):
        told = replies(1)

    assert told[b"a"].body.startswith(b'"rpc-worker-')


def test_more_inline_calls_than_may_be_in_flight_are_all_run(transport, put, replies):
    for number in range(20):
        put(b"%d" % number, b"here")
    with Server(WhereImpl(), transport=transport, max_in_flight=2):
        told = replies(20)

    assert {reply.code for reply in told.values()} == {None}


def test_an_inline_handler_is_not_started_after_the_deadline(transport, put, replies):
    put(b"a", b"here", timeout=b"0")
    with Server(WhereImpl(), transport=transport):
        told = replies(1)

    assert told[b"a"].code is Code.DEADLINE_EXCEEDED


def test_a_contract_does_not_say_where_its_handlers_run():
    class Told(Protocol):
        @method(inline=True)
        def here(self) -> str: ...

    with pytest.raises(ContractError, match="is `inline`, which is the implementation's to say"):
        describe(Told)
