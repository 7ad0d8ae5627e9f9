"""What a caller may choose for one call."""

import math
import sys

import pytest

from contracts import MAX_TIMEOUT
from rpc.options import MAX_METADATA, check_timeout, metadata_headers
from rpc.request import decode_request, request_headers, request_message
from transports.base import Address


def test_metadata_keeps_its_order_and_its_bytes():
    headers = metadata_headers({"tenant": "ä", "traceparent": "00-1", "raw": b"\xff"})

    assert headers == (("tenant", b"\xc3\xa4"), ("traceparent", b"00-1"), ("raw", b"\xff"))


@pytest.mark.parametrize(
    "name", ["", "rpc-status", "rpc-anything", "kafka_replyTopic", "kafka_new", "content-type"]
)
def test_names_of_the_protocol_are_refused(name):
    with pytest.raises(ValueError, match=f"may not be named {name!r}"):
        metadata_headers({"tenant": "a", name: "x"})


@pytest.mark.parametrize("name", ["Content-Type", "kafka", "rpc", "x-rpc-status"])
def test_names_that_are_only_alike_are_taken(name):
    assert metadata_headers({name: "x"}) == ((name, b"x"),)


def test_metadata_may_have_8_kib_of_names_and_values_and_not_a_byte_more():
    full = {"ä": b"x" * (MAX_METADATA - 2)}
    with pytest.raises(ValueError, match="metadata has 8193 bytes, more than 8192"):
        metadata_headers({**full, "y": ""})

    assert metadata_headers(full)[0][0] == "ä"


@pytest.mark.parametrize("seconds", [0, -1.0, 1e13, sys.float_info.max, math.inf, math.nan])
def test_a_timeout_that_can_not_travel_is_refused(seconds):
    with pytest.raises(ValueError, match=r"^timeout is .* s, not above 0 and at most 9e\+12$"):
        check_timeout(seconds)


def test_the_longest_timeout_arrives():
    check_timeout(MAX_TIMEOUT)
    constant = request_headers("a.b", "c", Address("replies", 0), "application/json")

    arrived = decode_request(request_message(constant, b"id", MAX_TIMEOUT, b""))

    assert arrived.timeout == MAX_TIMEOUT
