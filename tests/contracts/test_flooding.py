"""Numbers with one hash: what they would cost, and that they are refused before they do."""

import decimal
import time
import uuid
from typing import Annotated

import msgspec
import pytest

from contracts import JSON, MSGPACK, Code, DecodeError, ErrorBody, RpcError, from_wire
from contracts.flooding import HARMLESS, UNCHECKED, hashing_of

PRIME = 2**61 - 1
SIZE = 1 << 20
BIG = [PRIME * (n + 1) for n in range(SIZE // 24)]
IDS = [uuid.UUID(int=PRIME * (n + 1) * 12_345_678_901) for n in range(SIZE // 40)]


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int


class Padded(msgspec.Struct):
    padding: bytes
    ids: frozenset[uuid.UUID]


class Held(msgspec.Struct):
    rows: list[dict[uuid.UUID, str]]


def as_members(values):
    return msgspec.json.encode(values)


def as_keys(values):
    return msgspec.json.encode(dict.fromkeys(map(str, values), "x"))


def refused_in(decode, body):
    began = time.thread_time()
    with pytest.raises(DecodeError) as caught:
        decode(body)
    assert time.thread_time() - began < 0.5
    return str(caught.value)


FLOOD = "numbers with one hash, to go into a set or to be keys"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (set[int], as_members(BIG)),
        (frozenset[int | None], as_members(BIG)),
        (dict[int, str], as_keys(BIG)),
        (set[uuid.UUID], as_members(IDS)),
        (set[uuid.UUID], as_members([i.hex for i in IDS])),
        (dict[uuid.UUID, str], as_keys(IDS)),
        (Held, b'{"rows":[' + as_keys(IDS) + b"]}"),
    ],
)
def test_a_mebibyte_of_numbers_with_one_hash_is_refused_at_once(kind, body):
    assert refused_in(JSON.decoder(kind), body) == FLOOD


@pytest.mark.parametrize("form", ["bytes", "canonical"])
def test_so_it_is_in_msgpack(form):
    body = msgspec.msgpack.Encoder(uuid_format=form).encode(IDS)

    assert refused_in(MSGPACK.decoder(set[uuid.UUID]), body) == FLOOD


def test_raw_ids_can_not_hide_behind_what_looks_like_one():
    body = msgspec.msgpack.Encoder(uuid_format="bytes").encode({"padding": b"\xc4\x10", "ids": IDS})

    assert refused_in(MSGPACK.decoder(Padded), body) == FLOOD


def test_digits_written_as_escapes_can_not_hide_them():
    body = as_keys(IDS).replace(b"1", b"\\u0031")

    assert refused_in(JSON.decoder(dict[uuid.UUID, str]), body) == "digits are written as escapes"


@pytest.mark.parametrize("kind", [set[decimal.Decimal], set[tuple[int, int]], frozenset[Point]])
def test_what_can_not_be_looked_at_ends_at_a_size(kind):
    text = refused_in(JSON.decoder(kind), b"[" + b" " * UNCHECKED + b"]")

    assert text.endswith("in a set or as keys: use a list")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (set[int], [n * 7919 for n in range(100_000)]),
        (set[int], [2**80 + n for n in range(20_000)]),
        (dict[uuid.UUID, str], {str(uuid.UUID(int=n * 2**64 + 5)): "x" for n in range(20_000)}),
        (set[uuid.UUID], [str(uuid.uuid4()) for _ in range(20_000)]),
        (dict[str, str], as_keys(BIG)),
        (list[int], BIG),
    ],
)
def test_honest_values_of_any_number_pass(kind, values):
    body = values if isinstance(values, bytes) else msgspec.json.encode(values)

    assert len(JSON.decoder(kind)(body)) > 10_000


@pytest.mark.alone
def test_what_is_let_through_costs_little():
    ids = msgspec.json.encode(IDS[: HARMLESS // 40])
    points = [(n, n) for n in range(UNCHECKED // 20)]
    for kind, body in ((set[uuid.UUID], ids), (set[tuple[int, int]], msgspec.json.encode(points))):
        decode, costs = JSON.decoder(kind), []
        for _ in range(3):
            began = time.thread_time()
            decode(body)
            costs.append(time.thread_time() - began)
        assert min(costs) < 0.05


def test_only_what_has_a_hash_that_can_be_chosen_is_looked_for():
    bounded = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    kinds = {
        set[str]: set(),
        dict[bounded, int]: set(),
        list[int]: set(),
        set[float]: set(),
        dict[str, list[uuid.UUID]]: set(),
        set[int]: {"int"},
        dict[uuid.UUID | int, str]: {"int", "uuid"},
        set[Point]: {"other"},
        Held: {"uuid"},
    }

    assert {kind: set(hashing_of(msgspec.inspect.type_info(kind))) for kind in kinds} == kinds


class Many(RpcError, code=Code.NOT_FOUND):
    ids: set[uuid.UUID]


@pytest.mark.alone
@pytest.mark.parametrize(("ids", "kind"), [(IDS, RpcError), (IDS[:5], Many)])
def test_the_details_of_an_error_are_looked_at_too(ids, kind):
    body = ErrorBody(Code.NOT_FOUND.value, "Many", "", {"ids": [str(each) for each in ids]})
    began = time.thread_time()
    error = from_wire(body, {"Many": Many})

    assert time.thread_time() - began < 0.5
    assert type(error) is kind
