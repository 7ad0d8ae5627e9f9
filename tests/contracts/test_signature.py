# ruff: noqa: F722, F821, RUF036, UP006, UP007, UP035, UP045 - older ways, and mistakes

import inspect
from typing import (
    Annotated,
    ClassVar,
    Dict,
    List,
    Literal,
    Optional,
    Union,
)

import msgspec
import pytest

from contracts.signature import RETURN, difference, is_class_variable, resolve, show, show_signature


class User(msgspec.Struct):
    id: int


class Admin(User):
    rights: list[str]


def _signature(function):
    signature, failures = resolve(inspect.signature(function), globals(), {})

    assert failures == {}
    return signature


def test_strings_are_resolved_in_the_module_and_the_class():
    def get(user_id: "int", where: "Inner", *, full: "bool" = False) -> "User": ...

    signature, failures = resolve(inspect.signature(get), globals(), {"Inner": float})

    assert failures == {}
    assert [p.annotation for p in signature.parameters.values()] == [int, float, bool]
    assert signature.return_annotation is User
    assert signature.parameters["full"].default is False


def test_constraints_are_kept():
    bounded = Annotated[int, msgspec.Meta(ge=0)]

    def get(user_id: bounded): ...

    assert _signature(get).parameters["user_id"].annotation == bounded


def test_what_cannot_be_resolved_is_told_and_counts_as_missing():
    def get(a: "Nowhere", b: "1 +", c: int) -> "User.nothing": ...

    signature, failures = resolve(inspect.signature(get), globals(), {})

    assert failures["a"] == "NameError: name 'Nowhere' is not defined"
    assert failures["b"].startswith("SyntaxError: ")
    assert failures[RETURN].startswith("AttributeError: ")
    assert signature.parameters["a"].annotation is inspect.Parameter.empty
    assert signature.parameters["c"].annotation is int


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (User, "User"),
        (None, "None"),
        (list[User] | None, "list[User] | None"),
        (Optional[User], "Optional[User]"),
        (Annotated[float, msgspec.Meta(ge=1.5)], "Annotated[float, Meta(ge=1.5)]"),
        (Literal["a.b", 1], "Literal['a.b', 1]"),
    ],
)
def test_an_annotation_is_shown_without_modules(annotation, text):
    assert show(annotation) == text


def test_a_signature_is_shown_without_modules():
    def get(user: User, /, *, tags: list[User], bound: float = 1.5) -> None: ...

    assert show_signature(inspect.signature(get)) == (
        "(user: User, /, *, tags: list[User], bound: float = 1.5) -> None"
    )


def _contract(a: int, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> User: ...


def _same(a: int, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> User: ...
def _bare(a, b="x", *, d=1.0, c): ...
def _older(a: int, b: str = "x", *, c: Optional[List[int]], d: float = 1.0) -> User: ...
def _bounded(
    a: Annotated[int, msgspec.Meta(ge=1)],
    b: str = "x",
    *,
    c: Union[None, list[int]],
    d=1.0,
) -> Annotated[User, "doc"]: ...
def _narrower(a: int, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> Admin: ...


@pytest.mark.parametrize("found", [_same, _bare, _older, _bounded, _narrower])
def test_these_stand_for_the_contract(found):
    assert difference(_signature(_contract), _signature(found)) is None


def _missing(a: int, *, c: list[int] | None, d: float = 1.0) -> User: ...
def _more(a: int, b: str = "x", e: int = 1, *, c: list[int] | None, d: float = 1.0) -> User: ...
def _renamed(user: int, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> User: ...
def _swapped(b: str = "x", a: int = 1, *, c: list[int] | None, d: float = 1.0) -> User: ...
def _kind(a: int, *, b: str = "x", c: list[int] | None, d: float = 1.0) -> User: ...
def _default(a: int, b: str = "y", *, c: list[int] | None, d: float = 1.0) -> User: ...
def _undefaulted(a: int, b: str, *, c: list[int] | None, d: float = 1.0) -> User: ...
def _likely(a: int, b: str = "x", *, c: list[int] | None, d: float = True) -> User: ...
def _typed(a: str, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> User: ...
def _nested(a: int, b: str = "x", *, c: list[str] | None, d: float = 1.0) -> User: ...
def _result(a: int, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> None: ...
def _optional(a: int, b: str = "x", *, c: list[int] | None, d: float = 1.0) -> User | None: ...


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (_missing, "parameter 'b' is missing"),
        (_more, "parameter 'e' is not in the contract"),
        (_renamed, "parameter 'a' is missing"),
        (_swapped, "the parameters stand in another order, or are of another kind"),
        (_kind, "the parameters stand in another order, or are of another kind"),
        (_default, "parameter 'b' has another default"),
        (_undefaulted, "parameter 'b' has another default"),
        (_likely, "parameter 'd' has another default"),
        (_typed, "parameter 'a' is `str`, not `int`"),
        (_nested, "parameter 'c' is `list[str] | None`, not `list[int] | None`"),
        (_result, "the result is `None`, not `User`"),
        (_optional, "the result is `User | None`, not `User`"),
    ],
)
def test_these_do_not_and_the_first_difference_is_told(found, told):
    assert difference(_signature(_contract), _signature(found)) == told


def test_older_and_newer_ways_to_write_a_type_are_equal_deep_inside():
    def old(a: Dict[str, List[Optional[int]]]): ...

    def new(a: dict[str, list[int | None]]): ...

    assert difference(_signature(old), _signature(new)) is None


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (ClassVar[int], True),
        ("ClassVar[int]", True),
        ("typing.ClassVar", True),
        (int, False),
        ("int", False),
        ("MyClassVar", False),
    ],
)
def test_class_variables_are_told_before_they_are_resolved(annotation, expected):
    assert is_class_variable(annotation) is expected
