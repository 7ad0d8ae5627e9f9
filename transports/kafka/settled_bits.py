"""What is settled beyond a watermark, as a note of it has it. Pure."""

from collections.abc import Collection

from transports.kafka.ledger import SPAN, Note

__all__ = ["settled_bits"]


def settled_bits(base: int, high: int, pending: Collection[int], inherited: Note) -> bytes:
    """Return a bit for each offset from `base` on, the lowest first; none where all are in flight.

    `high`: the last that was taken here; `pending`: those that are not settled, in their order;
    `inherited`: what the owner before had noted, which tells of what is beyond.
    """
    taken, end = high + 1 - base, inherited.upto - base
    if taken <= len(pending) and end <= max(taken, 0):
        return b""
    size = min(max(taken, end), SPAN)
    known = max(0, min(taken, size))
    bits = bytearray(b"\xff" * (known // 8) + bytes((size - known + 7) // 8 + 1))
    if known % 8:
        bits[known // 8] = (1 << known % 8) - 1
    for offset in pending:
        index = offset - base
        if index >= known:
            break
        bits[index >> 3] &= ~(1 << (index & 7))
    for index in range(known, min(end, size)):
        if inherited.settles(base + index):
            bits[index >> 3] |= 1 << (index & 7)
    return bytes(bits)
