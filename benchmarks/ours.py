"""This framework under load, in the three styles a caller may choose."""

import asyncio
import signal
from time import perf_counter

from benchmarks.contract import Echo, EchoImpl
from benchmarks.loops import by_futures, by_tasks, by_threads, one_by_one
from rpc import Channel, Server, Stub


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
