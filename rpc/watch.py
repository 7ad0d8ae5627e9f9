"""Who serves: asked in the background, when calls wait longer than they should.

On a thread `rpc-watch` for each question, which ends with the answer; `rpc.presence` says when, and
what follows.
"""

from collections.abc import Callable
from typing import Protocol

from contracts import RpcError
from rpc.peer import Peer
from transports.base import GroupState
from transports.errors import NotAuthorized, TransportError
from transports.log import get_logger

__all__ = ["Watch"]

_log = get_logger("rpc.channel")
_TIMEOUT = 1.0  # seconds for one answer


class Asked(Protocol):
    """What a `Watch` needs of a transport."""

    def group(self, topic: str, timeout: float) -> GroupState:
        """See `Transport.group`."""
        ...


class Learned(Protocol):
    """What is told of an answer; `off`: there will never be one."""

    def __call__(self, peer: Peer, state: GroupState | None, /, *, off: bool) -> None:
        """Take it; on the thread that asked."""
        ...


class Watch:
    """Asks a transport about groups, and tells what it heard."""

    def __init__(
        self,
        run: Callable[[str, Callable[[], None]], None],
        learned: "Learned",
    ) -> None:
        self._run = run
        self._learned = learned
        self.transport: Asked | None = None
        """Set once the channel is open; before, nothing is asked."""

    def begin(self, peer: Peer) -> None:
        """Ask about `peer` on a thread of its own; `Presence.ask` has said yes. Never raises."""
        try:
            self._run("rpc-watch", lambda: self.ask(peer))
        except TransportError as error:
            _log.warning("service.unknown", service=peer.service, error=str(error))
            self._learned(peer, None, off=False)

    def ask(self, peer: Peer) -> None:
        """Ask about `peer` and wait for the answer; `Presence.ask` has said yes. Never raises."""
        state: GroupState | None = None
        off = False
        try:
            if self.transport is not None:
                state = self.transport.group(peer.topic, _TIMEOUT)
        except NotAuthorized as error:
            off = True
            _log.info("service.not_watched", service=peer.service, error=str(error))
        except (TransportError, RpcError) as error:
            _log.debug("service.unknown", service=peer.service, error=str(error))
        except Exception as error:  # a transport that can't tell, or its bug: calls go on without
            off = True
            _log.info("service.not_watched", service=peer.service, error=repr(error))
        self._learned(peer, state, off=off)
