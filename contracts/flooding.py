"""Numbers made to collide: found, or kept few, before they are put into a set or a dict. Pure.

Python hashes numbers without a secret: an int, and with it a UUID, modulo 2**61 - 1. A megabyte of
values that have one hash, or whose hashes lead from one full slot to the next, keeps the
interpreter, all its threads, for ten seconds and more. Up to `HARMLESS` bytes that costs a few
milliseconds. In longer bodies ints and UUIDs are looked at for one hash. Hashes that lead through
full slots can't be told from others: the cost is the square of how many there are, and `STEERED`
bytes hold few enough. What can't be looked at, tuples, structs and Decimals, ends at `UNCHECKED`.
"""

import math
import re
from collections import Counter
from typing import Any, Final

from msgspec import inspect as info

__all__ = [
    "HARMLESS",
    "STEERED",
    "UNCHECKED",
    "Hashing",
    "hashing_of",
    "json_flood",
    "msgpack_flood",
]

HARMLESS: Final = 16 << 10
UNCHECKED: Final = 64 << 10
STEERED: Final = 128 << 10
"""For numbers in msgpack, 5 bytes each. In JSON they take twice that, UUIDs four times."""

_SAME: Final = 64
"""So many different numbers of one hash are no chance."""
_NARROW: Final = 2**16
"""So many neighbouring ints do no harm.

They have a slot each as soon as a table has as many, so that they meet in smaller ones alone; there
the bits that are left choose too few of the slots that are tried after the first. All that was
found costs 0.8 s a mebibyte. 17 bits cost 1.5 s, 18 bits 2.7 s, and 20 bits as much as 64: 9 s.
"""

Hashing = frozenset[str]
"""What a type puts into sets and the keys of dicts, by how its hash can be chosen.

`int` beyond 64 bits and `uuid`: to be one. `number`: to lead through full slots. `other`: both, and
it can't be looked at; `any` is that in msgpack alone, since in JSON a key of no type is text.
"""

_LONG_INT: Final = re.compile(rb"-?[1-9][0-9]{18,}+")
_UUID: Final = re.compile(
    rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"
)
_RAW_UUID: Final = re.compile(rb"(?=(?:\xc4|\xc5\x00|\xc6\x00\x00\x00)\x10(.{16}))", re.DOTALL)
"""Any header that bytes of this length may have: encoders write the first."""
_NEEDLESS_ESCAPE: Final = re.compile(rb"(?<!\\)(?:\\\\)*+\\u00(?:2[dD]|3[0-9]|4[1-6]|6[1-6])")
"""Digits, letters of UUIDs and the hyphen, as no encoder writes them.

After an odd number of backslashes: after an even one it is text about an escape.
"""


def json_flood(hashing: Hashing, body: bytes) -> str | None:
    """Return why `body` must not be decoded as a type with such `hashing`, or None."""
    if len(body) <= HARMLESS:
        return None
    problem = _too_large(hashing - {"any"}, len(body), 2 * STEERED)
    if problem or hashing.isdisjoint({"int", "uuid"}):
        return problem
    if _NEEDLESS_ESCAPE.search(body):
        return "digits are written as escapes"
    hashes: Counter[int] = Counter()
    if "int" in hashing:
        # Python itself refuses text of more than 4300 digits, and so does msgspec.
        hashes.update(hash(int(text)) for text in set(_LONG_INT.findall(body)) if len(text) < 4300)
    if "uuid" in hashing:
        hashes.update(_hashes_of_text(body))
    return _one_hash(hashes)


def msgpack_flood(hashing: Hashing, body: bytes) -> str | None:
    """Return why `body` must not be decoded as a type with such `hashing`, or None."""
    if len(body) <= HARMLESS:
        return None
    problem = _too_large(hashing, len(body), STEERED)
    if problem or "uuid" not in hashing:
        return problem
    hashes = _hashes_of_text(body)
    hashes.update(hash(int.from_bytes(raw, "big")) for raw in set(_RAW_UUID.findall(body)))
    return _one_hash(hashes)


def _too_large(hashing: Hashing, size: int, steered: int) -> str | None:
    if size > UNCHECKED and not hashing.isdisjoint({"any", "other"}):
        return (
            f"{size} bytes are more than the {UNCHECKED} of a type that may have Decimals, tuples "
            "or structs in a set or as keys: use a list"
        )
    if size > steered and "number" in hashing:
        return (
            f"{size} bytes are more than the {steered} of a type with numbers or times in a set "
            f"or as keys: use a list, keys of str, or ints of a range of {_NARROW}"
        )
    if size > 4 * steered and "uuid" in hashing:
        return (
            f"{size} bytes are more than the {4 * steered} of a type with UUIDs in a set or as "
            "keys: use a list, or keys of str"
        )
    return None


def _hashes_of_text(body: bytes) -> Counter[int]:
    return Counter(hash(int(t.replace(b"-", b""), 16)) for t in set(_UUID.findall(body)))


def _one_hash(hashes: Counter[int]) -> str | None:
    if max(hashes.values(), default=0) > _SAME:
        return "numbers with one hash, to go into a set or to be keys"
    return None


def hashing_of(described: info.Type) -> Hashing:
    """Return what values of a type put into sets and keys, of that whose hash can be chosen."""
    found: set[str] = set()
    _look_for_hashing(described, found, set())
    return frozenset(found)


def _look_for_hashing(described: Any, found: set[str], seen: set[Any]) -> None:
    match described:
        case info.Metadata(type=inner):
            _look_for_hashing(inner, found, seen)
        case info.AnyType() | info.CustomType():
            found.add("any")
        case info.UnionType(types=parts) | info.TupleType(item_types=parts):
            for part in parts:
                _look_for_hashing(part, found, seen)
        case info.SetType(item_type=item) | info.FrozenSetType(item_type=item):
            _add_kinds(item, found)
            _look_for_hashing(item, found, seen)
        case info.DictType(key_type=key, value_type=value):
            _add_kinds(key, found)
            _look_for_hashing(value, found, seen)
        case _ if hasattr(described, "item_type"):
            _look_for_hashing(described.item_type, found, seen)
        case _ if hasattr(described, "fields") and described.cls not in seen:
            seen.add(described.cls)
            for field in described.fields:
                _look_for_hashing(field.type, found, seen)
        case _:
            pass


def _add_kinds(described: Any, found: set[str]) -> None:
    match described:
        case info.Metadata(type=inner):
            _add_kinds(inner, found)
        case info.UnionType(types=parts):
            for part in parts:
                _add_kinds(part, found)
        case info.IntType():
            low, high = _range(described)
            if high - low >= _NARROW:
                found.add("number")
            if high - low == math.inf:
                found.add("int")
        case info.DateTimeType(tz=False) | info.TimeType(tz=False):
            pass  # without a time zone they are hashed with a secret, as text is
        case info.FloatType() | info.DateTimeType() | info.TimeType() | info.TimeDeltaType():
            found.add("number")
        case info.UUIDType():
            found.add("uuid")
        case info.DecimalType() | info.TupleType() | info.AnyType() | info.CustomType():
            found.add("other")
        case _ if hasattr(described, "fields") or hasattr(described, "item_type"):
            found.add("other")
        case _:
            pass


def _range(number: info.IntType) -> tuple[float, float]:
    """Return the least and the greatest that `number` may be: msgspec's bounds are of 64 bits."""
    low = number.ge if number.gt is None else number.gt + 1
    high = number.le if number.lt is None else number.lt - 1
    return -math.inf if low is None else low, math.inf if high is None else high
