"""A thread that flushes when it is asked to: what another thread puts in one go goes together.

Owner: `flush` is set once, before the first `wake`; the rest is the event's own.
"""

import threading
from collections.abc import Callable

from transports.log import get_logger

__all__ = ["Flusher"]

_log = get_logger(__name__)


class Flusher:
    """Calls `flush` after each `wake`, once for those that come together."""

    def __init__(self, name: str) -> None:
        self.flush: Callable[[], object] = bool
        self._wanted = threading.Event()
        self._stopped = False
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def wake(self) -> None:
        """Have `flush` called soon. Any thread."""
        self._wanted.set()

    def stop(self) -> None:
        """Have the thread end after what it is at."""
        self._stopped = True
        self._wanted.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self.flush()
            except Exception:  # whatever it is: somebody waits for the next
                _log.exception("kafka.flush_failed")
