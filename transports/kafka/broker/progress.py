"""What is under way while a broker is being prepared."""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["OnProgress", "Progress", "silent"]


class Progress(NamedTuple):
    """One step under way; `done` of `total` bytes, or 0 of 0 where that is not known."""

    step: str
    done: int = 0
    total: int = 0


OnProgress = Callable[[Progress], None]
"""Told of progress, one call at a time but perhaps from other threads: short, no blocking."""


def silent(_: Progress) -> None:
    """Ignore progress."""
