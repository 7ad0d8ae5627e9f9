"""When a failed call is tried again, and after what.

The rules are gRPC's (proposal A6) and Finagle's (one budget for all): only what certainly did not
run, or may run twice; exponential delays with jitter; one deadline over all attempts; and a budget,
because attempts of many callers multiply exactly when the server can bear it least. Pure: time and
chance are arguments.
"""

from collections.abc import Callable

import msgspec

from contracts import Certainty, Code, RpcError

__all__ = ["NO_RETRY", "RetryBudget", "RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how soon a call is tried again."""

    attempts: int = 4
    """All attempts, the first one too; 1 turns retries off."""
    initial: float = 0.05
    """Seconds before the second attempt, before jitter."""
    multiplier: float = 2.0
    maximum: float = 1.0
    """Seconds that no delay exceeds, before jitter."""
    jitter: float = 0.2
    """Each delay is multiplied by a number from `1 - jitter` to `1 + jitter`."""
    codes: frozenset[Code] = frozenset({Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED})
    """Codes worth another attempt. RESOURCE_EXHAUSTED is what a server says whose queue is full:
    another server, or the same one a moment later, may have room; the budget keeps retries a small
    share of the load."""
    attempt_timeout: float | None = None
    """Seconds after which an idempotent call without a reply is sent once more, to another
    partition where it has no key; the first reply wins. None: wait for the deadline."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; 1 turns retries off")
        for name in ("initial", "multiplier", "maximum"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, not above 0")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter is {self.jitter}, not in [0, 1)")
        if self.attempt_timeout is not None and self.attempt_timeout <= 0:
            raise ValueError(f"attempt_timeout is {self.attempt_timeout}, not above 0")

    def allows(self, error: RpcError, attempt: int, *, idempotent: bool) -> bool:
        """Tell whether the call whose `attempt` (from 1) ended in `error` may be tried again."""
        if attempt >= self.attempts or error.code not in self.codes:
            return False
        return idempotent or error.certainty is Certainty.NOT_EXECUTED

    def delay(self, attempt: int, random: Callable[[], float]) -> float:
        """Return the seconds to wait after `attempt`; `random` gives numbers in [0, 1)."""
        try:
            plain = min(self.initial * self.multiplier ** (attempt - 1), self.maximum)
        except OverflowError:  # thousands of attempts: a float ends near the 1024th doubling
            plain = self.maximum
        return plain * (1 - self.jitter + 2 * self.jitter * random())


NO_RETRY = RetryPolicy(attempts=1)
"""Every call is sent once."""


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
        self._tokens = min(self._most, self._tokens + self._share)

    def withdraw(self, now: float) -> bool:
        """Take what one retry costs; False when the budget is spent. `now` in seconds."""
        if self._at is not None:
            self._tokens = min(self._most, self._tokens + self._floor * (now - self._at))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
