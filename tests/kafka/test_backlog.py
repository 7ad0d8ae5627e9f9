"""What was fetched and waits: counted, bounded, and taken apart when its turn comes."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from transports.base import Message
from transports.kafka import KafkaConfig
from transports.kafka.backlog import Backlog
from transports.kafka.frames import pack
from transports.kafka.records import Record


def record(offset, count):
    """Return a record with `count` messages of one byte."""
    messages = [Message(b"%d" % (n % 10)) for n in range(count)]
    ((message, packed),) = pack(messages)
    assert packed == count
    return Record(offset, 0, message, 100 * count)


@given(
    st.lists(st.integers(1, 64), max_size=8),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3000)), min_size=20, max_size=20),
)
def test_messages_come_out_in_order_by_no_more_than_was_asked_for(counts, asks):
    backlog, out = Backlog.of(KafkaConfig()), []
    backlog.add(3, [record(offset, count) for offset, count in enumerate(counts)])
    for most, most_bytes in asks:
        before = backlog.messages
        taken = backlog.take(most, most_bytes)

        assert len(taken) <= most
        assert sum(one.size for _, one in taken[:-1]) < most_bytes
        assert bool(taken) == bool(before)
        assert backlog.messages == before - len(taken)
        out += [(partition, one.offset, one.part) for partition, one in taken]
    out += [(3, one.offset, one.part) for _, one in backlog.take(1000)]

    assert out == [(3, offset, part) for offset, n in enumerate(counts) for part in range(n)]
    assert (backlog.messages, backlog.bytes, bool(backlog)) == (0, 0, False)


def test_a_frame_that_makes_no_sense_counts_as_it_says_until_it_is_one_problem():
    backlog = Backlog.of(KafkaConfig())
    good = record(0, 5)
    backlog.add(0, [replace(good, message=replace(good.message, body=b""))])
    before = backlog.messages
    ((_, bad),) = backlog.take(10)

    assert (before, backlog.messages, backlog.bytes) == (5, 0, 0)
    assert bad.problem is not None


def test_what_is_forgotten_counts_no_longer():
    backlog = Backlog.of(KafkaConfig())
    backlog.add(0, [record(0, 5)])
    backlog.clear()

    assert (backlog.messages, backlog.bytes, backlog.take(9)) == (0, 0, [])
