"""Chunks: the bytes of a message in several records, and what is made of any that come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Message
from transports.kafka.chunks import Assembled, Assembler, is_chunk, size_in_chunks, split
from transports.kafka.records import Record

SET = "c0ffee00c0ffee00"
HEADERS = (("content-type", b"application/json"), ("rpc-method", b"UserService.put"))
PUT = Message(b"0123456789" * 10, HEADERS, b"key")
ROOM = 256 + 3  # what a chunk takes beside its slice
OWN = 20 + 28 + 25  # and the last for the headers


def record(offset, message, timestamp=0):
    return Record(offset, timestamp, message, len(message.body) + 100)


def chunk(offset, value, body=b"", *headers, timestamp=0):
    return record(offset, Message(body, (("rpc-chunk", value), *headers)), timestamp)


@pytest.fixture
def assembler():
    return Assembler(10_000, 60.0)


def add_all(assembler, records, source=0):
    return [one for each in records for one in assembler.add(source, each)]


def test_a_message_as_its_chunks_stand_in_the_log():
    assert split(PUT, SET, ROOM + OWN + 7) == [
        Message(PUT.body[:80], (("rpc-chunk", b"c0ffee00c0ffee00/0/3"),), b"key"),
        Message(PUT.body[80:], (("rpc-chunk", b"c0ffee00c0ffee00/1/3"),), b"key"),
        Message(b"", (("rpc-chunk", b"c0ffee00c0ffee00/2/3"), *HEADERS), b"key"),
    ]


@pytest.mark.parametrize(
    ("most_bytes", "sizes"),
    [
        (ROOM + OWN + 100, [100]),
        (ROOM + OWN + 99, [100, 0]),
        (ROOM + 75, [75, 25, 0]),
        (ROOM + OWN + 20, [93, 7]),
        (ROOM + OWN + 1, [74, 26, 0]),
    ],
)
def test_a_chunk_takes_as_much_as_there_is_room_for(most_bytes, sizes):
    chunks = split(PUT, SET, most_bytes)

    assert [len(one.body) for one in chunks] == sizes
    assert size_in_chunks(PUT, most_bytes) == 100 + OWN + len(sizes) * ROOM


def test_a_message_whose_headers_leave_no_room_can_t_be_cut():
    with pytest.raises(ValueError, match="leave no room in 332 bytes"):
        split(PUT, SET, ROOM + OWN)


def test_a_message_that_would_be_too_many_chunks_is_not_cut():
    with pytest.raises(ValueError, match="65537 chunks, and 65536 are the most"):
        split(Message(bytes(65_537)), SET, 257)


messages = st.builds(
    Message,
    st.builds(lambda body, times: body * times, st.binary(max_size=9), st.integers(0, 300)),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=3).map(tuple),
    st.none() | st.binary(max_size=9),
)


@given(st.lists(messages, min_size=1, max_size=4), st.integers(420, 2000), st.data())
def test_what_is_cut_comes_out_whole_however_chunks_of_others_stand_between(sent, most, data):
    queues = [split(one, f"{n:016x}", most) for n, one in enumerate(sent)]
    expected, log = {}, []
    while any(queues):
        n = data.draw(st.sampled_from([n for n, queue in enumerate(queues) if queue]))
        queue = queues[n]
        if len(queue) == 1:
            expected.setdefault(n, len(log))
        log.append(queue[0] if data.draw(st.integers(0, 9)) == 9 else queue.pop(0))  # or twice
    assembler = Assembler(1 << 20, 60.0)
    out = add_all(assembler, [record(offset, one) for offset, one in enumerate(log)])
    whole = {one.record.offset: one.record.message for one in out if one.record is not None}

    assert whole == {offset: sent[n] for n, offset in expected.items()}
    assert sorted(offset for one in out for offset in one.offsets) == list(range(len(log)))
    assert all(one.offsets == tuple(sorted(one.offsets)) for one in out)
    assert (len(assembler), assembler.bytes) == (0, 0)
    assert all(is_chunk(record(0, one)) for one in log)


def test_a_message_stands_at_the_record_that_makes_it_whole(assembler):
    late = chunk(4, b"00000000000000aa/0/2", b"first ", timestamp=7)
    out = add_all(assembler, [chunk(1, b"00000000000000aa/1/2", b"last", ("a", b"b")), late])

    whole = Record(4, 7, Message(b"first last", (("a", b"b"),)), 110 + 2 * 128 + 100)
    assert out == [Assembled(0, (1, 4), whole)]


def test_a_chunk_that_comes_again_is_settled_with_its_message_or_after_it(assembler):
    first, last = b"00000000000000aa/0/2", b"00000000000000aa/1/2"
    log = [chunk(0, first), chunk(1, first), chunk(2, last), chunk(3, last), chunk(4, first)]
    out = add_all(assembler, log)

    assert [(one.offsets, one.record is None) for one in out] == [
        ((0, 1, 2), False),
        ((3,), True),
        ((4,), True),
    ]


def test_sets_of_one_name_in_two_partitions_have_nothing_to_do_with_each_other(assembler):
    assert assembler.add(0, chunk(0, b"00000000000000aa/0/2")) == []
    assert assembler.add(1, chunk(1, b"00000000000000aa/1/2")) == []


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x" * 10_000,
        b"00000000000000aa/2/2",
        b"00000000000000aa/0/0",
        b"00000000000000aa/-1/2",
        b"00000000000000aa/01/2",
        b"00000000000000aa/0/65537",
        b"00000000000000AA/0/2",
        b"00000000000000aa/0/2\n",
        b"0000000000000aa/0/2",
        b"00000000000000aa/0/\xd9\xa2",  # a digit elsewhere
        b"00000000000000bb/1/3",  # and there is one of two
    ],
)
def test_a_chunk_that_makes_no_sense_is_a_problem_of_its_record(assembler, value):
    assembler.add(0, chunk(6, b"00000000000000bb/0/2"))
    (bad,) = assembler.add(0, chunk(7, value, timestamp=3))

    assert bad.offsets == (7,)
    assert bad.record.message == Message(b"")
    assert bad.record.timestamp == 3
    assert bad.record.problem.startswith("the chunk can't be read: ")
    assert len(bad.record.problem) < 200
    assert assembler.skip(0, chunk(8, value)) == []
    assert len(assembler) == 1


@given(st.binary(max_size=30), st.binary(max_size=9))
def test_any_bytes_wait_or_are_known(value, body):
    assembler = Assembler(10_000, 60.0)

    assert len(assembler.add(0, chunk(0, value, body))) + len(assembler) == 1


def test_what_has_not_all_come_after_a_while_by_the_records_time_is_given_up(assembler):
    assembler.add(0, chunk(5, b"00000000000000aa/0/3", timestamp=1_000))
    assembler.add(0, chunk(6, b"00000000000000aa/1/3", timestamp=50_000))
    assembler.add(1, chunk(6, b"00000000000000bb/1/3", timestamp=1_000))
    assert assembler.expire(0, 61_000) == []
    (gone,) = assembler.expire(0, 61_001)

    assert gone.offsets == (5, 6)
    assert (gone.record.offset, gone.record.message) == (6, Message(b""))
    assert gone.record.problem == ("a message in chunks is given up: 2 of 3 came, not within 60 s")
    late = chunk(9, b"00000000000000aa/2/3", timestamp=62_000)
    assert assembler.add(0, late) == [Assembled(0, (9,), None)]
    assert len(assembler) == 1


def test_beyond_the_bound_that_is_given_up_which_has_waited_longest_for_a_chunk():
    assembler = Assembler(1_000, 60.0)  # four chunks of nothing
    log = [(b"aa", 0), (b"bb", 0), (b"aa", 1), (b"cc", 0), (b"dd", 0)]
    out = add_all(
        assembler,
        [chunk(n, b"00000000000000%s/%d/9" % one) for n, one in enumerate(log)],
    )

    assert [one.offsets for one in out] == [(1,)]
    assert "more than 256 messages or 1000 bytes (the larger of max_unacked_bytes" in (
        out[0].record.problem
    )
    assert assembler.bytes <= 1_000


def test_a_message_beyond_the_bound_by_itself_is_given_up_and_no_other():
    assembler = Assembler(1_000, 60.0)
    add_all(assembler, [chunk(0, b"00000000000000aa/0/2")])
    out = add_all(assembler, [chunk(1, b"00000000000000bb/0/2", b"x" * 2000)])

    assert [one.offsets for one in out] == [(0,), (1,)]
    assert (len(assembler), assembler.bytes) == (0, 0)


def test_messages_that_wait_are_bounded_in_number_and_ids_of_ended_ones_too():
    assembler = Assembler(1 << 30, 60.0)
    out = add_all(assembler, [chunk(n, b"%016x/0/2" % n) for n in range(10_000)])

    assert len(out) == 10_000 - 256
    assert len(assembler._ended) == 4096


def test_a_chunk_that_is_settled_already_ends_what_waits_of_its_message(assembler):
    assembler.add(0, chunk(3, b"00000000000000aa/0/3"))

    assert assembler.skip(0, chunk(4, b"00000000000000aa/1/3")) == [Assembled(0, (3,), None)]
    assert assembler.add(0, chunk(5, b"00000000000000aa/2/3")) == [Assembled(0, (5,), None)]


def test_what_is_forgotten_begins_anew(assembler):
    first, last = chunk(0, b"00000000000000aa/0/2"), chunk(1, b"00000000000000aa/1/2")
    add_all(assembler, [first, last, chunk(2, b"00000000000000bb/0/2")])
    assembler.clear()

    assert (len(assembler), assembler.bytes) == (0, 0)
    assert [one.offsets for one in add_all(assembler, [first, last])] == [(0, 1)]


def test_who_settles_nothing_gets_messages_and_problems(assembler):
    plain = record(2, Message(b"plain"), timestamp=100_000)
    log = [chunk(0, b"00000000000000aa/0/2"), chunk(1, b"00000000000000bb/0/1", b"b"), plain]
    out = [one for each in log for one in assembler.messages(0, each)]

    assert [one.offset for one in out] == [1, 0, 2]
    assert [one.problem is None for one in out] == [True, False, True]


def test_what_came_in_a_frame_is_no_chunk():
    part = Record(0, 0, chunk(0, b"00000000000000aa/0/2").message, 1, None, 1, 2)

    assert not is_chunk(part)
    assert not is_chunk(record(0, Message(b"")))
    assert not is_chunk(record(0, PUT))
