# ruff: noqa: F821, UP006, UP035, UP045 - contracts may be written in older ways, or wrong

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import (
    Annotated,
    Any,
    Generic,
    List,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
)

import msgspec
import pytest

from contracts.annotation import key_problem, problems_of

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 1


class Point(NamedTuple):
    x: int


class Row(TypedDict):
    id: int


@dataclasses.dataclass
class Item:
    name: str


@dataclasses.dataclass(frozen=True)
class FrozenItem:
    name: str


class Node(msgspec.Struct):
    value: int
    children: list["Node"] = []


class Key(msgspec.Struct, frozen=True):
    id: int


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Loose(msgspec.Struct):
    name: str
    extra: dict[str, Any]


class Holder(msgspec.Struct):
    loose: list[Loose]


class Dangling(msgspec.Struct):
    other: "Nowhere"


@pytest.mark.parametrize(
    "annotation",
    [
        None,
        int,
        float,
        bool,
        str,
        bytes,
        bytearray,
        Colour,
        UserId,
        Literal["a", 1],
        dt.datetime,
        dt.timedelta,
        uuid.UUID,
        decimal.Decimal,
        Point,
        Row,
        Item,
        Node,
        Page[int],
        int | None,
        Optional[str],
        List[int],
        int | str | list[int],
        Annotated[int, msgspec.Meta(ge=0)],
        Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(max_length=9)],
        set[int],
        frozenset[tuple[int, str]],
        set[Key],
        tuple[int, ...],
        dict[str, list[Node]],
        dict[uuid.UUID, int],
        dict[Colour, float],
        dict[int | uuid.UUID, float],
        dict[Annotated[str, msgspec.Meta(min_length=1)], float],
        set[FrozenItem],
        collections.abc.Sequence[int],
        collections.abc.Mapping[str, int],
        msgspec.Raw,
    ],
    ids=str,
)
def test_what_msgspec_supports_can_travel(annotation):
    assert problems_of(annotation) == []


MANY_STR = (
    "Type unions may not contain more than one str-like type (`str`, `Enum`,"
    " `Literal[str values]`, `datetime`, `date`, `time`, `timedelta`, `uuid`, `decimal`,"
    " `bytes`, `bytearray`)"
)
CARRY = "cannot be carried; use a msgspec.Struct, a dataclass or a type that msgspec supports"
BESIDE = (
    "has keys of `str` and of numbers, which JSON writes as text and would return as `str`;"
    " use one of them"
)
CHECK = "nothing can check it; write the type that is meant"


@pytest.mark.parametrize(
    ("annotation", "problems"),
    [
        (Any, [f"`Any`: {CHECK}"]),
        (object, [f"`object`: {CHECK}"]),
        (list[Any], [f"`Any` in `list[Any]`, at `[...]`: {CHECK}"]),
        (list, ["`list` does not say of what; write it: `list[int]`"]),
        (dict, ["`dict` does not say of what; write it: `dict[str, int]`"]),
        (tuple, ["`tuple` does not say of what; write it: `tuple[int, ...]`"]),
        (dict[str, list], [f"`Any` in `dict[str, list]`, at `[...][...]`: {CHECK}"]),
        (Loose, [f"`Any` in `Loose`, at `.extra[...]`: {CHECK}"]),
        (Holder, [f"`Any` in `Holder`, at `.loose[...].extra[...]`: {CHECK}"]),
        (tuple[int, Any], [f"`Any` in `tuple[int, Any]`, at `[1]`: {CHECK}"]),
        (
            tuple[complex, range],
            [
                f"`complex` in `tuple[complex, range]`, at `[0]` {CARRY}",
                f"`range` in `tuple[complex, range]`, at `[1]` {CARRY}",
            ],
        ),
        (complex, [f"`complex` {CARRY}"]),
        (type[int], [f"`type` {CARRY}"]),
        (collections.abc.Callable[[], int], [f"`Callable` {CARRY}"]),
        (T, ["`T` leaves `T` open; write the type that is meant"]),
        (list[T], ["`list[T]` leaves `T` open; write the type that is meant"]),
        (Page, ["`Page` leaves `T` open; write the type that is meant"]),
        (str | uuid.UUID, [f"`str | UUID` cannot be carried: {MANY_STR}"]),
        (
            Node | Key,
            [
                (
                    "`Node | Key` cannot be carried:"
                    " If a type union contains multiple Struct types,"
                    " all Struct types must be tagged (via `tag` or `tag_field` kwarg)"
                )
            ],
        ),
        (
            Dangling,
            [
                (
                    "`Dangling` cannot be carried: name 'Nowhere' is not defined,"
                    " which some type in it refers to"
                )
            ],
        ),
        (
            collections.abc.Iterator[int],
            ["`Iterator`: streams are not supported yet; use `list`"],
        ),
        (
            collections.abc.AsyncIterator[int],
            ["`AsyncIterator`: streams are not supported yet; use `list`"],
        ),
        (
            collections.abc.Awaitable[int],
            ["`Awaitable`: write `async def` and the type that is awaited"],
        ),
        (msgspec.msgpack.Ext, ["`Ext` exists in msgpack alone; use bytes"]),
        (
            dict[tuple[int, int], int],
            ["a dict has keys that JSON cannot carry; use str, int or another plain type"],
        ),
        (
            list[dict[bool, int]],
            [
                (
                    "a dict in `list[dict[bool, int]]`, at `[...]` has keys that JSON cannot carry;"
                    " use str, int or another plain type"
                )
            ],
        ),
        (dict[int | str, int], [f"a dict {BESIDE}"]),
        (dict[str | float, int], [f"a dict {BESIDE}"]),
        (dict[Literal[1] | str, int], [f"a dict {BESIDE}"]),
        (
            list[dict[Level | str, int]],
            [f"a dict in `list[dict[Level | str, int]]`, at `[...]` {BESIDE}"],
        ),
        (set[Item], ["a set has members that no set can hold"]),
        (set[list[int]], ["a set has members that no set can hold"]),
        (frozenset[tuple[Node, ...]], ["a set has members that no set can hold"]),
        (set[tuple[int, dict[str, int]]], ["a set has members that no set can hold"]),
        ("Nowhere", ["`'Nowhere'` cannot be carried: Type ''Nowhere'' is not supported"]),
    ],
    ids=str,
)
def test_what_cannot_travel_is_told_with_its_place(annotation, problems):
    assert problems_of(annotation) == problems


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        int,
        bytes,
        uuid.UUID,
        UserId,
        int | None,
        str | int,
        Annotated[str, msgspec.Meta(title="x")],
    ],
    ids=str,
)
def test_these_types_are_routing_keys(annotation):
    assert key_problem(annotation) is None


@pytest.mark.parametrize(
    "annotation", [float, bool, list[int], Node, Colour, dt.date, int | float], ids=str
)
def test_others_are_not(annotation):
    problem = key_problem(annotation)

    assert problem is not None
    assert problem.endswith("is no routing key; use a str, an int, a UUID or bytes")
