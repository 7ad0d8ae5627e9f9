"""A message as it is received, and who answers for it until it is settled."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from transports.message import Message, Receipt

__all__ = ["Custody", "Delivery", "Unshared"]


class Custody(Protocol):
    """The receiver's side of a delivery: who answers for it until it is settled. Any thread."""

    def ack(self, delivery: "Delivery", /) -> bool:
        """Do what `Delivery.ack` says; tell whether the message was ours and unsettled."""
        ...

    def begin(self, delivery: "Delivery", /) -> None:
        """See `Delivery.begin`."""

    def commit(self, delivery: "Delivery", then: Callable[[bool], object], /) -> None:
        """See `Delivery.commit`."""

    def owned(self, delivery: "Delivery", /) -> bool:
        """See `Delivery.owned`."""
        ...

    def lost(self, delivery: "Delivery", /) -> bool:
        """See `Delivery.lost`."""
        ...

    def give_back(self, delivery: "Delivery", /) -> bool:
        """See `Delivery.give_back`."""
        ...


class Delivery(msgspec.Struct, eq=False, gc=False):
    """One received message, owned by the receiver until `ack` is called."""

    message: Message
    receipt: Receipt
    timestamp: float
    """When it was appended, in seconds, on the clock that `Transport.now` tells."""
    _custody: Custody
    problem: str | None = None
    """Why the message could not be read (its headers and body are then empty), else None."""
    redelivered: bool = False
    """Whether it may have been handed to another receiver before; False is certain."""
    crashes: int = 0
    """How many receivers ended without a word while they may have been at this message."""
    acked: bool = False
    """Whether an `ack` took effect: the message was still ours."""

    def ack(self) -> None:
        """Settle the message: it is not delivered again.

        Any thread, any order; a second call does nothing. On a private inbox it does nothing. It
        is made durable a moment later: after a crash before that, the message comes again.
        """
        if self._custody.ack(self):
            self.acked = True

    def begin(self) -> None:
        """Say that work on it begins, so that a crash from here on counts in `crashes`.

        Only for a message with `crashes`; made durable by `commit`. On others it does nothing.
        """
        self._custody.begin(self)

    def commit(self, then: Callable[[bool], object]) -> None:
        """Call `then(True)` once what was said of the message, `ack` or `begin`, is durable.

        `then(False)` where that can't be any more, since the message is no longer ours: others may
        get it. Called once, on any thread, perhaps before this returns: it may not block.
        """
        self._custody.commit(self, then)

    @property
    def owned(self) -> bool:
        """Whether the message is certainly still ours alone: nobody else can have it meanwhile."""
        return self._custody.owned(self)

    @property
    def lost(self) -> bool:
        """Whether what it came from was given up or lost: another receiver may have it by now.

        Neither this nor `owned` holds where nothing is certain. Quick, and any thread.
        """
        return self._custody.lost(self)

    def give_back(self) -> bool:
        """Give a lost message back unsettled; False where it is not lost, or settled.

        True: it is no longer here. It comes again if what it came from does. Where it is False the
        message stays in flight; some can't be given back, such as those in chunks. Any thread.
        """
        return self._custody.give_back(self)


class Unshared:
    """The custody of a private inbox: nothing is acknowledged, and nobody else gets anything."""

    def ack(self, delivery: Delivery, /) -> bool:
        """Do nothing."""
        del delivery
        return False

    def begin(self, delivery: Delivery, /) -> None:
        """Do nothing."""

    def commit(self, delivery: Delivery, then: Callable[[bool], object], /) -> None:
        """Tell at once that nothing is missing."""
        del delivery
        then(True)  # noqa: FBT003 - what `commit` tells

    def owned(self, delivery: Delivery, /) -> bool:
        """Tell that it is ours."""
        del delivery
        return True

    def lost(self, delivery: Delivery, /) -> bool:
        """Tell that it is not lost."""
        del delivery
        return False

    def give_back(self, delivery: Delivery, /) -> bool:
        """Tell that it stays."""
        del delivery
        return False
