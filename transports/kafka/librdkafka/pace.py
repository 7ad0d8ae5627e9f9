"""When the next commit is to be made: when it was asked for, or when the last one is old."""

import threading
import time

__all__ = ["Pace"]


class Pace:
    """What the thread that commits waits for. Any thread asks; one waits."""

    def __init__(self, most: float) -> None:
        """`most` seconds after one commit, another is due."""
        self._most = most
        self._changed = threading.Condition()
        self._asked: float | None = None
        self._renewed = time.monotonic()
        self._closed = False

    def ask(self, delay: float) -> None:
        """Have a commit made in `delay` seconds."""
        with self._changed:
            due = time.monotonic() + delay
            self._asked = due if self._asked is None else min(self._asked, due)
            self._changed.notify()

    def renewed(self) -> None:
        """Take note that one was made."""
        with self._changed:
            self._renewed = time.monotonic()

    def close(self) -> None:
        """End the wait."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def wait(self) -> bool | None:
        """Wait until one is due; tell whether it was asked for. None when closed."""
        with self._changed:
            while not self._closed:
                now, old = time.monotonic(), self._renewed + self._most
                if self._asked is not None and self._asked <= now:
                    self._asked = None
                    return True
                if old <= now:
                    self._renewed = now
                    return False
                due = old if self._asked is None else min(old, self._asked)
                self._changed.wait(due - now)
            return None
