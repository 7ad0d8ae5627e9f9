"""Who waits for a commit, and which commit tells them. Pure.

Commits are made for all who wait at once: at most one is under way, and who comes meanwhile is
served by the next. What was asked for before the contents of a commit were taken is durable once it
succeeds, if the contents say it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from transports.kafka.ledger import position
from transports.kafka.partition_log import Mark, PartitionLog

__all__ = ["Commits", "Round", "Told", "Waiter", "tell"]

Told = list[tuple[Callable[[bool], object], bool]]
"""Whom to tell what, without holding a lock."""


class Waiter(NamedTuple):
    """One who wants to know when a message's settling, or beginning, is durable."""

    log: PartitionLog
    offset: int
    part: int
    begun: bool
    then: Callable[[bool], object]


class Round(NamedTuple):
    """One commit: what it says, and for whom."""

    marks: Mapping[int, Mark]
    waiters: list[Waiter]


class Commits:
    """The waiters of one receiver. Guarded by its owner's lock."""

    def __init__(self) -> None:
        self.under_way = False
        """Whether a commit was asked for that has not ended."""
        self._fresh: list[Waiter] = []
        self._deferred: list[Waiter] = []
        self._rounds: list[Round] = []

    def add(self, waiter: Waiter) -> bool:
        """Let one wait; tell whether a commit is to be begun for it."""
        self._fresh.append(waiter)
        begin = not self.under_way
        self.under_way = True
        return begin

    def due(self, *, changed: bool) -> bool:
        """Tell whether a commit is to be begun, where its time has come."""
        begin = not self.under_way and (changed or bool(self._fresh or self._deferred))
        self.under_way = self.under_way or begin
        return begin

    def wanted(self) -> set[PartitionLog]:
        """Return the logs that somebody waits for."""
        return {waiter.log for waiter in self._fresh + self._deferred}

    def begin(self, marks: Mapping[int, Mark]) -> Round:
        """Take the contents of a commit, for all who wait now."""
        round_ = Round(marks, self._deferred + self._fresh)
        self._fresh, self._deferred = [], []
        self._rounds.append(round_)
        return round_

    def succeeded(self, round_: Round) -> Told:
        """Return who is served; those of whom it does not speak wait for another."""
        said = {mark.log: mark for mark in round_.marks.values()}
        told: Told = []
        for waiter in self._end(round_):
            mark = said.get(waiter.log)
            if mark is not None and _says(mark, waiter):
                told.append((waiter.then, True))
            else:
                self._deferred.append(waiter)
        return told + self.lost()

    def failed(self, round_: Round, *, lost: bool) -> Told:
        """Return who is refused; `lost`: we are out of the group, and others may be at it."""
        waiters = self._end(round_)
        if lost:
            return [(waiter.then, False) for waiter in waiters] + self.lost()
        self._fresh[:0] = waiters
        return self.lost()

    def again(self, *, allowed: bool) -> bool:
        """Tell, when a commit has ended, whether another is to be begun at once."""
        self.under_way = allowed and bool(self._fresh)
        return self.under_way

    def lost(self) -> Told:
        """Return who waits for a partition that is not ours any more, in no commit under way."""
        told: Told = []
        for queue in (self._fresh, self._deferred):
            told += [(waiter.then, False) for waiter in queue if not waiter.log.held]
            queue[:] = [waiter for waiter in queue if waiter.log.held]
        return told

    def close(self) -> Told:
        """Return all who wait: nothing is going to be committed for them."""
        waiters = [waiter for round_ in self._rounds for waiter in round_.waiters]
        waiters += self._fresh + self._deferred
        self._rounds, self._fresh, self._deferred = [], [], []
        self.under_way = False
        return [(waiter.then, False) for waiter in waiters]

    def _end(self, round_: Round) -> list[Waiter]:
        """Return whom a round was for; nobody once it has been given up."""
        kept = [other for other in self._rounds if other is not round_]
        waiters = round_.waiters if len(kept) < len(self._rounds) else []
        self._rounds = kept
        return waiters


def _says(mark: Mark, waiter: Waiter) -> bool:
    offset, part = waiter.offset, waiter.part
    if waiter.begun and position(offset, part) in mark.note.begun:
        return True
    return mark.covers(offset, part)


def tell(told: Told) -> None:
    """Call those who waited; not under a lock."""
    for then, kept in told:
        then(kept)
