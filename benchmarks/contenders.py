"""Who is measured, and at which points."""

import json
import re
import secrets
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.exchange import make_topics
from benchmarks.peer_spring import commands
from benchmarks.process import Refused, python


class Contender(NamedTuple):
    """A way to exchange a request and a reply."""

    name: str
    layer: str
    """`raw`: a driver by hand; `rpc`: this framework; `peer`: another one."""
    driver: str
    query: str = ""
    """Of our transport's URL."""

    @property
    def frames(self):
        """Whether several messages may share a record."""
        return "frames=true" in self.query

    @property
    def kind(self):
        """What its processes play; see `benchmarks.child`."""
        return "ours" if self.layer == "rpc" else self.driver


CONTENDERS = {
    each.name: each
    for each in (
        Contender("raw kafka-python", "raw", "kafka-python"),
        Contender("raw confluent", "raw", "confluent"),
        Contender("raw aiokafka", "raw", "aiokafka"),
        Contender("kafka-python", "rpc", "kafka-python", "frames=false"),
        Contender("kafka-python, frames", "rpc", "kafka-python", "frames=true"),
        Contender("confluent", "rpc", "confluent", "client=confluent&frames=false"),
        Contender("confluent, frames", "rpc", "confluent", "client=confluent&frames=true"),
        Contender("gRPC", "peer", "grpc"),
        Contender("gRPC aio", "peer", "grpc-aio"),
        Contender("Spring", "peer", "spring"),
    )
}


class Point(NamedTuple):
    """What one run measures."""

    contender: str
    style: str
    inflight: int
    payload: int


_STYLES = {
    "kafka-python": [("aio", 64), ("aio", 512), ("aio", 1000), ("threads", 64)],
    "kafka-python, frames": [("aio", 64), ("aio", 512), ("aio", 1000), ("threads", 64)],
    "confluent, frames": [("aio", 64), ("aio", 512), ("aio", 1000), ("threads", 64)],
}
"""Beside `.future`, or the one style there is, at 1, 64 and 512."""
LARGER = (1000, 10_000, 100_000)
_JIT = 5.0  # seconds of calls before a JVM is measured


def points(names, *, quick):
    """Return what is measured of these contenders: that which the bars need, or all of it.

    What is compared with each other stands together.
    """
    found = []
    for inflight in (1, 64, 512, 1000):
        for name in names:
            only = "aio" if name == "gRPC aio" else "future"
            if inflight <= 512:
                found.append(Point(name, only, inflight, 100))
            found += [
                Point(name, style, number, 100)
                for style, number in _STYLES.get(name, ())
                if number == inflight
            ]
    if not quick:
        found += [
            Point(name, "aio" if name == "gRPC aio" else "future", inflight, payload)
            for payload in LARGER
            for inflight in (1, 64, 512)
            for name in names
            if name != "gRPC aio"
        ]
    return found


class Pair:
    """The server and the client of a contender, connected. Raises `Refused`."""

    def __init__(self, contender, bootstrap, commands):
        """`commands` start what is no module of ours, by kind."""
        address = _address(contender, bootstrap)
        with ExitStack() as stack:
            self.server = _start(contender.kind, "server", address, commands)
            stack.callback(self.server.close)
            address |= {"port": self.server.told.get("port")}
            self.client = _start(contender.kind, "client", address, commands)
            stack.callback(self.client.close)
            self._stack = stack.pop_all()

    def run(self, point, seconds):
        """Return the figures of one run."""
        before = self.server.cpu()
        result = self.client.ask(
            style=point.style, in_flight=point.inflight, payload=point.payload, seconds=seconds
        )
        spent = self.server.cpu() - before
        return result | {"server_cpu_us": spent / max(1, result["calls"]) * 1e6}

    def close(self):
        """End both."""
        self._stack.close()


def _start(kind, side, address, commands):
    if kind in commands:
        return commands[kind](side, address)
    return python("benchmarks.child", side, kind, json.dumps(address))


def _address(contender, bootstrap):
    """Return what its processes need to find each other, and nobody else."""
    if contender.kind.startswith("grpc"):
        return {}
    name = re.sub(r"[^a-z]+", "-", contender.name.lower())
    if contender.kind != "ours":
        return {"bootstrap": bootstrap, "topics": make_topics(bootstrap, name)}
    run = f"{name}-{secrets.token_hex(4)}"
    query = f"client_id=bench-{run}&{contender.query}"
    return {"url": f"kafka://{bootstrap}?{query}", "service": f"bench-{run}"}


def begin(names, bootstrap, stack, console):
    """Return the contenders that can be started, each a server and a client."""
    pairs = {}
    for name in names:
        try:
            pairs[name] = Pair(CONTENDERS[name], bootstrap, commands())
        except Refused as reason:
            console.print(f"[yellow]without {name}:[/] {reason}")
        else:
            stack.callback(pairs[name].close)
            if CONTENDERS[name].kind == "spring":  # a JVM compiles what it has run for a while
                for inflight in (64, 512, 1):
                    pairs[name].run(Point(name, "future", inflight, 100), _JIT)
    return pairs
