"""What one thread has to send, or to wake, in one go is sent and woken at its end.

To wake another thread costs more than most of what there is to do: it wants the interpreter's lock,
and takes it from whoever woke it. So a thread that goes through a batch says so. What its batch
gives rise to is held back meanwhile, and done once, on the same thread.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Batch", "hold", "let_go", "together"]


class Batch:
    """Within `with`, what its thread gives rise to is held back here, until `let_go`.

    Within the block of another batch it holds nothing: that one does.
    """

    __slots__ = ("_acts", "_inner")

    def __init__(self) -> None:
        self._acts: dict[object, Callable[[], object]] = {}
        self._inner = False

    def let_go(self) -> None:
        """Do what is held back. Any thread; what each does may be done more often than needed."""
        acts = self._acts
        while acts:
            try:
                _, act = acts.popitem()
            except KeyError:  # another thread was faster
                return
            act()

    def __enter__(self) -> Self:
        self._inner = _here.batch is not None
        if not self._inner:
            _here.batch = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._inner:
            _here.batch = None

    def hold(self, key: object, act: Callable[[], object]) -> None:
        """Have `act` done when this is let go of; one for each key."""
        self._acts[key] = act


class _Together(Batch):
    """A batch that is let go of at the end of its block."""

    __slots__ = ()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.let_go()


def together() -> Batch:
    """Return a batch for one block, which lets go at its end: `with together():`."""
    return _Together()


def hold(key: object, act: Callable[[], object]) -> bool:
    """Have `act` done at the end of this thread's batch, once for each key; False outside of one.

    It must not raise.
    """
    batch = _here.batch
    if batch is None:
        return False
    batch.hold(key, act)
    return True


def let_go() -> None:
    """Do what this thread holds back: it is about to wait, perhaps for just that."""
    batch = _here.batch
    if batch is not None:
        batch.let_go()


class _Here(threading.local):
    """What belongs to one thread."""

    batch: Batch | None = None


_here = _Here()
