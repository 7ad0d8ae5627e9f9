"""One run as the checker sees it: histories of every process, grouped by call, and the truth.

Pure: built of events that are loaded already. Times are seconds of one monotonic clock.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chaos.effects import Effect
from chaos.truth import Truth

__all__ = ["Call", "Event", "Expectations", "Run", "Windows", "answer_to", "pid_of"]

Event = dict[str, Any]
"""One line of a history, with `process` (`role-number-pid`) beside what stands in it."""


def answer_to(arguments: str) -> str:
    """Return the digest of the right reply to arguments of this digest: handlers compute it."""
    return hashlib.sha256(arguments.encode()).hexdigest()[:16]


class Expectations(msgspec.Struct, kw_only=True):
    """What a run must keep to; the folder of a run has it as `run.json`."""

    epsilon: float = 0.5
    """Seconds after its deadline by which a call must have ended."""
    skew: float = 1.0
    """Seconds after its deadline in which work may still be started."""
    grace: float = 35.0
    """Seconds that a server told to stop may take."""
    session: float = 12.0
    """Seconds after a fault in which two servers may believe that they own one partition."""
    heal: float = 60.0
    """Seconds after the last fault by which every client must be well."""
    tail: int = 5
    """How many last calls of each client must have succeeded; 0: not looked at."""
    durable_dedup: bool = True
    """Whether the stores of effectively-once work survive the end of a server."""
    drained: bool = True
    """Whether servers went on until nothing was left to do."""
    topics: list[str] = []
    """Prefixes of the topics that may be written to; none: not looked at."""
    bounds: dict[str, float] = {}
    """By gauge, what it must never exceed."""
    slopes: dict[str, float] = {}
    """By gauge, by how much it may grow in the last third."""
    goodput: float = 0.8
    """Share of the best rate that must be kept while a fault `overload` lasts."""
    recovery: float = 10.0
    """Seconds after an `overload` by which calls succeed again."""
    min_calls: int = 1
    min_ok: float = 0.0
    """Share of the calls that must have succeeded."""
    faults: list[str] = []
    """Names of the faults that were scheduled."""
    duplicates: int = 0
    """How many requests must stand more than once in the topics."""


class Call:
    """All that is known of one call, from every process."""

    __slots__ = ("acked", "effects", "ends", "finishes", "id", "invoke", "replied", "starts")

    def __init__(self, call: str) -> None:
        self.id = call
        self.invoke: Event | None = None
        self.acked: list[Event] = []
        self.ends: list[Event] = []
        self.starts: list[Event] = []
        self.finishes: list[Event] = []
        self.replied: list[Event] = []
        self.effects: list[Effect] = []

    @property
    def mode(self) -> str:
        """`alo`, `amo`, `eo` or `keyed`; empty where nobody invoked it."""
        return self.invoke["mode"] if self.invoke is not None else ""

    @property
    def work(self) -> str:
        """What names the work: the idempotency key where there is one, else the call."""
        return (self.invoke and self.invoke.get("idem")) or self.id

    @property
    def story(self) -> tuple[Event, ...]:
        """Its events in order of time."""
        first = [] if self.invoke is None else [self.invoke]
        events = [*first, *self.acked, *self.starts, *self.finishes, *self.replied, *self.ends]
        return tuple(sorted(events, key=lambda event: event["at"]))


class Windows:
    """Spans of time, as of a fault that lasted."""

    def __init__(self, spans: Iterable[tuple[float, float]] = ()) -> None:
        self.spans = sorted(spans)

    def overlap(self, begin: float, end: float) -> float:
        """Return for how many seconds of `begin` to `end` one of the spans lasted."""
        total, upto = 0.0, begin
        for first, last in self.spans:
            lower, upper = max(first, upto), min(last, end)
            if upper > lower:
                total += upper - lower
                upto = upper
        return total

    def touches(self, begin: float, end: float) -> bool:
        """Tell whether any of the spans has a moment in common with `begin` to `end`."""
        return any(first <= end and last >= begin for first, last in self.spans)


_GROUPED = {
    "acked": "acked",
    "end": "ends",
    "start": "starts",
    "finish": "finishes",
    "replied": "replied",
}
SUSPENDING = ("suspend", "sigstop", "freeze", "pause")
"""Names of faults begin so where a process is stopped for a while: `args` has its `pid`."""
KILLING = ("kill", "crash")
"""Names of faults begin so where a process is ended without a word: `args` has its `pid`."""


class Run:
    """Histories, effects and truth of one run, grouped once in a single pass."""

    def __init__(
        self,
        events: Sequence[Event],
        *,
        effects: Sequence[Effect] | None = None,
        truth: Truth | None = None,
        expect: Expectations | None = None,
    ) -> None:
        """Take the events in any order. `effects` or `truth` None: there was no such witness."""
        self.events = sorted(events, key=lambda event: event["at"])
        self.effects = effects
        self.truth = truth
        self.expect = expect or Expectations()
        self.calls: dict[str, Call] = {}
        self.by_name: dict[str, list[Event]] = defaultdict(list)
        """Events of every other name, such as `assigned` and `gauge`, in order of time."""
        for event in self.events:
            self._group(event)
        for effect in effects or ():
            self.call(effect.call).effects.append(effect)
        self.answered: set[str] = set()
        """Calls with a reply in the topics."""
        self.set_aside: set[str] = set()
        """Calls with a dead letter in the topics."""
        for record in truth.records if truth is not None else ():
            if record.kind == "reply":
                self.answered.add(record.call)
            elif "dead" in record.topic:
                self.set_aside.add(record.call)
        self.began = self.events[0]["at"] if self.events else 0.0
        self.ended = self.events[-1]["at"] if self.events else 0.0
        self._read_faults()

    def _group(self, event: Event) -> None:
        name = event["event"]
        group = _GROUPED.get(name)
        if group is not None:
            getattr(self.call(event["call"]), group).append(event)
        elif name == "invoke":
            self.call(event["call"]).invoke = event
        self.by_name[name].append(event)

    def call(self, call: str) -> Call:
        """Return what is known of this call, made when first asked for."""
        known = self.calls.get(call)
        if known is None:
            known = self.calls[call] = Call(call)
        return known

    def _read_faults(self) -> None:
        opened: dict[tuple[str, str], Event] = {}
        spans: list[tuple[float, float]] = []
        named: dict[str, list[tuple[float, float]]] = defaultdict(list)
        stopped: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self.killed: dict[int, float] = {}
        """By process id, when it was killed."""

        def close(begin: Event, end: float) -> None:
            span = (begin["at"], end)
            spans.append(span)
            named[begin["name"]].append(span)
            if begin["name"].startswith(SUSPENDING):
                for pid in _pids(begin.get("args")):
                    stopped[pid].append(span)

        for event in self.by_name["fault"]:
            which = (event["name"], repr(event.get("args")))
            if event["phase"] == "on":
                opened[which] = event
                if event["name"].startswith(KILLING):
                    for pid in _pids(event.get("args")):
                        self.killed.setdefault(pid, event["at"])
            else:
                begin = opened.pop(which, None) or _named(opened, event["name"])
                if begin is not None:
                    close(begin, event["at"])
        for begin in opened.values():
            lasts = not begin["name"].startswith(KILLING)
            close(begin, self.ended if lasts else begin["at"])
        self.faults = Windows(spans)
        """When anything was being broken; one that never ended lasts to the end of the run."""
        self.fault_spans: Mapping[str, list[tuple[float, float]]] = named
        """The same by name of the fault."""
        self._stopped = {pid: Windows(windows) for pid, windows in stopped.items()}

    def sequence(self, *names: str) -> Iterable[Event]:
        """Return the events of these names in order of time, equal moments as they were written."""
        wanted = frozenset(names)
        return (event for event in self.events if event["event"] in wanted)

    def suspended(self, process: str, begin: float, end: float) -> float:
        """Return for how many seconds of that span `process` was stopped by a fault."""
        windows = self._stopped.get(pid_of(process))
        return 0.0 if windows is None else windows.overlap(begin, end)

    def killed_at(self, process: str) -> float | None:
        """Return when `process` was killed by a fault, None if it was not."""
        return self.killed.get(pid_of(process))

    def invoked(self) -> Iterable[Call]:
        """Return the calls that a client made."""
        return (call for call in self.calls.values() if call.invoke is not None)


def pid_of(process: str) -> int:
    """Return the process id of `role-number-pid`."""
    return int(process.rpartition("-")[2])


def _pids(args: object) -> list[int]:
    if not isinstance(args, Mapping):
        return []
    one, many = args.get("pid"), args.get("pids") or []
    return [*([one] if one is not None else []), *many]


def _named(opened: dict[tuple[str, str], Event], name: str) -> Event | None:
    """Take the oldest open fault of that name: its end may be told without its arguments."""
    for which in opened:
        if which[0] == name:
            return opened.pop(which)
    return None
