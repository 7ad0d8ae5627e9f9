"""What comes after faults and under overload: every client is well, calls succeed (I16, I17)."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.checker.run import Call, Run
from chaos.checker.violation import Violation

__all__ = ["goodput", "tail"]

_BUCKET = 1.0
_SETTLE = 2.0  # seconds at the edges of an overload that are left out
_WELL = 0.98
"""Share of the calls that succeed once an overload is over, by the share before it."""


def tail(run: Run) -> Iterator[Violation]:
    """I16: after the last fault, the last calls of each client that lives succeed.

    Calls made within the time to heal may fail, so a run goes on for longer than that. A client
    that had ended in order by then has nothing to show.
    """
    if not run.expect.tail or not run.faults.spans:
        return
    healed = max(last for _, last in run.faults.spans)
    clients: dict[str, list[Call]] = defaultdict(list)
    gone = {event["process"] for event in run.by_name["exit"] if event["at"] <= healed}
    for call in run.invoked():
        if call.invoke["process"] not in gone and run.killed_at(call.invoke["process"]) is None:
            clients[call.invoke["process"]].append(call)
    for process, calls in clients.items():
        calls.sort(key=lambda call: call.invoke["at"])
        last = [call for call in calls if call.invoke["at"] > healed][-run.expect.tail :]
        if len(last) < run.expect.tail:
            what = f"made {len(last)} calls after the last fault, not {run.expect.tail}"
            yield Violation("I16", process, what)
            continue
        failed = [call for call in last if not _ok(call)]
        window = [call for call in calls if healed < call.invoke["at"] and _due(call, run, healed)]
        if failed:
            what = f"{len(failed)} of its last {len(last)} calls failed after the last fault"
            yield Violation("I16", process, what, failed[0].story)
        elif len(window) >= 4 * run.expect.tail and not any(map(_ok, window)):
            what = f"no call succeeded within {run.expect.heal:g} s of the last fault"
            yield Violation("I16", process, what, window[-1].story)


def _due(call: Call, run: Run, healed: float) -> bool:
    return call.invoke["deadline"] <= healed + run.expect.heal


def goodput(run: Run) -> Iterator[Violation]:
    """I17: an overload costs a bounded share of the best rate, and is over soon after.

    Over it is where calls succeed as often as before it, and until the next fault comes.
    """
    spans = [span for name, of in run.fault_spans.items() if name == "overload" for span in of]
    if not spans:
        return
    done: Counter[int] = Counter()
    for call in run.invoked():
        if _ok(call):
            done[int((call.ends[0]["at"] - run.began) / _BUCKET)] += 1
    for begin, end in spans:
        before = [done[n] for n in _buckets(run, run.began + _SETTLE, begin)]
        during = [done[n] for n in _buckets(run, begin + _SETTLE, end)]
        peak = sorted(before)[len(before) // 2] if before else 0
        got = sum(during) / len(during) if during else 0.0
        if got < run.expect.goodput * peak:
            what = f"{got:.0f} calls/s succeeded, of {peak:.0f} before it"
            yield Violation("I17", "overload", what)
        upto = end + run.expect.recovery
        next_fault = min((first for first, _ in run.faults.spans if first > end), default=run.ended)
        after = [call for call in run.invoked() if upto < call.invoke["at"] < next_fault]
        usual = [call for call in run.invoked() if call.invoke["at"] < begin]
        well = sum(map(_ok, after))
        if after and well * len(usual) < _WELL * sum(map(_ok, usual)) * len(after):
            what = f"{len(after) - well} of {len(after)} calls failed {run.expect.recovery:g} s on"
            yield Violation("I17", "overload", what)


def _buckets(run: Run, begin: float, end: float) -> range:
    return range(int((begin - run.began) / _BUCKET) + 1, int((end - run.began) / _BUCKET))


def _ok(call: Call) -> bool:
    return bool(call.ends) and call.ends[0]["outcome"] == "ok"
