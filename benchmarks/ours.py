"""This framework under load, in the three styles a caller may choose."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from benchmarks.contract import Echo, EchoImpl
from rpc import Call, Channel, Server, Stub


def serve(bootstrap: str, ready: Callable[[], None]) -> None:
    """Serve `Echo` for ever."""
    with Server(EchoImpl(), transport=f"kafka://{bootstrap}") as server:
        ready()
        server.wait()


class OurClient:
    """Keeps a number of calls in flight."""

    def __init__(self, bootstrap: str) -> None:
        self._stub = Stub(Echo, channel=Channel(f"kafka://{bootstrap}", timeout=30.0))
        self._stub.echo("")  # connected, as the raw client is

    def run(self, style: str, in_flight: int, payload: int, seconds: float) -> list[float]:
        """Return the latencies, in seconds, of the calls ended within `seconds`."""
        styles = {"future": self._futures, "threads": self._threads, "aio": self._aio}
        return styles[style](in_flight, "x" * payload, time.perf_counter() + seconds)

    def _futures(self, in_flight: int, text: str, ends: float) -> list[float]:
        if in_flight == 1:  # one call after the other is what `result()` is for
            return _loop(lambda: self._stub.echo(text), ends)
        latencies: list[float] = []
        room: SimpleQueue[None] = SimpleQueue()
        for _ in range(in_flight):
            room.put(None)

        def done(begun: float, call: Call[str]) -> None:
            latencies.append(time.perf_counter() - begun)
            call.result()
            room.put(None)

        while time.perf_counter() < ends:
            room.get()
            begun = time.perf_counter()
            self._stub.echo.future(text).add_done_callback(partial(done, begun))
        for _ in range(in_flight):
            room.get()
        return latencies

    def _threads(self, in_flight: int, text: str, ends: float) -> list[float]:
        latencies: list[float] = []
        threads = [
            threading.Thread(
                target=lambda: latencies.extend(_loop(lambda: self._stub.echo(text), ends))
            )
            for _ in range(in_flight)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return latencies

    def _aio(self, in_flight: int, text: str, ends: float) -> list[float]:
        latencies: list[float] = []

        async def loop() -> None:
            while (begun := time.perf_counter()) < ends:
                await self._stub.echo.aio(text)
                latencies.append(time.perf_counter() - begun)

        async def main() -> None:
            await asyncio.gather(*(loop() for _ in range(in_flight)))

        asyncio.run(main())
        return latencies


def _loop(call: Callable[[], object], ends: float) -> list[float]:
    latencies: list[float] = []
    while (begun := time.perf_counter()) < ends:
        call()
        latencies.append(time.perf_counter() - begun)
    return latencies
