"""One client's connection through a proxy: two directions, each with its own faults.

Lives on the event loop of `chaos.proxy`. Each direction has a task that reads and stamps what comes
with the moment at which it is due, and one that delivers it: latency does not cost throughput.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from typing import Any, Protocol

from chaos.frames import Frame, Framer, corrupted, flipped
from chaos.rules import DOWN, QUIET, UP, Direction, Rules

__all__ = ["CHUNK", "HOST", "Connection", "Front"]

HOST = "127.0.0.1"
CHUNK = 1 << 16
_QUEUED = 512  # units on their way in one direction of a connection; then reading pauses
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close with RST


class Front(Protocol):
    """What a connection looks at, and counts in, of its proxy."""

    rules: Rules
    changed: asyncio.Event
    """Set, and replaced by another, when the rules change."""
    chance: random.Random
    bites: Counter[str]
    passed: Counter[str]


class Connection:
    """A client's connection and the one to the broker behind it; lives on the loop's thread."""

    def __init__(self, proxy: Front, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = [client]
        self._over = asyncio.Event()
        self._framer: Framer | None = None
        self._loop = asyncio.get_running_loop()

    async def run(self, reader: asyncio.StreamReader, upstream: int, *, frames: bool) -> None:
        """Carry bytes both ways until both ends have ended theirs, or it is reset."""
        from_broker, to_broker = await asyncio.open_connection(HOST, upstream, limit=CHUNK)
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
        while data := await source.read(CHUNK):
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
