import dataclasses
import datetime as dt
import enum
import uuid
from typing import Annotated, Generic, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest

from contracts.result import classes_of

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class User(msgspec.Struct):
    id: int


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Point(NamedTuple):
    x: int


class Row(TypedDict):
    id: int


@dataclasses.dataclass
class Item:
    name: str


@pytest.mark.parametrize(
    ("annotation", "classes"),
    [
        (None, {type(None)}),
        (bool, {bool}),
        (int, {int}),
        (float, {float, int}),
        (str, {str}),
        (bytes, {bytes, bytearray, memoryview}),
        (Colour, {Colour}),
        (User, {User}),
        (Page[int], {Page}),
        (Item, {Item}),
        (Row, {dict}),
        (Point, {list, tuple}),
        (uuid.UUID, {uuid.UUID}),
        (dt.datetime, {dt.datetime}),
        (list[int], {list, tuple, set, frozenset}),
        (dict[str, int], {dict}),
        (Literal["a", 1], {str, int}),
        (User | None, {User, type(None)}),
        (Annotated[int, msgspec.Meta(ge=0)], {int}),
        (Annotated[User, msgspec.Meta(title="x")], {User}),
    ],
    ids=lambda one: "classes" if isinstance(one, set) else str(one),  # a set has no order
)
def test_the_classes_are_those_with_the_same_form_on_the_wire(annotation, classes):
    found = classes_of(annotation)

    assert found is not None
    assert set(found) == classes


@pytest.mark.parametrize("annotation", [msgspec.Raw, msgspec.Raw | None], ids=str)
def test_any_class_may_be_right_where_nothing_is_known(annotation):
    assert classes_of(annotation) is None
