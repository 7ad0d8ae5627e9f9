"""How old requests are, by the broker's clock: no wall clock of a client or server takes part.

The broker tells its time in the answer to what is sent. A server that has sent nothing yet writes
one record to the partition that the first request wants its reply in, and waits for the answer: as
long as it can't write there it could not answer either, and what it knows no age of may be long
dead. Called by the receiving threads; the lock lets one of them ask and the others wait.
"""

import threading
from collections.abc import Callable

from rpc.completion import Completion
from rpc.flag import Flag
from rpc.reply import clock_message
from rpc.request import Request
from transports.base import Delivery, Receipt, Send
from transports.errors import SendUncertain, TransportError, Unreachable
from transports.log import get_logger

__all__ = ["BrokerTime"]

_log = get_logger("rpc.server")
_WAIT = 1.0  # seconds for an answer; a healthy broker takes a few milliseconds
_TRIES = 3  # requests whose reply partition takes no record, or tells no time


class BrokerTime:
    """The age of requests, from the first one on."""

    def __init__(
        self,
        now: Callable[[], float | None],
        send: Send,
        stopping: Flag,
        *,
        wait: float = _WAIT,
        patient: bool = True,
    ) -> None:
        """Ask by `send`; where not `patient`, as a server that is stepped is not, nothing waits."""
        self._now = now
        self._send = send
        self._stopping = stopping
        self._wait = wait
        self._patient = patient
        self._lock = threading.Lock()
        self._tries = _TRIES

    def age(self, request: Request, delivery: Delivery) -> float | None:
        """Return for how many seconds the caller has been waiting.

        Waits until the broker's time is known, which it is after the first answer to anything that
        is sent; None where the server is told to stop meanwhile: leave the request to another. 0
        where the reply partition takes no record, or does not tell the time. The reply topic must
        be one that this server may write to.
        """
        now = self._now()
        if now is None and self._tries:
            now = self._ask(request)
        if now is None:
            return None if self._stopping.is_set() else 0.0
        since, sent = delivery.timestamp, request.sent
        if sent is not None and sent < since:
            since = sent
        return now - since if now > since else 0.0

    def _ask(self, request: Request) -> float | None:
        """Return the broker's time; None where it is not to be had here, or the server stops."""
        with self._lock:
            if not self._patient:
                self._write(request)
                self._untold()
                return self._now()
            outcome = None
            while self._tries and self._now() is None and not self._stopping.is_set():
                outcome = outcome or self._write(request)
                if not outcome.wait(self._wait):
                    continue
                if not isinstance(outcome.get(), Unreachable | SendUncertain):
                    self._untold()
                    break
                outcome = None
                self._stopping.wait(self._wait)  # the way to the broker is broken, which passes
            return self._now()

    def _write(self, request: Request) -> Completion[Receipt | TransportError]:
        outcome: Completion[Receipt | TransportError] = Completion()
        self._send(request.reply_to, clock_message(), outcome.set)
        return outcome

    def _untold(self) -> None:
        if self._now() is not None:
            return
        self._tries -= 1
        if not self._tries:
            _log.warning(
                "clock.unknown",
                why="the broker did not say what time it is: requests count as new until it "
                "acknowledges a reply",
            )
