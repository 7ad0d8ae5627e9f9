"""Which classes a result may have, to tell a handler's slip before it reaches the wire."""

import datetime as dt
import decimal
import typing
import uuid
from typing import Any

from msgspec import inspect as info

__all__ = ["classes_of"]

_SIMPLE: dict[type[info.Type], tuple[type, ...]] = {
    info.NoneType: (type(None),),
    info.BoolType: (bool,),
    info.IntType: (int,),
    info.FloatType: (float, int),
    info.StrType: (str,),
    info.BytesType: (bytes, bytearray, memoryview),
    info.ByteArrayType: (bytes, bytearray, memoryview),
    info.MemoryViewType: (bytes, bytearray, memoryview),
    info.DateTimeType: (dt.datetime,),
    info.DateType: (dt.date,),
    info.TimeType: (dt.time,),
    info.TimeDeltaType: (dt.timedelta,),
    info.UUIDType: (uuid.UUID,),
    info.DecimalType: (decimal.Decimal,),
    info.ListType: (list, tuple, set, frozenset),
    info.SetType: (list, tuple, set, frozenset),
    info.FrozenSetType: (list, tuple, set, frozenset),
    info.VarTupleType: (list, tuple, set, frozenset),
    info.TupleType: (list, tuple),
    info.NamedTupleType: (list, tuple),
    info.DictType: (dict,),
    info.TypedDictType: (dict,),
}
"""By what msgspec makes of them: whatever has the same form on the wire may be right."""


def classes_of(annotation: Any) -> tuple[type, ...] | None:
    """Return the classes that a value of `annotation` may have, or None where any may be right."""
    return _classes(info.type_info(annotation))


def _classes(described: info.Type) -> tuple[type, ...] | None:
    match described:
        case info.Metadata(type=inner):
            return _classes(inner)
        case info.UnionType(types=types):
            each = [_classes(part) for part in types]
            return None if None in each else sum(filter(None, each), ())
        case info.EnumType(cls=cls):
            return (cls,)
        case info.LiteralType(values=values):
            return tuple({type(value) for value in values})
        case info.StructType(cls=cls) | info.DataclassType(cls=cls):
            return (typing.get_origin(cls) or cls,)
        case _:
            return _SIMPLE.get(type(described))
