"""Something that happens once, and may be told by a signal handler.

The lock of a `threading.Event` may be held by the very thread that a signal interrupts: on its way
into `wait`, or in `set`. Its handler would wait for it for ever.
"""

from rpc.completion import Completion

__all__ = ["Flag"]


class Flag:
    """Set once and for all. Any thread and any signal handler may do anything; no lock is held."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: Completion[None] = Completion()

    def set(self) -> None:
        """Wake who waits; again: nothing."""
        self._told.set(None)

    def is_set(self) -> bool:
        """Tell whether it is."""
        return self._told.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most `timeout` seconds; tell whether it is."""
        return self._told.wait(timeout)
