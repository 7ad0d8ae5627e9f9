"""When a failed call is tried again, and after what.

The rules are gRPC's (proposal A6) and Finagle's (one budget for all): only what certainly did not
run, or may run twice; exponential delays with jitter; one deadline over all attempts; and a budget,
because attempts of many callers multiply exactly when the server can bear it least. Pure: time and
chance are arguments.
"""

from collections.abc import Callable

from contracts import Certainty, RetryPolicy, RpcError

__all__ = ["RetryBudget", "allows", "delay"]


def allows(policy: RetryPolicy, error: RpcError, attempt: int, *, idempotent: bool) -> bool:
    """Tell whether the call whose `attempt` (from 1) ended in `error` may be tried again."""
    if attempt >= policy.attempts or error.code not in policy.codes:
        return False
    return idempotent or error.certainty is Certainty.NOT_EXECUTED


def delay(policy: RetryPolicy, attempt: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after `attempt`; `random` gives numbers in [0, 1)."""
    try:
        plain = min(policy.initial * policy.multiplier ** (attempt - 1), policy.maximum)
    except OverflowError:  # thousands of attempts: a float ends near the 1024th doubling
        plain = policy.maximum
    return plain * (1 - policy.jitter + 2 * policy.jitter * random())


class RetryBudget:
    """Retries as a share of the calls made, plus a small floor: 20 % and 10 a second, as Finagle.

    Not thread-safe: the channel's lock guards it.
    """

    def __init__(self, *, share: float = 0.2, floor: float = 10.0, window: float = 10.0) -> None:
        self._share = share
        self._floor = floor
        self._most = floor * window
        self._tokens = floor
        self._at: float | None = None

    def deposit(self) -> None:
        """Count one call made."""
        if self._tokens < self._most:
            self._tokens += self._share

    def withdraw(self, now: float) -> bool:
        """Take what one retry costs; False when the budget is spent. `now` in seconds."""
        if self._at is not None:
            self._tokens = min(self._most, self._tokens + self._floor * (now - self._at))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
