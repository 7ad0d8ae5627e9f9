"""What becomes of a batch whose attempt failed: what may be tried again, and what must not."""

import time
from types import SimpleNamespace

import pytest
from kafka import errors as raised
from kafka.cluster import ClusterMetadata
from kafka.future import Future
from kafka.producer.sender import Sender
from kafka.protocol.producer import ProduceResponse

from transports.base import Address, Message
from transports.errors import SendUncertain, Unreachable
from transports.kafka.driver.accumulate import Accumulator
from transports.kafka.driver.sender import SteadySender

PLACE = Address("t", 0)
ELSEWHERE = Address("t", 1)
Answer = ProduceResponse.TopicProduceResponse.PartitionProduceResponse


class Sent:
    """A batch of three records under way, the second of them to be appended once."""

    def __init__(self, once=(1,)):
        self.outcomes = {}
        self.accumulator = Accumulator(
            compression_attrs=0, batch_size=10_000, retry_backoff_ms=20, delivery_timeout_ms=30_000
        )
        cluster = ClusterMetadata(bootstrap_servers=[])
        self.sender = SteadySender(
            SimpleNamespace(cluster=cluster),
            cluster,
            self.accumulator,
            acks=-1,
            guarantee_message_order=True,
        )
        for n in range(3):
            told = self.outcomes.setdefault
            self.accumulator.put(
                PLACE,
                Message(b"%d" % n),
                lambda outcome, n=n, told=told: told(n, outcome),
                1000,
                once=n in once,
            )
        self.batch = self.accumulator._batches[PLACE].popleft()
        self.batch.records.close()
        self.batch.outstanding = True

    def fail(self, error, base_offset):
        answer = None if base_offset is None else Answer(error_code=1, base_offset=base_offset)
        if answer is not None:
            answer.record_errors = []
        self.sender._dispatch_error(self.batch, error, answer)

    @property
    def waiting(self):
        """The records that wait for another attempt, by what they were."""
        found = self.accumulator._batches[PLACE]
        return [future.__defaults__[0] for batch in found for future in batch._record_futures]


NO_ANSWER = None
SURELY_NOT = -1


@pytest.mark.parametrize(
    ("error", "base_offset", "given_up"),
    [
        (raised.KafkaConnectionError("lost"), NO_ANSWER, [1]),
        (raised.RequestTimedOutError("no answer in time"), NO_ANSWER, [1]),
        (raised.RequestTimedOutError("replicas did not follow in time"), 7, [1]),
        (raised.NotEnoughReplicasAfterAppendError(), 7, [1]),
        (raised.NotLeaderForPartitionError("deposed after it had appended"), 7, [1]),
        (raised.NotLeaderForPartitionError(), SURELY_NOT, []),
        (raised.NotEnoughReplicasError(), SURELY_NOT, []),
        (raised.LeaderNotAvailableError(), SURELY_NOT, []),
    ],
)
def test_only_what_may_have_been_appended_is_given_up_and_only_where_it_must_be_once(
    error, base_offset, given_up
):
    sent = Sent()

    sent.fail(error, base_offset)

    assert sorted(sent.outcomes) == given_up
    assert {type(outcome) for outcome in sent.outcomes.values()} <= {SendUncertain}
    assert sent.waiting == [n for n in range(3) if n not in given_up]


def test_a_batch_of_nothing_but_such_records_leaves_nothing_behind():
    sent = Sent(once=(0, 1, 2))

    sent.fail(raised.KafkaConnectionError("lost"), NO_ANSWER)

    assert [type(sent.outcomes[n]) for n in range(3)] == [SendUncertain] * 3
    assert sent.waiting == []
    assert not sent.accumulator.has_incomplete


def test_what_is_tried_again_waits_a_moment_and_keeps_its_time_to_live():
    sent = Sent()

    sent.fail(raised.KafkaConnectionError("lost"), NO_ANSWER)

    (again,) = sent.accumulator._batches[PLACE]
    assert (again.attempts, again.created, again.doubtful) == (1, sent.batch.created, True)
    assert again.last_attempt >= sent.batch.last_attempt


def test_a_record_that_was_surely_not_appended_is_once_in_its_next_attempt_too():
    sent = Sent()
    sent.fail(raised.NotLeaderForPartitionError(), SURELY_NOT)
    sent.batch = sent.accumulator._batches[PLACE].popleft()
    sent.batch.outstanding = True

    sent.fail(raised.KafkaConnectionError("lost"), NO_ANSWER)

    assert sorted(sent.outcomes) == [1]
    assert sent.waiting == [0, 2]


def test_what_is_under_way_when_its_time_is_over_is_uncertain():
    sent = Sent()
    sent.batch.created = time.monotonic() - 60

    sent.fail(raised.KafkaTimeoutError("expired"), NO_ANSWER)

    assert [type(sent.outcomes[n]) for n in range(3)] == [SendUncertain] * 3
    assert sent.waiting == []


def test_a_queue_is_kept_only_as_long_as_something_is_in_it():
    accumulator = Accumulator()
    cluster = SimpleNamespace(partitions_for_broker=lambda _node: [PLACE])
    for place in (PLACE, ELSEWHERE):
        assert accumulator.put(place, Message(b"first"), bool, 1000, once=False)

    (taken,) = accumulator.drain_batches_for_one_node(cluster, 1, 100_000)

    assert (taken.topic_partition, list(accumulator._batches)) == (PLACE, [ELSEWHERE])
    assert accumulator.put(PLACE, Message(b"second"), bool, 1000, once=False)
    accumulator.reenqueue(taken)
    assert [batch is taken for batch in accumulator._batches[PLACE]] == [True, False]


class Busy:
    """A client of the broker that leads both places: its connection is busy until it is not."""

    def __init__(self):
        self.cluster = ClusterMetadata(bootstrap_servers=[])
        led = SimpleNamespace(leader_id=1, leader_epoch=0)
        self.cluster._partitions = {"t": {PLACE.partition: led, ELSEWHERE.partition: led}}
        self.cluster._broker_partitions[1] = {PLACE, ELSEWHERE}
        self.ready, self.sent = False, []

    def is_ready(self, _node):
        return self.ready

    def connection_delay(self, _node):
        return 1000

    def maybe_connect(self, _node, **_):
        pass

    def in_flight_request_count(self):
        return 0

    def send(self, _node, request, **_):
        self.sent += [p.index for topic in request.topic_data for p in topic.partition_data]
        return Future()


@pytest.fixture(params=[False, True], ids=["ours", "stock"])
def stock(request, monkeypatch):
    """Whether requests are made as stock makes them."""
    if request.param:
        monkeypatch.setattr(
            SteadySender, "_create_produce_requests", Sender._create_produce_requests
        )
    return request.param


@pytest.mark.parametrize("beside", [[], [ELSEWHERE]])
def test_what_is_told_not_to_be_sent_for_its_time_is_over_is_not_sent_which_stock_does(
    stock, beside
):
    client, accumulator, told = Busy(), Accumulator(delivery_timeout_ms=30_000), []
    sender = SteadySender(
        client, client.cluster, accumulator, acks=-1, guarantee_message_order=True
    )
    accumulator.put(PLACE, Message(b"late"), told.append, 1000, once=False)
    sender._send_producer_data()
    accumulator._batches[PLACE][0].created -= 60
    for place in beside:
        accumulator.put(place, Message(b"in time"), told.append, 1000, once=False)

    client.ready = True  # in the very pass that finds the time to be over
    sender._send_producer_data()

    assert [type(outcome) for outcome in told] == [Unreachable]
    late = [PLACE.partition] if stock else []
    assert sorted(client.sent) == late + [place.partition for place in beside]
    assert accumulator.muted == set(beside)
    assert [b for queue in sender._in_flight_batches.values() for _, b in queue if b.is_done] == []
    assert accumulator.has_incomplete == bool(beside)
