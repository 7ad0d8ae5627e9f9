"""How often and how soon a call is tried again: what a method, a channel or a caller may choose."""

import msgspec

from contracts.code import Code

__all__ = ["NO_RETRY", "RetryPolicy"]


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
    partition where it has no key; the first reply wins. None: as `hedge` says."""
    hedge: bool = True
    """Whether an idempotent call without a key is sent once more, to another partition, when it is
    overdue by what its method usually takes: from 0.05 to 0.5 seconds, as observed."""

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


NO_RETRY = RetryPolicy(attempts=1)
"""Every call is sent once."""
