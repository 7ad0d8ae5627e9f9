"""Calls without a pause from a few threads, while the world changes around them.

Threads: `demo-traffic-N`, each with one call at a time. Outcomes are touched under `_changed`.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from rpc import RpcError

__all__ = ["Outcome", "Traffic"]


class Outcome(NamedTuple):
    """How one call ended."""

    server: str | None
    error: RpcError | None
    elapsed: float


class Traffic:
    """Makes `call` again and again from `threads` threads until the `with` block ends."""

    def __init__(self, call: Callable[[], str], *, threads: int = 4) -> None:
        self._call = call
        self._changed = threading.Condition()
        self._outcomes: list[Outcome] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"demo-traffic-{number}", daemon=True)
            for number in range(threads)
        ]

    def outcomes(self, *, at_least: int, timeout: float = 30.0) -> list[Outcome]:
        """Wait for that many calls to end, and return them all. Raises `RuntimeError` in vain."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._outcomes) >= at_least, timeout):
                raise RuntimeError(f"{len(self._outcomes)} of {at_least} calls after {timeout} s")
            return list(self._outcomes)

    @property
    def ended(self) -> int:
        """How many calls have ended so far."""
        with self._changed:
            return len(self._outcomes)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            outcome = self._once()
            with self._changed:
                self._outcomes.append(outcome)
                self._changed.notify_all()

    def _once(self) -> Outcome:
        started = time.monotonic()
        server, failed = None, None
        try:
            server = self._call()
        except RpcError as error:
            failed = error
        return Outcome(server, failed, time.monotonic() - started)
