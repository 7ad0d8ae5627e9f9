"""Any bytes to a server: a result or a typed error, soon, in bounded memory, and nowhere else."""

import tracemalloc
import uuid

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts import JSON, MSGPACK, Code, ErrorBody
from rpc.reply import decode_reply
from transports.base import Message

FUZZ = settings.get_profile("fuzz")
CODECS = {"application/json": JSON, "application/msgpack": MSGPACK}
METHODS = ["whole", "tree", "bag", "when", "pet", "none"]
ALLOWED = {"rpc.replies.test", "Odds.dead"}

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["a", "Cat", "Dog", "2020-01-01T00:00:00Z", str(uuid.UUID(int=7))]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("x", "y", "tree", "name", "branches", "ids", "sizes", "at", "raw", "level"),
                    *("pet", "many", "type", "lives", "7"),
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
SOUND = {
    "whole": {"x": 1},
    "tree": {"tree": {"name": "a", "branches": [{"name": "b"}]}},
    "bag": {"ids": [str(uuid.UUID(int=7))], "sizes": {"1": "x"}},
    "when": {"at": "2020-01-01T00:00:00Z", "raw": "AAAA", "level": "a"},
    "pet": {"pet": {"type": "Cat", "lives": 9}, "many": []},
}


@st.composite
def mutated(draw, sound):
    """Return `sound` bytes, flipped, cut and spliced."""
    body = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(body) - 1)))
        match draw(st.sampled_from(["flip", "cut", "splice", "repeat"])):
            case "flip" if body:
                body[place] = draw(st.integers(0, 255))
            case "cut":
                del body[place : place + draw(st.integers(1, 8))]
            case "splice":
                body[place:place] = draw(st.binary(max_size=8))
            case _:
                body[place:place] = body[place : place + 16] * draw(st.integers(1, 40))
    return bytes(body)


bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=60).map(str.encode),
    plain.map(msgspec.json.encode),
    plain.map(msgspec.msgpack.encode),
    st.sampled_from(sorted(SOUND)).flatmap(
        lambda name: (
            mutated(msgspec.json.encode(SOUND[name])) | mutated(msgspec.msgpack.encode(SOUND[name]))
        )
    ),
)


def answer(counter, message):
    """Return the code of the one reply to `message`, which must be what it says."""
    (told,) = counter.serve(message)
    reply = decode_reply(told)
    if reply.code is None:
        return None
    codec = CODECS.get((reply.content_type or b"").decode(), JSON)
    error = codec.decoder(ErrorBody)(reply.body)
    assert error.code == reply.code
    assert len(error.message) < 1000
    return reply.code


@FUZZ
@given(bodies, st.sampled_from(METHODS), st.sampled_from(sorted(CODECS)))
def test_any_body_is_a_call_or_a_typed_error(counter, request_of, body, method, content_type):
    code = answer(counter, request_of(body, method, content_type))

    assert code in {None, Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED}
    assert (code is Code.UNIMPLEMENTED) == (method == "none")


NAMES = [
    "kafka_correlationId",
    "kafka_replyTopic",
    "kafka_replyPartition",
    "content-type",
    "rpc-version",
    "rpc-kind",
    "rpc-method",
    "rpc-client",
    "rpc-timeout",
    "rpc-attempt",
    "rpc-sent",
    "rpc-idempotency-key",
    "rpc-retry-after",
    "rpc-status",
    "rpc-dead-reason",
]
VALUES = [
    *(b"", b"0", b"1", b"-1", b"5000", b"9" * 16, b"9" * 400, b"\x00\x00\x00\x00", b"\xff" * 4),
    *(b"request", b"reply", b"cancel", b"clock", b"OK", b"application/json", b"\xff\xfe"),
    *(b"Odds.whole", b"Odds.", b".", b"rpc.replies.test", b"rpc.replies.", b"Odds.requests"),
    *(b"__consumer_offsets", b"rpc.replies.x\r\ny", b"1" * 16, b"x" * 300, "²".encode()),
]
header = st.tuples(
    st.sampled_from(NAMES) | st.text(max_size=12), st.sampled_from(VALUES) | st.binary(max_size=40)
)
header_lists = st.lists(header, max_size=14).map(tuple)


@FUZZ
@given(header_lists, st.binary(max_size=20), st.none() | st.binary(max_size=20))
def test_any_headers_are_answered_or_dropped(counter, headers, body, key):
    counter.serve(Message(body, headers, key))

    assert counter.transport.topics <= ALLOWED | _replies(headers)


@FUZZ
@given(header_lists, st.sets(st.sampled_from(NAMES), max_size=2), st.booleans())
def test_headers_of_a_sound_request_may_be_disturbed(counter, request_of, added, dropped, before):
    sound = request_of(b'{"x":1}')
    kept = tuple((name, value) for name, value in sound.headers if name not in dropped)
    headers = (*added, *kept) if before else (*kept, *added)
    counter.serve(replace(sound, headers=headers))

    assert counter.transport.topics <= ALLOWED | _replies(headers)


def _replies(headers):
    """Return the topics that the headers name and that a server may write to."""
    named = [value for name, value in headers if name == "kafka_replyTopic"]
    texts = {value.decode(errors="replace") for value in named}
    return {text for text in texts if text.startswith("rpc.replies.")}


@pytest.mark.parametrize(
    "headers",
    [
        tuple((f"h{n}", b"x") for n in range(1000)),
        tuple(("kafka_replyTopic", b"rpc.replies.test") for _ in range(1000)),
        tuple(("rpc-method", b"Odds.whole") for _ in range(1000)),
        (("h", bytes(63 << 10)),),
        (("rpc-method", b"x" * (63 << 10)),),
        (("rpc-client", b"x" * (63 << 10)),),
        (("kafka_correlationId", b"x" * (63 << 10)),),
        (("n" * (63 << 10), b""),),
    ],
    ids=["many", "replies", "methods", "long", "method", "client", "call", "name"],
)
def test_many_and_long_headers_are_answered_or_dropped(counter, request_of, headers):
    sound = request_of(b'{"x":1}')
    names = {name for name, _ in headers}
    kept = tuple((name, value) for name, value in sound.headers if name not in names)

    counter.serve(replace(sound, headers=kept + headers))

    assert counter.transport.topics <= ALLOWED


MIB = 1 << 20
ids = [str(uuid.UUID(int=(2**61 - 1) * (n + 1) * 12_345_678_901)) for n in range(26_000)]
LARGE = {
    "text": ("whole", "application/json", b'{"x":"' + b"a" * (MIB - 20) + b'"}'),
    "open": ("tree", "application/json", b"[" * MIB),
    "objects": ("tree", "application/json", b'{"tree":' * (MIB // 8)),
    "trees": ("tree", "application/json", b'{"tree":{"branches":[' + b"{}," * 340_000 + b"{}]}}"),
    "unknown": ("whole", "application/json", b'{"x":1,"z":' + b"[" * (MIB - 20)),
    "digits": ("whole", "application/json", b'{"x":' + b"9" * (MIB - 20) + b"}"),
    "ids": ("bag", "application/json", msgspec.json.encode({"ids": ids, "sizes": {}})),
    "keys": (
        "bag",
        "application/json",
        msgspec.json.encode(
            {"ids": [], "sizes": {str((2**61 - 1) * n): "" for n in range(40_000)}}
        ),
    ),
    "maps": (
        "whole",
        "application/msgpack",
        b"\x82\xa1x\x01\xa1z\xdd\x00\x0f\x00\x00" + b"\x80" * 983_040,
    ),
    "arrays": ("tree", "application/msgpack", b"\x91" * MIB),
    "claims": ("bag", "application/msgpack", b"\x81\xa3ids\xdd\xff\xff\xff\xff"),
    "claimed keys": ("bag", "application/msgpack", b"\x81\xa5sizes\xdf\xff\xff\xff\xff"),
    "claimed text": ("whole", "application/msgpack", b"\x81\xdb\xff\xff\xff\xff"),
    "too large": ("whole", "application/json", b" " * (2 * MIB)),
}


@pytest.mark.alone
@pytest.mark.parametrize("name", LARGE)
def test_a_mebibyte_of_malice_is_answered_soon_and_in_bounded_memory(counter, request_of, name):
    method, content_type, body = LARGE[name]
    code = answer(counter, request_of(body, method, content_type))
    tracemalloc.start()
    counter.serve(request_of(body[: MIB // 4], method, content_type))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert code in {None, Code.INVALID_ARGUMENT, Code.INTERNAL}
    assert peak < 64 * MIB
