from collections.abc import Iterator
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
import pytest

from contracts import (
    BINDER,
    Code,
    ContractError,
    Handler,
    RpcError,
    check_implementation,
    describe,
    method,
    service,
    services_of,
)

if TYPE_CHECKING:
    from decimal import Decimal as Money


class User(msgspec.Struct):
    id: int


class NotFound(RpcError, code=Code.NOT_FOUND):
    pass


class Users(Protocol):
    @method(timeout=2.0, raises=[NotFound], key="user_id")
    def get(self, user_id: Annotated[int, msgspec.Meta(ge=1)], full: bool = False) -> User: ...

    @method
    async def count(self, *, active: bool) -> int: ...


class UsersV2(Users, Protocol):
    @method
    def delete(self, user_id: int) -> None: ...


class Health(Protocol):
    @method
    def ping(self) -> str: ...


class Unmarked(Protocol):
    def get(self) -> int: ...


class UsersImpl(Users):
    @method
    async def get(self, user_id: int, full: bool = False) -> User:
        return User(user_id)

    def count(self, *, active):
        return 3


class Both(UsersImpl, UsersV2, Health):
    def delete(self, user_id: int) -> None:
        pass

    def ping(self) -> str:
        return "pong"


def _mistakes(implementation):
    with pytest.raises(ContractError) as caught:
        check_implementation(implementation)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_handlers_are_found_bound_and_told_apart_by_colour():
    implementation = UsersImpl()

    checked = check_implementation(implementation)

    spec = describe(Users)
    assert list(checked) == [spec]
    get, count = checked[spec]
    assert isinstance(get, Handler)
    assert (get.spec, get.is_async) == (spec.by_attribute["get"], True)
    assert (count.spec, count.is_async) == (spec.by_attribute["count"], False)
    assert get.function.__self__ is implementation
    assert count.spec.invoke(count.function, count.spec.bind((), {"active": True})) == 3


def test_one_implementation_may_serve_several_contracts_the_most_derived_of_each():
    assert services_of(Both()) == (describe(UsersV2), describe(Health))
    assert {
        spec.full_name: len(handlers) for spec, handlers in check_implementation(Both()).items()
    } == {
        "UsersV2": 3,
        "Health": 1,
    }


def test_a_class_without_a_contract_has_no_services():
    assert services_of(object()) == ()


def test_a_handler_behind_a_decorator_is_checked_by_what_it_wraps():
    def logged(function):
        @wraps(function)
        def logging(*args, **kwargs):
            return function(*args, **kwargs)

        return logging

    class Decorated(Health):
        @logged
        def ping(self) -> str:
            return "pong"

    ((handler,),) = check_implementation(Decorated()).values()

    assert handler.function() == "pong"


def test_the_same_options_may_be_repeated():
    class Repeating(Health):
        @method(timeout=None, idempotent=False)
        def ping(self) -> str:
            return "pong"

    class RepeatingAll(UsersImpl):
        @method(timeout=2.0, raises=(NotFound,), key="user_id")
        def get(self, user_id: int, full: bool = False) -> User:
            return User(user_id)

    assert len(check_implementation(Repeating())) == 1
    assert len(check_implementation(RepeatingAll())) == 1


def test_an_annotation_that_only_type_checkers_can_resolve_is_left_to_them():
    class Later(Health):
        def ping(self) -> "Money": ...

    assert len(check_implementation(Later())) == 1


SHOWN = "(user_id: Annotated[int, Meta(ge=1)], full: bool = False) -> User"


def test_every_mistake_of_an_implementation_is_told_at_once():
    class Wrong(Users):
        @method(timeout=9.0, idempotent=True)
        def get(self, user_id: int, full: bool = False) -> User:
            return User(user_id)

    assert _mistakes(Wrong()) == [
        "Wrong.get: sets `timeout`, `idempotent` in `@method`, where Users rules: leave it out",
        "Wrong.count: is missing; Users declares count(*, active: bool) -> int",
    ]


@pytest.mark.parametrize(
    ("get", "told"),
    [
        (
            lambda self, user_id: User(user_id),
            f"differs from Users.get{SHOWN}: parameter 'full' is missing",
        ),
        (
            lambda self, user_id, full=True: User(user_id),
            f"differs from Users.get{SHOWN}: parameter 'full' has another default",
        ),
        (
            lambda self, ident, full=False: User(ident),
            f"differs from Users.get{SHOWN}: parameter 'user_id' is missing",
        ),
        (
            lambda self, *args: User(args[0]),
            f"differs from Users.get{SHOWN}: parameter 'user_id' is missing",
        ),
        (3, f"is no method; Users declares get{SHOWN}"),
    ],
)
def test_a_handler_of_another_signature_is_told(get, told):
    implementation = type("Wrong", (UsersImpl,), {"get": get})()

    assert _mistakes(implementation) == [f"Wrong.get: {told}"]


def test_a_handler_of_another_type_is_told():
    class Wrong(UsersImpl):
        def get(self, user_id: str, full: bool = False) -> User:
            return User(1)

        @method
        def count(self, *, active: bool) -> str:
            return ""

    assert _mistakes(Wrong()) == [
        (
            f"Wrong.get: differs from Users.get{SHOWN}:"
            " parameter 'user_id' is `str`, not `Annotated[int, Meta(ge=1)]`"
        ),
        (
            "Wrong.count: differs from Users.count(*, active: bool) -> int:"
            " the result is `str`, not `int`"
        ),
    ]


def test_a_handler_whose_signature_cannot_be_read_is_told():
    class Odd(Health):
        ping = min

    assert _mistakes(Odd()) == [
        "Odd.ping: differs from Health.ping() -> str: its signature cannot be read"
    ]


def test_a_generator_is_told():
    class Streaming(Health):
        def ping(self) -> Iterator[str]:
            yield "pong"

    assert _mistakes(Streaming()) == [
        "Streaming.ping: is a generator; streams are not supported yet: return a `list`"
    ]


def test_two_contracts_of_one_name_are_told():
    @service(name="Health")
    class Pulse(Protocol):
        @method
        def beat(self) -> int: ...

    class Doubled(Health, Pulse):
        def ping(self) -> str:
            return "pong"

        def beat(self) -> int:
            return 1

    assert _mistakes(Doubled()) == [
        (
            "Doubled: implements Health and Pulse, which are both called 'Health';"
            " give one another name by `@service`"
        )
    ]


class Marked(Unmarked):
    pass


class Nothing:
    pass


class Stubbed(Users):
    def __init__(self):
        self.__dict__[BINDER] = lambda bound: bound


@pytest.mark.parametrize(
    ("implementation", "told"),
    [
        (UsersImpl, "UsersImpl: is a class; pass an instance: `UsersImpl()`"),
        (
            Users,
            "Users: is the contract; pass an instance of a class that implements it",
        ),
        (
            Marked(),
            "Marked: implements Unmarked, where no method carries `@method`; put it there",
        ),
        (Nothing(), "Nothing: implements no contract; name it: `class Nothing(TheContract):`"),
        (Stubbed(), "Stubbed: is a stub, which calls a service; pass what implements it"),
    ],
    ids=["class", "contract", "unmarked", "nothing", "stub"],
)
def test_what_implements_nothing_is_told(implementation, told):
    assert _mistakes(implementation) == [told]


def test_a_contract_that_cannot_work_is_told_when_its_implementation_is_checked():
    class Broken(Protocol):
        @method
        def get(self, user_id): ...

    class BrokenImpl(Broken):
        def get(self, user_id):
            return 1

    assert len(_mistakes(BrokenImpl())) == 2
