"""How calls end: once, in time, with their own reply, and saying what is true (I1-I4, I15)."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.checker.run import Call, Run, answer_to
from chaos.checker.violation import Violation

__all__ = ["answered_once", "certainty", "incarnation", "misdelivery", "retries", "termination"]


def termination(run: Run) -> Iterator[Violation]:
    """I1: every call ends exactly once, at its deadline at the latest."""
    for call in run.invoked():
        invoke = call.invoke
        if len(call.ends) > 1:
            yield Violation("I1", call.id, f"ended {len(call.ends)} times", call.story)
        killed = run.killed_at(invoke["process"])
        until = call.ends[0]["at"] if call.ends else killed if killed is not None else run.ended
        paused = run.suspended(invoke["process"], invoke["at"], until)
        late = until - (invoke["deadline"] + run.expect.epsilon + paused)
        if late > 0:
            what = "ended" if call.ends else "still had not ended"
            yield Violation("I1", call.id, f"{what} {late:.3f} s after it must have", call.story)
        elif not call.ends and killed is None:
            yield Violation("I1", call.id, "never ended", call.story)


def misdelivery(run: Run) -> Iterator[Violation]:
    """I2: a reply is the answer to the arguments of its own call."""
    for call in run.invoked():
        for end in call.ends:
            if end["outcome"] != "ok":
                continue
            wanted = answer_to(call.invoke["args"])
            if end["reply"] != wanted:
                what = f"got the reply {end['reply']}, not {wanted}"
                yield Violation("I2", call.id, what, call.story)


def answered_once(run: Run) -> Iterator[Violation]:
    """I2: a server answers no more often than it was asked.

    Only where servers tell what they have taken (`taken`) and answered (`replied`).
    """
    asked: Counter[tuple[str, str]] = Counter()
    for event in run.by_name.get("taken", ()):
        asked[event["process"], event["call"]] += 1
    if not asked:
        return
    answered: Counter[tuple[str, str]] = Counter()
    for event in run.by_name.get("replied", ()):
        if event.get("how") != "failed":  # it may be sent once more
            answered[event["process"], event["call"]] += 1
    for (process, call), count in answered.items():
        if count > asked[process, call]:
            what = f"{process} was asked {asked[process, call]} times and answered {count} times"
            yield Violation("I2", call, what, run.calls[call].story)


def retries(run: Run) -> Iterator[Violation]:
    """I3: what may not be repeated is tried again only where it certainly did not run."""
    for call in run.invoked():
        attempts = {start.get("attempt") for start in call.starts}
        if len(attempts) > 1 and not call.invoke["idempotent"] and call.mode != "eo":
            what = "two attempts were started of a call that may not be repeated"
            yield Violation("I3", call.id, what, call.story)


def certainty(run: Run) -> Iterator[Violation]:
    """I3, I4: NOT_EXECUTED never ran; a result, or EXECUTED, did before the call ended."""
    starts: dict[str, float] = {}
    effects: dict[str, float] = {}
    for call in run.calls.values():
        for start in call.starts:
            starts[call.work] = min(start["at"], starts.get(call.work, start["at"]))
        for effect in call.effects:
            effects[call.work] = min(effect.at, effects.get(call.work, effect.at))
    for call in run.invoked():
        for end in call.ends:
            if end.get("certainty") == "NOT_EXECUTED":
                yield from _not_executed(call)
            elif end["outcome"] == "ok" or end.get("certainty") == "EXECUTED":
                if not starts.get(call.work, end["at"] + 1) <= end["at"]:
                    what = f"ended {end['outcome']} {end.get('certainty') or ''} with no start"
                    yield Violation("I4", call.id, what, call.story)
                elif (
                    run.effects is not None
                    and end["outcome"] == "ok"
                    and not effects.get(call.work, end["at"] + 1) <= end["at"]
                ):
                    what = "ended ok with no effect before it"
                    yield Violation("I4", call.id, what, call.story)


def _not_executed(call: Call) -> Iterator[Violation]:
    if call.starts or call.effects:
        what = f"NOT_EXECUTED, with {len(call.starts)} starts and {len(call.effects)} effects"
        yield Violation("I3", call.id, what, call.story)


def incarnation(run: Run) -> Iterator[Violation]:
    """I15: a client takes only replies to calls of its own, from this life of its own."""
    for call in run.calls.values():
        if call.invoke is None and call.starts:
            yield Violation("I15", call.id, "started where nobody had invoked it", call.story)
        elif call.invoke is None and call.ends:
            yield Violation("I15", call.id, "ended where nobody had invoked it", call.story)
        elif call.invoke is not None:
            for end in call.ends:
                if end["process"] != call.invoke["process"]:
                    what = f"invoked by {call.invoke['process']}, ended by {end['process']}"
                    yield Violation("I15", call.id, what, call.story)
    asked: dict[str, set[str]] = defaultdict(set)
    for record in run.truth.records if run.truth is not None else ():
        if record.kind == "reply" and record.client:
            asked[record.call].add(record.client)
    for name, clients in asked.items():
        call = run.calls.get(name)
        if call is None or call.invoke is None or not call.invoke.get("client"):
            continue
        if wrong := clients - {call.invoke["client"]}:
            what = f"answered to {', '.join(sorted(wrong))}, not to {call.invoke['client']}"
            yield Violation("I15", call.id, what, call.story)
