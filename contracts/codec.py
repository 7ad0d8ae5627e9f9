"""Values to bytes and back: JSON and msgpack behind one protocol.

msgspec and the values themselves raise many kinds of exception: `UnicodeDecodeError` for bad UTF-8,
`RecursionError` for deep or cyclic values, `OverflowError`, `TypeError`. Here all become
`EncodeError` or `DecodeError`. Their messages keep msgspec's path and never echo a value, because
they reach peers and logs. Before msgspec sees it, a body is looked at for what would harm the
process: nesting without end, and numbers made to collide.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec
from msgspec import inspect as info

from contracts.flooding import Hashing, hashing_of, json_flood, msgpack_flood
from contracts.nesting import (
    MAX_DEPTH,
    json_too_deep,
    may_nest,
    msgpack_too_deep,
    stack_is_usual,
)

__all__ = [
    "JSON",
    "MAX_BODY_BYTES",
    "MSGPACK",
    "Codec",
    "DecodeError",
    "EncodeError",
    "codec_named",
    "sized",
]

MAX_BODY_BYTES: Final = 1 << 20
"""The largest body that is decoded unless said otherwise: as large as Kafka's largest message."""
_MAX_TEXT: Final = 500
"""Characters of an error's text at most: those of a type's own checks may be long."""


class EncodeError(ValueError):
    """A value cannot be written as bytes."""


class DecodeError(ValueError):
    """Bytes cannot be read as the type that is expected."""


class Codec(Protocol):
    """Writes values as bytes and reads them. Stateless; any thread."""

    @property
    def content_type(self) -> str:
        """The media type that names this codec on the wire."""
        ...

    def encode(self, value: object, /) -> bytes:
        """Return `value` as bytes; raises `EncodeError` alone."""
        ...

    def decoder(self, type: Any, /) -> Callable[[bytes], Any]:  # noqa: A002 - the field's word
        """Return a function from bytes to a `type`, which raises `DecodeError` alone.

        Building one costs more than using it: keep it. Unknown fields are ignored.
        """
        ...


class _Json:
    content_type = "application/json"

    def encode(self, value: object, /) -> bytes:
        try:
            body = _json_encode(value)
            if b"null" in body:
                _refuse_non_finite(value)
        except Exception as error:
            raise EncodeError(_encode_problem(error)) from None
        return body

    def decoder(self, type: Any, /) -> Callable[[bytes], Any]:  # noqa: A002 - as in the protocol
        return _guarded(msgspec.json.Decoder(type).decode, type, json_too_deep, json_flood)


class _Msgpack:
    content_type = "application/msgpack"

    def encode(self, value: object, /) -> bytes:
        try:
            return _msgpack_encode(value)
        except Exception as error:
            raise EncodeError(_encode_problem(error)) from None

    def decoder(self, type: Any, /) -> Callable[[bytes], Any]:  # noqa: A002 - as in the protocol
        return _guarded(msgspec.msgpack.Decoder(type).decode, type, msgpack_too_deep, msgpack_flood)


_json_encode = msgspec.json.Encoder().encode
_msgpack_encode = msgspec.msgpack.Encoder().encode

JSON: Final[Codec] = _Json()
"""JSON as msgspec writes it; refuses NaN and infinity, which it has no form for."""
MSGPACK: Final[Codec] = _Msgpack()
"""MessagePack as msgspec writes it; integers of at most 64 bits."""

_BY_NAME: Final = {
    "json": JSON,
    "application/json": JSON,
    "msgpack": MSGPACK,
    "application/msgpack": MSGPACK,
    "application/x-msgpack": MSGPACK,
}


def codec_named(name: str) -> Codec:
    """Return the codec for `json`, `msgpack` or a content type, whose parameters are ignored.

    Raises `ValueError` for any other name.
    """
    codec = _BY_NAME.get(name) or _BY_NAME.get(name.partition(";")[0].strip().lower())
    if codec is None:
        msg = f"no codec for {name[:60]!r}: use {JSON.content_type} or {MSGPACK.content_type}"
        raise ValueError(msg)
    return codec


def sized(decode: Callable[[bytes], Any], limit: int) -> Callable[[bytes], Any]:
    """Return `decode`, which raises `DecodeError` for a body of more than `limit` bytes."""

    def decode_sized(body: bytes) -> Any:
        if len(body) > limit:
            raise DecodeError(f"{len(body)} bytes are more than the {limit} of max_body_bytes")
        return decode(body)

    return decode_sized


def _guarded(
    decode: Callable[[bytes], Any],
    type: Any,  # noqa: A002 - as in the protocol
    too_deep: Callable[[bytes], bool],
    flood: Callable[[Hashing, bytes], str | None],
) -> Callable[[bytes], Any]:
    try:
        nests, hashing = _traits(type)
    except TypeError:  # an annotation that can't be hashed
        nests, hashing = _traits.__wrapped__(type)

    def guarded(body: bytes) -> Any:
        try:
            if len(body) > MAX_DEPTH:  # else it can neither nest deeper, nor flood
                # Where the type bounds the depth, msgspec recurses beyond it only to skip what is
                # not known: its own limit does there, and looking would cost more than decoding.
                if (nests or not stack_is_usual()) and too_deep(body):
                    raise RecursionError
                if hashing and (problem := flood(hashing, body)):
                    raise DecodeError(problem)
            return decode(body)
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(_printable(_decode_problem(error))) from None

    return guarded


@lru_cache(maxsize=256)  # each channel and server asks for the types of its contracts
def _traits(type: Any) -> tuple[bool, Hashing]:  # noqa: A002 - as in the protocol
    described = info.type_info(type)
    return may_nest(described), hashing_of(described)


def _printable(text: str) -> str:
    """Return `text` on one line and cut to size: what a type's own checks say may hold anything."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_MAX_TEXT])
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."


_ECHO = re.compile(r"(Invalid enum value|Invalid value|Object contains unknown field)\b")
_PATH = re.compile(r" - at `(key` in `)?\$[\w.\[\] -]*`$")


def _decode_problem(error: Exception) -> str:
    match error:
        case msgspec.DecodeError():
            return _scrubbed(str(error))
        case UnicodeDecodeError():
            return "a string is not valid UTF-8"
        case RecursionError():
            return "nested too deeply"
        case _:
            return f"{type(error).__name__} while the value was built"


def _scrubbed(message: str) -> str:
    # Of msgspec's messages these three hold input: what a peer sent must not come back in a log.
    echo = _ECHO.match(message)
    if echo is None:
        return message
    path = _PATH.search(message)
    return echo[1] + (path[0] if path else "")


def _encode_problem(error: Exception) -> str:
    match error:
        case RecursionError():
            return "nested too deeply, or contains itself"
        case UnicodeEncodeError():
            return "a string holds a lone surrogate, which UTF-8 cannot carry"
        case TypeError() | OverflowError() | EncodeError():
            return str(error)
        case _:
            return f"{type(error).__name__} while the value was read"


_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def _refuse_non_finite(value: object) -> None:
    # msgspec writes NaN and infinity as null without a word. Wherever null stands, look again:
    # for the bytes that such a double has in msgpack, which costs little, and then for certain.
    try:
        if not _NON_FINITE.search(_msgpack_encode(value)):
            return
    except OverflowError:
        pass  # an integer beyond 64 bits, which JSON does carry
    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_opaque)
    try:
        json.dumps(plain, allow_nan=False)
    except ValueError:
        raise EncodeError("a float is NaN or infinite, which JSON cannot carry") from None


def _opaque(_raw: object) -> None:
    """Stand in for what is encoded already: `msgspec.Raw`, which holds no float."""
