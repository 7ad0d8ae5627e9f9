"""The service under test: one method for each promise, and handlers that keep accounts.

A reply is the answer to the digest of the arguments, so that a reply of another call shows, and
the id of the process that gave it. What a handler does to the world is a row in a ledger. Where the
transport's settings let messages travel in chunks, some are so large that they do.
"""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec.structs import asdict

from chaos.effects import Ledger
from chaos.history import Writer
from rpc import current_call, method, service
from transports.base import Receipt

__all__ = [
    "FLOOD_WORK",
    "SERVICE",
    "SETTINGS",
    "TOPIC",
    "WORKERS",
    "Chaos",
    "ChaosServer",
    "answer_to",
    "digest",
    "large_size",
    "transport_url",
]

SERVICE = "chaos"
TOPIC = f"{SERVICE}.requests"
WORKERS = 16
"""Of each server."""
FLOOD_WORK = 0.25
"""Seconds that each call of a flood takes: handlers wait, so that it is workers that are scarce."""


_CHUNKS = 3  # of a large message, at least

SETTINGS = "RPC_CHAOS_SETTINGS"
"""The variable that tells servers and clients what else stands in the URL of their transport."""


def transport_url(bootstrap: str, client_id: str) -> str:
    """Return the URL of a process's transport."""
    settings = os.environ.get(SETTINGS)
    return f"kafka://{bootstrap}?client_id={client_id}" + (f"&{settings}" if settings else "")


def large_size() -> int | None:
    """Return how long a text is that goes in chunks; None where messages may not.

    The settings must say both how large a message may be that does, and one that does not.
    """
    settings = os.environ.get(SETTINGS, "").split("&")
    bounds = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    if "max_chunked_bytes" not in bounds or "max_message_bytes" not in bounds:
        return None
    return _CHUNKS * int(bounds["max_message_bytes"])


def digest(*arguments: object) -> str:
    """Return what stands for the arguments of a call in histories."""
    return hashlib.sha256("\0".join(map(str, arguments)).encode()).hexdigest()[:16]


def answer_to(arguments: str) -> str:
    """Return the right reply to arguments of this digest."""
    return hashlib.sha256(arguments.encode()).hexdigest()[:16]


@service(name=SERVICE)
class Chaos(Protocol):
    """One method for each promise. All return the answer, a space, and the server's process id."""

    @method(timeout=20.0, idempotent=True)
    def echo(self, text: str, work: float) -> str:
        """Take `work` seconds; keyless and idempotent, so that it may be sent again anywhere."""
        ...

    @method(timeout=20.0, key="key")
    def append(self, key: str, value: str) -> str:
        """Append to the list of `key`; calls of one key stay in order."""
        ...

    @method(timeout=10.0, delivery="at_most_once")
    def once(self, text: str) -> str:
        """Do what must not be done twice."""
        ...

    @method(timeout=20.0, delivery="effectively_once")
    def pay(self, account: str, amount: int) -> str:
        """Do what must be done once for each idempotency key."""
        ...

    @method(timeout=0.4)
    async def expire(self, text: str, work: float) -> str:
        """Take `work` seconds, which may be longer than the caller waits."""
        ...


class ChaosServer(Chaos):
    """Handlers that write down when they start and finish, and what they did in between."""

    def __init__(
        self, history: Writer, ledger: Ledger, place: Callable[[str, int], Receipt | None]
    ) -> None:
        self._history, self._ledger, self._place = history, ledger, place

    @method
    def echo(self, text: str, work: float) -> str:
        with self._handling() as call:
            time.sleep(work)
            self._ledger.append(call)
            return _reply(digest(text, work)).ljust(len(text))

    @method
    def append(self, key: str, value: str) -> str:
        with self._handling() as call:
            self._ledger.append(call, key=key)
            return _reply(digest(key, value))

    @method
    def once(self, text: str) -> str:
        with self._handling() as call:
            self._ledger.append(call)
            return _reply(digest(text))

    @method
    def pay(self, account: str, amount: int) -> str:
        with self._handling() as call:
            context = current_call()
            idem = context.headers.get("rpc-idempotency-key")
            reply = _reply(digest(account, amount))
            self._ledger.append(
                call,
                key=account,
                idem=idem.decode() if idem else None,
                with_it=lambda connection: context.complete_in(connection, reply),
            )
            return reply

    @method
    async def expire(self, text: str, work: float) -> str:
        with self._handling() as call:
            await asyncio.sleep(work)
            self._ledger.append(call)
            return _reply(digest(text, work))

    @contextlib.contextmanager
    def _handling(self) -> Iterator[str]:
        context = current_call()
        call = context.call_id.hex()
        place = self._place(call, context.attempt)
        stands = {} if place is None else asdict(place)
        key = None if context.key is None else context.key.decode("utf-8", "replace")
        self._history.write(
            "start",
            call=call,
            attempt=context.attempt,
            key=key,
            remaining=context.remaining,
            **stands,
        )
        try:
            yield call
        except BaseException as error:
            self._history.write("finish", call=call, outcome=type(error).__name__)
            raise
        self._history.write("finish", call=call, outcome="ok")


def _reply(arguments: str) -> str:
    return f"{answer_to(arguments)} {os.getpid()}"
