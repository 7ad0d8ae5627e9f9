"""Which calls are to be sent again and when: after an error, or for want of a reply.

Pure: time and chance are arguments; the channel's lock guards it.
"""

from collections.abc import Callable
from typing import Any

from contracts import RpcError
from rpc.call import Call
from rpc.deadline import Deadlines
from rpc.retry import RetryBudget, allows, delay

__all__ = ["Resends"]


class Resends:
    """The next attempts of pending calls, by call id, within one budget."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._due: Deadlines[bytes] = Deadlines()
        self._budget = RetryBudget()

    def deposit(self) -> None:
        """Count a call that was made."""
        self._budget.deposit()

    def withdraw(self, now: float) -> bool:
        """Take what one more attempt costs; False when the budget is spent."""
        return self._budget.withdraw(now)

    def retry(
        self, call: Call[Any], error: RpcError, now: float, pushback: float | None
    ) -> float | None:
        """Note and return when to send `call` again after `error`; None: not at all.

        `pushback` is what the server asked for: so many seconds exactly, or no retry if below 0.
        """
        policy = call.policy
        if pushback is not None and pushback < 0:
            return None
        if not allows(policy, error, call.attempt, idempotent=call.route.repeatable):
            return None
        wait = delay(policy, call.attempt, self._random) if pushback is None else pushback
        due = now + wait
        if due >= call.deadline or not self._budget.withdraw(now):
            return None
        self._due.add(call.call_id, due)
        return due

    def hedge(self, call: Call[Any], now: float) -> float:
        """Note and return when `call` is sent once more unless a reply has come.

        Its deadline where that is not to be: it must not run twice, or has no attempt left, or
        would go to the same partition.
        """
        policy, route = call.policy, call.route
        if not route.repeatable or call.attempt >= policy.attempts:
            return call.deadline
        if policy.attempt_timeout is not None:
            due = now + policy.attempt_timeout
        elif policy.hedge and call.key is None:
            due = now + route.latency.patience
        else:
            return call.deadline
        if due < call.deadline:
            self._due.add(call.call_id, due)
        return due

    def hold(self, call: Call[Any], until: float) -> None:
        """Note when a call that has not been sent is to be looked at again."""
        self._due.add(call.call_id, until)

    def forget(self, call_id: bytes) -> None:
        """Send this call no more; an unknown one is nothing."""
        self._due.remove(call_id)

    def forget_all(self) -> None:
        """Send nothing any more."""
        self._due = Deadlines()

    def next_deadline(self) -> float | None:
        """Return when `expire` will next have something to do."""
        return self._due.next_deadline()

    def expire(self, now: float) -> list[bytes]:
        """Remove and return the ids of the calls whose next attempt is due."""
        return self._due.expire(now)
