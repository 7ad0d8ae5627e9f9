"""Numbers made to have one hash: found before they are put into a set or a dict. Pure.

Python hashes numbers without a secret: an int, and with it a UUID, modulo 2**61 - 1. A megabyte of
values that have one hash keeps the interpreter, all its threads, for ten seconds and more. Up to
`HARMLESS` bytes that costs a few milliseconds. In longer bodies ints and UUIDs are looked at; what
can't be, tuples, structs and Decimals, ends at `UNCHECKED` bytes.
"""

import re
from collections import Counter
from typing import Any, Final

from msgspec import inspect as info

__all__ = ["HARMLESS", "UNCHECKED", "Hashing", "flood_problem", "hashing_of"]

HARMLESS: Final = 16 << 10
UNCHECKED: Final = 64 << 10

_SAME: Final = 64
"""So many different numbers of one hash are no chance."""
_INT64: Final = 2**63

Hashing = frozenset[str]
"""What a type puts into sets and the keys of dicts: `int`, `uuid`, and `other`."""

_LONG_INT: Final = re.compile(rb"-?[1-9][0-9]{18,}+")
_UUID: Final = re.compile(
    rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"
)
_RAW_UUID: Final = re.compile(rb"(?=\xc4\x10(.{16}))", re.DOTALL)
_NEEDLESS_ESCAPE: Final = re.compile(rb"\\u00(?:2[dD]|3[0-9]|4[1-6]|6[1-6])")
"""Digits, letters of UUIDs and the hyphen, as no encoder writes them."""


def flood_problem(hashing: Hashing, body: bytes) -> str | None:
    """Return why `body` must not be decoded as a type with such `hashing`, or None."""
    if len(body) <= HARMLESS or not hashing:
        return None
    if "other" in hashing and len(body) > UNCHECKED:
        return (
            f"{len(body)} bytes are more than the {UNCHECKED} of a type with Decimals, tuples or "
            "structs in a set or as keys: use a list"
        )
    if _NEEDLESS_ESCAPE.search(body):
        return "digits are written as escapes"
    hashes: Counter[int] = Counter()
    if "int" in hashing:
        # Python itself refuses text of more than 4300 digits, and so does msgspec.
        hashes.update(hash(int(text)) for text in set(_LONG_INT.findall(body)) if len(text) < 4300)
    if "uuid" in hashing:
        hashes.update(hash(int(t.replace(b"-", b""), 16)) for t in set(_UUID.findall(body)))
        hashes.update(hash(int.from_bytes(raw, "big")) for raw in set(_RAW_UUID.findall(body)))
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
            if not _within_64_bits(described):
                found.add("int")
        case info.UUIDType():
            found.add("uuid")
        case info.DecimalType():
            found.add("other")
        case _ if hasattr(described, "fields") or hasattr(described, "item_type"):
            found.add("other")
        case info.TupleType():
            found.add("other")
        case _:
            pass


def _within_64_bits(number: info.IntType) -> bool:
    low = number.ge if number.ge is not None else number.gt
    high = number.le if number.le is not None else number.lt
    return low is not None and high is not None and low >= -_INT64 and high <= 2 * _INT64
