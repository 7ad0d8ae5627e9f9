"""Services under test without a broker: in memory with threads, or step by step without any."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypedDict, TypeVar, Unpack

from contracts import Codec, RetryPolicy
from rpc.channel import Channel, WhenFull
from rpc.clock import ManualClock
from rpc.interceptor import Interceptor
from rpc.server import Server, ServerOptions
from rpc.stub import Stub
from transports.memory import MemoryTransport

__all__ = ["ManualClock", "Stepper", "in_memory"]

T = TypeVar("T")


@contextmanager
def in_memory(
    contract: Callable[..., T], *implementations: object, **options: Unpack[ServerOptions]
) -> Iterator[T]:
    """Serve `implementations` in this process and yield a client of `contract`.

    The whole path of a call but the broker: encoding, threads, deadlines. `options` are those of
    `Server`.
    """
    url = f"memory://{secrets.token_hex(8)}"
    with Server(*implementations, transport=url, **options), Channel(url) as channel:
        yield Stub(contract, channel=channel)


class StepOptions(TypedDict, total=False):
    """The options of a `Stepper`'s channel: those of `Channel` that are not the clock."""

    codec: str | Codec
    timeout: float
    retry: RetryPolicy | None
    interceptors: Sequence[Interceptor]
    max_pending: int
    max_pending_bytes: int
    when_full: WhenFull
    wait_for_ready: bool
    max_body_bytes: int
    rng: Callable[[], float]


class Stepper(Generic[T]):
    """A client and a server of one contract that move only in `step`, on a clock of their own.

    bench = Stepper(UserService, UserServiceImpl())
    call = bench.client.get.future(42)
    bench.step()
    assert call.result(0) == User(42, "Ada")
    """

    def __init__(
        self, contract: Callable[..., T], *implementations: object, **options: Unpack[StepOptions]
    ) -> None:
        """Open both ends over a memory transport of their own; `options` are those of `Channel`."""
        name = secrets.token_hex(8)
        self.clock = ManualClock()
        self._transports = [MemoryTransport(name, clock=self.clock) for _ in range(2)]
        ours, theirs = self._transports
        self.channel = Channel(ours, clock=self.clock, threads=False, **options)
        self.server = Server(*implementations, transport=theirs, clock=self.clock, threads=False)
        self.server.start()
        self.client: T = Stub(contract, channel=self.channel)

    def step(self) -> tuple[int, int]:
        """Let the server take what has come, then the client; return how many messages each."""
        return self.server.step(), self.channel.step()

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        self.clock.advance(seconds)
        self.channel.step()

    def close(self) -> None:
        """Close both ends."""
        self.channel.close()
        self.server.stop(0)
        for transport in self._transports:
            transport.close(0)
