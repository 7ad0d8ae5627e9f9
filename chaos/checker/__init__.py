"""Decides from histories, effects and the topics themselves whether the promises were kept.

    verdict = check_run(Path("runs/17"))
    print(verdict)

`check` is pure and takes time linear in the events, for all invariants together.
"""

from chaos.checker.check import INVARIANTS, Verdict, check, check_run, load_run
from chaos.checker.run import Event, Expectations, Run, answer_to
from chaos.checker.violation import Violation

__all__ = [
    "INVARIANTS",
    "Event",
    "Expectations",
    "Run",
    "Verdict",
    "Violation",
    "answer_to",
    "check",
    "check_run",
    "load_run",
]
