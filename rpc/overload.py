"""A burst or an overload: whether a request that finds no room waits for it, or is refused. Pure.

A server that takes over the partitions of another finds a backlog, which it does in a moment: it
takes no more until there is room. Where there is none for longer than that, more comes in than can
be done, and waiting would only make all of it late: then each one is refused at once, until half of
the room is free.
"""

__all__ = ["Overload"]


class Overload:
    """How long there has been no room. Every moment is an argument, in seconds."""

    def __init__(self, limit: int, patience: float) -> None:
        self._enough = limit // 2
        self._patience = patience
        self._since: float | None = None

    def patience(self, now: float) -> float:
        """Return the seconds that a request without room may wait for it; 0: refuse it."""
        if self._since is None:
            self._since = now
        return max(0.0, self._since + self._patience - now)

    def ease(self, in_flight: int) -> None:
        """Note that so much is to be done now."""
        if self._since is not None and in_flight <= self._enough:
            self._since = None
