"""Reading the records of a batch: equal to what was written, and unharmed by what was not."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from transports.base import Message
from transports.kafka.records import Base, read_records

# A busy machine says nothing about the code.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HEADER = DefaultRecordBatch.HEADER_STRUCT.size
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=300),
    headers=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=5).map(
        tuple
    ),
    key=st.none() | st.binary(max_size=200),
)


def written(messages, first=1_700_000_000_000):
    """Return the bytes of a batch as a producer writes it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 24,
    )
    for n, message in enumerate(messages):
        assert builder.append(n, first + n, message.key, message.body, message.headers)
    return bytes(builder.build())


START = Base(0, 1_700_000_000_000, None)


def read(data, count, base=START):
    return list(read_records(data, HEADER, count, base))


@UNHURRIED
@given(st.lists(MESSAGES, min_size=1, max_size=8))
def test_what_was_written_is_read(messages):
    records = read(written(messages), len(messages), Base(1000, 1_700_000_000_000, None))

    assert [record.message for record in records] == messages
    assert [record.offset for record in records] == [1000 + n for n in range(len(messages))]
    assert [record.timestamp - 1_700_000_000_000 for record in records] == [*range(len(messages))]
    assert {record.problem for record in records} == {None}


ALIKE = st.builds(
    Message,
    body=st.just(b"x"),
    headers=st.lists(
        st.tuples(st.sampled_from(["a", "bb", ""]), st.sampled_from([b"", b"1", b"22"])), max_size=6
    ).map(tuple),
)


@UNHURRIED
@given(st.lists(ALIKE, min_size=2, max_size=12))
def test_headers_that_begin_as_those_of_their_neighbour_are_read_as_they_are(messages):
    records = read(written(messages), len(messages))

    assert [record.message for record in records] == messages
    assert {record.problem for record in records} == {None}


def test_the_broker_s_time_stands_for_all():
    records = read(written([Message(b"a"), Message(b"b")]), 2, Base(0, 1, 99))

    assert [record.timestamp for record in records] == [99, 99]


@pytest.mark.parametrize(
    ("written_as", "read_as"),
    [
        ((None, (), b"k"), Message(b"", (), b"k")),
        ((b"", (), b""), Message(b"", (), b"")),
        ((None, (), None), Message(b"", (), None)),
        ((b"v", (("a", None),), None), Message(b"v", (("a", b""),), None)),
        ((b"v", (("a", b"1"), ("a", b"2")), None), Message(b"v", (("a", b"1"), ("a", b"2")), None)),
        ((b"v", (("", b"1"),), None), Message(b"v", (("", b"1"),), None)),
        ((b"v" * 900_000, (), None), Message(b"v" * 900_000, (), None)),
        ((b"", (("h", b""),) * 1000, None), Message(b"", (("h", b""),) * 1000, None)),
    ],
)
def test_odd_but_legal_records_are_read(written_as, read_as):
    (record,) = read(written([Message(*written_as)]), 1)

    assert record.message == read_as
    assert record.problem is None


def test_a_header_name_that_is_not_utf8_is_told_and_its_neighbours_are_read(raw_name):
    bad = Message(b"bad", ((raw_name(b"\xff\xfe"), b"x"),))

    first, second, third = read(written([Message(b"1"), bad, Message(b"3")]), 3)

    assert (first.message.body, third.message.body) == (b"1", b"3")
    assert (first.problem, third.problem) == (None, None)
    assert second.offset == 1
    assert second.message == Message(b"")
    assert "can't decode byte 0xff" in str(second.problem)


def test_a_record_that_lies_about_its_length_ends_the_batch():
    data = bytearray(written([Message(b"first"), Message(b"second")]))
    second = HEADER + 1 + data[HEADER] // 2
    data[second] = 0x7E

    records = read(bytes(data), 2)

    assert [record.message.body for record in records] == [b"first", b""]
    assert "the rest of the batch can't be read" in str(records[1].problem)


@pytest.mark.parametrize("length", range(6))
def test_a_mebibyte_of_what_is_too_short_for_records_is_one_problem(length):
    (record,) = list(read_records(bytes([length * 2]) * (1 << 20), 0, 2**31 - 1, START))

    assert record.problem.startswith("the rest of the batch can't be read: a record claims")


@UNHURRIED
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=4),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 50),
)
def test_no_bytes_can_raise_or_hang(messages, edits, cut):
    data = bytearray(written(messages))
    for place, byte in edits:
        data[HEADER + place % (len(data) - HEADER)] = byte
    if cut:
        del data[-cut:]

    records = read(bytes(data), len(messages))

    assert 1 <= len(records) <= len(messages)
    assert all(record.problem or record.message for record in records)


@UNHURRIED
@given(st.binary(max_size=400), st.integers(1, 50))
def test_noise_is_told_as_problems_or_read(noise, count):
    records = list(read_records(noise, 0, count, Base(0, 0, None)))

    assert 1 <= len(records) <= count
