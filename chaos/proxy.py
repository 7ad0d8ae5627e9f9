"""A TCP proxy before a broker that does to its clients what networks do, when it is told to.

    with ProxyThread() as proxies:
        proxy = proxies.open(listen=19092, upstream=9092)
        proxy.set(Rules(delay=0.1, jitter=0.05))

One thread (`chaos-proxy`) runs the event loop of all proxies; `set`, `cut` and `bites` may be used
from any other. What happens to a connection is in `chaos.connection`.

What is held or swallowed is one frame of the Kafka protocol. TCP is ordered: what follows a held
frame waits with it, and a connection that has lost a frame is reset, as a client would find it.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from chaos.connection import CHUNK, HOST, Connection
from chaos.rules import QUIET, Rules

__all__ = ["Proxy", "ProxyThread"]

T = TypeVar("T")


class Proxy:
    """One listening port before one broker. Made by `ProxyThread.open`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        upstream: int,
        *,
        frames: bool,
        chance: random.Random,
    ) -> None:
        self._loop, self._upstream, self._frames, self.chance = loop, upstream, frames, chance
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self.rules = QUIET
        self.changed = asyncio.Event()
        self.bites: Counter[str] = Counter()
        """How often each injector did something, by its name in `Rules`, or `cut`."""
        self.passed: Counter[str] = Counter()
        """Bytes delivered, by direction."""

    def set(self, rules: Rules) -> None:
        """Let `rules` hold from now on, also for what is under way. Any thread; waits for it."""
        self._call(lambda: self._set(rules))

    def heal(self) -> None:
        """Do no more harm."""
        self.set(QUIET)

    def cut(self) -> int:
        """Reset every connection; return how many there were. Any thread."""
        return self._call(self._cut)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def listen(self, port: int) -> int:
        """Start; return the port. On the loop's thread."""
        self._server = await asyncio.start_server(self._accept, HOST, port, limit=CHUNK)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and reset what is open. On the loop's thread."""
        if self._server is not None:
            self._server.close()
        self._set(QUIET)
        while self._open:
            self._cut()
            await asyncio.sleep(0.001)

    def _call(self, act: Callable[[], T]) -> T:
        done: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(act()))
        return done.result(10)

    def _set(self, rules: Rules) -> None:
        self.rules = rules
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _cut(self) -> int:
        cut = list(self._open)
        for connection in cut:
            connection.reset()
        if cut:
            self.bites["cut"] += len(cut)
        return len(cut)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, writer)
        self._open.add(connection)
        try:
            if await self._let_in():
                await connection.run(reader, self._upstream, frames=self._frames)
        except OSError:
            pass  # one side is gone, and so is the other then
        finally:
            connection.reset()
            self._open.discard(connection)

    async def _let_in(self) -> bool:
        if self.rules.refuse:
            self.bites["refuse"] += 1
            return False
        if not self.rules.half_open:
            return True
        self.bites["half_open"] += 1
        await self._until(lambda: not self.rules.half_open)
        return False

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.changed.wait()


class ProxyThread:
    """The thread of all proxies. As a context manager it closes them."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="chaos-proxy", daemon=True
        )
        self._thread.start()
        self._proxies: list[Proxy] = []

    def open(self, *, upstream: int, listen: int = 0, frames: bool = True) -> "tuple[Proxy, int]":
        """Start a proxy before the port `upstream`; return it and the port that it listens on.

        Without `frames` what passes is bytes and no Kafka.
        """
        proxy = Proxy(
            self._loop, upstream, frames=frames, chance=random.Random(self._chance.random())
        )
        port = asyncio.run_coroutine_threadsafe(proxy.listen(listen), self._loop).result(10)
        self._proxies.append(proxy)
        return proxy, port

    def close(self) -> None:
        """Reset every connection and end the thread; again: nothing."""
        if self._loop.is_closed():
            return
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
