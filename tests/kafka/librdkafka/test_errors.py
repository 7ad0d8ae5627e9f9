"""What librdkafka reports of a message, and what that proves."""

import pytest
from confluent_kafka import KafkaError

from transports.errors import (
    AddressUnknown,
    MessageRefused,
    MessageTooLarge,
    NotAuthorized,
    SendUncertain,
    TransportClosed,
    Unreachable,
)
from transports.kafka.librdkafka.errors import definite, not_sent

PAUSE = 0.08


@pytest.mark.parametrize(
    ("code", "took", "proven"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, 0.01, True),
        (
            KafkaError.MSG_SIZE_TOO_LARGE,
            0.2,
            True,
        ),  # it was the same batch before
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, 0.01, True),
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            0.2,
            False,
        ),  # one before may have got through
        (KafkaError.REQUEST_TIMED_OUT, 0.01, False),
        (KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, 0.01, False),
        (KafkaError._MSG_TIMED_OUT, 30.0, False),
        (KafkaError._TRANSPORT, 0.01, False),
        (KafkaError._PURGE_QUEUE, 0.01, True),
        (KafkaError._PURGE_QUEUE, 5.0, False),  # it waits for another attempt, perhaps
        (KafkaError._PURGE_INFLIGHT, 0.01, False),
        (KafkaError._INVALID_DIFFERENT_RECORD, 5.0, True),
        (KafkaError._UNKNOWN_TOPIC, 0.01, True),
        (KafkaError._UNKNOWN_TOPIC, 2.0, False),
    ],
)
def test_what_is_proven_of_a_message_that_was_not_acknowledged(code, took, proven):
    assert definite(KafkaError(code), took, PAUSE) is proven


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, MessageTooLarge),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAuthorized),
        (KafkaError.INVALID_RECORD, MessageRefused),
        (KafkaError._UNKNOWN_TOPIC, AddressUnknown),
        (KafkaError._PURGE_QUEUE, TransportClosed),
        (KafkaError._MSG_TIMED_OUT, Unreachable),
        (KafkaError._FATAL, Unreachable),
    ],
)
def test_what_was_not_appended_is_told_as_the_other_driver_does(code, kind):
    told = not_sent(KafkaError(code), "t", 0, doubtful=False)

    assert type(told) is kind
    assert type(not_sent(KafkaError(code), "t", 0, doubtful=True)) is SendUncertain
