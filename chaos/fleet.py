"""The servers and clients of a run, started, counted and ended."""

import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from chaos.child import Child
from chaos.clock import ENV
from chaos.workload import FLOOD_WORK, SETTINGS, WORKERS

__all__ = ["Fleet", "RunFailed"]

_EXIT = 40.0


class RunFailed(RuntimeError):
    """The run itself went wrong, whatever the promises: nothing can be said of them."""


class Fleet:
    """Children by role and number; every one is ended by `close`. One thread at a time."""

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        *,
        rate: float,
        clients: int,
        seed: int,
        skew: float = 0.0,
        settings: Iterable[str] = (),
    ) -> None:
        """Make nothing yet. `skew`: seconds by which clients' clocks are ahead, servers' behind.

        `settings` are those of the transport of all, as they stand in its URL.
        """
        self._folder, self._bootstrap, self._skew = folder, bootstrap, skew
        self._settings = {SETTINGS: "&".join(settings)}
        self._pace, self._seed = rate / clients, seed
        self.servers: list[Child] = []
        self.clients: list[Child] = []
        self._all: list[Child] = []
        self._generation = 0

    def server(self, number: int, environ: Mapping[str, str] | None = None) -> Child:
        """Start a server; it is not ready yet."""
        clock = {ENV: str(-self._skew)}
        environ = {**clock, **self._settings, **(environ or {})}
        return self._start("chaos.server", number, self._bootstrap, environ=environ)

    def client(self, number: int) -> Child:
        """Start a client; it is not ready yet."""
        self._generation += 1
        seed = self._seed * 1000 + self._generation
        return self._client(number, self._pace, seed)

    def flood(self, number: int, servers: int) -> Child:
        """Start a client that asks for twice what so many servers can do; it is not ready yet."""
        rate = 2 * servers * WORKERS / FLOOD_WORK
        return self._client(number, rate, self._seed, "flood")

    def _client(self, number: int, rate: float, seed: int, *how: str) -> Child:
        arguments = (self._bootstrap, rate, seed, *how)
        environ = {ENV: str(self._skew), **self._settings}
        return self._start("chaos.client", number, *arguments, environ=environ)

    def replace(self, children: list[Child], index: int, start: Callable[[int], Child]) -> Child:
        """Put a new child in the place of one that ended, and wait until it is ready."""
        number = children[index].number
        children[index].kill()
        children[index] = ready(start(number))
        return children[index]

    def start(self, servers: int, clients: int) -> None:
        """Start so many, and wait until all are ready."""
        self.servers = [self.server(number) for number in range(servers)]
        for child in self.servers:
            ready(child)
        self.clients = [self.client(number) for number in range(clients)]
        for child in self.clients:
            ready(child)

    def check(self) -> None:
        """Raise `RunFailed` where one has ended that nobody has ended."""
        for child in (*self.servers, *self.clients):
            if not child.running:
                raise RunFailed(f"{child.module} {child.number} (pid {child.pid}) ended by itself")

    def close(self) -> None:
        """Kill what still runs; again: nothing."""
        for child in self._all:
            child.kill()

    def _start(
        self, module: str, number: int, *arguments: object, environ: Mapping[str, str]
    ) -> Child:
        child = Child(module, number, self._folder, *arguments, environ=environ)
        self._all.append(child)
        return child


def ready(child: Child) -> Child:
    """Return `child` once it is ready; raises `RunFailed`."""
    if not child.await_ready():
        raise RunFailed(f"{child.module} {child.number} did not become ready: see its log")
    return child


def ended_in_order(children: Iterable[Child]) -> None:
    """Ask all to end, and see that each exits with 0; raises `RunFailed`."""
    asked = list(children)
    for child in asked:
        child.signal(signal.SIGTERM)
    for child in asked:
        if (code := child.wait(_EXIT)) != 0:
            raise RunFailed(f"{child.module} {child.number} ended with {code} on SIGTERM")
