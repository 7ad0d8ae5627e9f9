"""How many there may be: calls in flight, stubs, client instances, partitions, bytes."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from rpc import Certainty, Channel, RpcError, Server, Stub, method, service
from transports.kafka import KafkaConfig, KafkaTransport

TIMEOUT = 60.0


@pytest.fixture
def contract(topic_prefix):
    """A service of which only this test knows, and an implementation that answers its argument."""

    @service(name=topic_prefix)
    class Echo(Protocol):
        @method(timeout=TIMEOUT, idempotent=True)
        def echo(self, text: str) -> str: ...

    class EchoImpl(Echo):
        def echo(self, text: str) -> str:
            return text

    return Echo, EchoImpl


@pytest.fixture
def opened(bootstrap, topic_prefix):
    """Open transports of one client application, and close them after the test."""
    with contextlib.ExitStack() as stack:

        def open_(**options):
            config = KafkaConfig(bootstrap=(bootstrap,), client_id=topic_prefix, **options)
            return stack.enter_context(KafkaTransport(config))

        yield open_


def test_ten_thousand_calls_are_in_flight_from_one_event_loop(contract, opened):
    echo, implementation = contract

    async def call_all(stub, channel, server):
        calls = [asyncio.ensure_future(stub.echo.aio(str(n))) for n in range(9_999)]
        await asyncio.sleep(0)  # each has run until it waits for its reply
        assert channel.pending == 10_000
        await asyncio.to_thread(server.start)
        return await asyncio.gather(*calls)

    server = Server(implementation(), transport=opened(), max_in_flight=10_000)
    with Channel(opened(), wait_for_ready=True) as channel:
        stub = Stub(echo, channel=channel)
        first = stub.echo.future("first")  # connected when this returns
        results = asyncio.run(call_all(stub, channel, server))

        assert first.result() == "first"
        assert results == [str(n) for n in range(9_999)]
        server.stop()


def test_a_thousand_stubs_share_one_channel_and_its_threads(contract, opened):
    echo, implementation = contract
    with Server(implementation(), transport=opened()), Channel(opened()) as channel:
        assert Stub(echo, channel=channel).echo("open") == "open"
        threads = threading.active_count()
        stubs = [Stub(echo, channel=channel) for _ in range(1000)]
        calls = [stub.echo.future(str(number)) for number, stub in enumerate(stubs)]
        results = [call.result() for call in calls]

        assert results == [str(number) for number in range(1000)]
        assert threading.active_count() <= threads


@pytest.mark.alone  # two hundred members in one process have the interpreter busy
@pytest.mark.timeout(300)  # each has a connection of its own to open
def test_two_hundred_clients_share_sixteen_reply_partitions(contract, opened):
    echo, implementation = contract
    transport = opened()  # shared, so that it is inboxes that are many, not producers
    with contextlib.ExitStack() as stack:
        stack.enter_context(Server(implementation(), transport=opened()))
        pool = stack.enter_context(ThreadPoolExecutor(8))
        channels = [stack.enter_context(Channel(transport)) for _ in range(200)]
        list(pool.map(lambda channel: channel.open(), channels))
        stubs = [Stub(echo, channel=channel) for channel in channels]
        calls = [(n, stub.echo.future(str(n))) for _ in range(2) for n, stub in enumerate(stubs)]

        assert all(call.result() == str(n) for n, call in calls)
        partitions = {channel._connection._inbox.address.partition for channel in channels}
        assert partitions <= set(range(16))
        assert sum(channel.foreign_replies for channel in channels) > 0
        list(pool.map(lambda channel: channel.close(), channels))


def test_a_server_serves_sixty_four_partitions(contract, opened):
    echo, implementation = contract
    with (
        Server(implementation(), transport=opened(partitions=64)),
        Channel(opened(partitions=64)) as channel,
    ):
        stub = Stub(echo, channel=channel)
        assert stub.echo("open") == "open"
        calls = [stub.echo.with_options(key=n).future(str(n)) for n in range(1000)]

        assert [call.result() for call in calls] == [str(n) for n in range(1000)]
        assert {call.sent.result().partition for call in calls} == set(range(64))


def test_ten_megabytes_are_refused_with_the_bound_that_they_exceed(contract, opened):
    echo, implementation = contract
    with (
        Server(implementation(), transport=opened()),
        Channel(opened()) as channel,
        pytest.raises(RpcError) as refused,
    ):
        Stub(echo, channel=channel).echo("x" * 10_000_000)

    assert refused.value.certainty is Certainty.NOT_EXECUTED
    assert "max_message_bytes" in str(refused.value)
