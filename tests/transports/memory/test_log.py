"""One partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Message, Receipt
from transports.memory.log import Log, Record, size_of


def test_a_record_says_what_where_and_when():
    log = Log("t", 3)
    log.append(Message(b"a"), 1.5)

    assert log.append(Message(b"b"), 2.5) == Record(Message(b"b"), Receipt("t", 3, 1), 2.5)
    assert log.read(0) == Record(Message(b"a"), Receipt("t", 3, 0), 1.5)
    assert log.read(2) is None


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (Message(b""), 0),
        (Message(b"abc"), 3),
        (Message(b"abc", key=b"de"), 5),
        (Message(b"", (("ä", b"x"), ("ä", b""))), 5),
    ],
)
def test_the_size_of_a_message_is_its_content(message, size):
    assert size_of(message) == size


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=40))
def test_what_is_trimmed_is_gone_and_what_is_kept_is_counted(steps):
    log, bodies, start = Log("t", 0), [], 0
    for appends, number in steps:
        if appends:
            bodies.append(b"x" * number)
            log.append(Message(bodies[-1]), 0.0)
        else:
            log.trim(number)
            start = max(start, min(number, len(bodies)))

    kept = [log.read(offset) for offset in range(start, len(bodies))]
    assert [record and record.message.body for record in kept] == bodies[start:]
    assert [log.read(offset) for offset in range(start)] == [None] * start
    assert (log.start, log.end, len(log)) == (start, len(bodies), len(bodies) - start)
    assert log.size == sum(map(len, bodies[start:]))
