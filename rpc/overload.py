"""Whether there is room and time for one more request: bursts wait, overload is refused. Pure.

A server that takes over the partitions of another finds a backlog, which it does in a moment: where
it has no room it takes no more until there is some. Where there is none for longer than that, more
comes in than can be done, and waiting would only make all of it late: then each one is refused at
once, until half of the room is free.

A request for which there is room is refused too where its turn would come too late. What ends per
second while others wait is what the workers can do at most: from that, and from what waits, follows
when its turn would come. So what is started is still wanted when it ends.
"""

__all__ = ["Overload"]

_STRETCH = 0.25  # seconds over which a rate is measured
_SAMPLES = 8  # calls below which a rate says nothing
_WEIGHT = 0.3  # of a new measurement
_STALE = 1.0  # seconds without a queue after which the rate is forgotten
_UNPROVEN = 5.0  # seconds without a measurement: with a low rate too few are let in for another
_SHARE = 0.8  # of the time left may be spent on waiting; the rest is for the way back


class Overload:
    """What waits for a worker, and how fast it gets one. Every moment is an argument."""

    def __init__(self, limit: int, patience: float) -> None:
        self._enough = limit // 2
        self._patience = patience
        self._full_since: float | None = None
        self._queued = 0
        self._rate: float | None = None
        """Calls per second that end while others wait."""
        self._service = 0.0
        """Seconds that a call takes, from its start."""
        self._since = 0.0
        """When the stretch began; the time in which nothing waited is left out."""
        self._done = 0
        """What has ended in it."""
        self._emptied = 0.0
        self._measured = 0.0

    def patience(self, now: float) -> float:
        """Return the seconds that a request without room may wait for it; 0: refuse it."""
        if self._full_since is None:
            self._full_since = now
        return max(0.0, self._full_since + self._patience - now)

    def ease(self, in_flight: int) -> None:
        """Note that so much is to be done now."""
        if self._full_since is not None and in_flight <= self._enough:
            self._full_since = None

    def queued(self, now: float) -> None:
        """Note that one more waits for a worker."""
        if self._queued == 0:
            if now - self._emptied > _STALE or now - self._measured > _UNPROVEN:
                self._rate = None
                self._since, self._done = now, 0
            else:
                self._since += now - self._emptied
        self._queued += 1

    def withdrawn(self, now: float) -> None:
        """Note that one waits no longer: its worker has it, or its caller gave up."""
        self._queued -= 1
        if self._queued:
            return
        self._emptied = now
        elapsed = now - self._since
        if self._done >= _SAMPLES and elapsed * (self._rate or 0.0) < self._done:
            # Faster than it was thought: short stretches are never measured to their end.
            self._rate = self._done / elapsed if elapsed else None
            self._since, self._done, self._measured = now, 0, now

    def ended(self, took: float, now: float) -> None:
        """Note that one has ended, `took` seconds after its start."""
        self._service += (took - self._service) * 0.1
        if not self._queued:
            return
        self._done += 1
        elapsed = now - self._since
        if elapsed >= _STRETCH and self._done >= _SAMPLES:
            rate = self._done / elapsed
            before = rate if self._rate is None else self._rate
            self._rate = before + (rate - before) * _WEIGHT
            self._since, self._done, self._measured = now, 0, now

    def wait(self) -> float:
        """Return the seconds until a request that comes now would get a worker; 0: unknown."""
        return 0.0 if self._rate is None else self._queued / self._rate

    def too_late(self, remaining: float) -> bool:
        """Tell whether the turn of a request with `remaining` seconds left would come too late."""
        if self._rate is None:
            return False
        wait = self._queued / self._rate
        return wait > 0.0 and wait > remaining * _SHARE - self._service
