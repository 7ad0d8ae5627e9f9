"""All invariants over one run, in memory or from the folder that it left."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from chaos.checker import executions, order, outcomes, recovery, topics
from chaos.checker.resources import resources
from chaos.checker.run import Event, Expectations, Run
from chaos.checker.shutdown import shutdown
from chaos.checker.vacuity import vacuity
from chaos.checker.violation import Violation
from chaos.effects import read_effects
from chaos.history import read_history
from chaos.truth import load_truth

__all__ = ["INVARIANTS", "Verdict", "check", "check_run", "load_run"]

INVARIANTS: tuple[Callable[[Run], Iterator[Violation]], ...] = (
    outcomes.termination,
    outcomes.misdelivery,
    outcomes.answered_once,
    outcomes.certainty,
    outcomes.retries,
    executions.lost,
    executions.unanswered,
    executions.at_most_once,
    executions.effectively_once,
    executions.expired_work,
    order.key_order,
    order.commits,
    order.ownership,
    topics.allowed_topics,
    resources,
    shutdown,
    outcomes.incarnation,
    recovery.tail,
    recovery.goodput,
    topics.receipts,
    vacuity,
)
_SHOWN = 10


class Verdict(NamedTuple):
    """What is to be said of one run."""

    violations: list[Violation]
    calls: int
    outcomes: dict[str, int]
    """How many calls ended so: `ok`, or the code of the error with its certainty."""

    @property
    def passed(self) -> bool:
        """Whether no promise was broken, and enough was done to tell."""
        return not self.violations

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        lines = [f"{'passed' if self.passed else 'FAILED'}: {self.calls} calls ({ends})"]
        broken = Counter(violation.invariant for violation in self.violations)
        lines += [f"{name}: {count} violations" for name, count in sorted(broken.items())]
        lines += [str(violation) for violation in self.violations[:_SHOWN]]
        return "\n".join(lines)


def check(run: Run) -> list[Violation]:
    """Return every violation in `run`, in the order of the invariants."""
    return [violation for invariant in INVARIANTS for violation in invariant(run)]


def check_run(folder: Path) -> Verdict:
    """Check the run that left its files in `folder`: see `load_run`."""
    run = load_run(folder)
    ends: Counter[str] = Counter()
    for call in run.invoked():
        for end in call.ends[:1]:
            failed = f"{end.get('code')} {end.get('certainty')}"
            ends["ok" if end["outcome"] == "ok" else failed] += 1
    return Verdict(check(run), sum(ends.values()), dict(ends))


def load_run(folder: Path) -> Run:
    """Read `*.jsonl` histories and, where they are there, the other witnesses.

    Those are `effects.sqlite` (`chaos.effects`), `truth.json` (`chaos.truth.save_truth`) and
    `run.json`, the `Expectations`.
    """
    events: list[Event] = []
    for path in sorted(folder.glob("*.jsonl")):
        for event in read_history(path):
            event["process"] = path.stem
            events.append(event)
    effects, truth, expect = (
        folder / name for name in ("effects.sqlite", "truth.json", "run.json")
    )
    return Run(
        events,
        effects=read_effects(effects) if effects.exists() else None,
        truth=load_truth(truth) if truth.exists() else None,
        expect=msgspec.json.decode(expect.read_bytes(), type=Expectations)
        if expect.exists()
        else None,
    )
