"""How much of a server one method may take. Pure."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import msgspec

__all__ = ["Limit", "Limits"]

K = TypeVar("K", bound=Hashable)


class Limit(msgspec.Struct, frozen=True):
    """How many calls of one method run at once, and how many more wait for their turn."""

    running: int
    waiting: int = 100

    def __post_init__(self) -> None:
        """Refuse limits under which nothing would run, with `ValueError`."""
        if self.running < 1 or self.waiting < 0:
            raise ValueError(f"{self!r}: running is at least 1, waiting at least 0")


class Limits(Generic[K]):
    """The calls of each method that has a limit."""

    def __init__(self, limits: Mapping[K, Limit]) -> None:
        self._limits = limits
        self._taken = dict.fromkeys(limits, 0)

    def of(self, method: K) -> Limit | None:
        """Return the limit of `method`, None without one."""
        return self._limits.get(method)

    def enter(self, method: K) -> bool:
        """Count a call; False where there is no room for it, and nothing is counted."""
        limit = self._limits.get(method)
        if limit is None:
            return True
        if self._taken[method] >= limit.running + limit.waiting:
            return False
        self._taken[method] += 1
        return True

    def leave(self, method: K) -> None:
        """Count off a call that `enter` counted."""
        if method in self._taken:
            self._taken[method] -= 1
