import timeit
import uuid
from typing import Protocol

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import EncodeError, describe, method, routing_key


class User(msgspec.Struct):
    id: int


class Users(Protocol):
    @method(key="user_id")
    def get(self, user_id: int | None) -> User: ...

    @method(key="token")
    def find(
        self, query: str, limit: int = 10, *, token: str = "", deep: bool = False
    ) -> list[User]: ...

    @method(key="blob")
    def put(self, blob: bytes) -> None: ...

    @method
    def count(self) -> int: ...

    @method
    def ratio(self) -> float: ...

    @method
    def flag(self) -> bool | None: ...

    @method
    def raw(self) -> msgspec.Raw: ...

    @method(key="token")
    def revoke(self, token: uuid.UUID) -> None: ...


SPEC = describe(Users).by_attribute


@pytest.mark.parametrize(
    ("args", "kwargs", "values"),
    [
        (("a",), {}, ("a", 10, "", False)),
        (("a", 1), {"deep": True, "token": "t"}, ("a", 1, "t", True)),
        ((), {"query": "q"}, ("q", 10, "", False)),
    ],
)
def test_a_call_is_bound_and_invoked_as_it_was_made(args, kwargs, values):
    def handler(query, limit, *, deep, token):
        return query, limit, token, deep

    arguments = SPEC["find"].bind(args, kwargs)

    assert msgspec.structs.astuple(arguments) == values
    assert SPEC["find"].invoke(handler, arguments) == values


def test_a_method_without_arguments_is_invoked_without():
    assert SPEC["count"].invoke(lambda: 7, SPEC["count"].bind((), {})) == 7


@pytest.mark.parametrize(
    ("attribute", "args", "kwargs", "text"),
    [
        (
            "get",
            (),
            {},
            "Users.get(user_id: int | None) -> User: missing a required argument: 'user_id'",
        ),
        ("count", (1,), {}, "Users.count() -> int: too many positional arguments"),
        ("count", (), {"a": 1}, "Users.count() -> int: got an unexpected keyword argument 'a'"),
    ],
)
def test_a_wrong_call_is_a_type_error_that_names_the_method(attribute, args, kwargs, text):
    with pytest.raises(TypeError) as caught:
        SPEC[attribute].bind(args, kwargs)

    assert str(caught.value) == text
    assert caught.value.__suppress_context__


def test_binding_costs_less_than_inspecting_the_signature():
    spec = SPEC["find"]
    bound = min(timeit.repeat(lambda: spec.bind(("a", 1), {}), number=500, repeat=20))
    inspected = min(timeit.repeat(lambda: spec.signature.bind("a", 1), number=500, repeat=20))

    assert bound < inspected / 3


@pytest.mark.parametrize(
    ("attribute", "value", "key"),
    [
        ("get", 42, b"42"),
        ("get", -1, b"-1"),
        ("get", True, b"1"),
        ("get", None, None),
        ("put", b"\x00\xff", b"\x00\xff"),
        ("put", bytearray(b"a"), b"a"),
        ("put", "\u00e9", b"\xc3\xa9"),
        ("put", "", b""),
        ("revoke", uuid.UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_key_has_stable_bytes(attribute, value, key):
    spec = SPEC[attribute]

    assert spec.key_of(spec.bind((value,), {})) == key


def test_a_key_may_be_a_keyword_only_parameter():
    assert SPEC["find"].key_of(SPEC["find"].bind(("q",), {"token": "t"})) == b"t"


def test_a_method_without_a_key_has_none():
    assert SPEC["count"].key_of(SPEC["count"].bind((), {})) is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1.5, "float"),
        ([1], "list"),
        ("\ud800", "UnicodeEncodeError"),
        pytest.param(10**5000, "ValueError", id="huge"),
    ],
)
def test_a_key_of_another_type_is_an_encode_error_without_its_value(value, problem):
    with pytest.raises(EncodeError) as caught:
        SPEC["get"].key_of(SPEC["get"].bind((value,), {}))

    assert str(caught.value) == f"Users.get: the routing key 'user_id' cannot be written: {problem}"


@settings(deadline=None)
@given(st.integers(-(2**200), 2**200))
def test_an_int_key_is_its_decimal_text(value):
    assert SPEC["get"].key_of(SPEC["get"].bind((value,), {})) == str(value).encode()


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("get", User(1)),
        ("find", []),
        ("find", (User(1),)),
        ("put", None),
        ("count", 1),
        ("ratio", 1),
        ("ratio", 1.5),
        ("flag", True),
        ("flag", None),
        ("raw", object()),
    ],
)
def test_a_result_that_may_be_right_passes(attribute, value):
    assert SPEC[attribute].check_result(value) is None


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("get", None, "expected User, got None"),
        ("get", {"id": 1}, "expected User, got dict"),
        ("find", User(1), "expected list[User], got User"),
        ("put", 1, "expected None, got int"),
        ("count", "1", "expected int, got str"),
        ("count", True, "expected int, got bool"),
        ("ratio", True, "expected float, got bool"),
        ("flag", 0, "expected bool | None, got int"),
    ],
)
def test_a_result_of_another_class_is_told(attribute, value, told):
    assert SPEC[attribute].check_result(value) == told


@pytest.mark.parametrize(
    ("key", "raw"),
    [("42", b"42"), (42, b"42"), (-7, b"-7"), (b"\x00\xff", b"\x00\xff"), ("ü", b"\xc3\xbc")],
)
def test_keys_are_text_as_utf8_numbers_in_decimal_and_bytes_as_they_are(key, raw):
    assert routing_key(key) == raw


def test_what_is_no_routing_key_is_told_by_its_type():
    with pytest.raises(ValueError, match=r"^cannot be written: float$"):
        routing_key(2.5)
