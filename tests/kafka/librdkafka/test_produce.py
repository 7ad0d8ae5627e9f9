"""The producer on librdkafka: what is refused with others, or held back; the end of a handle."""

import ctypes
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from transports.base import Address, Message, Receipt
from transports.errors import ConfigurationError, MessageTooLarge, TransportClosed, Unreachable
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.handle import Trouble, drain
from transports.kafka.librdkafka.polled import Polled
from transports.kafka.librdkafka.produce import Producer
from transports.together import Batch, together

PLACE, OTHER = Address("t", 0), Address("t", 1)
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")


class Stored:
    """What librdkafka reports of a message that is stored."""

    def offset(self):
        return 7

    def timestamp(self):
        return (0, 0)


class Handle:
    """Takes messages, and reports of them when the test says so."""

    def __init__(self):
        self.taken, self.reports = [], []

    def produce(self, _topic, body, _key, *, on_delivery, **_):
        self.taken.append(body)
        self.reports.append(on_delivery)

    def report(self, *errors):
        for error in errors:
            self.reports.pop(0)(error, None if error else Stored())


@pytest.fixture
def producer():
    made = Producer(KafkaConfig(client="confluent"), BrokerClock())
    made._polled.handle = Handle()
    return made


@pytest.fixture
def put(producer):
    """Put messages, and return where it is kept what they were told."""
    told = {}

    def send(*bodies, place=PLACE):
        for body in bodies:
            producer.put(place, Message(body), partial(told.__setitem__, body))
        return told

    return send


def test_what_is_refused_in_company_goes_again_one_by_one_and_what_comes_meanwhile_behind(
    producer, put
):
    handle = producer._polled.handle
    told = put(b"a", b"b", b"c")
    handle.report(TOO_LARGE, TOO_LARGE)
    put(b"d")
    before = list(handle.taken)
    handle.report(None)
    put(b"e")
    alone = handle.taken[3:]
    put(b"elsewhere", place=OTHER)
    handle.report(None)
    second = handle.taken[5:]
    handle.report(None)
    handle.report(TOO_LARGE)

    assert before == [b"a", b"b", b"c"]
    assert alone == [b"a"]
    assert second == [b"b"]
    assert handle.taken[6:] == [b"d", b"e"]
    assert producer.waits(PLACE)
    handle.report(None, None)
    assert isinstance(told.pop(b"b"), MessageTooLarge)
    assert all(isinstance(outcome, Receipt) for outcome in told.values())
    assert not producer.waits(PLACE)


def test_closing_tells_of_what_waits_to_be_tried_alone(producer, put, monkeypatch):
    told = put(b"a", b"b")
    producer._polled.handle.report(TOO_LARGE)
    put(b"c")
    monkeypatch.setattr(producer._polled, "close", lambda _timeout: None)
    producer.close(1)

    assert set(told) == {b"a", b"c"}
    assert all(isinstance(outcome, TransportClosed) for outcome in told.values())


def test_what_is_apart_waits_no_longer_than_a_send_is_tried(producer, put, monkeypatch):
    began = time.monotonic()
    told = put(b"a", b"b")
    handle = producer._polled.handle
    handle.report(TOO_LARGE, TOO_LARGE)
    put(b"behind")
    clock = SimpleNamespace(monotonic=lambda: began + producer._config.delivery_timeout + 1)
    monkeypatch.setattr("transports.kafka.librdkafka.produce.time", clock)
    put(b"late")
    handle.report(KafkaError(KafkaError._MSG_TIMED_OUT, "no broker"))

    assert set(told) == {b"a", b"b", b"behind"}
    assert isinstance(told[b"behind"], Unreachable)
    assert handle.taken[3:] == [b"late"]


def test_what_waits_apart_is_bounded(producer, put, monkeypatch):
    monkeypatch.setattr("transports.kafka.librdkafka.apart._MOST", 1)
    put(b"a")
    put(b"b")
    producer._polled.handle.report(TOO_LARGE)
    put(b"c")

    with pytest.raises(Unreachable, match="1 messages wait already to be sent to t"):
        put(b"d")


def test_what_is_not_held_back_goes_behind_what_is(producer, put):
    with together():
        put(b"held")
        sender = threading.Thread(target=put, args=(b"at once",))
        sender.start()
        sender.join(20)

    assert producer._polled.handle.taken == [b"held", b"at once"]


def test_what_is_held_back_as_another_thread_lets_go_of_it_is_sent(producer, put, monkeypatch):
    hold = Batch.hold

    def let_go_at_once(batch, key, act):
        hold(batch, key, act)
        others.append(threading.Thread(target=batch.let_go))
        others[-1].start()

    others = []
    with together():
        monkeypatch.setattr(Batch, "hold", let_go_at_once)
        put(b"reply")
        monkeypatch.undo()
        for other in others:
            other.join(20)

        assert producer._polled.handle.taken == [b"reply"]


def test_what_is_left_is_told_though_librdkafka_gives_up_meanwhile():
    polls = []

    class GivesUp:
        def __len__(self):
            return 2 - len(polls)

        def poll(self, _seconds):
            polls.append(1)
            if len(polls) == 1:
                raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))

    drain(GivesUp(), 20)

    assert len(polls) == 2


class GivenUp(Handle):
    """A handle that fails for good at its first poll."""

    def __init__(self):
        super().__init__()
        self.failed = False

    def __len__(self):
        return 0

    def purge(self):
        """There is nothing."""

    def poll(self, seconds):
        if not self.failed:
            self.failed = True
            raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))
        threading.Event().wait(min(seconds, 0.01))


def test_a_handle_that_can_not_be_replaced_yet_is_later(monkeypatch, eventually):
    old, fresh = GivenUp(), GivenUp()
    fresh.failed = True
    made = [old, ConfigurationError("no such file"), fresh]

    def make(*_):
        handle = made.pop(0)
        if isinstance(handle, Exception):
            raise handle
        return handle

    monkeypatch.setattr("transports.kafka.librdkafka.polled.new_producer", make)
    monkeypatch.setattr("transports.kafka.librdkafka.polled._RENEW_EVERY", 0.0)
    polled = Polled(KafkaConfig(client="confluent"), Trouble())
    polled.thread.start()

    eventually(lambda: polled.handle is fresh)
    polled.close(0)
    polled.thread.join(20)


def librdkafka():
    """Load the library that confluent-kafka brings, for what it offers to tests."""
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    (path,) = folder.glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_test_fatal_error.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    return library


@pytest.mark.kafka
def test_a_handle_that_librdkafka_gives_up_is_replaced(kit, outcome_of, eventually):
    topic, transport = kit.topic(1), kit.transport(client="confluent")
    first = outcome_of(transport, Address(topic, 0), Message(b"1"))
    polled = transport._sends._producer._polled
    given_up = polled.handle
    pointer = ctypes.c_void_p.from_address(id(given_up) + object.__basicsize__)
    librdkafka().rd_kafka_test_fatal_error(pointer, KafkaError.INVALID_PRODUCER_EPOCH, b"fenced")
    eventually(lambda: polled.handle is not given_up)

    assert isinstance(first, Receipt)
    assert isinstance(outcome_of(transport, Address(topic, 0), Message(b"2")), Receipt)


@pytest.mark.kafka
def test_closing_takes_no_longer_than_what_is_under_way(kit):
    topic, transport, told = kit.topic(1), kit.transport(client="confluent"), []
    for _ in range(2):  # the first one opens
        transport.send(Address(topic, 0), Message(b"1"), told.append)
    began = time.monotonic()
    transport.close(20)

    assert time.monotonic() - began < 10
    assert len(told) == 2


@pytest.mark.kafka
def test_a_topic_that_takes_less_than_a_batch_gets_every_message(kit, eventually):
    topic = kit.topic(1, max_message_bytes="65536")
    transport, told = kit.transport(client="confluent"), []
    for _ in range(400):
        transport.send(Address(topic, 0), Message(b"x" * 8_000), told.append)
    eventually(lambda: len(told) == 400)

    assert [outcome for outcome in told if not isinstance(outcome, Receipt)] == []
