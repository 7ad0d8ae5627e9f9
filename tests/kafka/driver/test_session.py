"""What a broker is told of partitions from one fetch to the next."""

from collections import OrderedDict

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import FetchMetadata
from kafka.protocol.consumer import FetchRequest

from transports.kafka.driver.fetch import Session

A, B, C = (TopicPartition("t", number) for number in range(3))


def asked(tp, offset=0):
    return FetchRequest.FetchTopic.FetchPartition(
        partition=tp.partition,
        current_leader_epoch=0,
        fetch_offset=offset,
        last_fetched_epoch=-1,
        partition_max_bytes=1000,
    )


def told(request):
    """Return the partitions that a request names, and those that it gives up."""
    named = [p.partition for topic in request.to_send for p in topic.partitions]
    return named, sorted(n for topic in request.to_forget for n in topic.partitions)


@pytest.fixture
def every():
    return OrderedDict((tp, asked(tp)) for tp in (A, B, C))


@pytest.fixture
def session(every):
    """A session of all three, as a broker has opened it."""
    made = Session(1)
    assert told(made.build_next(every.copy())) == ([0, 1, 2], [])
    made.next_metadata = FetchMetadata.new_incremental(7)
    return made


def test_what_has_not_changed_is_not_named(session, every):
    assert told(session.build_next(every.copy())) == ([], [])


def test_what_has_changed_is_named_once(session, every):
    every[B] = asked(B, offset=5)

    assert told(session.build_next(every.copy())) == ([1], [])
    assert told(session.build_next(every.copy())) == ([], [])


def test_what_is_left_out_is_given_up_and_named_when_it_comes_back(session, every):
    without = OrderedDict((tp, one) for tp, one in every.items() if tp != B)

    assert told(session.build_next(without)) == ([], [1])
    assert told(session.build_next(every.copy())) == ([1], [])


def test_one_may_come_as_another_goes(session, every):
    new = TopicPartition("t", 3)
    other = OrderedDict((tp, one) for tp, one in every.items() if tp != A)
    other[new] = asked(new)

    assert told(session.build_next(other)) == ([3], [0])


def test_a_session_that_the_broker_has_lost_begins_with_all(session, every):
    session.next_metadata = FetchMetadata.INITIAL

    assert told(session.build_next(every.copy())) == ([0, 1, 2], [])
