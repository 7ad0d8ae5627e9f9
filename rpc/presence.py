"""Whether anybody serves a service, as far as the broker told: what was asked, when, and heard.

Pure: every moment is an argument. `rpc.watch` asks.
"""

import math

from transports.base import GroupState, Receipt

__all__ = ["ASK_EVERY", "ASK_HELD", "CHECK_AFTER", "HOLD", "Presence"]

CHECK_AFTER = 0.5
"""Seconds that a call waits before it is asked who serves it; half its timeout, if that is less."""
ASK_EVERY = 1.0
"""Seconds between two questions about one service."""
ASK_HELD = 0.25
"""Seconds between two questions while there is no member, and calls wait for one to appear."""
HOLD = 1.0
"""Seconds that a call waits so, before it fails."""
_CONFIRMED_AFTER = 0.7  # between two answers; what is left of HOLD is for the last one to come
_FRESH = 1.5  # an answer of the last question, or of the one before where that is under way


class Presence:
    """What is known of the group of one service. Not thread-safe."""

    __slots__ = ("_answered_at", "_asked_at", "_asking", "empty_since", "off", "state")

    def __init__(self) -> None:
        self.state: GroupState | None = None
        """The last answer."""
        self.empty_since: float | None = None
        """Since when every answer has been that there is no member, and no reply has come."""
        self.off = False
        """Whether asking is of no use: not allowed, or not supported."""
        self._asking = False
        self._asked_at: float | None = None
        self._answered_at = 0.0

    @property
    def asked(self) -> bool:
        """Whether there was a question yet."""
        return self._asked_at is not None

    def next_ask(self, every: float) -> float:
        """Return from when on there may be another question, `every` seconds after the last."""
        return -math.inf if self._asked_at is None else self._asked_at + every

    def ask(self, now: float, every: float = ASK_EVERY) -> bool:
        """Tell whether to ask now; if so it counts as asked, until `answered` or `unanswered`."""
        if self.off or self._asking:
            return False
        if now < self.next_ask(every):
            return False
        self._asking, self._asked_at = True, now
        return True

    def answered(self, state: GroupState, now: float) -> None:
        """Note what the broker said."""
        self._asking = False
        self.state, self._answered_at = state, now
        if state.members:
            self.empty_since = None
        elif self.empty_since is None:
            self.empty_since = now

    def unanswered(self, *, off: bool) -> None:
        """Note that no answer came; `off`: none ever will."""
        self._asking = False
        self.off = off
        self.empty_since = None

    def replied(self) -> None:
        """Note that a server has replied: there is one, whatever the broker said."""
        self.empty_since = None
        self.state = None

    def nobody(self, now: float) -> bool:
        """Tell whether nobody has served for about a second, and that is no old news."""
        return (
            self.empty_since is not None
            and self._answered_at - self.empty_since >= _CONFIRMED_AFTER
            and now - self._answered_at <= _FRESH
        )

    def told(self, receipt: Receipt, now: float) -> str:
        """Return what the last answer says of a request at `receipt`; empty if there is none."""
        state = self.state
        if state is None:
            return ""
        settled = state.committed.get(receipt.partition, 0)
        before = receipt.offset - settled
        read = f"{before} before it" if before >= 0 else "the request too"
        members = "1 member" if state.members == 1 else f"{state.members or 'no'} members"
        return (
            f"; {max(0.0, now - self._answered_at):.1f} s ago its group had {members} and had "
            f"settled that partition up to {settled}, {read}"
        )
