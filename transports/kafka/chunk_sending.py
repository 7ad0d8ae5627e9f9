"""Sending a message in chunks, and telling once what became of it.

All chunks go at once and in order, so that nothing that is sent later overtakes the message. It was
not sent if one of them surely was not: nobody makes a message of the others.

Owners: what was told is guarded by the lock of its message; any thread tells.
"""

import os
import threading
from collections.abc import Callable, Sequence

from transports.base import Message, OnSent, Receipt
from transports.errors import MessageTooLarge, SendUncertain, TransportError
from transports.kafka.chunks import size_in_chunks, split
from transports.kafka.frames import COUNT
from transports.outcome import tell

__all__ = ["cut", "send_chunks"]


def cut(
    message: Message, most_bytes: int, most_in_all: int, refused: MessageTooLarge
) -> list[Message]:
    """Return the chunks of a message that was `refused` as one record.

    Raises `MessageTooLarge` where they are more than `most_in_all`, which is 0 where there shall be
    none, or can't be of `most_bytes` each.
    """
    if message.headers and message.headers[0][0] == COUNT:
        raise refused
    if not most_in_all:
        raise MessageTooLarge(
            f"{refused}; or have it sent in chunks: max_chunked_bytes, where whoever gets it reads "
            "them"
        ) from None
    try:
        size = size_in_chunks(message, most_bytes)
        if size <= most_in_all:
            return split(message, os.urandom(8).hex(), most_bytes)
    except ValueError as why:
        raise MessageTooLarge(f"{refused}; nor can it be sent in chunks: {why}") from None
    raise MessageTooLarge(
        f"{refused}; in chunks it takes {size}, and max_chunked_bytes is {most_in_all}: raise it "
        "here and where they are read"
    )


def send_chunks(
    put: Callable[[Message, OnSent], None], chunks: Sequence[Message], on_sent: OnSent
) -> None:
    """Have all chunks put, in order, and tell `on_sent` once what became of all.

    `put` raises a `TransportError` for what it does not take. The receipt is that of the last one.
    """
    outcomes = _Outcomes(on_sent, len(chunks))
    for index, chunk in enumerate(chunks):
        last = index == len(chunks) - 1
        try:
            put(chunk, outcomes.last if last else outcomes.other)
        except TransportError as error:
            outcomes.tell(error, len(chunks) - index)
            return


class _Outcomes:
    """What became of the chunks of a message."""

    def __init__(self, on_sent: OnSent, count: int) -> None:
        self._on_sent = on_sent
        self._left = count
        self._lock = threading.Lock()
        self._worst: TransportError | None = None
        self._receipt: Receipt | None = None

    def other(self, outcome: Receipt | TransportError) -> None:
        """Note what became of a chunk before the last."""
        self.tell(outcome if isinstance(outcome, TransportError) else None, 1)

    def last(self, outcome: Receipt | TransportError) -> None:
        """Note what became of the last chunk."""
        if isinstance(outcome, Receipt):
            self._receipt = outcome
            self.tell(None, 1)
        else:
            self.tell(outcome, 1)

    def tell(self, error: TransportError | None, chunks: int) -> None:
        """Note what became of so many chunks; after the last of them, tell of the message."""
        with self._lock:
            if error is not None and (
                self._worst is None or isinstance(self._worst, SendUncertain)
            ):
                self._worst = error
            self._left -= chunks
            ended = self._left == 0
        outcome = self._worst or self._receipt
        if ended and outcome is not None:
            tell(self._on_sent, outcome)
