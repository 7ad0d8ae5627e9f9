"""Seeing that what was to be broken is broken: a fault that nobody saw proves nothing."""

import time
from collections.abc import Callable

from chaos.fleet import RunFailed

__all__ = ["Unobserved", "pause", "see"]

_POLL = 0.05


class Unobserved(RunFailed):
    """A fault was injected and nothing was seen of it."""


def pause(seconds: float) -> None:
    """Wait: a fault lasts as long as its schedule says."""
    time.sleep(seconds)


def see(condition: Callable[[], bool], what: str, patience: float = 5.0) -> None:
    """Wait until `condition` holds; raises `Unobserved` with `what`."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise Unobserved(what)
        time.sleep(_POLL)
