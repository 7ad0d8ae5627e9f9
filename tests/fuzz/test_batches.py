"""Any bytes as a batch of records: read or told as problems, soon, and as no other error."""

import gzip
import itertools
import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from transports.kafka.driver.unpack import UnpackError, unpacked
from transports.kafka.records import Base, read_records

FUZZ = settings.get_profile("fuzz")
POLL = 100_000
HEADER = DefaultRecordBatch.HEADER_STRUCT.size
START = Base(1000, 1_700_000_000_000, None)


def batch(records: int, headers: int, kind: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, kind, False, -1, -1, -1, 1 << 24)
    for n in range(records):
        named = [(f"h{place}", b"x" * place) for place in range(headers)]
        builder.append(n, 1_700_000_000_000 + n, b"key", b"value", named)
    return bytes(builder.build())


def read(data: bytes, position: int, count: int):
    """Return the records that are read, as many as a poll takes, in less than 2 s of work."""
    began = time.thread_time()
    records = list(itertools.islice(read_records(data, position, count, START), POLL))
    assert time.thread_time() - began < 2.0
    assert 1 <= len(records) <= count
    assert all(record.problem is None or not record.message.body for record in records)
    return records


@FUZZ
@given(st.binary(max_size=600), st.integers(1, 2**31 - 1))
def test_noise_is_read_or_told(noise, count):
    read(noise, 0, count)


@FUZZ
@given(
    records=st.integers(1, 5),
    headers=st.integers(0, 9),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=4)), max_size=6),
    cut=st.integers(0, 60),
    count=st.integers(1, 2**31 - 1),
)
def test_batches_that_are_flipped_spliced_and_cut_are_read_or_told(
    records, headers, edits, cut, count
):
    data = bytearray(batch(records, headers)[HEADER:])
    for place, spliced in edits:
        at = place % (len(data) + 1)
        data[at : at + len(spliced) // 2] = spliced
    del data[len(data) - cut :]

    read(bytes(data), 0, count)


def test_a_mebibyte_of_noise_is_looked_through_in_time():
    noise = random.Random(4).randbytes(1 << 20)
    for filler in (b"\x00", b"\x02", b"\x80", b"\xff", b"\x0c\x00\x00\x00\x01\x01\x00"):
        read(filler * ((1 << 20) // len(filler)), 0, 2**31 - 1)
    read(noise, 0, 2**31 - 1)


@FUZZ
@given(
    place=st.integers(0, 5000),
    spliced=st.binary(max_size=6),
    bound=st.sampled_from([64, 1 << 20]),
)
def test_packed_batches_that_are_damaged_are_unpacked_or_told(place, spliced, bound):
    data = bytearray(batch(20, 3, DefaultRecordBatch.CODEC_GZIP))
    at = HEADER + place % (len(data) - HEADER)
    data[at : at + len(spliced)] = spliced
    try:
        records, position = unpacked(DefaultRecordBatch(bytes(data)), bound)
    except UnpackError:
        return

    assert len(records) <= bound
    assert position == 0


def test_zeros_unpack_to_the_bound():
    data = batch(1, 0)[:HEADER] + gzip.compress(bytes(1000))
    sized = bytearray(data)
    sized[22] = DefaultRecordBatch.CODEC_GZIP  # the low byte of the attributes

    assert unpacked(DefaultRecordBatch(bytes(sized)), 1000) == (bytes(1000), 0)
