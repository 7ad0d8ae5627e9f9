"""Servers that are told to stop: they take no more, and are gone in time (I14)."""

from collections.abc import Iterator

from chaos.checker.run import Event, Run
from chaos.checker.violation import Violation

__all__ = ["shutdown"]

_NOTICE = 1.0
"""Seconds after the signal in which a server may still take what comes: one poll."""


def shutdown(run: Run) -> Iterator[Violation]:
    """I14: after SIGTERM nothing new is taken, and the process is gone within its grace.

    What was taken before is finished, so only requests that were made after it count as new.
    """
    draining: dict[str, Event] = {}
    exits: dict[str, Event] = {}
    for event in run.sequence("draining", "exit", "start"):
        process = event["process"]
        if event["event"] == "start":
            yield from _start(run, event, draining.get(process), exits.get(process))
        else:
            (draining if event["event"] == "draining" else exits).setdefault(process, event)
    for process, told in draining.items():
        killed = run.killed_at(process)
        gone = exits.get(process)
        until = gone["at"] if gone is not None else run.ended if killed is None else killed
        late = until - told["at"] - run.expect.grace - run.suspended(process, told["at"], until)
        if late > 0:
            what = f"not gone {until - told['at']:.1f} s after it was told to stop"
            yield Violation("I14", process, what, (told, *([gone] if gone else ())))


def _start(run: Run, start: Event, told: Event | None, gone: Event | None) -> Iterator[Violation]:
    if gone is not None:
        yield Violation("I14", start["call"], "started after the exit", (gone, start))
    elif told is not None:
        invoke = run.calls[start["call"]].invoke
        if invoke is not None and invoke["at"] > told["at"] + _NOTICE:
            what = f"taken {invoke['at'] - told['at']:.3f} s after {start['process']} was to stop"
            yield Violation("I14", start["call"], what, (told, invoke, start))
