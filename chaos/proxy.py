"""A TCP proxy before a broker that does to its clients what networks do, when it is told to.

    with ProxyThread() as proxies:
        proxy = proxies.open(listen=19092, upstream=9092)
        proxy.set(Rules(delay=0.1, jitter=0.05))

One thread (`chaos-proxy`) runs the event loop of all proxies; `set`, `cut` and `bites` may be used
from any other. Each direction of a connection has a task that reads and stamps what comes with the
moment at which it is due, and one that delivers it: latency does not cost throughput.

What is held or swallowed is one frame of the Kafka protocol. TCP is ordered: what follows a held
frame waits with it, and a connection that has lost a frame is reset, as a client would find it.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from chaos.frames import Frame, Framer, corrupted, flipped

__all__ = ["DOWN", "UP", "Direction", "Proxy", "ProxyThread", "Rules"]

Direction = Literal["up", "down"]
UP: Direction = "up"
"""From clients to the broker: requests."""
DOWN: Direction = "down"
"""From the broker to clients: responses."""

HOST = "127.0.0.1"
_CHUNK = 1 << 16
_QUEUED = 512  # units on their way in one direction of a connection; then reading pauses
T = TypeVar("T")

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close with RST


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What happens to connections; the default is nothing."""

    delay: float = 0.0
    """Seconds that each direction takes longer."""
    jitter: float = 0.0
    """Up to so many seconds more or less; order is kept."""
    rate: float | None = None
    """Bytes a second of each direction of a connection."""
    blackhole: frozenset[Direction] = frozenset()
    """Directions in which nothing gets through until it heals; then what was sent comes."""
    half_open: bool = False
    """New connections are accepted and never answered; reset when it heals."""
    refuse: bool = False
    """New connections are reset at once."""
    slice: int = 0
    """Deliver 1 to so many bytes at a time; 0: as they come."""
    corrupt: float = 0.0
    """The share of what the broker sends that gets a flipped bit (of frames: in a record batch)."""
    hold: frozenset[tuple[Direction, int]] = frozenset()
    """Requests (up) or responses (down) of these API keys wait until the rules change."""
    drop: frozenset[tuple[Direction, int]] = frozenset()
    """Requests or responses of these API keys are swallowed, and the connection is reset."""
    drop_share: float = 1.0
    """The share of those that `drop` names."""


QUIET = Rules()


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
        self._open: set[_Connection] = set()
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
        self._server = await asyncio.start_server(self._accept, HOST, port, limit=_CHUNK)
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
        connection = _Connection(self, writer)
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


class _Connection:
    """A client's connection and the one to the broker behind it; lives on the loop's thread."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = [client]
        self._over = asyncio.Event()
        self._framer: Framer | None = None
        self._loop = asyncio.get_running_loop()

    async def run(self, reader: asyncio.StreamReader, upstream: int, *, frames: bool) -> None:
        """Carry bytes both ways until both ends have ended theirs, or it is reset."""
        from_broker, to_broker = await asyncio.open_connection(HOST, upstream, limit=_CHUNK)
        self._writers.append(to_broker)
        framer = self._framer = Framer() if frames else None
        flows = (UP, reader, to_broker), (DOWN, from_broker, self._writers[0])
        over = asyncio.ensure_future(self._over.wait())
        tasks: list[asyncio.Future[None]] = []
        for way, source, target in flows:
            queue: asyncio.Queue[tuple[float, Frame | None]] = asyncio.Queue(_QUEUED)
            tasks.append(asyncio.ensure_future(self._read(way, source, queue, framer)))
            tasks.append(asyncio.ensure_future(self._deliver(way, queue, target)))
        ends: asyncio.Future[list[None]] = asyncio.gather(*tasks)  # fails where one of them does
        waited: list[asyncio.Future[Any]] = [over, ends]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(over, ends, *tasks, return_exceptions=True)

    def reset(self) -> None:
        """Close both sides with RST, whatever is under way."""
        self._over.set()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            writer.transport.abort()

    async def _read(
        self,
        way: Direction,
        source: asyncio.StreamReader,
        queue: "asyncio.Queue[tuple[float, Frame | None]]",
        framer: Framer | None,
    ) -> None:
        proxy = self._proxy
        while data := await source.read(_CHUNK):
            units = framer.feed(data, request=way == UP) if framer else [Frame(data, None)]
            rules = proxy.rules
            due = self._loop.time()
            if rules.delay or rules.jitter:
                due += max(0.0, rules.delay + rules.jitter * proxy.chance.uniform(-1, 1))
                proxy.bites["delay"] += 1
            elif rules is QUIET and len(units) > 1:  # nothing looks at single frames now
                units = [Frame(b"".join(unit.data for unit in units), None)]
            for unit in units:
                await queue.put((due, unit))
        await queue.put((0.0, None))

    async def _deliver(
        self,
        way: Direction,
        queue: "asyncio.Queue[tuple[float, Frame | None]]",
        target: asyncio.StreamWriter,
    ) -> None:
        while True:
            due, unit = await queue.get()
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._gate(way, unit)
            if unit is None:
                if target.can_write_eof():
                    target.write_eof()
                return
            if self._swallows(way, unit):
                self.reset()
                return
            await self._write(self._spoilt(way, unit), target)
            self._proxy.passed[way] += len(unit.data)

    async def _gate(self, way: Direction, unit: Frame | None) -> None:
        proxy, noted = self._proxy, set[str]()
        while True:
            if way in proxy.rules.blackhole:
                why = "blackhole"
            elif unit is not None and (way, unit.api) in proxy.rules.hold:
                why = "hold"
            else:
                return
            if why not in noted:
                noted.add(why)
                proxy.bites[why] += 1
            await proxy.changed.wait()

    def _swallows(self, way: Direction, unit: Frame) -> bool:
        rules, proxy = self._proxy.rules, self._proxy
        if (way, unit.api) not in rules.drop or proxy.chance.random() >= rules.drop_share:
            return False
        proxy.bites["drop"] += 1
        return True

    def _spoilt(self, way: Direction, unit: Frame) -> bytes:
        proxy = self._proxy
        if way == UP or proxy.chance.random() >= proxy.rules.corrupt:
            return unit.data
        spoilt = corrupted(unit, proxy.chance) if self._framer else flipped(unit.data, proxy.chance)
        if spoilt is None:
            return unit.data
        proxy.bites["corrupt"] += 1
        return spoilt

    async def _write(self, data: bytes, target: asyncio.StreamWriter) -> None:
        rules, proxy, at = self._proxy.rules, self._proxy, 0
        if rules.rate:
            proxy.bites["rate"] += 1
        if rules.slice:
            proxy.bites["slice"] += 1
        while at < len(data):
            size = len(data) - at
            if rules.slice:
                size = min(size, proxy.chance.randint(1, rules.slice))
            elif rules.rate:
                size = min(size, max(1, int(rules.rate / 20)))
            target.write(data[at : at + size])
            await target.drain()
            at += size
            if rules.rate:
                await asyncio.sleep(size / rules.rate)
            elif rules.slice:
                await asyncio.sleep(0)
            if proxy.rules is not rules:  # it has healed, or worse
                rules = proxy.rules


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
