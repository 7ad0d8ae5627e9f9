"""How old requests are, by the broker's clock: no wall clock of a client or server takes part.

The broker tells its time in the answer to what is sent. A server that has sent nothing yet writes
one record to the partition that the first request wants its reply in, and waits for the answer.
Called by the receiving threads; the lock lets one of them ask and the others wait for the answer.
"""

import threading
from collections.abc import Callable

from rpc.envelope import Request, clock_message
from transports.base import Delivery, Receipt, Send
from transports.errors import TransportError
from transports.log import get_logger

__all__ = ["BrokerTime"]

_log = get_logger("rpc.server")
_WAIT = 1.0  # seconds for the broker's answer; a healthy one takes a few milliseconds
_TRIES = 3  # requests that may want their reply where nothing can be written


class BrokerTime:
    """The age of requests, from the first one on."""

    def __init__(self, now: Callable[[], float | None], send: Send, wait: float = _WAIT) -> None:
        self._now = now
        self._send = send
        self._wait = wait
        self._lock = threading.Lock()
        self._tries = _TRIES

    def age(self, request: Request, delivery: Delivery) -> float:
        """Return for how many seconds the caller has been waiting; 0 while the time is unknown.

        May wait a second where the broker's time is not known yet. The reply topic must be one that
        this server may write to.
        """
        now = self._now()
        if now is None and self._tries:
            now = self._ask(request)
        if now is None:
            return 0.0
        since = delivery.timestamp
        if request.sent is not None:
            since = min(since, request.sent)
        return max(0.0, now - since)

    def _ask(self, request: Request) -> float | None:
        with self._lock:
            now = self._now()
            if now is not None or not self._tries:
                return now
            self._tries -= 1
            answered = threading.Event()

            def told(_: Receipt | TransportError) -> None:
                answered.set()

            self._send(request.reply_to, clock_message(), told)
            answered.wait(self._wait)
            now = self._now()
            if now is None and not self._tries:
                _log.warning(
                    "clock.unknown",
                    why="the broker did not say what time it is: requests count as new until it "
                    "acknowledges a reply",
                )
            return now
