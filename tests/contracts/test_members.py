from functools import cached_property
from typing import ClassVar, Protocol

import pytest

from contracts import method
from contracts.members import member_mistakes, methods_of


class Base(Protocol):
    @method
    def get(self, user_id: int) -> str: ...

    @method
    def count(self) -> int: ...


class Derived(Base, Protocol):
    LIMIT: ClassVar[int]
    TABLE = "users"

    @method
    def get(self, user_id: int) -> str: ...

    def _private(self) -> None: ...


def _texts(contract):
    return [str(mistake) for mistake in member_mistakes(contract)]


def test_methods_are_found_with_the_class_that_defines_them():
    methods = methods_of(Derived)

    assert {name: owner for name, (owner, _) in methods.items()} == {"get": Derived, "count": Base}
    assert methods["get"][1] is Derived.get


def test_constants_private_names_and_equal_overrides_are_no_mistakes():
    assert _texts(Derived) == []


def test_a_contract_without_methods_is_told():
    class Empty(Protocol):
        pass

    assert _texts(Empty) == ["Empty: has no methods; put `@method` above those to call"]


def test_what_is_no_method_is_told_by_kind():
    class Odd(Protocol):
        name: str
        aliases: "list[str]"

        @method
        def get(self) -> int: ...

        def plain(self) -> int: ...

        async def waiting(self) -> int: ...

        @property
        def size(self) -> int: ...

        @cached_property
        def cached(self) -> int: ...

        @classmethod
        def of_class(cls) -> int: ...

        @staticmethod
        def of_none() -> int: ...

    forgotten = "is a plain function; put `@method` above it, or make its name private"
    data = "is a property; a service has methods alone: make it a method"

    assert _texts(Odd) == [
        f"Odd.plain: {forgotten}",
        f"Odd.waiting: {forgotten}",
        f"Odd.size: {data}",
        f"Odd.cached: {data}",
        "Odd.of_class: is a class method; take `self`, and put `@method` alone above it",
        "Odd.of_none: is a static method; take `self`, and put `@method` alone above it",
        "Odd.name: is an attribute; a service has methods alone: remove it",
        "Odd.aliases: is an attribute; a service has methods alone: remove it",
    ]


def test_a_private_method_is_told():
    class Private(Protocol):
        @method
        def _get(self) -> int: ...

    assert _texts(Private) == [
        "Private._get: is private by its name; a remote method is public: rename it"
    ]


def test_an_override_that_forgets_the_decorator_is_told():
    class Forgetful(Base, Protocol):
        def get(self, user_id: int) -> str: ...

    assert _texts(Forgetful) == [
        "Forgetful.get: is a plain function; put `@method` above it, or make its name private"
    ]


def test_a_method_under_two_names_is_told():
    class Twice(Protocol):
        @method
        def get(self) -> int: ...

        fetch = get

    assert _texts(Twice) == ["Twice.get: is 'fetch' under another name; define it on its own"]


def test_two_methods_with_one_name_on_the_wire_are_told_also_across_bases():
    class Other(Base, Protocol):
        @method(name="count")
        def total(self) -> int: ...

    assert _texts(Other) == [
        "Other.count: is called 'count' on the wire, as 'total' is; give one another `name=`"
    ]


def test_an_override_with_another_signature_is_told():
    class Wider(Base, Protocol):
        @method
        def get(self, user_id: int, full: bool) -> str: ...

    assert _texts(Wider) == [
        (
            "Wider.get: overrides that of Base with another signature:"
            " parameter 'full' is not in the contract"
        )
    ]


def test_bases_that_disagree_are_told():
    class Left(Protocol):
        @method
        def get(self, user_id: int) -> str: ...

    class Right(Protocol):
        @method
        def get(self, user_id: str) -> str: ...

    class Both(Left, Right, Protocol):
        pass

    assert _texts(Both) == [
        (
            "Both.get: overrides that of Right with another signature:"
            " parameter 'user_id' is `int`, not `str`"
        )
    ]


@pytest.mark.parametrize("name", ["__len__", "_private"])
def test_special_and_private_functions_are_left_alone(name):
    contract = type(
        "Named",
        (Base, Protocol),
        {name: lambda self: 1, "__module__": __name__},
    )

    assert _texts(contract) == []
