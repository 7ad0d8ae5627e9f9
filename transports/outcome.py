"""Telling a sender what became of its message, whatever its callback does."""

import logging

from transports.base import OnSent, Receipt
from transports.errors import TransportError

__all__ = ["tell"]

_log = logging.getLogger(__name__)


def tell(on_sent: OnSent, outcome: Receipt | TransportError) -> None:
    """Call `on_sent` with `outcome`; what it raises is logged and goes no further.

    `send` raises nothing, and a thread of a transport does not end by somebody else's fault.
    """
    try:
        on_sent(outcome)
    except Exception:
        _log.exception("on_sent_failed")
