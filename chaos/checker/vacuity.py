"""Runs that prove nothing: too few calls, too few that succeed, faults that never bit (V)."""

from collections import Counter
from collections.abc import Iterator

from chaos.checker.run import Run
from chaos.checker.violation import Violation

__all__ = ["vacuity"]

_PLACED = 0.99
"""Share of the starts that must tell where their request stands; the others are not judged."""


def vacuity(run: Run) -> Iterator[Violation]:
    """V: enough was done, and each thing that was to go wrong did."""
    expect = run.expect
    calls = list(run.invoked())
    if len(calls) < expect.min_calls:
        yield Violation("V", "calls", f"{len(calls)} were made, not {expect.min_calls}")
    ok = sum(any(end["outcome"] == "ok" for end in call.ends) for call in calls)
    if ok < expect.min_ok * len(calls):
        yield Violation("V", "calls", f"{ok} of {len(calls)} succeeded")
    starts = run.by_name["start"]
    placed = sum("offset" in event for event in starts)
    if placed < _PLACED * len(starts):
        what = f"{placed} of {len(starts)} tell where their request stands: order was not looked at"
        yield Violation("V", "starts", what)
    seen = {event["name"] for event in run.by_name["fault"] if event["phase"] == "on"}
    for name in expect.faults:
        if name not in seen:
            yield Violation("V", name, "a scheduled fault was never seen")
    if expect.duplicates:
        found = _duplicates(run)
        if found < expect.duplicates:
            what = f"{found} requests came twice, not {expect.duplicates}: dedup was not tested"
            yield Violation("V", "duplicates", what)


def _duplicates(run: Run) -> int:
    """Return how many requests were there more than once: by record, or by idempotency key."""
    if run.truth is not None:
        records = Counter(record.call for record in run.truth.records if record.kind == "request")
    else:
        records = Counter(call.id for call in run.invoked() for _ in call.acked)
    works = Counter(call.work for call in run.invoked())
    return sum(count > 1 for count in (records | works).values())
