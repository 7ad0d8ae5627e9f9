"""Who a client is on the wire: the id of its channel, and what the ids of its calls begin with.

Servers know a request by both: the second of two with the same ones is a repeat of the first, and
gets its reply. So no two processes may have the same, a child and its parent neither.
"""

import secrets

from transports.forks import renew_in_child

__all__ = ["Instance"]


class Instance:
    """The ids of one channel in one process; a forked child has others. Any thread."""

    def __init__(self) -> None:
        self._renew()
        renew_in_child(self)

    def _renew(self) -> None:
        self.name = secrets.token_hex(8)
        """On every request and its reply."""
        self.prefix = secrets.token_bytes(8)
        """The first half of call ids."""

    def after_fork(self) -> None:
        """Be another, in a child process, even where nothing was sent yet: so are its siblings."""
        self._renew()
