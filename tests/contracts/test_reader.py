# ruff: noqa: F821, RUF013 - contracts with mistakes, and errors as contracts name them

import asyncio
import inspect
import math
import sys
from collections.abc import AsyncIterator, Iterator
from functools import wraps
from typing import Any, Protocol

import pytest

from contracts import Code, Method, RpcError, method
from contracts.reader import method_problems, method_spec


class NotFound(RpcError, code=Code.NOT_FOUND):
    user_id: int


class SameName(RpcError, code=Code.ABORTED, name="NotFound"):
    pass


class Impostor(RpcError, code=Code.UNAVAILABLE, name="Unavailable"):
    pass


class Untravelled(RpcError, code=Code.ABORTED):
    value: complex
    extra: dict[str, Any]


class Owner:
    """The class that the methods below are said to be in."""

    class Inner:
        pass


def _named(function, name, /, **options):
    made = Method(function, **options)
    made.__set_name__(Owner, name)
    return made


def _well(self, a: int, b: "list[int] | None" = None, /, *, c: str = "x") -> None: ...


def test_a_method_that_can_work_has_no_problems():
    options = {"timeout": 1, "idempotent": True, "raises": [NotFound], "key": "a", "name": "well"}

    assert method_problems(_named(_well, "well", **options), Owner) == []


def test_what_it_says_is_read():
    spec = method_spec("users.v2", Owner, Method(_well, timeout=1, raises=[NotFound], name="well"))

    assert (spec.service, spec.name, spec.full_name) == ("users.v2", "well", "users.v2.well")
    assert (spec.attribute, spec.timeout, spec.idempotent, spec.key) == ("_well", 1.0, False, None)
    assert (spec.errors, spec.doc) == ({"NotFound": NotFound}, None)
    assert spec.result is type(None)
    assert list(spec.signature.parameters) == ["a", "b", "c"]
    assert (spec.keyword_only, spec.arguments.__name__) == (("c",), "Owner__well")


def _no_type(self, a) -> None: ...
def _no_result(self): ...
def _args(self, *args: int) -> None: ...
def _args_alone(*args: int) -> None: ...
def _kwargs(self, **kwargs: int) -> None: ...
def _any(self, a: Any) -> Any: ...
def _unresolved(self, a: "Nowhere") -> "Elsewhere": ...
def _inner(self, a: "Inner") -> None: ...
def _private(self, _a: int) -> None: ...
def _default(self, a: int = None) -> None: ...
def _selfless() -> None: ...


def _stream(self) -> Iterator[int]: ...
def _async_stream(self) -> AsyncIterator[int]: ...
def _generator(self) -> int:
    yield 1


async def _async_generator(self) -> int:
    yield 1


PLACE = "define or import it at the top of the contract's module, not under TYPE_CHECKING"


@pytest.mark.parametrize(
    ("function", "problems"),
    [
        (_no_type, [("a", "has no type; write one, such as `a: int`")]),
        (_no_result, [(None, "has no result type; write one, such as `-> None`")]),
        (_args, [("args", "takes any number of arguments; name each, or take a `list`")]),
        (_args_alone, [("args", "takes any number of arguments; name each, or take a `list`")]),
        (_kwargs, [("kwargs", "takes arguments of any name; name each, or take a `dict`")]),
        (
            _any,
            [
                ("a", "`Any`: nothing can check it; write the type that is meant"),
                (None, "the result: `Any`: nothing can check it; write the type that is meant"),
            ],
        ),
        (
            _unresolved,
            [
                (
                    "a",
                    (
                        "has a type that cannot be resolved"
                        f" (NameError: name 'Nowhere' is not defined); {PLACE}"
                    ),
                ),
                (
                    None,
                    (
                        "the result has a type that cannot be resolved"
                        f" (NameError: name 'Elsewhere' is not defined); {PLACE}"
                    ),
                ),
            ],
        ),
        (
            _inner,
            [
                (
                    "a",
                    (
                        "`Inner` cannot be carried;"
                        " use a msgspec.Struct, a dataclass or a type that msgspec supports"
                    ),
                )
            ],
        ),
        (_private, [("_a", "has a private name, but goes by it on the wire; rename it")]),
        (_default, [("a", "its default None is no `int`: Expected `int`, got `null`")]),
        (_selfless, [(None, "takes no `self`; write it as the first parameter")]),
        (
            _stream,
            [(None, "the result: `Iterator`: streams are not supported yet; use `list`")],
        ),
        (
            _async_stream,
            [(None, "the result: `AsyncIterator`: streams are not supported yet; use `list`")],
        ),
        (_generator, [(None, "is a generator; streams are not supported yet: return a `list`")]),
        (
            _async_generator,
            [(None, "is a generator; streams are not supported yet: return a `list`")],
        ),
    ],
)
def test_a_signature_that_cannot_work_is_told_by_parameter(function, problems):
    found = method_problems(_named(function, "get"), Owner)

    assert found == problems


def _plain(self, user_id: int, rate: float) -> None: ...


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"timeout": value},
            (
                f"has the timeout {value!r};"
                " it must be a number of seconds above 0, and at most 9e+12"
            ),
        )
        for value in [0, -1.0, 1e13, sys.float_info.max, math.inf, math.nan, True, "1"]
    ]
    + [
        (
            {"name": name},
            (
                f"has the name {name!r} on the wire;"
                " it must be 1 to 100 of A-Z, a-z, 0-9, '_' and '-': give one by `name=`"
            ),
        )
        for name in ["", "a.b", "a b", "größe", "x" * 101, 7]
    ]
    + [
        (
            {"key": "user"},
            "has the key 'user', which is no parameter of it; there are: 'user_id', 'rate'",
        ),
        (
            {"raises": [ValueError]},
            "`raises` lists ValueError, which is no RpcError; derive it from RpcError, with a code",
        ),
        (
            {"raises": [RpcError]},
            "`raises` lists RpcError itself, which has no code; declare an error of your own",
        ),
        (
            {"raises": [NotFound, SameName]},
            "`raises` lists two errors called 'NotFound'; give one another `name=`",
        ),
        (
            {"raises": [Impostor]},
            (
                "`raises` lists Impostor, called as an error of the library is;"
                " give it another `name=`"
            ),
        ),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_told(options, problem):
    found = method_problems(_named(_plain, "get", **options), Owner)

    assert found == [(None, problem)]


def test_a_key_of_an_unfit_type_is_told_at_its_parameter():
    found = method_problems(_named(_plain, "get", key="rate"), Owner)

    assert found == [
        ("rate", "`float` is no routing key; use a str, an int, a UUID or bytes"),
    ]


def test_a_key_without_a_type_is_told_once():
    found = method_problems(_named(_no_type, "get", key="a"), Owner)

    assert found == [("a", "has no type; write one, such as `a: int`")]


def test_every_field_of_an_error_that_cannot_travel_is_told():
    found = method_problems(_named(_plain, "get", raises=[Untravelled]), Owner)

    assert found == [
        (
            None,
            (
                "`raises` lists Untravelled, which cannot travel: `complex` in `Untravelled`,"
                " at `.value` cannot be carried;"
                " use a msgspec.Struct, a dataclass or a type that msgspec supports"
            ),
        ),
        (
            None,
            (
                "`raises` lists Untravelled, which cannot travel: `Any` in `Untravelled`,"
                " at `.extra[...]`: nothing can check it; write the type that is meant"
            ),
        ),
    ]


def test_an_error_declared_twice_in_one_list_is_no_problem():
    assert method_problems(_named(_plain, "get", raises=[NotFound, NotFound]), Owner) == []


@pytest.mark.parametrize(
    "unfit", [staticmethod(_selfless), classmethod(_plain), property(_no_result), int]
)
def test_what_is_no_plain_method_is_told(unfit):
    made = Method(unfit)

    assert method_problems(made, Owner) == [
        (None, "is no plain method; put `@method` on a `def` or `async def` with `self`")
    ]


def test_a_decorator_between_is_looked_through():
    def timed(function):
        @wraps(function)
        async def timing(*args, **kwargs):
            return await function(*args, **kwargs)

        return timing

    class Users(Protocol):
        @method
        @timed
        async def get(self, user_id: int) -> int:
            return user_id

    spec = method_spec("Users", Users, Users.get)

    assert method_problems(Users.get, Users) == []
    assert str(spec.signature) == "(user_id: int) -> int"
    assert inspect.iscoroutinefunction(Users.get.function)
    assert asyncio.run(Users.get.function(None, 3)) == 3
