"""What a byte stream of the Kafka protocol shows from outside: frames, and which request is which.

A frame is four bytes of length and as many bytes more. A request begins with its API key, version
and correlation id, a response with the correlation id of its request. Pure.
"""

import random
import struct
from typing import NamedTuple

from crc32c import crc32c

__all__ = ["Api", "Frame", "Framer", "corrupted", "flipped"]

_BATCH_HEAD = 61  # bytes from a record batch's base offset to its first record
_CRC_FROM = 21  # what stands before in a batch is not covered by its checksum


class Api:
    """The API keys that faults are made of."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14


class Frame(NamedTuple):
    """One request or response with its length, and the API it belongs to; None: not known."""

    data: bytes
    api: int | None


class Framer:
    """Cuts the two streams of one connection into frames, and names the responses."""

    def __init__(self) -> None:
        self._rest = {True: b"", False: b""}
        self._asked: dict[int, int] = {}

    def feed(self, data: bytes, *, request: bool) -> list[Frame]:
        """Return the frames that `data` completes; what is incomplete waits for more."""
        data = self._rest[request] + data
        at, frames = 0, []
        while len(data) - at >= 4:
            (size,) = struct.unpack_from(">i", data, at)
            if size < 0 or len(data) - at - 4 < size:
                break
            whole = data[at : at + 4 + size]
            frames.append(Frame(whole, self._name(whole, request=request)))
            at += 4 + size
        self._rest[request] = data[at:]
        return frames

    def _name(self, frame: bytes, *, request: bool) -> int | None:
        if request and len(frame) >= 12:
            api, _, correlation = struct.unpack_from(">hhi", frame, 4)
            self._asked[correlation] = api
            return int(api)
        if not request and len(frame) >= 8:
            (correlation,) = struct.unpack_from(">i", frame, 4)
            return self._asked.pop(correlation, None)
        return None


def corrupted(frame: Frame, chance: random.Random) -> bytes | None:
    """Return `frame` with one bit flipped in a record batch, where its checksum tells.

    None where there is no batch: Kafka has no checksum for anything else, so that what a flipped
    bit does there proves nothing of a client.
    """
    data = frame.data
    for at in range(len(data) - _BATCH_HEAD):
        if data[at + 16] != 2:  # the magic byte of record batches
            continue
        (length,) = struct.unpack_from(">i", data, at + 8)
        end = at + 12 + length
        if not at + _BATCH_HEAD <= end <= len(data):
            continue
        (told,) = struct.unpack_from(">I", data, at + 17)
        if told == crc32c(data[at + _CRC_FROM : end]):
            covered = at + _CRC_FROM
            return data[:covered] + flipped(data[covered:end], chance) + data[end:]
    return None


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with one bit flipped anywhere."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
