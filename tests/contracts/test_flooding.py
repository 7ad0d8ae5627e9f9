"""Numbers made to collide: what they would cost, and that they are refused before they do."""

import datetime as dt
import decimal
import random
import time
import uuid
from typing import Annotated, Any

import msgspec
import pytest

from contracts import JSON, MSGPACK, Code, DecodeError, ErrorBody, RpcError, from_wire
from contracts.flooding import HARMLESS, STEERED, UNCHECKED, hashing_of

PRIME = 2**61 - 1
SIZE = 1 << 20
BIG = [PRIME * (n + 1) for n in range(2 * STEERED // 32)]
IDS = [uuid.UUID(int=PRIME * (n + 1) * 12_345_678_901) for n in range(SIZE // 48)]
Port = Annotated[int, msgspec.Meta(ge=0, lt=65536)]


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


def steering(bits, fill, number):
    """Return `number` ints that make a dict of `2**bits` slots look through half of `fill` for one.

    Small ones take a run of the slots that are tried when all of a hash is used up. Of the others
    each comes upon full slots until then, and after it upon the rest of the run.
    """
    mask, slot, run, left = 2**bits - 1, 0, [], [0] * 2**bits
    for place in range(fill):
        run.append(slot)
        left[slot] = fill - place
        slot = (5 * slot + 1) & mask
    chance, found = random.Random(7), set()
    while len(found) < number - fill:
        value = chance.randrange(2**bits, 2**24)
        slot = value & mask
        rest = value
        while left[slot] and rest:
            rest >>= 5
            slot = (5 * slot + rest + 1) & mask
        if left[slot] > fill // 2:
            found.add(value)
    return [*run, *found]


def as_msgpack_keys(values):
    # Each a key whose value is nil: 0xdf begins a dict, and its length follows in 4 bytes.
    pairs = b"".join(msgspec.msgpack.encode(value) + b"\xc0" for value in values)
    return b"\xdf" + len(values).to_bytes(4, "big") + pairs


def cost(decode, body):
    costs = []
    for _ in range(3):
        began = time.thread_time()
        decode(body)
        costs.append(time.thread_time() - began)
    return min(costs)


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
def test_bodies_full_of_numbers_with_one_hash_are_refused_at_once(kind, body):
    assert refused_in(JSON.decoder(kind), body) == FLOOD


@pytest.mark.parametrize("form", ["bytes", "canonical"])
def test_so_it_is_in_msgpack(form):
    body = msgspec.msgpack.Encoder(uuid_format=form).encode(IDS[:10_000])

    assert refused_in(MSGPACK.decoder(set[uuid.UUID]), body) == FLOOD


@pytest.mark.parametrize("header", [b"\xc4\x10", b"\xc5\x00\x10", b"\xc6\x00\x00\x00\x10"])
def test_raw_ids_are_found_behind_every_header_that_they_may_have(header):
    ids = IDS[:2000]
    body = b"\xdc" + len(ids).to_bytes(2, "big") + b"".join(header + i.bytes for i in ids)

    assert msgspec.msgpack.decode(body, type=list[uuid.UUID]) == ids
    assert refused_in(MSGPACK.decoder(set[uuid.UUID]), body) == FLOOD


def test_raw_ids_can_not_hide_behind_what_looks_like_one():
    body = msgspec.msgpack.Encoder(uuid_format="bytes").encode({"padding": b"\xc4\x10", "ids": IDS})

    assert refused_in(MSGPACK.decoder(Padded), body) == FLOOD


@pytest.mark.parametrize("before", ["", "\\\\", "x\\\\\\\\"], ids=repr)
def test_digits_written_as_escapes_can_not_hide_them(before):
    body = f'{{"{before}\\u0031":"{"x" * HARMLESS}"}}'.encode()

    assert refused_in(JSON.decoder(dict[uuid.UUID, str]), body) == "digits are written as escapes"


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize("text", [r"\u0041", r"\\u0031", "\\" * 3 + "u0031"])
def test_text_about_escapes_is_no_escape(codec, text):
    documents = {7: f'"{text}" ' * (HARMLESS // 8)}

    assert codec.decoder(dict[int, str])(codec.encode(documents)) == documents


@pytest.mark.parametrize("kind", [set[decimal.Decimal], set[tuple[int, int]], frozenset[Point]])
def test_what_can_not_be_looked_at_ends_at_a_size(kind):
    text = refused_in(JSON.decoder(kind), b"[" + b" " * UNCHECKED + b"]")

    assert text.endswith("in a set or as keys: use a list")


@pytest.mark.parametrize(
    ("codec", "kind", "most"),
    [
        (MSGPACK, dict[int, str], STEERED),
        (MSGPACK, set[float | None], STEERED),
        (MSGPACK, dict[dt.timedelta, str], STEERED),
        (MSGPACK, set[uuid.UUID], 4 * STEERED),
        (MSGPACK, ErrorBody, UNCHECKED),
        (JSON, dict[int, str], 2 * STEERED),
        (JSON, dict[dt.datetime, str], 2 * STEERED),
        (JSON, dict[Annotated[int, msgspec.Meta(ge=0, le=65536)], str], 2 * STEERED),
        (JSON, dict[uuid.UUID, str], 8 * STEERED),
    ],
)
def test_numbers_that_may_lead_through_full_slots_end_at_a_size(codec, kind, most):
    decode = codec.decoder(kind)

    assert refused_in(decode, b"\x81" + bytes(most)).startswith(
        f"{most + 1} bytes are more than the {most} of a type "
    )
    with pytest.raises(DecodeError, match=r"^(?!.* bytes are more)"):
        decode(b"\x81" + bytes(most - 1))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (set[int], [n * 7919 for n in range(20_000)]),
        (set[int], [2**80 + n for n in range(10_000)]),
        (dict[uuid.UUID, str], {str(uuid.UUID(int=n * 2**64 + 5)): "x" for n in range(20_000)}),
        (set[uuid.UUID], [str(uuid.uuid4()) for _ in range(20_000)]),
        (dict[Port, str], {str(n): "x" * 9 for n in range(50_000)}),
        (dict[str, str], as_keys(range(50_000))),
        (dict[str, Any], as_keys(range(50_000))),
        (list[int], BIG * 4),
    ],
)
def test_honest_values_of_any_number_pass(kind, values):
    body = values if isinstance(values, bytes) else msgspec.json.encode(values)

    assert len(JSON.decoder(kind)(body)) >= 10_000


@pytest.mark.alone
def test_what_is_let_through_costs_little():
    ids = msgspec.json.encode(IDS[: HARMLESS // 40])
    points = [(n, n) for n in range(UNCHECKED // 20)]
    for kind, body in ((set[uuid.UUID], ids), (set[tuple[int, int]], msgspec.json.encode(points))):
        assert cost(JSON.decoder(kind), body) < 0.05


@pytest.mark.alone
def test_keys_that_lead_through_full_slots_are_refused_where_they_would_cost_most():
    body, harmless = as_msgpack_keys(steering(16, 28_000, 43_600)), as_msgpack_keys(range(43_600))
    decode = msgspec.msgpack.Decoder(dict[int, None]).decode

    assert cost(decode, body) > 20 * cost(decode, harmless)
    assert "more than the" in refused_in(MSGPACK.decoder(dict[int, None]), body)


@pytest.mark.alone
def test_those_that_are_let_through_cost_less_than_a_second():
    body = as_msgpack_keys(steering(15, 11_400, 21_800))

    assert UNCHECKED < len(body) <= STEERED
    assert cost(MSGPACK.decoder(dict[int, None]), body) < 1.0


@pytest.mark.alone
def test_of_neighbouring_ints_too_few_meet_to_cost_more():
    # All of 16 bits that come upon full slots until they are used up.
    mask, slot, left = 2**15 - 1, 0, {}
    while len(left) < 16_384:
        left[slot] = len(left)
        slot = (5 * slot + 1) & mask
    keys = list(left)
    for value in range(2**15, 2**16):
        slot, rest = value & mask, value
        while slot in left and rest:
            rest >>= 5
            slot = (5 * slot + rest + 1) & mask
        if slot in left and len(keys) < 21_800:
            keys.append(value)

    assert cost(MSGPACK.decoder(dict[Port, None]), as_msgpack_keys(keys)) < 0.2


def test_only_what_has_a_hash_that_can_be_chosen_is_looked_for():
    bounded = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    kinds = {
        set[str]: set(),
        dict[Port, int]: set(),
        dict[Annotated[int, msgspec.Meta(gt=-(2**16), lt=1)], int]: set(),
        dict[bounded, int]: {"number"},
        list[int]: set(),
        set[float]: {"number"},
        set[dt.date]: set(),
        set[dt.datetime]: {"number"},
        set[Annotated[dt.datetime, msgspec.Meta(tz=False)]]: set(),
        dict[str, list[uuid.UUID]]: set(),
        dict[str, object]: {"any"},
        set[int]: {"int", "number"},
        dict[Annotated[int, msgspec.Meta(ge=0)], int]: {"int", "number"},
        dict[uuid.UUID | int, str]: {"int", "number", "uuid"},
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
