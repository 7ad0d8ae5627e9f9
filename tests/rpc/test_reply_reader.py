"""Replies are read as `decode_reply` reads them, whatever was read before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import Code
from rpc.headers import EnvelopeError
from rpc.reply import ReplyReader, decode_reply
from transports.base import Message

NAMES = [
    "kafka_correlationId", "content-type", "rpc-kind", "rpc-method", "rpc-status", "rpc-client",
    "rpc-attempt", "rpc-retry-after", "rpc-frames", "other",
]  # fmt: skip
VALUES = [b"", b"OK", b"UNAVAILABLE", b"1", b"2", b"reply", b"request", b"x" * 64, b"x" * 65]


def outcome_of(read, message):
    try:
        return read(message)
    except EnvelopeError as error:
        return str(error)


def reply(call_id: bytes, *others: tuple[str, bytes], body: bytes = b"5") -> Message:
    return Message(body, (("rpc-kind", b"reply"), *others, ("kafka_correlationId", call_id)))


@given(
    st.lists(
        st.builds(
            Message,
            st.binary(max_size=3),
            st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=5).map(
                tuple
            ),
        ),
        max_size=12,
    )
)
def test_it_reads_every_message_as_if_it_were_the_first(messages):
    reader = ReplyReader()
    for message in [*messages, *messages]:
        assert outcome_of(reader.read, message) == outcome_of(decode_reply, message)


def test_neighbours_that_differ_in_call_id_and_body_alone_are_told_apart():
    reader = ReplyReader()
    read = [reader.read(reply(b"%d" % n, ("rpc-status", b"OK"), body=b"%d" % n)) for n in range(9)]

    assert [(one.call_id, one.body) for one in read] == [(b"%d" % n, b"%d" % n) for n in range(9)]


def test_an_error_between_two_results_is_one():
    reader = ReplyReader()
    codes = [
        reader.read(reply(b"id", ("rpc-status", status))).code
        for status in (b"OK", b"NOT_FOUND", b"OK", b"NOT_FOUND")
    ]

    assert codes == [None, Code.NOT_FOUND, None, Code.NOT_FOUND]


@pytest.mark.parametrize(
    "others",
    [
        [(f"a{n}", b"") for n in range(20)],
        [("rpc-method", b"m" * 1000)],
        [("n" * 1000, b"")],
    ],
)
def test_headers_that_are_many_or_long_are_not_kept_in_memory(others):
    reader = ReplyReader()
    message = reply(b"id", *others)

    assert reader.read(message) == reader.read(message) == decode_reply(message)
    assert not reader._known


def test_what_is_kept_in_memory_is_bounded():
    reader = ReplyReader()
    for number in range(1000):
        reader.read(reply(b"id", ("rpc-retry-after", b"%d" % number)))

    assert len(reader._known) <= 64
