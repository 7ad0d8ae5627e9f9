"""Frames: the bytes of several messages in one record, and what is made of any bytes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Message
from transports.kafka.frames import MOST_BYTES, MOST_MESSAGES, pack, take_apart, unpack
from transports.kafka.records import Record

SHARED = (("content-type", b"application/json"), ("rpc-method", b"UserService.get"))
REQUESTS = [
    Message(b'{"user_id":1}', (*SHARED, ("kafka_correlationId", b"\x00\x01")), b"1"),
    Message(b'{"user_id":2}', (*SHARED, ("kafka_correlationId", b"\x00\x02"))),
]
HEADERS = (("rpc-frame", b"2"), ("content-type", b"application/vnd.parley.frame+msgpack"))
GOLDEN = (
    b"\x92"
    b"\x94\x00"
    b"\x93"
    b"\x92\xaccontent-type\xc4\x10application/json"
    b"\x92\xaarpc-method\xc4\x0fUserService.get"
    b"\x92\xb3kafka_correlationId\xc4\x02\x00\x01"
    b'\xc4\x011\xc4\r{"user_id":1}'
    b"\x94\x02"
    b"\x91\x92\xb3kafka_correlationId\xc4\x02\x00\x02"
    b'\xc0\xc4\r{"user_id":2}'
)


def apart(*records):
    """Take all of these apart."""
    return [one for record in records for one in take_apart(record)]


def record(value, count, headers=None):
    named = (("rpc-frame", b"%d" % count), HEADERS[1]) if headers is None else headers
    return Record(7, 1500, Message(value, named), len(value))


def packed(*messages):
    return msgspec.msgpack.encode(list(messages))


def counts(messages, *most):
    return [count for _, count in pack(messages, *most)]


def test_two_requests_as_they_stand_in_a_record():
    assert list(pack(REQUESTS)) == [(Message(GOLDEN, HEADERS), 2)]
    assert unpack(Message(GOLDEN, HEADERS)) == REQUESTS


def test_a_message_alone_is_a_record_as_ever():
    assert list(pack(REQUESTS[:1])) == [(REQUESTS[0], 1)]


def test_what_messages_share_is_one_object_in_all_of_them():
    first, second = unpack(Message(GOLDEN, HEADERS))

    assert all(one is other for one, other in zip(first.headers[:2], second.headers, strict=False))


def test_a_frame_is_bounded_in_messages():
    assert counts([Message(b"")] * (2 * MOST_MESSAGES + 3)) == [MOST_MESSAGES, MOST_MESSAGES, 3]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([40_000] * 5, [3, 2]),
        ([200_000, 10, 10], [1, 2]),
        ([10, 200_000, 10, 10], [1, 1, 2]),
        ([100_000, 100_000], [1, 1]),
    ],
)
def test_a_frame_is_bounded_in_bytes(sizes, expected):
    records = list(pack([Message(b"x" * size) for size in sizes]))

    assert [count for _, count in records] == expected
    assert all(len(one.body) <= MOST_BYTES for one, count in records if count > 1)


class Name(str):
    """A name that is not plainly one."""

    __slots__ = ()

    def isascii(self):
        return False


@pytest.mark.parametrize(
    "odd",
    [
        Message(None),
        Message("text"),
        Message(b"", key="text"),
        Message(b"", (("name", None),)),
        Message(b"", ((7, b""),)),
        Message(b"", ((None, b""),)),
        Message(b"", (("\ud800", b""),)),
        Message(b"", (("näme", b""),)),
        Message(b"", ((Name("name"), b""),)),
        Message(b"", (("name", b"", b""),)),
        Message(bytearray(b"changes")),
    ],
)
def test_what_could_not_be_read_again_goes_alone_and_its_neighbours_together(odd):
    around = [Message(b"%d" % n, SHARED) for n in range(4)]

    assert list(pack([*around[:2], odd, *around[2:]]))[1] == (odd, 1)
    assert counts([*around[:2], odd, *around[2:]]) == [2, 1, 2]


names = st.text(st.characters(max_codepoint=127), max_size=5)
header_pools = st.lists(st.tuples(names, st.binary(max_size=5)), max_size=4)
messages = st.builds(
    Message,
    st.binary(max_size=40),
    header_pools.map(tuple),
    st.none() | st.binary(max_size=5),
)


@given(st.lists(messages, min_size=1, max_size=150), st.integers(0, 4000))
def test_what_is_packed_comes_out_in_its_order(sent, most_bytes):
    records = list(pack(sent, most_bytes))
    out = apart(*(Record(n, 0, one, len(one.body)) for n, (one, _) in enumerate(records)))

    assert [one.message for one in out] == sent
    assert all(len(one.body) <= most_bytes for one, count in records if count > 1)
    places = [(one.offset, one.part, one.parts) for one in out]
    assert places == [
        (n, part, count) for n, (_, count) in enumerate(records) for part in range(count)
    ]


WHOLE = [0, [], None, b""]
MANY = [0, [[f"h{n}", b""] for n in range(300)], None, b""]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (b"", 1),
        (b"\xc1", 1),
        (packed(WHOLE), 2),
        (packed(WHOLE, WHOLE), 1),
        (packed(*[WHOLE] * 65), 65),
        (packed(WHOLE), 0),
        (packed(), 0),
        (packed(WHOLE) + b"\x00", 1),
        (packed([0, [], None]), 1),
        (packed([*WHOLE, None]), 1),
        (packed([1, [], None, b""]), 1),
        (packed(WHOLE, [-1, [], None, b""]), 2),
        (packed(MANY, [256, [], None, b""]), 2),
        (packed(WHOLE, [1 << 40, [], None, b""]), 2),
        (packed([True, [], None, b""]), 1),
        (packed([0, [["name", "text"]], None, b""]), 1),
        (packed([0, [[b"name", b""]], None, b""]), 1),
        (packed([0, [["name"]], None, b""]), 1),
        (packed([0, [], "text", b""]), 1),
        (packed([0, [], None, None]), 1),
        (packed({"shared": 0}), 1),
        (b"\x91\x94\x00\x91\x92\xa1\xff\xc4\x00\xc0\xc4\x00", 1),  # a name that is no UTF-8
        (b"\x91\x94\x00\xdd\xff\xff\xff\xff", 1),  # four thousand million headers, it says
        (b"\xdd\xff\xff\xff\xff", 1),
        (b"\x91\x94\x00\x90\xc0\xc6\xff\xff\xff\xff", 1),
        (b"\x91" * 100_000, 1),
        (b"\xc7" * 100, 1),
    ],
)
def test_a_frame_that_makes_no_sense_is_a_problem_of_its_record(value, count):
    before, after = record(GOLDEN, 2), Record(8, 1500, REQUESTS[0], 90)
    out = apart(before, record(value, count), after)

    assert [one.message for one in (*out[:2], out[-1])] == [*REQUESTS, REQUESTS[0]]
    (bad,) = out[2:-1]
    assert (bad.offset, bad.part, bad.parts) == (7, 0, 1)
    assert bad.message == Message(b"")
    assert bad.problem is not None
    assert bad.problem.startswith("the frame can't be read: ")


@pytest.mark.parametrize(
    "headers",
    [
        (("rpc-frame", b""), HEADERS[1]),
        (("rpc-frame", b"02"), HEADERS[1]),
        (("rpc-frame", b"-2"), HEADERS[1]),
        (("rpc-frame", b"9" * 10_000), HEADERS[1]),
        (("rpc-frame", b"2"),),
        (("rpc-frame", b"2"), ("content-type", b"application/json")),
    ],
)
def test_a_frame_whose_headers_make_no_sense_is_a_problem_too(headers):
    (bad,) = take_apart(record(GOLDEN, 2, headers))

    assert bad.problem is not None
    assert len(bad.problem) < 200


def test_a_frame_in_a_frame_is_only_bytes():
    inner = Message(GOLDEN, HEADERS)
    ((outer, _),) = pack([inner, inner])

    assert [one.message for one in apart(*apart(record(outer.body, 2)))] == [inner, inner]


@given(st.binary(max_size=60), st.integers(1, 3))
def test_any_bytes_are_messages_or_a_problem(value, count):
    out = take_apart(record(value, count))

    assert len(out) == (1 if out[0].problem else count)


def test_headers_that_are_shared_many_times_take_no_room():
    # 64 messages of 255 headers each, of which all but the first's are three bytes.
    headers = [[f"h{n}", b"x" * 100] for n in range(255)]
    value = packed([0, headers, None, b""], *[[255, [], None, b""]] * 63)
    out = take_apart(record(value, 64))

    assert len({id(header) for one in out for header in one.message.headers}) == 255
