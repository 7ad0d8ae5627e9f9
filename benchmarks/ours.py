"""This framework under load, in the three styles a caller may choose."""

import asyncio
import itertools
import signal
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from benchmarks.contract import Echo, EchoImpl
from benchmarks.loops import by_futures, by_tasks, by_threads, one_by_one
from rpc import Channel, Server, Stub, open_transport


def serve(url, ready):
    """Serve `Echo` until SIGTERM."""
    with Server(EchoImpl(), transport=url) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.ask_to_stop())
        ready()
        server.wait()


class OurClient:
    """Keeps a number of calls in flight."""

    def __init__(self, url):
        self._channel = Channel(url, timeout=30.0)
        self._echo = Stub(Echo, channel=self._channel).echo
        self._echo("")  # connected, as the raw clients are

    def run(self, style, in_flight, payload, seconds):
        """Return the latencies, in seconds, of the calls ended within `seconds`."""
        echo, text, ends = self._echo, "x" * payload, perf_counter() + seconds
        if style == "threads":
            return by_threads(lambda: echo(text), in_flight, ends)
        if style == "aio":
            return asyncio.run(by_tasks(lambda: echo.aio(text), in_flight, ends))
        if in_flight == 1:  # one call after the other is what `result()` is for
            return one_by_one(lambda: echo(text), ends)
        return by_futures(lambda: echo.future(text), in_flight, ends)

    def close(self):
        """Close the channel."""
        self._channel.close()


class OurClients:
    """Many client instances in one process, on one transport: each has an inbox of its own."""

    def __init__(self, url, instances):
        self._transport = open_transport(url)
        self._channels = [Channel(self._transport, timeout=30.0) for _ in range(instances)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda channel: channel.open(), self._channels))
        self._echoes = [Stub(Echo, channel=channel).echo for channel in self._channels]
        for echo in self._echoes:
            echo("")

    def run(self, _style, in_flight, payload, seconds):
        """Keep calls in flight by futures, one instance after the other making one."""
        text, turns = "x" * payload, itertools.cycle(self._echoes)
        ends = perf_counter() + seconds
        return by_futures(lambda: next(turns).future(text), in_flight, ends)

    def close(self):
        """Close all of them."""
        for channel in self._channels:
            channel.close()
        self._transport.close(5.0)
