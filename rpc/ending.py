"""What runs as a call ends, and the mark of a thread on which it does.

Calls are ended by threads that others need: they read replies, keep time, or tell what became of
messages. What callbacks and interceptors do there must not wait for another call to end.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from transports.log import get_logger

if TYPE_CHECKING:
    from rpc.call import Call

__all__ = ["Told", "ending"]

_log = get_logger("rpc.channel")


class _Ending(threading.local):
    here = False
    """Whether this thread is ending a call."""


ending = _Ending()


class Told(msgspec.Struct, eq=False, gc=False):
    """A callback that waits for the end of a call.

    Not seen by the garbage collector, as few things of a pending call as possible should be: what
    it refers to, and is referred to by, is let go of at the end of the call.
    """

    call: "Call[Any]"
    callback: "Callable[[Call[Any]], object]"

    def __call__(self) -> None:
        """Run it; what it raises is logged."""
        try:
            self.callback(self.call)
        except BaseException:  # also a SystemExit: it would end the thread that all replies need
            _log.exception("call.callback_failed", method=self.call.route.full_name)
