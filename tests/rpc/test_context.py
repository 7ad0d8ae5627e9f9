"""The call that is being handled: what handlers may know, and what nested calls inherit."""

import contextvars
import threading
from typing import Protocol

import pytest

import rpc
from contracts import method
from rpc.channel import Channel
from rpc.clock import ManualClock
from rpc.context import CallContext, current_call, handling, inherited_timeout, stop_handling
from rpc.request import decode_request
from rpc.server import Server
from rpc.stub import Stub


@pytest.fixture
def context(request_of, clock):
    message = request_of(
        key=b"k", client=b"me", attempt=b"2", method=b"Shop.buy", tenant=b"a", raw=b"\xff"
    )
    return CallContext("Shop", "buy", clock() + 2.0, decode_request(message), clock(), clock)


def test_a_handler_knows_its_call(context):
    assert (context.service, context.method, context.caller) == ("Shop", "buy", "me")
    assert (context.call_id, context.attempt, context.key) == (b"0123456789abcdef", 2, b"k")


def test_metadata_is_what_the_caller_sent_without_the_protocols_own(context):
    assert dict(context.metadata) == {"tenant": "a", "raw": "\ufffd"}
    assert context.headers["rpc-client"] == b"me"


def test_time_runs_down_and_then_nobody_waits(context, clock):
    clock.advance(1.5)
    before = (context.remaining, context.elapsed, context.cancelled)
    clock.advance(0.5)

    assert before == (0.5, 1.5, False)
    assert (context.remaining, context.cancelled) == (0.0, True)


def test_a_caller_that_gives_up_is_seen(context):
    context.cancel()

    assert context.cancelled


def test_outside_of_a_handler_there_is_no_call():
    assert inherited_timeout() is None
    with pytest.raises(LookupError, match=r"current_call\(\) is for handlers"):
        current_call()


def test_a_call_is_current_until_it_is_not(context):
    token = handling(context)
    inside = (current_call(), inherited_timeout())
    stop_handling(token)

    assert inside == (context, 2.0)
    assert inherited_timeout() is None


def test_a_thread_of_the_handlers_own_has_no_call_unless_it_gets_the_context(context):
    token = handling(context)
    copied = contextvars.copy_context()
    stop_handling(token)
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(inherited_timeout())),
        threading.Thread(target=lambda: seen.append(copied.run(inherited_timeout))),
    ]
    for thread in threads:
        thread.start()
        thread.join(5)

    assert seen == [None, 2.0]


# -- between services ------------------------------------------------------------------------------


class Stock(Protocol):
    @method(timeout=9.0)
    def left(self) -> float: ...


class Shop(Protocol):
    @method(timeout=60.0)
    def time_of_stock(self) -> float: ...

    @method(timeout=60.0)
    async def time_of_stock_async(self) -> float: ...


class StockImpl(Stock):
    def left(self) -> float:
        return current_call().remaining


class ShopImpl(Shop):
    def __init__(self, stock):
        self.stock = stock

    def time_of_stock(self) -> float:
        return self.stock.left()

    async def time_of_stock_async(self) -> float:
        return await self.stock.left.aio()


@pytest.mark.parametrize("name", ["time_of_stock", "time_of_stock_async"])
@pytest.mark.parametrize(("outer", "least", "most"), [(5.0, 2.0, 5.0), (60.0, 6.0, 9.0)])
def test_a_nested_call_gets_the_smaller_of_its_own_time_and_its_callers(
    memory_url, name, outer, least, most
):
    with (
        Channel(memory_url) as channel,
        Server(StockImpl(), transport=memory_url),
        Server(ShopImpl(Stub(Stock, channel=channel)), transport=memory_url),
    ):
        shop = Stub(Shop, channel=channel)
        left = getattr(shop, name).with_options(timeout=outer)()

    assert least < left <= most


def test_headers_of_a_call_are_not_passed_on_to_a_nested_one(memory_url):
    seen = []

    class Looking(Stock):
        def left(self) -> float:
            call = current_call()
            seen.append((dict(call.metadata), call.attempt, call.call_id, call.caller))
            return 0.0

    outer = []

    class Outer(ShopImpl):
        def time_of_stock(self) -> float:
            outer.append(current_call().call_id)
            return super().time_of_stock()

    with (
        Channel(memory_url) as channel,
        Channel(memory_url) as inner,
        Server(Looking(), transport=memory_url),
        Server(Outer(Stub(Stock, channel=inner)), transport=memory_url),
    ):
        shop = Stub(Shop, channel=channel)
        shop.time_of_stock.with_options(metadata={"tenant": "a"})()

    assert seen[0][:2] == ({}, 1)
    assert seen[0][2] != outer[0]
    assert seen[0][3] == inner.instance


class Leaky(Protocol):
    @method
    def put(self, value: str) -> str: ...

    @method
    async def put_async(self, value: str) -> str: ...


LEAK = contextvars.ContextVar("LEAK", default="clean")


class LeakyImpl(Leaky):
    """Sets a context variable and never resets it."""

    def put(self, value: str) -> str:
        before = LEAK.get()
        LEAK.set(value)
        return before

    async def put_async(self, value: str) -> str:
        return self.put(value)


@pytest.mark.parametrize("name", ["put", "put_async"])
def test_what_a_handler_leaves_in_its_context_is_not_seen_by_the_next(memory_url, name):
    with (
        Server(LeakyImpl(), transport=memory_url, workers=1),
        Channel(memory_url) as channel,
    ):
        put = getattr(Stub(Leaky, channel=channel), name)

        assert [put(str(n)) for n in range(5)] == ["clean"] * 5


def test_a_handler_whose_time_is_over_cannot_call_on(memory_url):
    clock = ManualClock()
    told = []

    class Late(ShopImpl):
        def time_of_stock(self) -> float:
            clock.advance(61)
            told.append(self.stock.left.future().exception())
            return 0.0

    with Channel(memory_url) as channel:
        late = Late(Stub(Stock, channel=channel))
        server = Server(late, transport=memory_url, clock=clock, threads=False).start()
        call = Stub(Shop, channel=channel).time_of_stock.future()
        server.step()
        call.cancel()
        server.stop(0)

    assert isinstance(told[0], rpc.DeadlineExceeded)
    assert "its caller's deadline has passed" in told[0].message
    assert told[0].certainty is rpc.Certainty.NOT_EXECUTED
