"""Work that is done once: which arguments are the same, of whatever types they are."""

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

import msgspec
import pytest

from contracts import JSON, MSGPACK, method
from rpc.replays import fingerprint_of


class Item(msgspec.Struct, frozen=True):
    name: str
    count: int | msgspec.UnsetType = msgspec.UNSET


class Gift(msgspec.Struct, frozen=True, tag=True):
    name: str


class Ware(msgspec.Struct, frozen=True, tag=True):
    name: str


@dataclass(frozen=True)
class Shelf:
    prices: dict[int, float | None]


class Shop(Protocol):
    @method(delivery="effectively_once")
    def number(self, number: int) -> int: ...

    @method(delivery="effectively_once")
    async def numbers(self, number: int) -> int: ...

    @method(delivery="effectively_once")
    def prices(self, prices: dict[int, int]) -> int: ...

    @method(delivery="effectively_once")
    def items(self, items: set[Item]) -> int: ...


class ShopImpl(Shop):
    def __init__(self):
        self.runs = 0

    def number(self, number: int) -> int:
        self.runs += 1
        return self.runs

    async def numbers(self, number: int) -> int:
        return self.number(number)

    def prices(self, prices: dict[int, int]) -> int:
        return self.number(0)

    def items(self, items: set[Item]) -> int:
        return self.number(0)


@pytest.fixture
def impl():
    return ShopImpl()


@pytest.fixture
def ask_for(request_of):
    """Return what makes a request under one key."""

    def make(name, body, call, content_type=b"application/json"):
        return request_of(
            body,
            call=call,
            method=b"Shop." + name.encode(),
            rpc_idempotency_key=b"order 1",
            content_type=content_type,
        )

    return make


@pytest.mark.parametrize(
    ("name", "bodies"),
    [
        (
            "number",
            [
                b'{"number":1180591620717411303424}',
                b'{ "number": 1180591620717411303424 }',
                b'{"number":1180591620717411303425}',
            ],
        ),
        (
            "numbers",
            [
                b'{"number":-18446744073709551616}',
                b'{ "number": -18446744073709551616 }',
                b'{"number":18446744073709551616}',
            ],
        ),
        (
            "prices",
            [
                b'{"prices":{"1":2,"3":4}}',
                b'{"prices":{"3":4,"1":2}}',
                b'{"prices":{"1":2}}',
            ],
        ),
        (
            "items",
            [
                b'{"items":[{"name":"a"},{"name":"b","count":1}]}',
                b'{"items":[{"name":"b","count":1},{"name":"a"}]}',
                b'{"items":[{"name":"a","count":1},{"name":"b"}]}',
            ],
        ),
    ],
)
def test_whatever_can_be_decoded_is_work_that_is_done_once(desk, impl, ask_for, name, bodies):
    shop = desk(impl)
    first, same, other = (
        shop.ask(ask_for(name, body, b"%d" % call)) for call, body in enumerate(bodies)
    )

    assert (first.body, same.body, impl.runs) == (b"1", b"1", 1)
    assert other.code == "INVALID_ARGUMENT"


def test_numbers_as_keys_are_the_same_in_every_codec(desk, impl, ask_for):
    shop = desk(impl)
    shop.ask(ask_for("prices", b'{"prices":{"1":2}}', b"a"))
    again = MSGPACK.encode({"prices": {1: 2}})

    assert shop.ask(ask_for("prices", again, b"b", b"application/msgpack")).body == b"1"


def odd(call):
    """Hand the handler something that no codec writes."""
    return (
        yield msgspec.structs.replace(
            call, arguments=msgspec.structs.replace(call.arguments, number=object())
        )
    )


def test_of_what_an_interceptor_put_there_the_body_tells(desk, impl, ask_for):
    shop = desk(impl, interceptors=[odd])
    bodies = (b'{"number":1}', b'{"number":1}', b'{"number":2}')
    first, same, other = (
        shop.ask(ask_for("number", body, b"%d" % call)) for call, body in enumerate(bodies)
    )

    assert (first.body, same.body, impl.runs) == (b"1", b"1", 1)
    assert other.code == "INVALID_ARGUMENT"


def arguments(kind, value):
    return msgspec.defstruct("Arguments", [("value", kind)])(value)


@pytest.mark.parametrize(
    ("kind", "value", "digest"),
    [
        (int, 5, "8c5b8529"),
        (dict[str, set[int]], {"b": {3, 1}, "a": set()}, "5edd50fd"),
        (Item, Item("a"), "4e94f1c3"),
        (int, 2**70, "3fcd0d4c"),
        (dict[dt.date, int], {dt.date(2024, 2, 29): 1}, "acd92b53"),
        (set[Item], {Item("b", 1), Item("a")}, "07fa242b"),
        (Shelf, Shelf({1: None}), "9f4a1ff3"),
    ],
)
def test_stores_find_what_an_earlier_version_kept(kind, value, digest):
    assert fingerprint_of(arguments(kind, value)).hex()[:8] == digest


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (int | str, 2**64, str(2**64)),
        (set[int | str | None], {1, None}, {"1", None}),
        (Shelf, Shelf({1: None}), Shelf({1: float("nan")})),
        (Shelf, Shelf({1: float("inf")}), Shelf({1: float("nan")})),
        (set[Gift | Ware], {Gift("a"), Gift("b")}, {Ware("a"), Ware("b")}),
        (list[dict[int, int]], [{1: 2}, {3: 4}], [{3: 4}, {1: 2}]),
        (dict[int, list[int]], {1: [2, 3]}, {1: [3, 2]}),
        (dict[int, int], {1: 2}, {2: 1}),
    ],
)
def test_other_arguments_are_others(kind, one, other):
    assert fingerprint_of(arguments(kind, one)) != fingerprint_of(arguments(kind, other))


def test_what_both_codecs_carry_is_the_same_in_both():
    kind = type(arguments(set[tuple[int, str | None]], {(1, None), (1, "a")}))
    body = JSON.encode(arguments(set[tuple[int, str | None]], {(1, "a"), (1, None)}))
    packed = MSGPACK.encode({"value": [[1, None], [1, "a"]]})

    assert fingerprint_of(JSON.decoder(kind)(body)) == fingerprint_of(MSGPACK.decoder(kind)(packed))
