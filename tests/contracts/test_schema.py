import dataclasses
import enum
import inspect
import keyword
import math
import uuid
from inspect import Parameter, Signature
from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import JSON, MSGPACK
from contracts.schema import arguments_struct, default_problem, explain


def _signature(*parameters):
    return Signature([*parameters])


def _parameter(name, annotation, default=Parameter.empty, kind=Parameter.POSITIONAL_OR_KEYWORD):
    return Parameter(name, kind, default=default, annotation=annotation)


def _find(query: str, limit: int = 10, *, exact: bool, tags: list[str] = []): ...  # noqa: B006 - what is tested


Find = arguments_struct("Find", inspect.signature(_find))


@pytest.mark.parametrize(
    ("args", "kwargs", "values"),
    [
        (("a",), {"exact": True}, ("a", 10, True, [])),
        (("a", 3), {"exact": True, "tags": ["x"]}, ("a", 3, True, ["x"])),
        ((), {"exact": False, "limit": 2, "query": "q"}, ("q", 2, False, [])),
    ],
)
def test_the_struct_is_built_as_the_method_is_called(args, kwargs, values):
    assert msgspec.structs.astuple(Find(*args, **kwargs)) == values


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("a",), {}),
        (("a", 1, True), {}),
        (("a",), {"exact": True, "query": "b"}),
        (("a",), {"exact": True, "other": 1}),
    ],
)
def test_the_struct_refuses_what_the_method_refuses(args, kwargs):
    with pytest.raises(TypeError):
        Find(*args, **kwargs)

    with pytest.raises(TypeError):
        inspect.signature(_find).bind(*args, **kwargs)


def test_the_body_names_every_argument_in_the_order_of_the_signature():
    assert JSON.encode(Find("a", exact=True)) == b'{"query":"a","limit":10,"exact":true,"tags":[]}'


def test_arguments_of_newer_callers_are_ignored_and_missing_ones_default():
    body = b'{"query":"a","exact":true,"brand_new":[1]}'

    assert JSON.decoder(Find)(body) == Find("a", exact=True)


def test_constraints_hold_when_the_body_is_read():
    bounded = Annotated[int, msgspec.Meta(ge=1)]
    struct = arguments_struct("S", _signature(_parameter("n", bounded)))

    with pytest.raises(ValueError, match=r"Expected `int` >= 1 - at `\$.n`"):
        JSON.decoder(struct)(b'{"n":0}')


def test_a_default_that_can_change_is_made_anew_for_each_call():
    Find("a", exact=True).tags.append("x")

    assert Find("a", exact=True).tags == []


def test_arguments_are_frozen():
    with pytest.raises(AttributeError):
        Find("a", exact=True).query = "b"


def test_no_arguments_are_an_empty_object():
    struct = arguments_struct("S", _signature())

    assert JSON.encode(struct()) == b"{}"
    assert JSON.decoder(struct)(b"{}") == struct()


identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name)
)
names = identifiers | st.sampled_from(["self", "cls", "args", "kwargs", "type", "mro", "match"])
values = st.one_of(
    st.tuples(st.just(int), st.integers(-(2**63), 2**63)),
    st.tuples(st.just(str), st.text()),
    st.tuples(st.just(uuid.UUID), st.uuids()),
    st.tuples(
        st.just(list[float | None]),
        st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    ),
    st.tuples(st.just(bytes | None), st.none() | st.binary()),
)


@settings(deadline=None)
@given(
    positional=st.dictionaries(names, values, max_size=4),
    named=st.dictionaries(names, values, max_size=4),
)
def test_any_call_survives_both_codecs(positional, named):
    named = {name: value for name, value in named.items() if name not in positional}
    signature = _signature(
        *(_parameter(name, type_) for name, (type_, _) in positional.items()),
        *(_parameter(n, type_, kind=Parameter.KEYWORD_ONLY) for n, (type_, _) in named.items()),
    )
    struct = arguments_struct("S", signature)
    args = [value for _, value in positional.values()]
    kwargs = {name: value for name, (_, value) in named.items()}

    arguments = struct(*args, **kwargs)

    assert msgspec.structs.asdict(arguments) == signature.bind(*args, **kwargs).arguments
    for codec in (JSON, MSGPACK):
        assert codec.decoder(struct)(codec.encode(arguments)) == arguments


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int = 0


@dataclasses.dataclass
class Place:
    x: int = 0


@dataclasses.dataclass(frozen=True)
class FrozenPlace:
    x: int = 0


class FrozenPoint(msgspec.Struct, frozen=True):
    x: int = 0


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (int, Parameter.empty),
        (int, 1),
        (float, 1),
        (int | None, None),
        (Colour, Colour.RED),
        (list[int], []),
        (tuple[int, ...], (1, 2)),
        (uuid.UUID, uuid.UUID(int=1)),
        (FrozenPoint, FrozenPoint(3)),
        (FrozenPlace, FrozenPlace(3)),
        (set[int], set()),
        (dict[str, int], {}),
        (bytearray, bytearray()),
        (int | msgspec.UnsetType, msgspec.UNSET),
    ],
)
def test_a_default_of_the_type_can_stand(annotation, default):
    assert default_problem(_parameter("p", annotation, default)) is None


@pytest.mark.parametrize(
    ("annotation", "default", "problem"),
    [
        (int, None, "its default None is no `int`: Expected `int`, got `null`"),
        (int, "x", "its default 'x' is no `int`: Expected `int`, got `str`"),
        (int, True, "its default True is no `int`: Expected `int`, got `bool`"),
        (
            Annotated[int, msgspec.Meta(ge=1)],
            0,
            "its default 0 is no `Annotated[int, Meta(ge=1)]`: Expected `int` >= 1",
        ),
        (
            float,
            math.nan,
            "its default nan is no `float`: a float is NaN or infinite, which JSON cannot carry",
        ),
        (list[int], [1], "its default [1] can be changed by whoever gets it; use None"),
        (Point, Point(1), "its default Point(x=1) can be changed by whoever gets it; use None"),
        (Place, Place(1), "its default Place(x=1) can be changed by whoever gets it; use None"),
    ],
)
def test_a_default_of_another_type_or_one_that_is_shared_is_told(annotation, default, problem):
    assert default_problem(_parameter("p", annotation, default)) == problem


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "missing a required argument: 'query'"),
        (("a", 1, 2), {"exact": True}, "too many positional arguments"),
        (("a",), {"exact": True, "x": 1}, "got an unexpected keyword argument 'x'"),
        (("a",), {"exact": True, "query": 1}, "multiple values for argument 'query'"),
        (("a",), {}, "missing a required argument: 'exact'"),
    ],
)
def test_a_wrong_call_is_explained_with_the_signature(args, kwargs, told):
    shown = "S.find(query: str, limit: int = 10, *, exact: bool, tags: list[str] = [])"

    assert explain("S.find", inspect.signature(_find), args, kwargs) == f"{shown}: {told}"
