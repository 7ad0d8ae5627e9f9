"""What is written is read again, and JSON and msgpack agree about what fits a type."""

import datetime as dt
import decimal
import uuid
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import JSON, MSGPACK, DecodeError

FUZZ = settings.get_profile("fuzz")
whole = st.integers(-(2**63), 2**64 - 1)
real = st.floats(allow_nan=False, allow_infinity=False)
KINDS = {
    int: whole,
    float: real,
    bool: st.booleans(),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    uuid.UUID: st.uuids(),
    dt.date: st.dates(),
    dt.time: st.times(),
    dt.datetime: st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    dt.timedelta: st.timedeltas(dt.timedelta(-9000), dt.timedelta(9000)),
    decimal.Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
}
KEYS = (int, str, uuid.UUID, dt.date)


@st.composite
def typed(draw, depth=2, alike=False):
    """Return a type, and a value of it; `alike`: of those that both codecs write alike."""
    shape = draw(st.sampled_from(["plain", "list", "dict", "set", "tuple", "none", "struct"]))
    if depth == 0 or shape == "plain":
        kind = draw(st.sampled_from([kind for kind in KINDS if not (alike and kind is bytes)]))
        return kind, draw(KINDS[kind])
    if shape in {"dict", "set"}:
        key = str if alike and shape == "dict" else draw(st.sampled_from(KEYS))
        keys = draw(st.lists(KINDS[key], max_size=4, unique=True))
        if shape == "set":
            return frozenset[key], frozenset(keys)
        inner, value = draw(typed(depth - 1, alike))
        return dict[key, inner], dict.fromkeys(keys, value)
    inner, value = draw(typed(depth - 1, alike))
    if shape == "list":
        return list[inner], [value] * draw(st.integers(0, 3))
    if shape == "tuple":
        return tuple[inner, int], (value, draw(whole))
    if shape == "none":
        return inner | None, draw(st.sampled_from([None, value]))
    made = msgspec.defstruct("Made", [("first", inner), ("second", int, 7)])
    return made, made(value, draw(whole))


@FUZZ
@given(typed())
@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_what_is_written_is_read_again(codec, sample):
    kind, value = sample

    assert codec.decoder(kind)(codec.encode(value)) == value


def verdict(codec, kind, value):
    """Return what reading `value` as `kind` gives, or that it is refused."""
    try:
        return codec.decoder(kind)(codec.encode(value))
    except DecodeError:
        return DecodeError


@FUZZ
@given(typed(alike=True), typed(alike=True))
def test_both_codecs_agree_about_what_fits(one, other):
    kind, _ = one
    _, value = other
    plain = msgspec.to_builtins(value)

    assert verdict(JSON, kind, plain) == verdict(MSGPACK, kind, plain)
