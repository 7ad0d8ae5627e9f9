"""What is run, and how often: nothing lost, nothing twice, nothing late (I5-I8)."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.checker.run import Call, Run, pid_of
from chaos.checker.violation import Violation

__all__ = ["at_most_once", "effectively_once", "expired_work", "lost", "unanswered"]

_REFUSING = 1.0
"""Seconds in which a server that has committed what it refuses tells that it does."""
_SERVES = ("assigned", "committed", "start")


def lost(run: Run) -> Iterator[Violation]:
    """I5: what the broker acknowledged is run, answered, or set aside.

    A request that nobody ran is lost where a server committed past it while its caller still
    waited, and unseen where nobody ever committed past it.
    """
    passed = _Passed(run)
    servers = {pid_of(event["process"]) for name in _SERVES for event in run.by_name.get(name, ())}
    deaths = [at for pid, at in run.killed.items() if pid in servers]
    takers: dict[str, set[str]] = defaultdict(set)
    for event in run.by_name.get("taken", ()):
        takers[event["call"]].add(event["process"])
    works = {call.work for call in run.calls.values() if call.starts}
    for call in run.invoked():
        if not call.acked or call.mode == "amo" or call.work in works:
            continue
        if call.id in run.answered or call.id in run.set_aside or _answered(call) or call.replied:
            continue
        if any(end["outcome"] == "cancelled" for end in call.ends):
            continue
        if any(run.killed_at(process) is not None for process in takers.get(call.id, ())):
            continue  # perhaps refused, which is told only once it is committed, and has a leader
        deadline = call.invoke["deadline"]
        for acked in call.acked:
            at = passed.first(acked)
            if at is not None and any(
                call.invoke["at"] <= killed < at + _REFUSING for killed in deaths
            ):
                continue  # likewise, where servers don't tell what they have taken
            place = f"{acked['topic']}[{acked['partition']}]@{acked['offset']}"
            if at is not None and at < deadline:
                what = f"lost: {place} was committed past, {deadline - at:.3f} s before its end"
                yield Violation("I5", call.id, what, call.story)
            elif at is None and run.expect.drained and passed.known(acked):
                what = f"unseen: {place} was never committed past"
                yield Violation("I5", call.id, what, call.story)


def _answered(call: Call) -> bool:
    """Tell whether the caller has it from a server how the call went."""
    return any(end["outcome"] == "ok" or end.get("server") for end in call.ends)


class _Passed:
    """When each partition was committed past an offset, by the servers' own word or the broker's.

    Only commits that move a partition forward are kept, so one look is a bisection.
    """

    def __init__(self, run: Run) -> None:
        self._marks: dict[int, list[tuple[int, float]]] = {}
        self._final: dict[tuple[str, int], int] = {}
        for event in run.by_name["committed"]:
            marks = self._marks.setdefault(event["partition"], [])
            if not marks or event["offset"] > marks[-1][0]:
                marks.append((event["offset"], event["at"]))
        if run.truth is not None:
            self._final = run.truth.committed
        self._end = run.ended

    def known(self, acked: dict) -> bool:
        """Tell whether anything is known of the commits of that partition."""
        place = (acked["topic"], acked["partition"])
        return place in self._final or acked["partition"] in self._marks

    def first(self, acked: dict) -> float | None:
        """Return when the record was first committed past; None: never."""
        marks, offset = self._marks.get(acked["partition"], []), acked["offset"]
        low, high = 0, len(marks)
        while low < high:
            middle = (low + high) // 2
            if marks[middle][0] > offset:
                high = middle
            else:
                low = middle + 1
        if low < len(marks):
            return marks[low][1]
        final = self._final.get((acked["topic"], acked["partition"]))
        return self._end if final is not None and final > offset else None


def unanswered(run: Run) -> Iterator[Violation]:
    """I5: what was run is answered, unless its server died or gave up on it as it left.

    Only where servers tell when the broker has a reply (`replied`).
    """
    if not run.by_name.get("replied"):
        return
    gone = {event["process"] for name in ("exit", "draining") for event in run.by_name[name]}
    for call in run.calls.values():
        told = {event["process"] for event in call.replied}
        for finish in call.finishes:
            process = finish["process"]
            if process in told or process in gone or run.killed_at(process) is not None:
                continue
            yield Violation("I5", call.id, f"run by {process} and never answered", call.story)


def at_most_once(run: Run) -> Iterator[Violation]:
    """I6: what is delivered at most once is started once at most."""
    for call in run.invoked():
        if call.mode == "amo" and (len(call.starts) > 1 or len(call.effects) > 1):
            what = f"{len(call.starts)} starts, {len(call.effects)} effects"
            yield Violation("I6", call.id, what, call.story)


def effectively_once(run: Run) -> Iterator[Violation]:
    """I7: one effect for each piece of work, and the same reply to all who ask for it.

    Stores that die with their server promise that of each server for itself.
    """
    works: dict[str, list[Call]] = defaultdict(list)
    for call in run.invoked():
        if call.mode == "eo":
            works[call.work].append(call)
    for work, calls in works.items():
        story = tuple(event for call in calls for event in call.story)
        doers = Counter(
            0 if run.expect.durable_dedup else effect.server
            for call in calls
            for effect in call.effects
        )
        most = max(doers.values(), default=0)
        if most > 1:
            yield Violation("I7", work, f"{most} effects of one piece of work", story)
        replies = {end["reply"] for call in calls for end in call.ends if end["outcome"] == "ok"}
        doers_of = {start["process"] for call in calls for start in call.starts}
        if not run.expect.durable_dedup and len(doers_of) > 1:
            continue  # neither store knew of the other's reply
        digests = {call.invoke["args"] for call in calls}
        if len(replies) > 1:
            how = "different arguments were answered" if len(digests) > 1 else "replies differ"
            yield Violation("I7", work, f"{how}: {', '.join(sorted(replies))}", story)


def expired_work(run: Run) -> Iterator[Violation]:
    """I8: no work is started whose caller has left by the deadline."""
    for call in run.invoked():
        deadline = call.invoke["deadline"]
        for start in call.starts:
            paused = run.suspended(start["process"], deadline, start["at"])
            late = start["at"] - deadline - paused
            if late > run.expect.skew:
                what = f"started {late:.3f} s after its deadline"
                yield Violation("I8", call.id, what, call.story)
