"""`serve`: a server as a process, ended by signals."""

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Unpack

from rpc.server import Server, ServerOptions
from transports.base import Transport

__all__ = ["serve"]


def serve(
    *implementations: object,
    transport: Transport | str | None = None,
    on_ready: Callable[[Server], object] | None = None,
    **options: Unpack[ServerOptions],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain: finish, reply, commit, leave, return.

    A second signal ends the process at once, with what is unfinished left to other servers. Once
    requests are taken, what is in memory by then is frozen (`gc.freeze`): the garbage collector
    goes through it no more, which with hundreds of calls in flight is a fifth of their cost. Raises
    `ContractError` before anything is opened, a `TransportError` where the broker can't be used or
    can't be any more, and `RuntimeError` outside the main thread: there, use `Server`.

    Args:
        implementations: instances of classes that inherit from their contracts.
        transport: as in `Server`.
        on_ready: called once requests are taken.
        options: the other options of `Server`.
    """
    server = Server(*implementations, transport=transport, **options)
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("serve() handles signals, so it needs the main thread; use Server here")
    with _signals(server), server:
        if on_ready is not None:
            on_ready(server)
        with _frozen():
            server.wait()
    if server.failure is not None:
        raise server.failure


@contextmanager
def _signals(server: Server) -> Iterator[None]:
    """Let the first signal end the wait and the second one the process."""
    asked, pid = False, os.getpid()

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if os.getpid() != pid:  # a fork of a handler's has this too, and no server to stop
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if asked:
            os._exit(128 + number)
        asked = True
        server.ask_to_stop()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep the garbage collector from what is there now: full collections take milliseconds."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
