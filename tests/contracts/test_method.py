import timeit
from typing import Protocol

import pytest

from contracts import BINDER, Code, LocalMethod, Method, RpcError, method


class UserNotFound(RpcError, code=Code.NOT_FOUND):
    user_id: int


class Users(Protocol):
    @method(timeout=2.0, idempotent=True, raises=[UserNotFound], key="user_id", name="fetch")
    def get(self, user_id: int) -> str:
        """Get one user."""
        ...

    @method
    async def count(self) -> int: ...


class UsersImpl(Users):
    @method
    def get(self, user_id: int) -> str:
        return f"user {user_id}"

    async def count(self) -> int:
        return 1


def _stub(bind):
    stub = object.__new__(type("UsersStub", (Users,), {"__init__": lambda self: None}))
    stub.__dict__[BINDER] = bind
    return stub


def test_a_method_holds_its_options():
    get = Users.get

    assert isinstance(get, Method)
    assert (get.timeout, get.idempotent, get.raises) == (2.0, True, (UserNotFound,))
    assert (get.key, get.name, get.attribute) == ("user_id", "fetch", "get")
    assert (get.is_async, get.__doc__) == (False, "Get one user.")


def test_a_bare_decorator_leaves_every_option_at_its_default():
    count = Users.count

    assert (count.timeout, count.idempotent, count.raises) == (None, False, ())
    assert (count.key, count.name, count.attribute) == (None, None, "count")
    assert count.is_async


def test_one_error_needs_no_brackets():
    assert method(raises=UserNotFound)(lambda self: None).raises == (UserNotFound,)


def test_a_method_takes_the_name_it_has_in_its_class():
    class Contract(Protocol):
        fetch = method(lambda self: None)

    assert Contract.fetch.attribute == "fetch"


def test_on_a_stub_it_is_what_the_binder_makes_of_it_once():
    asked = []

    def bind(bound):
        asked.append(bound)
        return lambda user_id: ("called", bound.attribute, user_id)

    stub = _stub(bind)

    assert stub.get(42) == ("called", "get", 42)
    assert stub.get is stub.get
    assert stub.__dict__["get"] is stub.get
    assert asked == [Users.get]


def test_on_an_implementation_it_runs_the_handler_and_leaves_no_trace():
    implementation = UsersImpl()

    assert isinstance(implementation.get, LocalMethod)
    assert implementation.get(42) == "user 42"
    assert vars(implementation) == {}


def test_an_implementation_without_a_dict_works_too():
    class Slotted:
        __slots__ = ()

        @method
        def get(self, user_id: int) -> int:
            return user_id

    assert Slotted().get(7) == 7


def test_an_implementation_can_call_the_one_it_extends():
    class Shouting(UsersImpl):
        @method
        def get(self, user_id: int) -> str:
            return super().get(user_id).upper()

    assert Shouting().get(1) == "USER 1"


@pytest.mark.parametrize("attribute", ["get", "count"])
def test_a_bound_method_of_a_stub_is_found_faster_than_the_descriptor_runs(attribute):
    stub = _stub(lambda bound: bound)
    found = min(timeit.repeat(lambda: getattr(stub, attribute), number=1000, repeat=20))
    made = min(
        timeit.repeat(
            lambda: Users.__dict__[attribute].__get__(stub, Users), number=1000, repeat=20
        )
    )

    assert found < made
