"""What a caller may choose for one call."""

import pytest

from rpc.options import MAX_METADATA, metadata_headers


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
