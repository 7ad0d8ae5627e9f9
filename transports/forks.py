"""What has to be renewed in a forked child: locks, and whatever only the parent's threads serve."""

import os
import weakref
from typing import Protocol

__all__ = ["renew_in_child"]


class Renewable(Protocol):
    """What a fork leaves in a state that the child can't use."""

    def after_fork(self) -> None:
        """Put it right, in the child, before anything else runs there. Never raises, nor waits."""
        ...


_alive: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_in_child(thing: Renewable) -> None:
    """Have `thing.after_fork()` called in every child that is forked while `thing` lives.

    In no particular order. `thing` is not kept alive by it, and must be hashable. Any thread.
    """
    _alive.add(thing)


def _renew_all() -> None:
    for thing in list(_alive):
        thing.after_fork()


os.register_at_fork(after_in_child=_renew_all)
