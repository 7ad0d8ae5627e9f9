"""Virtual time, chance, and processes that may die: everything in a run comes from one seed."""

import hashlib
import json
import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from chaos.checker.run import Event
from chaos.effects import Effect
from rpc.clock import ManualClock

__all__ = ["Process", "World"]


class Process:
    """One process: what a dead one does has no effect, and a stopped one does nothing for now.

    Death comes at a step of its own, such as a send: `lives_on` draws the lot there.
    """

    def __init__(self, world: "World", role: str, number: int) -> None:
        self.world = world
        self.role = role
        self.number = number
        self.pid = world.next_pid()
        self.name = f"{role}-{number}-{self.pid}"
        self.alive = True
        self.stopped_until = 0.0
        self.fuse: int | None = None
        """How many steps it has still to live; None: it does not die of itself."""
        self.on_death: Callable[[], None] = bool

    @property
    def runs(self) -> bool:
        """Whether it does anything now."""
        return self.alive and self.stopped_until <= self.world.clock()

    def lives_on(self) -> bool:
        """Count one step; False where it is dead, or dies of this one."""
        if self.alive and self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.die()
        return self.alive

    def die(self) -> None:
        """End it as kill -9 does."""
        if not self.alive:
            return
        self.alive = False
        args = {"pid": self.pid, "process": self.name}
        self.world.note("nemesis-0-1", "fault", name="kill", phase="on", args=args)
        self.on_death()

    def stop_for(self, seconds: float) -> None:
        """Let it stand still, as SIGSTOP does."""
        self.stopped_until = self.world.clock() + seconds
        args = {"pid": self.pid, "process": self.name}
        self.world.note("nemesis-0-1", "fault", name="suspend", phase="on", args=args)

        def over() -> None:
            self.world.note("nemesis-0-1", "fault", name="suspend", phase="off", args=args)

        self.world.later(seconds, over)

    def later(self, delay: float, act: Callable[[], object]) -> None:
        """Do `act` in this process in `delay` seconds, or once it runs again; never if it died."""
        self.world.later(delay, lambda: self._do(act))

    def _do(self, act: Callable[[], object]) -> None:
        if not self.alive:
            return
        wait = self.stopped_until - self.world.clock()
        if wait > 0:
            self.world.later(wait, lambda: self._do(act))
        else:
            act()

    def note(self, event: str, **fields: Any) -> None:
        """Write into this process's history, where it is alive to do it."""
        if self.alive:
            self.world.note(self.name, event, **fields)


class World:
    """The clock, the lots, what is due, and what was written down."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0
        self._pids = 100

    def next_pid(self) -> int:
        """Return a process id that no other process has."""
        self._pids += 1
        return self._pids

    def chance(self, probability: float) -> bool:
        """Draw a lot."""
        return probability > 0 and self.random.random() < probability

    def delay(self) -> float:
        """Draw how long a message takes: a millisecond or two, seldom much longer."""
        slow = self.random.random() < 0.03
        return self.random.uniform(0.05, 0.5) if slow else self.random.uniform(0.0005, 0.003)

    def later(self, delay: float, act: Callable[[], object]) -> None:
        """Do `act` in `delay` seconds; what is due at one moment is done in the order asked."""
        self._number += 1
        heappush(self._due, (self.clock() + delay, self._number, act))

    def next_due(self) -> float | None:
        """Return when something is due next."""
        return self._due[0][0] if self._due else None

    def advance(self) -> None:
        """Move to the next moment at which something is due, and do all of it."""
        due = self.next_due()
        if due is None:
            return
        self.clock.advance(max(0.0, due - self.clock()))
        while self._due and self._due[0][0] <= self.clock():
            heappop(self._due)[2]()

    def note(self, process: str, event: str, **fields: Any) -> None:
        """Write one event down."""
        self.events.append({"at": self.clock(), "process": process, "event": event, **fields})

    def trace(self) -> str:
        """Return a digest of everything that was written down: equal in two runs of a seed."""
        text = json.dumps(self.events, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
