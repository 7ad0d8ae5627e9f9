"""Calls and replies as bytes: golden records, peers' records, and what is malformed."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts import Certainty, Code, RpcError, to_wire
from contracts.codec import JSON, MSGPACK
from rpc.headers import EnvelopeError, is_control
from rpc.origin import Origins
from rpc.reply import decode_reply, reply_message
from rpc.request import (
    Cancel,
    MalformedRequest,
    Request,
    cancel_message,
    decode_request,
    request_headers,
    request_message,
)
from transports.base import Address, Message

CALL_ID = bytes(range(16))
CONSTANT = request_headers(
    "UserService.get", "c0ffee00c0ffee00", Address("rpc.replies.shop", 258), "application/json"
)


class NoSuchUserError(RpcError, code=Code.NOT_FOUND):
    user_id: int


# -- golden bytes ----------------------------------------------------------------------------------

GOLDEN_CONSTANT = (
    ("kafka_replyTopic", b"rpc.replies.shop"),
    ("kafka_replyPartition", b"\x00\x00\x01\x02"),
    ("content-type", b"application/json"),
    ("rpc-version", b"1"),
    ("rpc-kind", b"request"),
    ("rpc-method", b"UserService.get"),
    ("rpc-client", b"c0ffee00c0ffee00"),
)
GOLDEN_CALL = (("kafka_correlationId", b"\0\1\2\3\4\5\6\7\x08\t\n\x0b\x0c\r\x0e\x0f"),)
GOLDEN_REPLY = (
    ("content-type", b"application/json"),
    ("rpc-version", b"1"),
    ("rpc-kind", b"reply"),
    ("rpc-method", b"UserService.get"),
)
GOLDEN_CLIENT = (("rpc-client", b"c0ffee00c0ffee00"),)


@pytest.mark.parametrize(
    ("options", "before", "after", "key"),
    [
        ({}, (), (("rpc-timeout", b"2000"),), None),
        ({"key": b"42"}, (), (("rpc-timeout", b"2000"),), b"42"),
        ({"key": b""}, (), (("rpc-timeout", b"2000"),), b""),
        (
            {"metadata": (("tenant", b"a"), ("traceparent", b"00-ab-cd-01"))},
            (("tenant", b"a"), ("traceparent", b"00-ab-cd-01")),
            (("rpc-timeout", b"2000"),),
            None,
        ),
        ({"attempt": 3}, (), (("rpc-timeout", b"2000"), ("rpc-attempt", b"3")), None),
    ],
    ids=["keyless", "keyed", "empty key", "metadata", "third attempt"],
)
def test_a_request_is_these_bytes(options, before, after, key):
    message = request_message(CONSTANT, CALL_ID, 2.0, b'{"user_id":42}', **options)

    assert message.body == b'{"user_id":42}'
    assert message.key == key
    assert message.headers == (*before, *GOLDEN_CONSTANT, *GOLDEN_CALL, *after)


def test_a_reply_inbox_without_a_partition_is_written_without_one():
    headers = dict(request_headers("S.m", "c", Address("rpc.replies.shop"), "application/json"))

    assert headers["kafka_replyTopic"] == b"rpc.replies.shop"
    assert "kafka_replyPartition" not in headers


def test_who_reads_frames_says_so_in_the_request_and_is_told_the_same_in_the_reply():
    inbox = Address("rpc.replies.shop", 258)
    constant = request_headers("S.m", "c", inbox, "application/json", frames=True)
    request = decode_request(request_message(constant, CALL_ID, 2.0, b"{}"))
    reply = reply_message(request, None, "application/json", b"1")

    assert constant[-1] == ("rpc-frames", b"1")
    assert request.frames
    assert dict(reply.headers)["rpc-frames"] == b"1"
    assert decode_reply(reply).frames


def test_who_does_not_is_told_nothing_of_them():
    request = decode_request(request_message(CONSTANT, CALL_ID, 2.0, b"{}"))
    reply = reply_message(request, None, "application/json", b"1")

    assert not request.frames
    assert "rpc-frames" not in dict(reply.headers)
    assert not decode_reply(reply).frames


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, b"0"), (0.0001, b"1"), (0.5, b"500"), (1.0005, b"1001"), (86400.0, b"86400000")],
)
def test_what_is_left_of_the_deadline_is_written_in_milliseconds_rounded_up(seconds, written):
    assert dict(request_message((), CALL_ID, seconds, b"").headers)["rpc-timeout"] == written


def request(body=b'{"user_id":42}', key=b"42"):
    decoded = decode_request(request_message(CONSTANT, CALL_ID, 2.0, body, key=key))
    assert isinstance(decoded, Request)
    return decoded


@pytest.mark.parametrize("name", ["rpc-client", "rpc-method"])
def test_headers_refused_as_too_long_are_echoed_and_not_kept_in_memory(name):
    sent = request_message(CONSTANT, CALL_ID, 2.0, b"")
    hostile = tuple((n, b"x" * 10_000 if n == name else value) for n, value in sent.headers)
    origins = Origins()
    with pytest.raises(MalformedRequest) as refused:
        decode_request(Message(b"", hostile), origins)
    reply = reply_message(refused.value.answerable, Code.INVALID_ARGUMENT, "application/json", b"")

    assert dict(reply.headers)[name] == b"x" * 10_000
    assert not origins.find(hostile)


def test_a_successful_reply_is_these_bytes():
    message = reply_message(request(), None, "application/json", b'{"id":42,"name":"Ada"}')

    assert message.body == b'{"id":42,"name":"Ada"}'
    assert message.key == b"42"
    assert message.headers == (*GOLDEN_REPLY, ("rpc-status", b"OK"), *GOLDEN_CLIENT, *GOLDEN_CALL)


@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (
            JSON,
            (
                b'{"code":"NOT_FOUND","type":"NoSuchUserError","message":"no user 42",'
                b'"details":{"user_id":42},"certainty":"EXECUTED"}'
            ),
        ),
        (
            MSGPACK,
            (
                b"\x85\xa4code\xa9NOT_FOUND\xa4type\xafNoSuchUserError\xa7message\xaano user 42"
                b"\xa7details\x81\xa7user_id\x2a\xa9certainty\xa8EXECUTED"
            ),
        ),
    ],
    ids=["json", "msgpack"],
)
def test_a_declared_error_is_these_bytes(codec, body):
    error = NoSuchUserError(user_id=42, message="no user 42")
    message = reply_message(request(), error.code, codec.content_type, codec.encode(to_wire(error)))

    assert message.body == body
    assert message.headers == (
        ("content-type", codec.content_type.encode()),
        *GOLDEN_REPLY[1:],
        ("rpc-status", b"NOT_FOUND"),
        *GOLDEN_CLIENT,
        *GOLDEN_CALL,
    )


def test_an_internal_error_is_these_bytes():
    error = RpcError(
        code=Code.INTERNAL,
        message="S.m: the handler failed; the server logged it as 0123456789abcdef",
        certainty=Certainty.EXECUTED,
        error_id="0123456789abcdef",
    )
    message = reply_message(request(), error.code, "application/json", JSON.encode(to_wire(error)))

    assert message.body == (
        b'{"code":"INTERNAL","type":"RpcError","message":"S.m: the handler failed; the server '
        b'logged it as 0123456789abcdef","details":{},"certainty":"EXECUTED",'
        b'"error_id":"0123456789abcdef"}'
    )
    assert message.headers == (
        *GOLDEN_REPLY,
        ("rpc-status", b"INTERNAL"),
        *GOLDEN_CLIENT,
        *GOLDEN_CALL,
    )


def test_a_cancel_record_is_these_bytes():
    assert cancel_message(CALL_ID, "UserService.get", "c0ffee00c0ffee00", b"42") == Message(
        b"",
        (
            ("rpc-version", b"1"),
            ("rpc-kind", b"cancel"),
            ("rpc-method", b"UserService.get"),
            ("rpc-client", b"c0ffee00c0ffee00"),
            *GOLDEN_CALL,
        ),
        b"42",
    )


# -- there and back --------------------------------------------------------------------------------


@given(
    written=st.builds(
        dict,
        body=st.binary(max_size=50),
        key=st.none() | st.binary(max_size=20),
        attempt=st.integers(1, 99),
    ),
    call_id=st.binary(min_size=1, max_size=64),
    method=st.text(max_size=60).filter(lambda text: len(text.encode()) <= 249),
    milliseconds=st.integers(0, 2**40),
    partition=st.none() | st.integers(0, 2**31 - 1),
)
def test_a_request_is_read_as_it_was_written(written, call_id, method, milliseconds, partition):
    reply_to = Address("rpc.replies.shop", partition)
    constant = request_headers(method, "client", reply_to, "application/json")
    message = request_message(constant, call_id, milliseconds / 1000, **written)
    read = decode_request(message)

    assert (read.call_id, read.method, read.client) == (call_id, method, "client")
    assert (read.reply_to, read.content_type) == (reply_to, "application/json")
    assert {name: getattr(read, name) for name in written} == written
    assert read.timeout == pytest.approx(milliseconds / 1000, abs=0.0011)
    assert read.headers == dict(message.headers)


@pytest.mark.parametrize("attempt", [1, 3])
@pytest.mark.parametrize("code", [None, *Code])
def test_a_reply_is_read_as_it_was_written(code, attempt):
    asked = msgspec.structs.replace(request(), attempt=attempt)
    reply = decode_reply(reply_message(asked, code, "application/msgpack", b"\xc0"))

    assert reply == (
        CALL_ID, b"c0ffee00c0ffee00", b"UserService.get", code, b"application/msgpack", b"\xc0",
        attempt, None, False,
    )  # fmt: skip


def test_a_cancel_record_is_read_as_it_was_written():
    read = decode_request(cancel_message(CALL_ID, "UserService.get", "c0ffee", None))

    assert read == Cancel(CALL_ID, "c0ffee")


def test_a_control_header_that_stands_twice_is_refused_and_told():
    message = request_message(CONSTANT, CALL_ID, 2.0, b"{}")
    doubled = replace(message, headers=(*message.headers, ("rpc-timeout", b"99")))

    with pytest.raises(EnvelopeError, match="rpc-timeout stands more than once") as refused:
        decode_request(doubled)
    assert refused.value.answerable is not None


def test_a_reply_with_a_control_header_that_stands_twice_is_refused():
    message = reply_message(request(), None, "application/json", b"1")
    doubled = replace(message, headers=(*message.headers, ("rpc-status", b"OK")))

    with pytest.raises(EnvelopeError, match="rpc-status stands more than once"):
        decode_reply(doubled)


def test_of_a_caller_s_own_headers_that_stand_twice_the_last_counts():
    sent = request_message(CONSTANT, CALL_ID, 2.0, b"", metadata=(("a", b"1"), ("a", b"2")))

    assert decode_request(sent).headers["a"] == b"2"


# -- Spring's template and listener ----------------------------------------------------------------


@pytest.mark.parametrize(
    "call_id", [CALL_ID, b"123e4567-e89b-12d3-a456-426614174000"], ids=["binary", "text"]
)
def test_the_request_of_springs_template_is_read(call_id):
    read = decode_request(
        Message(
            b'{"user_id":42}',
            (
                ("rpc-method", b"UserService.get"),
                ("kafka_replyTopic", b"rpc.replies.spring"),
                ("kafka_replyPartition", b"\x00\x00\x00\x02"),
                ("kafka_correlationId", call_id),
            ),
            b"k",
        )
    )

    assert (read.call_id, read.method, read.client) == (call_id, "UserService.get", None)
    assert (read.timeout, read.attempt, read.content_type) == (None, 1, None)
    assert read.reply_to == Address("rpc.replies.spring", 2)
    assert (read.body, read.key) == (b'{"user_id":42}', b"k")


def test_a_reply_to_spring_has_the_call_id_and_claims_no_client():
    spring = Message(
        b"{}", (("kafka_replyTopic", b"rpc.replies.spring"), ("kafka_correlationId", CALL_ID))
    )
    headers = dict(reply_message(decode_request(spring), None, "application/json", b"1").headers)

    assert headers["kafka_correlationId"] == CALL_ID
    assert headers["rpc-method"] == b""
    assert "rpc-client" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        (("kafka_correlationId", CALL_ID), ("__TypeId__", b"com.shop.User")),
        (("__TypeId__", b"com.shop.User"), ("kafka_correlationId", CALL_ID)),
        (("kafka_correlationId", CALL_ID),),
    ],
)
def test_the_reply_of_springs_listener_is_a_success(headers):
    assert decode_reply(Message(b'{"id":42}', headers)) == (
        CALL_ID, None, None, None, None, b'{"id":42}', 1, None, False,
    )  # fmt: skip


# -- what is malformed -----------------------------------------------------------------------------

ANSWERABLE, HOPELESS = True, False


@pytest.mark.parametrize(
    ("changed", "told", "answerable"),
    [
        ({"call": None}, "kafka_correlationId has 0 bytes", HOPELESS),
        ({"call": b""}, "kafka_correlationId has 0 bytes", HOPELESS),
        ({"call": b"x" * 65}, "kafka_correlationId has 65 bytes", HOPELESS),
        ({"reply_topic": None}, "kafka_replyTopic is missing", HOPELESS),
        ({"reply_topic": b""}, "kafka_replyTopic is missing", HOPELESS),
        ({"reply_topic": b"\xff"}, "kafka_replyTopic is not UTF-8", HOPELESS),
        ({"reply_topic": b"t" * 250}, "kafka_replyTopic has 250 bytes", HOPELESS),
        ({"reply_partition": b"0"}, "kafka_replyPartition is not a 4-byte", HOPELESS),
        ({"reply_partition": b""}, "kafka_replyPartition is not a 4-byte", HOPELESS),
        ({"reply_partition": b"\xff\xff\xff\xff"}, "kafka_replyPartition is not", HOPELESS),
        ({"reply_partition": b"\0" * 8}, "kafka_replyPartition is not a 4-byte", HOPELESS),
        ({"kind": b"reply"}, "rpc-kind is neither request nor cancel", HOPELESS),
        ({"kind": b""}, "rpc-kind is neither request nor cancel", HOPELESS),
        ({"kind": b"cancel", "client": b"\xff"}, "rpc-client is not UTF-8", HOPELESS),
        ({"version": b"2"}, "rpc-version is not 1: the caller is newer", ANSWERABLE),
        ({"version": b""}, "rpc-version is not 1", ANSWERABLE),
        ({"method": b"\xc3"}, "rpc-method is not UTF-8", ANSWERABLE),
        ({"method": b"m" * 250}, "rpc-method has 250 bytes, more than 249", ANSWERABLE),
        ({"client": b"\xfe"}, "rpc-client is not UTF-8", ANSWERABLE),
        ({"client": b"c" * 63_000}, "rpc-client has 63000 bytes", ANSWERABLE),
        ({"content_type": b"\xff"}, "content-type is not UTF-8", ANSWERABLE),
        ({"timeout": b""}, "rpc-timeout is not a whole number", ANSWERABLE),
        ({"timeout": b"-1"}, "rpc-timeout is not a whole number", ANSWERABLE),
        ({"timeout": b"1.5"}, "rpc-timeout is not a whole number", ANSWERABLE),
        ({"timeout": b" 1"}, "rpc-timeout is not a whole number", ANSWERABLE),
        ({"timeout": "٣".encode()}, "rpc-timeout is not a whole number", ANSWERABLE),
        ({"timeout": b"9" * 5000}, "rpc-timeout is not a whole number", ANSWERABLE),
        ({"timeout": b"9" * 16}, "rpc-timeout is beyond 9007199254740992", ANSWERABLE),
        ({"attempt": b"one"}, "rpc-attempt is not a whole number", ANSWERABLE),
    ],
)
def test_a_malformed_request_names_its_header(request_of, changed, told, answerable):
    message = request_of(b"{}", b"key", **{"method": b"S.m", **changed})
    with pytest.raises(EnvelopeError, match=told) as refused:
        decode_request(message)

    found = refused.value.answerable
    assert (found is not None) is answerable
    if found is not None:
        assert (found.call_id, found.key) == (b"0123456789abcdef", b"key")
        assert found.reply_to == Address("rpc.replies.test")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ((), "kafka_correlationId has 0 bytes"),
        ((("kafka_correlationId", b""),), "kafka_correlationId has 0 bytes"),
        ((("kafka_correlationId", b"x" * 65),), "kafka_correlationId has 65 bytes"),
        ((("kafka_correlationId", CALL_ID), ("rpc-kind", b"request")), "rpc-kind is not reply"),
        ((("kafka_correlationId", CALL_ID), ("rpc-kind", b"cancel")), "rpc-kind is not reply"),
    ],
)
def test_what_can_be_no_reply_is_refused(headers, told):
    with pytest.raises(EnvelopeError, match=told):
        decode_reply(Message(b"", headers))


@pytest.mark.parametrize("status", [b"TEAPOT", b"", b"\xff", b"ok", b"NOT_FOUND "])
def test_a_status_that_is_not_known_is_a_failure_all_the_same(status):
    headers = (("kafka_correlationId", CALL_ID), ("rpc-status", status))

    assert decode_reply(Message(b"", headers)).code is Code.UNKNOWN


NAMES = st.sampled_from(
    [name for name, _ in (*GOLDEN_CONSTANT, *GOLDEN_CALL)]
    + ["rpc-timeout", "rpc-attempt", "rpc-status", "tenant"]
)


@given(headers=st.lists(st.tuples(NAMES, st.binary(max_size=40))), body=st.binary(max_size=40))
def test_no_bytes_raise_anything_but_an_envelope_error(headers, body):
    message = Message(body, tuple(headers))
    for decode in (decode_request, decode_reply):
        with contextlib.suppress(EnvelopeError):
            assert decode(message).call_id == dict(headers)["kafka_correlationId"]


@pytest.mark.parametrize("name", [name for name, _ in (*GOLDEN_CONSTANT, *GOLDEN_REPLY)])
def test_every_header_that_is_written_belongs_to_the_protocol(name):
    assert is_control(name)
