import datetime as dt
import decimal
import enum
import math
import uuid
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import JSON, MSGPACK, DecodeError, EncodeError, codec_named, sized

BOTH = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Cat(msgspec.Struct, tag=True, frozen=True):
    lives: int


class Dog(msgspec.Struct, tag=True, frozen=True):
    name: str


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    colour: Colour = Colour.RED


class Everything(msgspec.Struct):
    whole: int
    real: float
    text: str
    raw: bytes
    flag: bool
    nothing: int | None
    when: dt.datetime
    day: dt.date
    span: dt.timedelta
    identity: uuid.UUID
    price: decimal.Decimal
    colour: Colour
    level: Level
    choice: Literal["a", "b"]
    pet: Cat | Dog
    many: list[int]
    pair: tuple[int, str]
    table: dict[str, float]
    bag: frozenset[str]
    bounded: Annotated[int, msgspec.Meta(ge=0)] = 0


finite = st.floats(allow_nan=False, allow_infinity=False)
everything = st.builds(
    Everything,
    whole=st.integers(-(2**63), 2**64 - 1),
    real=finite,
    text=st.text(),
    raw=st.binary(),
    flag=st.booleans(),
    nothing=st.none() | st.integers(-(2**63), 2**63),
    when=st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    day=st.dates(),
    span=st.timedeltas(dt.timedelta(days=-9000), dt.timedelta(days=9000)),
    identity=st.uuids(),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    choice=st.sampled_from(["a", "b"]),
    pet=st.builds(Cat, lives=st.integers(0, 9)) | st.builds(Dog, name=st.text()),
    many=st.lists(st.integers(-(2**63), 2**63), max_size=5),
    pair=st.tuples(st.integers(-9, 9), st.text()),
    table=st.dictionaries(st.text(), finite, max_size=4),
    bag=st.frozensets(st.text(), max_size=4),
    bounded=st.integers(0, 2**32),
)


@BOTH
@settings(deadline=None)
@given(value=everything)
def test_what_is_written_is_read_again(codec, value):
    assert codec.decoder(Everything)(codec.encode(value)) == value


@BOTH
@settings(deadline=None)
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_a_decode_error(codec, body):
    try:
        value = codec.decoder(Everything)(body)
    except DecodeError:
        return

    assert isinstance(value, Everything)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("json", JSON),
        ("application/json", JSON),
        ("Application/JSON; charset=utf-8", JSON),
        ("msgpack", MSGPACK),
        ("application/msgpack", MSGPACK),
        ("application/x-msgpack", MSGPACK),
    ],
)
def test_a_codec_is_found_by_name_or_content_type(name, codec):
    assert codec_named(name) is codec


def test_content_types_are_fixed():
    assert (JSON.content_type, MSGPACK.content_type) == ("application/json", "application/msgpack")


def test_an_unknown_codec_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="no codec") as caught:
        codec_named("text/" + "x" * 500)

    assert str(caught.value).endswith("x': use application/json or application/msgpack")
    assert len(str(caught.value)) < 140


def _cyclic():
    value = []
    value.append(value)
    return value


def _raising():
    class Raising(msgspec.Struct):
        x: int

    value = Raising(1)
    del value.x
    return value


@pytest.mark.parametrize(
    ("codec", "value", "text"),
    [
        (JSON, _cyclic(), "nested too deeply, or contains itself"),
        (MSGPACK, _cyclic(), "nested too deeply, or contains itself"),
        (JSON, "\ud800", "a string holds a lone surrogate, which UTF-8 cannot carry"),
        (MSGPACK, "\ud800", "a string holds a lone surrogate, which UTF-8 cannot carry"),
        (MSGPACK, 2**64, "can't serialize ints < -2**63 or > 2**64 - 1"),
        (JSON, object(), "Encoding objects of type object is unsupported"),
        (MSGPACK, 1j, "Encoding objects of type complex is unsupported"),
        pytest.param(JSON, 10**5000, "ValueError while the value was read", id="huge"),
        (JSON, _raising(), "AttributeError while the value was read"),
        (JSON, {(1, 2): 3}, "Only dicts with str-like or number-like keys are supported"),
    ],
)
def test_what_cannot_be_written_is_an_encode_error(codec, value, text):
    with pytest.raises(EncodeError) as caught:
        codec.encode(value)

    assert str(caught.value) == text


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.inf,
        [None, 1.0, math.inf],
        {"a": {"b": (None, math.nan)}},
        Cat(lives=math.nan),
        [2**70, math.nan],
        {"when": dt.date(2020, 1, 1), 1: math.inf},
    ],
)
def test_json_refuses_what_it_has_no_number_for(value):
    with pytest.raises(EncodeError) as caught:
        JSON.encode(value)

    assert str(caught.value) == "a float is NaN or infinite, which JSON cannot carry"


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, b"null"),
        ([None, 1.5, -0.0], b"[null,1.5,-0.0]"),
        ("null", b'"null"'),
        ([None, 2**70], b"[null,1180591620717411303424]"),
        ([None, 2**70, msgspec.Raw(b"1")], b"[null,1180591620717411303424,1]"),
        ([None, b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"], b'[null,"y3/wAAAAAAAA"]'),
        ([None, {1: dt.date(2020, 1, 1)}], b'[null,{"1":"2020-01-01"}]'),
    ],
)
def test_null_itself_and_what_looks_like_nan_are_written(value, body):
    assert JSON.encode(value) == body


def test_msgpack_carries_what_json_cannot():
    values = MSGPACK.decoder(list[float])(MSGPACK.encode([math.inf, -math.inf, math.nan]))

    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])


# What msgspec before 0.23 raises as another exception, and from then on tells by itself.
NOT_UTF8 = {"a string is not valid UTF-8", "Invalid UTF-8 encoded string"}
NOT_HASHABLE = {
    "TypeError while the value was built",
    "Expected a hashable value, got `list` - at `$[0]`",
}


@pytest.mark.parametrize(
    ("type_", "body", "text"),
    [
        (int, b'"x"', "Expected `int`, got `str`"),
        (list[Cat], b'[{"type":"Cat"}]', "Object missing required field `lives` - at `$[0]`"),
        (int, b"", "Input data was truncated"),
        (str, b'"\xff"', NOT_UTF8),
        (object, b"[" * 100_000, "nested too deeply"),
        (set[list[int]], b"[[1]]", NOT_HASHABLE),
        (Colour, b'"secret"', "Invalid enum value"),
        (Literal["a"], b'"secret - at `$.x` "', "Invalid enum value"),
        (list[Colour], b'["secret\\n - at `$`"]', "Invalid enum value - at `$[0]`"),
        (dict[Colour, int], b'{"secret":1}', "Invalid enum value - at `key` in `$`"),
        (dict[str, Level], b'{"secret":77}', "Invalid enum value - at `$[...]`"),
        (Cat | Dog, b'{"type":"secret"}', "Invalid value - at `$.type`"),
        (Strict, b'{"secret":1}', "Object contains unknown field"),
        (
            list[Strict],
            b'[{"secret` - at `$.x":1}]',
            "Object contains unknown field - at `$[0]`",
        ),
        (Strict, b'{"colour":"secret"}', "Invalid enum value - at `$.colour`"),
        (dt.datetime, b'"secret"', "Invalid RFC3339 encoded datetime"),
        (uuid.UUID, b'"secret"', "Invalid UUID"),
    ],
)
def test_what_cannot_be_read_is_a_decode_error_with_the_path_and_without_the_value(
    type_, body, text
):
    with pytest.raises(DecodeError) as caught:
        JSON.decoder(type_)(body)

    assert str(caught.value) in (text if isinstance(text, set) else {text})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_type_that_refuses_a_value_is_a_decode_error_with_its_reason():
    class Even(msgspec.Struct):
        value: int

        def __post_init__(self):
            if self.value % 2:
                msg = "must be even"
                raise ValueError(msg)

    with pytest.raises(DecodeError) as caught:
        JSON.decoder(list[Even])(b'[{"value":3}]')

    assert str(caught.value) == "must be even - at `$[0]`"


def test_what_a_type_says_of_a_value_is_told_on_one_line_and_cut():
    class Loud(msgspec.Struct):
        value: str

        def __post_init__(self):
            raise ValueError("no\r\n\x1b[31m \u2028" + "x" * 5000)

    with pytest.raises(DecodeError) as caught:
        JSON.decoder(Loud)(b'{"value":""}')

    assert str(caught.value).startswith(r"no\r\n\x1b[31m \u2028xxx")
    assert len(str(caught.value)) == 500


CANARY = "canary"
KINDS = [
    int,
    float,
    bool,
    str,
    bytes,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    decimal.Decimal,
    Colour,
    Level,
    Literal["a", "b"],
    Literal[1, 2],
    Cat | Dog,
    Strict,
    list[Colour],
    set[Level],
    tuple[int, str],
    dict[str, int],
    dict[int, Colour],
    dict[uuid.UUID, int],
    dict[dt.date, Colour],
    dict[Colour, str],
    Annotated[str, msgspec.Meta(pattern="^a$")],
    Annotated[str, msgspec.Meta(max_length=2)],
    Annotated[int, msgspec.Meta(ge=0, multiple_of=7)],
    Everything,
]
canaries = st.recursive(
    st.sampled_from([CANARY, f"P1{CANARY}", f"{CANARY} - at `$.x`", f"2020-01-01T{CANARY}", 770077])
    | st.just(CANARY.encode()),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(
            st.sampled_from([CANARY, "type", "lives", "colour", "770077", "red"]), inner, min_size=1
        )
    ),
    max_leaves=6,
)


@BOTH
@settings(deadline=None)
@given(kind=st.sampled_from(KINDS), value=canaries)
def test_no_error_repeats_what_a_peer_has_sent(codec, kind, value):
    told = ""
    try:
        codec.decoder(kind)(codec.encode(value))
    except DecodeError as error:
        told = str(error)

    assert CANARY not in told
    assert "770077" not in told


@pytest.mark.parametrize(
    "error", [MemoryError, OverflowError, RecursionError, KeyError, AssertionError]
)
def test_whatever_a_type_raises_is_a_decode_error_without_its_text(error):
    class Odd(msgspec.Struct):
        value: int

        def __post_init__(self):
            raise error("canary")

    with pytest.raises(DecodeError) as caught:
        JSON.decoder(Odd)(b'{"value":1}')

    assert "canary" not in str(caught.value)


def test_a_body_of_too_many_bytes_is_not_decoded():
    decode = sized(JSON.decoder(str), 10)

    assert decode(b'"12345678"') == "12345678"
    with pytest.raises(DecodeError, match=r"^11 bytes are more than the 10 of max_body_bytes$"):
        decode(b'"123456789"')


@BOTH
def test_fields_of_a_newer_peer_are_ignored(codec):
    body = codec.encode({"type": "Cat", "lives": 9, "name": "Tom"})

    assert codec.decoder(Cat)(body) == Cat(9)
