"""The form that errors have on the wire, and the way there and back."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect as info

from contracts.codec import EncodeError
from contracts.errors import LIBRARY_ERRORS, Certainty, Code, RpcError, fields_of
from contracts.flooding import Hashing, hashing_of, json_flood

__all__ = ["ErrorBody", "from_wire", "to_wire"]


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as it travels; the names are fixed. Only `code` must be there to be read."""

    code: str
    type: str = ""
    """The error's `wire_name`, by which a declared one finds its class."""
    message: str = ""
    details: dict[str, object] = {}
    """The declared fields and other details, as plain values that every codec carries."""
    certainty: str = Certainty.UNKNOWN.value
    error_id: str | msgspec.UnsetType = msgspec.UNSET
    """Absent where nothing was logged under an id."""


def to_wire(error: RpcError) -> ErrorBody:
    """Return `error` as it travels; raises `EncodeError` where its fields or details cannot."""
    try:
        # A struct writes its fields by the names that it reads, which may be others than Python's.
        fields = error.fields_type(**fields_of(error))
        details = {
            **msgspec.to_builtins({**error.details}, str_keys=True),
            **msgspec.to_builtins(fields, str_keys=True),
        }
    except Exception as problem:
        detail = f"{error.wire_name} cannot travel: {type(problem).__name__} in its details"
        raise EncodeError(detail) from None
    return ErrorBody(
        code=error.code.value,
        type=error.wire_name,
        message=error.message,
        details=details,
        certainty=error.certainty.value,
        error_id=msgspec.UNSET if error.error_id is None else error.error_id,
    )


def from_wire(body: ErrorBody, declared: Mapping[str, type[RpcError]]) -> RpcError:
    """Return the error that `body` describes, and never raise.

    It is of its own class if `declared`, or the library, has one of that name with that code whose
    fields the details fit. Otherwise it is a plain `RpcError` with the same code, message and
    details, and the type's name as `wire_name`. A code that is not known becomes UNKNOWN.
    """
    known = declared.get(body.type) or LIBRARY_ERRORS.get(body.type)
    if known is None or known.code != body.code:
        return _plain(body)
    try:
        if (hashing := _hashing(known.fields_type)) and json_flood(
            hashing, msgspec.json.encode(body.details)
        ):
            return _plain(body)
        fields = msgspec.convert(body.details, known.fields_type, str_keys=True)
        names = known.fields_type.__struct_encode_fields__
        details = {name: value for name, value in body.details.items() if name not in names}
        return _made(body, known, msgspec.structs.asdict(fields), details)
    except Exception:  # whatever a field's own type raises, or the class: the details do not fit
        return _plain(body)


@lru_cache(maxsize=256)  # the errors of a process's contracts
def _hashing(fields_type: Any) -> Hashing:
    return hashing_of(info.type_info(fields_type))


def _made(
    body: ErrorBody,
    make: Callable[..., RpcError],
    fields: Mapping[str, object],
    details: Mapping[str, object],
) -> RpcError:
    return make(
        message=body.message,
        certainty=_member(Certainty, body.certainty, Certainty.UNKNOWN),
        error_id=None if body.error_id is msgspec.UNSET else body.error_id,
        details=details,
        **fields,
    )


def _plain(body: ErrorBody) -> RpcError:
    code = _member(Code, body.code, Code.UNKNOWN)
    error = _made(body, RpcError, {"code": code}, body.details)
    if body.type:
        error.__dict__["wire_name"] = body.type
    return error


E = TypeVar("E", Code, Certainty)


def _member(enum: type[E], value: str, default: E) -> E:
    try:
        return enum(value)
    except ValueError:
        return default
