"""Which calls are to be sent again and when: after an error, or for want of a reply.

Pure: time and chance are arguments; the channel's lock guards it.
"""

from collections.abc import Callable
from typing import Any

from contracts import RpcError
from rpc.call import Call
from rpc.retry import RetryBudget, allows, delay

__all__ = ["Resends"]


class Resends:
    """When the next attempts of pending calls are due, within one budget."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        budget = RetryBudget()
        self.deposit = budget.deposit
        """Count a call that was made."""
        self.withdraw = budget.withdraw
        """Take what one more attempt costs; False when the budget is spent."""

    def retry(
        self, call: Call[Any], error: RpcError, now: float, pushback: float | None
    ) -> float | None:
        """Return when to send `call` again after `error`; None: not at all.

        `pushback` is what the server asked for: so many seconds exactly, or no retry if below 0.
        """
        policy = call.terms.retry
        if pushback is not None and pushback < 0:
            return None
        if not allows(policy, error, call.attempt, idempotent=call.route.repeatable):
            return None
        wait = delay(policy, call.attempt, self._random) if pushback is None else pushback
        due = now + wait
        if due >= call.deadline or not self.withdraw(now):
            return None
        return due

    def hedge(self, call: Call[Any], now: float) -> float:
        """Return when `call` is sent once more unless a reply has come.

        Its deadline where that is not to be: it must not run twice, or has no attempt left, or
        would go to the same partition.
        """
        policy, route = call.terms.retry, call.route
        if not route.repeatable or call.attempt >= policy.attempts:
            return call.deadline
        if policy.attempt_timeout is not None:
            due = now + policy.attempt_timeout
        elif policy.hedge and call.key is None:
            due = now + route.latency.patience
        else:
            return call.deadline
        return min(due, call.deadline)
