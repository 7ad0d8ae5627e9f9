"""How deep a body nests, found without recursion and before anything decodes it. Pure.

msgspec decodes, and skips what it does not know, by recursion. A deep body ends there in a
`RecursionError` only on a stack of the usual size and with the interpreter's usual limit; else the
process dies.
"""

import re
import sys
import threading
from itertools import accumulate
from typing import Any, Final

from msgspec import inspect as info

__all__ = ["MAX_DEPTH", "json_too_deep", "may_nest", "msgpack_too_deep", "stack_is_usual"]

MAX_DEPTH: Final = 100
"""Lists and objects inside each other, at most."""

_USUAL_LIMIT: Final = 1000

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS: Final = bytes(1 if c in b"[{" else 255 if c in b"]}" else c for c in range(256))
"""Opening brackets as 1, closing ones as -1 in two's complement."""
_NO_BRACKET: Final = bytes(c for c in range(256) if c not in b"[]{}")

_NO_CONTAINER: Final = bytes(c for c in range(256) if not (0x80 <= c < 0xA0 or 0xDC <= c < 0xE0))
_SKIP: Final = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4}
_SKIP.update({0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17})
_SKIP.update({code: code - 0xA0 for code in range(0xA0, 0xC0)})
_LENGTH: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSION: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_ITEMS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def json_too_deep(body: bytes, limit: int = MAX_DEPTH) -> bool:
    """Tell whether `body` opens more than `limit` lists and objects before closing them.

    Right up to the first byte that is not JSON, where a decoder stops.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    steps = _STRING.sub(b"", body).translate(_STEPS, _NO_BRACKET)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > limit


def msgpack_too_deep(body: bytes, limit: int = MAX_DEPTH) -> bool:
    """Tell whether `body` holds arrays and maps more than `limit` deep, up to where it is cut."""
    if len(body.translate(None, _NO_CONTAINER)) <= limit:
        return False
    at, end = 0, len(body)
    left: list[int] = []
    while at < end:
        code = body[at]
        at += 1
        items = 0
        if 0x80 <= code < 0xA0:
            items = (code & 15) * (1 if code >= 0x90 else 2)
        elif code in _ITEMS:
            size, each = _ITEMS[code]
            items = int.from_bytes(body[at : at + size], "big") * each
            at += size
        elif code in _SKIP:
            at += _SKIP[code]
        elif code in _LENGTH:
            size = _LENGTH[code]
            at += size + int.from_bytes(body[at : at + size], "big")
        elif code in _EXTENSION:
            size = _EXTENSION[code]
            at += size + 1 + int.from_bytes(body[at : at + size], "big")
        if left:
            left[-1] -= 1
        if items:
            left.append(items)
            if len(left) > limit:
                return True
        while left and not left[-1]:
            left.pop()
        if not left:
            return False
    return False


def stack_is_usual() -> bool:
    """Tell whether the interpreter's own limit stops a recursion before the stack ends."""
    return sys.getrecursionlimit() <= _USUAL_LIMIT and threading.stack_size() == 0


def may_nest(described: info.Type) -> bool:
    """Tell whether values of a type may nest as deep as they like: it holds itself, or anything."""
    return _may_nest(described, (), set())


def _may_nest(described: Any, above: tuple[Any, ...], flat: set[Any]) -> bool:
    match described:
        case info.AnyType() | info.RawType() | info.CustomType():
            return True
        case info.Metadata(type=inner):
            return _may_nest(inner, above, flat)
        case info.UnionType(types=parts) | info.TupleType(item_types=parts):
            return any(_may_nest(part, above, flat) for part in parts)
        case info.DictType(key_type=key, value_type=value):
            return _may_nest(key, above, flat) or _may_nest(value, above, flat)
        case _ if hasattr(described, "item_type"):
            return _may_nest(described.item_type, above, flat)
        case _ if hasattr(described, "fields") and described.cls not in flat:
            cls = described.cls
            if cls in above or any(
                _may_nest(field.type, (*above, cls), flat) for field in described.fields
            ):
                return True
            flat.add(cls)  # else each path that leads to it would look through all below it again
            return False
        case _:
            return False
