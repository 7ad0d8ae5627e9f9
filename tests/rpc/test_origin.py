"""What neighbours in a topic have in common, read once: never more than reading each would tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.headers import EnvelopeError
from rpc.origin import Origins
from rpc.reply import reply_message
from rpc.request import MalformedRequest, decode_request, request_headers, request_message
from transports.base import Address, Message

CALL = b"0123456789abcdef"


def constant(client="c", method="S.m", **options):
    return request_headers(
        method, client, Address("rpc.replies.c", 1), "application/json", **options
    )


def sound(constant, **options):
    return request_message(constant, CALL, 2.0, b"{}", sent=9.0, **options)


def read(message, origins):
    try:
        found = decode_request(message, origins)
    except MalformedRequest as error:
        answer = error.answerable
        told = answer and reply_message(answer, None, "application/json", b"")
        return str(error), told
    names = ("call_id", "method", "client", "reply_to", "content_type", "timeout", "sent")
    names += ("attempt", "idempotency_key", "frames", "headers", "key", "body")
    return {name: getattr(found, name, None) for name in names}


def test_neighbours_share_their_origin():
    origins = Origins()
    first = decode_request(sound(constant()), origins)
    others = [decode_request(sound(constant(client)), origins) for client in "ccdc"]

    assert [other.origin is first.origin for other in others] == [True, True, False, True]


def test_what_is_remembered_is_bounded_in_number_and_size():
    origins = Origins()
    for number in range(1000):
        decode_request(sound(constant(f"client {number}")), origins)
    few = len(origins._known)
    decode_request(sound(constant("long"), metadata=(("tenant", b"x" * 5000),)), origins)

    assert few <= 256
    assert all(sum(len(value) for _, value in headers) < 1024 for headers in origins._known)


def test_where_our_own_transport_packs_nothing_no_origin_reads_frames():
    asks = sound(constant(frames=True))

    assert decode_request(asks, Origins()).frames
    assert not decode_request(asks, Origins(frames=False)).frames
    for _ in range(2):  # from the headers, and from what is known of them
        origins = Origins(frames=False)
        decode_request(asks, origins)
        reply = reply_message(decode_request(asks, origins), None, "application/json", b"")
        assert "rpc-frames" not in dict(reply.headers)


class Shared(Origins):
    """Origins in which another thread finds something in the moment in which this one has."""

    def find(self, headers):
        found = super().find(headers)
        super().find(sound(constant("other")).headers)
        return found


def test_what_another_thread_finds_at_the_same_time_is_its_own():
    origins = Shared()
    for client in ("c", "other"):
        decode_request(sound(constant(client)), origins)

    assert decode_request(sound(constant("c")), origins).client == "c"


_HEADER = st.sampled_from(
    [
        *sound(constant(frames=True), attempt=2, idempotency_key=b"k").headers,
        *sound(constant("other", "S.n"), metadata=(("tenant", b"a"),)).headers,
        ("kafka_correlationId", b""),
        ("kafka_correlationId", b"x" * 65),
        ("rpc-timeout", b"-1"),
        ("rpc-timeout", b"9" * 16),
        ("rpc-sent", b"soon"),
        ("rpc-kind", b"cancel"),
        ("rpc-version", b"2"),
        ("rpc-client", b"\xff"),
        ("tenant", b"b"),
    ]
)


@given(
    st.lists(
        st.one_of(
            st.permutations(sound(constant(frames=True)).headers).map(tuple),
            st.lists(_HEADER, max_size=12).map(tuple),
            st.tuples(
                st.sampled_from([constant(), constant("d"), (("tenant", b"a"), *constant())]),
                st.lists(_HEADER, max_size=5).map(tuple),
            ).map(lambda parts: parts[0] + parts[1]),
            st.just(sound(constant()).headers),
        ),
        max_size=12,
    )
)
def test_with_neighbours_every_message_is_read_as_it_is_without(every):
    origins = Origins()
    for headers in every:
        message = Message(b"{}", headers, b"k")
        assert read(message, origins) == read(message, None)


def test_a_malformed_neighbour_is_told_as_malformed():
    origins, known = Origins(), constant()
    decode_request(sound(known), origins)
    late = Message(
        b"", (*known, ("kafka_correlationId", CALL), ("rpc-timeout", b"x"), ("rpc-sent", b"1"))
    )

    with pytest.raises(EnvelopeError, match="rpc-timeout is not a whole number"):
        decode_request(late, origins)
