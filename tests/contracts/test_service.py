# ruff: noqa: E501, F821 - a golden text as it is printed; contracts with mistakes

import threading
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import pytest
import typing_extensions

from contracts import Code, ContractError, RpcError, ServiceSpec, describe, method, service
from contracts.service import is_contract

T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    id: int


class UserService(Protocol):
    """Users, by id."""

    PAGE = 50
    _secret: int

    class Filter(msgspec.Struct):
        name: str

    @method(timeout=1.0)
    def get(self, user_id: int) -> User: ...

    @method(name="search")
    def find(self, where: Filter) -> list[User]: ...

    def _helper(self) -> int:
        return 1


class Deleting(Protocol):
    @method
    def delete(self, user_id: int) -> None: ...


@service(name="users", version=2)
class UserServiceV2(UserService, Deleting, Protocol):
    @method(timeout=9.0, idempotent=True)
    def get(self, user_id: int) -> User: ...

    @method
    async def rename(self, user_id: int, name: str) -> User: ...


@service(name="orders.main")
class Orders(typing_extensions.Protocol):
    @method
    def count(self) -> int: ...


def test_a_contract_is_read():
    spec = describe(UserService)

    assert isinstance(spec, ServiceSpec)
    assert (spec.name, spec.version, spec.full_name) == ("UserService", None, "UserService")
    assert (spec.contract, spec.doc) == (UserService, "Users, by id.")
    assert list(spec.methods) == ["get", "search"]
    assert list(spec.by_attribute) == ["get", "find"]
    assert spec.methods["search"] is spec.by_attribute["find"]
    assert spec.methods["search"].full_name == "UserService.search"


def test_a_contract_has_the_name_and_version_it_is_given():
    spec = describe(UserServiceV2)

    assert (spec.name, spec.version, spec.full_name) == ("users", 2, "users.v2")
    assert spec.methods["get"].full_name == "users.v2.get"
    assert describe(Orders).full_name == "orders.main"


def test_methods_of_bases_are_there_and_an_override_has_options_of_its_own():
    spec = describe(UserServiceV2)

    assert set(spec.methods) == {"get", "rename", "search", "delete"}
    assert (spec.methods["get"].timeout, spec.methods["get"].idempotent) == (9.0, True)
    assert describe(UserService).methods["get"].timeout == 1.0


def test_what_was_read_cannot_be_changed():
    spec = describe(UserService)

    with pytest.raises(TypeError):
        spec.methods["other"] = spec.methods["get"]
    with pytest.raises(AttributeError):
        spec.name = "x"


def test_a_contract_is_read_once_however_many_threads_ask():
    class Fresh(Protocol):
        @method
        def get(self) -> int: ...

    ready = threading.Barrier(8)
    found = []

    def ask():
        ready.wait()
        found.append(describe(Fresh))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_nothing_is_read_before_it_is_asked_for():
    class Later(Protocol):
        @method
        def get(self, user: "NotYet") -> None: ...

    globals()["NotYet"] = User
    try:
        spec = describe(Later)
    finally:
        del globals()["NotYet"]

    assert spec.methods["get"].signature.parameters["user"].annotation is User


@pytest.mark.parametrize(
    ("cls", "expected"), [(UserService, True), (Orders, True), (User, False), (int, False)]
)
def test_a_contract_is_a_protocol(cls, expected):
    assert is_contract(cls) is expected


class Plain:
    @method
    def get(self) -> int: ...


class Implementation(UserService):
    @method
    def get(self, user_id: int) -> User:
        return User(user_id)


@pytest.mark.parametrize(
    ("thing", "name"),
    [(Plain, "Plain"), (Implementation, "Implementation"), (3, "int"), (print, "print")],
)
def test_what_is_no_protocol_is_refused(thing, name):
    with pytest.raises(ContractError) as caught:
        describe(thing)

    assert str(caught.value) == (
        f"{name}: is no Protocol; a contract is a `class {name}(Protocol):` with `@method`s"
    )


NAME = (
    "has the name {!r} on the wire; it must be 1 to 200 of A-Z, a-z, 0-9, '.', '_' and '-':"
    " give one by `@service(name=...)`"
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": ""}, NAME.format("")),
        ({"name": "a b"}, NAME.format("a b")),
        ({"name": "users/v1"}, NAME.format("users/v1")),
        ({"name": "x" * 198, "version": 1}, NAME.format("x" * 198 + ".v1")),
        ({"version": 0}, "has the version 0; it must be an integer from 1"),
        ({"version": True}, "has the version True; it must be an integer from 1"),
        ({"version": "2"}, "has the version '2'; it must be an integer from 1"),
    ],
)
def test_a_name_that_no_topic_can_have_and_a_version_that_is_none_are_refused(options, text):
    @service(**options)
    class Named(Protocol):
        @method
        def get(self) -> int: ...

    with pytest.raises(ContractError) as caught:
        describe(Named)

    assert str(caught.value) == f"Named: {text}"


@pytest.mark.parametrize(("length", "told"), [(90, ""), (91, "has a name of 250 characters")])
def test_a_method_whose_full_name_no_server_would_read_is_refused(length, told):
    @service(name="s" * 155, version=1)
    class Long(Protocol):
        @method(name="m" * length)
        def get(self) -> int: ...

    if not told:
        assert len(describe(Long).methods["m" * length].full_name) == 249
        return
    with pytest.raises(ContractError) as caught:
        describe(Long)

    assert str(caught.value) == (
        f"Long.get: {told} on the wire, its service's included; it must be at most 249:"
        " give it, or the service, a shorter one by `name=`"
    )


def test_a_generic_contract_is_refused_where_its_type_is_open():
    class Repository(Protocol, Generic[T]):
        @method
        def get(self, key: int) -> T: ...

    with pytest.raises(ContractError, match="the result: `T` leaves `T` open"):
        describe(Repository)


class Undeclarable(RpcError, code=Code.ABORTED):
    cause: complex


class Broken(Protocol):
    @method
    def untyped(self, user_id) -> None: ...

    @method
    def variadic(self, *user_ids: int) -> None: ...

    @method
    def loose(self, filters: dict[str, Any]) -> None: ...

    @method
    def unfit(self, callback: complex) -> None: ...

    @method
    def ambiguous(self, key: str | bytes) -> None: ...

    @method
    def forward(self, user: "Usr") -> None: ...

    @method(name="untyped")
    def twin(self) -> None: ...

    @method(key="user")
    def keyed(self, user_id: int) -> None: ...

    @method(raises=[Undeclarable])
    def failing(self) -> None: ...

    def forgotten(self, user_id: int) -> User: ...


GOLDEN = """\
10 mistakes:
  1. Broken.untyped, parameter 'user_id': has no type; write one, such as `user_id: int`
  2. Broken.variadic, parameter 'user_ids': takes any number of arguments; name each, or take a `list`
  3. Broken.loose, parameter 'filters': `Any` in `dict[str, Any]`, at `[...]`: nothing can check it; write the type that is meant
  4. Broken.unfit, parameter 'callback': `complex` cannot be carried; use a msgspec.Struct, a dataclass or a type that msgspec supports
  5. Broken.ambiguous, parameter 'key': `str | bytes` cannot be carried: Type unions may not contain more than one str-like type (`str`, `Enum`, `Literal[str values]`, `datetime`, `date`, `time`, `timedelta`, `uuid`, `decimal`, `bytes`, `bytearray`)
  6. Broken.forward, parameter 'user': has a type that cannot be resolved (NameError: name 'Usr' is not defined); define or import it at the top of the contract's module, not under TYPE_CHECKING
  7. Broken.twin: is called 'untyped' on the wire, as 'untyped' is; give one another `name=`
  8. Broken.keyed: has the key 'user', which is no parameter of it; there are: 'user_id'
  9. Broken.failing: `raises` lists Undeclarable, which cannot travel: `complex` in `Undeclarable`, at `.cause` cannot be carried; use a msgspec.Struct, a dataclass or a type that msgspec supports
 10. Broken.forgotten: is a plain function; put `@method` above it, or make its name private"""


def test_ten_mistakes_are_told_at_once_each_with_its_place_and_what_to_do():
    with pytest.raises(ContractError) as caught:
        describe(Broken)

    assert str(caught.value) == GOLDEN
    assert [(m.method, m.parameter) for m in caught.value.mistakes] == [
        ("untyped", "user_id"),
        ("variadic", "user_ids"),
        ("loose", "filters"),
        ("unfit", "callback"),
        ("ambiguous", "key"),
        ("forward", "user"),
        ("twin", None),
        ("keyed", None),
        ("failing", None),
        ("forgotten", None),
    ]


def test_a_contract_with_mistakes_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(ContractError, match="10 mistakes"):
            describe(Broken)
