"""What few calls have: a wait for room, an interceptor, several attempts, somebody who asks for it.

A lock guards it; the other calls take none.
"""

import threading

import msgspec

from contracts import RpcError
from rpc.completion import Completion
from rpc.interceptor import Chain
from transports.base import Receipt
from transports.forks import renew_in_child

__all__ = ["Rare", "few"]


class _Few:
    """Guards what few calls have; one lock for all of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        renew_in_child(self)

    def after_fork(self) -> None:
        self.lock = threading.Lock()  # another thread of the parent may have held it


few = _Few()


class Rare(msgspec.Struct):
    """What most calls have nothing of."""

    room: Completion[None] | None = None
    last_error: RpcError | None = None
    chain: Chain | None = None
    sent: Completion[Receipt | RpcError] | None = None
    unsent: RpcError | None = None
    """Why no acknowledgement is to be waited for."""
    failed: int = 0
    """A bit for each attempt that the broker will not acknowledge."""
    send_error: RpcError | None = None
    """Why not, of the last of these."""
    others: tuple[tuple[int, Receipt], ...] = ()
    """The attempts after the first that are acknowledged, and where they stand."""
