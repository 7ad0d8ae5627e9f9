"""Which types can travel, in JSON and in msgpack, and why another cannot."""

import collections.abc
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect as info

from contracts.signature import show

__all__ = ["key_problem", "problems_of"]

_STREAMS: Final = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)
_BARE: Final = {
    list: "list[int]",
    set: "set[int]",
    frozenset: "frozenset[int]",
    tuple: "tuple[int, ...]",
    dict: "dict[str, int]",
}
_WAITING: Final = (collections.abc.Awaitable, collections.abc.Coroutine)

_ITEMS = (info.ListType, info.SetType, info.FrozenSetType, info.VarTupleType)
_RECORDS = (info.StructType, info.DataclassType, info.TypedDictType, info.NamedTupleType)
_KEYS = (
    info.StrType,
    info.IntType,
    info.FloatType,
    info.BytesType,
    info.EnumType,
    info.LiteralType,
    info.DateTimeType,
    info.DateType,
    info.TimeType,
    info.TimeDeltaType,
    info.UUIDType,
    info.DecimalType,
)
_ROUTING = (info.StrType, info.IntType, info.UUIDType, info.BytesType)


def problems_of(annotation: Any) -> list[str]:
    """Return why values of type `annotation` cannot travel; nothing if they can."""
    if isinstance(annotation, type) and annotation in _BARE:
        return [f"`{show(annotation)}` does not say of what; write it: `{_BARE[annotation]}`"]
    open_type = isinstance(annotation, TypeVar)
    variables = (annotation,) if open_type else getattr(annotation, "__parameters__", ())
    if variables:
        named = ", ".join(f"`{show(variable)}`" for variable in variables)
        return [f"`{show(annotation)}` leaves {named} open; write the type that is meant"]
    try:
        described = info.type_info(annotation)
        msgspec.json.Decoder(annotation)
        msgspec.msgpack.Decoder(annotation)
    except Exception as error:  # also whatever a nested forward reference raises
        return [f"`{show(annotation)}` cannot be carried: {_reason(error)}"]
    return list(_walk(described, "", set(), lambda path: _within(annotation, path)))


def key_problem(annotation: Any) -> str | None:
    """Return why values of `annotation` are no routing keys, or None if they are."""
    described = info.type_info(annotation)
    parts = described.types if isinstance(described, info.UnionType) else (described,)
    fit = (*_ROUTING, info.NoneType)
    if all(isinstance(_bare(part), fit) for part in parts):
        return None
    return f"`{show(annotation)}` is no routing key; use a str, an int, a UUID or bytes"


def _reason(error: Exception) -> str:
    text = re.sub(r" - type `.*$", "", str(error), flags=re.DOTALL)
    return f"{text}, which some type in it refers to" if isinstance(error, NameError) else text


def _within(annotation: Any, path: str) -> str:
    return f" in `{show(annotation)}`, at `{path}`" if path else ""


def _bare(described: info.Type) -> info.Type:
    return described.type if isinstance(described, info.Metadata) else described


def _walk(
    described: info.Type, path: str, seen: set[Any], within: Callable[[str], str]
) -> Iterator[str]:
    described = _bare(described)
    problem = _own_problem(described)
    if problem:
        yield problem.format(within(path))
    for nested, step in _nested(described, seen):
        yield from _walk(nested, path + step, seen, within)


def _nested(described: info.Type, seen: set[Any]) -> Iterator[tuple[info.Type, str]]:
    if isinstance(described, _ITEMS):
        yield described.item_type, "[...]"
    elif isinstance(described, info.TupleType):
        yield from ((item, f"[{index}]") for index, item in enumerate(described.item_types))
    elif isinstance(described, info.DictType):
        yield described.key_type, "[key]"
        yield described.value_type, "[...]"
    elif isinstance(described, info.UnionType):
        yield from ((part, "") for part in described.types)
    elif isinstance(described, _RECORDS) and described.cls not in seen:
        seen.add(described.cls)
        yield from ((field.type, f".{field.name}") for field in described.fields)


def _own_problem(described: info.Type) -> str | None:
    match described:
        case info.AnyType():
            return "`Any`{}: nothing can check it; write the type that is meant"
        case info.CustomType(cls=cls):
            return _custom(cls)
        case info.ExtType():
            return "`Ext`{} exists in msgpack alone; use bytes"
        case info.DictType(key_type=key) if not _json_key(key):
            return "a dict{} has keys that JSON cannot carry; use str, int or another plain type"
        case info.DictType(key_type=key) if _numbers_beside_str(key):
            return (
                "a dict{} has keys of `str` and of numbers, which JSON writes as text and would"
                " return as `str`; use one of them"
            )
        case info.SetType(item_type=item) | info.FrozenSetType(item_type=item):
            return None if _hashable(item) else "a set{} has members that no set can hold"
        case _:
            return None


def _custom(cls: Any) -> str:
    if cls is object:
        return "`object`{}: nothing can check it; write the type that is meant"
    if cls in _STREAMS:
        return f"`{show(cls)}`{{}}: streams are not supported yet; use `list`"
    if cls in _WAITING:
        return f"`{show(cls)}`{{}}: write `async def` and the type that is awaited"
    return (
        f"`{show(cls)}`{{}} cannot be carried;"
        " use a msgspec.Struct, a dataclass or a type that msgspec supports"
    )


def _json_key(described: info.Type) -> bool:
    described = _bare(described)
    if isinstance(described, info.UnionType):
        return all(_json_key(part) for part in described.types)
    return isinstance(described, (*_KEYS, info.AnyType))


def _numbers_beside_str(key: info.Type) -> bool:
    # Of what else JSON writes as text msgspec itself lets nothing stand beside a str.
    key = _bare(key)
    return isinstance(key, info.UnionType) and any(
        isinstance(_bare(part), info.StrType) for part in key.types
    )


def _hashable(described: info.Type) -> bool:
    match _bare(described):
        case info.ListType() | info.SetType() | info.DictType() | info.TypedDictType():
            return False
        case info.TupleType(item_types=items):
            return all(_hashable(item) for item in items)
        case info.VarTupleType(item_type=item):
            return _hashable(item)
        case info.StructType(cls=cls) if cls.__hash__ is msgspec.Struct.__hash__:
            return cls.__struct_config__.frozen or not cls.__struct_config__.eq
        case info.DataclassType(cls=cls):
            return cls.__hash__ is not None
        case _:
            return True
