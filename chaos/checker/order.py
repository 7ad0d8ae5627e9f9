"""Order, commits and ownership in each partition (I9-I11)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush

from chaos.checker.run import Event, Run
from chaos.checker.violation import Violation

__all__ = ["commits", "key_order", "ownership"]


def key_order(run: Run) -> Iterator[Violation]:
    """I9: requests of one key are first started in the order of their places, one at a time.

    A replay by the next owner starts them again, which is not looked at, nor is a second record of
    one that was started; nor is the order of what is started without a word on where it stands.
    What the owner before had refused, or found too late, the next one may still run, if it goes on
    from there: it starts again what came behind.
    """
    started = {
        (event["process"], *_place(event)): event["at"]  # the last time
        for event in run.sequence("start")
        if "offset" in event
    }
    highest: dict[tuple[str, int, str], Event] = {}
    seen: set[str] = set()
    running: dict[tuple[str, str, str], Event] = {}
    lanes: dict[tuple[str, str], tuple[str, str, str]] = {}
    for event in run.sequence("start", "finish"):
        who = (event["process"], event["call"])
        if event["event"] == "finish":
            lane = lanes.pop(who, None)
            if lane is not None and running[lane]["call"] == event["call"]:
                del running[lane]
            continue
        if event.get("key") is None:
            continue
        lane = lanes[who] = (event["process"], event.get("topic", ""), event["key"])
        if lane in running:
            what = f"key {event['key']} runs twice at once in {event['process']}"
            yield Violation("I9", event["call"], what, (running[lane], event))
        running[lane] = event
        if "offset" not in event:
            continue
        if event["call"] in seen:
            continue
        seen.add(event["call"])
        which = (event["topic"], event["partition"], event["key"])
        before = highest.get(which)
        if before is not None and _within(before) > _within(event):
            if started.get((event["process"], *_place(before)), 0.0) > event["at"]:
                continue
            what = f"key {event['key']}: {event['offset']} is started after {before['offset']}"
            yield Violation("I9", event["call"], what, (before, event))
        else:
            highest[which] = event


def _place(event: Event) -> tuple[str, int, int, int]:
    """Return where something stands."""
    return event["topic"], event["partition"], *_within(event)


def _within(event: Event) -> tuple[int, int]:
    """Return where in its partition something stands."""
    return event["offset"], event.get("part", 0)


def commits(run: Run) -> Iterator[Violation]:
    """I10: a commit never passes a request that is not done, nor goes back.

    Where servers tell when the broker had a reply (`replied`), that is when a request is done; else
    it is when the handler has finished. At-most-once work is committed before it is started, and
    what has run for somebody who waits no longer needs no reply.
    """
    settles = "replied" if run.by_name.get("replied") else "finish"
    open_: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    done: dict[tuple[str, str], int] = defaultdict(int)
    marks: dict[tuple[str, int], Event] = {}
    for event in run.sequence("start", settles, "committed", "assigned", "revoked"):
        process = event["process"]
        if event["event"] == "start":
            if run.calls[event["call"]].mode != "amo" and "offset" in event:
                entry = (event["offset"], event["call"])
                heappush(open_[process, event["partition"]], entry)
        elif event["event"] == settles:
            done[process, event["call"]] += 1
        elif event["event"] in {"assigned", "revoked"}:
            for partition in event["partitions"]:
                marks.pop((process, partition), None)
                open_.pop((process, partition), None)
        else:
            yield from _commit(run, event, open_[process, event["partition"]], done, marks)


def _commit(
    run: Run,
    event: Event,
    waiting: list[tuple[int, str]],
    done: dict[tuple[str, str], int],
    marks: dict[tuple[str, int], Event],
) -> Iterator[Violation]:
    process, partition, offset = event["process"], event["partition"], event["offset"]
    before = marks.get((process, partition))
    if before is not None and before["offset"] > offset:
        what = f"committed {offset} after {before['offset']}"
        yield Violation("I10", f"{process}[{partition}]", what, (before, event))
    marks[process, partition] = event
    while waiting and waiting[0][0] < offset:
        passed, call = heappop(waiting)
        invoke = run.calls[call].invoke
        waited_for = invoke is None or invoke["deadline"] > event["at"]
        if waited_for and not done[process, call]:
            what = f"committed {offset} while {passed} was not done"
            yield Violation("I10", call, what, (*run.calls[call].story, event))


def ownership(run: Run) -> Iterator[Violation]:
    """I11: no server starts what belongs to another, unless a fault kept it from knowing.

    At-most-once work is settled before it starts: it stays with its server when its partition goes.
    """
    owners: dict[int, Event] = {}
    lost: dict[tuple[str, int], Event] = {}
    ends = [last + run.expect.session for _, last in run.faults.spans]
    begins = [first for first, _ in run.faults.spans]
    latest = _running_maximum(ends)

    def faulty(begin: float, end: float) -> bool:
        at = bisect_right(begins, end)
        return at > 0 and latest[at - 1] >= begin

    for event in run.sequence("assigned", "revoked", "start"):
        process = event["process"]
        if event["event"] == "assigned":
            for partition in event["partitions"]:
                before = owners.get(partition)
                if before is not None and before["process"] != process:
                    lost[before["process"], partition] = event
                lost.pop((process, partition), None)
                owners[partition] = event
        elif event["event"] == "start":
            if run.calls[event["call"]].mode == "amo" or "partition" not in event:
                continue
            taken = lost.get((process, event["partition"]))
            if taken is not None and not faulty(taken["at"] - 1.0, event["at"]):
                what = f"{process} started it when {taken['process']} owned its partition"
                yield Violation("I11", event["call"], what, (taken, event))


def _running_maximum(values: list[float]) -> list[float]:
    highest, out = float("-inf"), []
    for value in values:
        highest = max(highest, value)
        out.append(highest)
    return out
