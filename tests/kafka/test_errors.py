"""kafka-python's errors in the transport's words: what happened, to what, what to do."""

import pytest
from kafka import errors as raised

from transports.errors import (
    AddressUnknown,
    ConfigurationError,
    MessageRefused,
    MessageTooLarge,
    NotAuthenticated,
    NotAuthorized,
    SendUncertain,
    TransportClosed,
    Unreachable,
)
from transports.kafka.driver.version import check_version
from transports.kafka.errors import connecting, group_failure, indefinite, sending, topic_failure

REFUSED = raised.KafkaConnectionError("111 ECONNREFUSED")
BAD_CA = raised.KafkaConnectionError("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] unknown")
BAD_NAME = raised.KafkaConnectionError(
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch"
)


@pytest.mark.parametrize(
    ("error", "told", "says"),
    [
        (REFUSED, Unreachable, "nothing listens there"),
        (raised.KafkaConnectionError("socket disconnected"), Unreachable, "drops whoever speaks"),
        (raised.KafkaConnectionError("Handshake failed: EOF"), Unreachable, "is that a TLS port"),
        (raised.KafkaTimeoutError("Unable to bootstrap"), Unreachable, "a:1, b:2"),
        (raised.SaslAuthenticationFailedError("bad"), NotAuthenticated, "sasl_plain_password"),
        (raised.UnsupportedSaslMechanismError("no"), NotAuthenticated, "sasl_mechanism"),
        (raised.IllegalSaslStateError("no"), NotAuthenticated, "expects no SASL"),
        (BAD_CA, NotAuthenticated, "set ssl_cafile"),
        (BAD_NAME, NotAuthenticated, "is for another name"),
        (raised.KafkaConfigurationError("what"), ConfigurationError, "refuses its settings"),
        (ImportError("botocore"), ConfigurationError, "botocore"),
        (NotAuthorized("as it is"), NotAuthorized, "as it is"),
    ],
)
def test_why_no_broker_could_be_used(error, told, says):
    found = connecting(error, ("a:1", "b:2"))

    assert type(found) is told
    assert says in str(found)


@pytest.mark.parametrize(
    ("error", "told", "says"),
    [
        (raised.MessageSizeTooLargeError(), MessageTooLarge, "raise max.message.bytes"),
        (raised.RecordListTooLargeError(), MessageTooLarge, "t/3"),
        (raised.TopicAuthorizationFailedError("t"), NotAuthorized, "--operation Write --topic t"),
        (raised.UnknownTopicOrPartitionError(), AddressUnknown, "t/3 does not exist"),
        (AddressUnknown("gone"), AddressUnknown, "gone"),
        (raised.IllegalStateError("closed"), TransportClosed, "before a message to t/3 was sent"),
        (raised.KafkaTimeoutError("30 s"), Unreachable, "30 s"),
        (raised.InvalidRecordError("no key"), MessageRefused, "no key"),
        (raised.InvalidTimestampError(), MessageRefused, "t/3"),
    ],
)
def test_why_a_message_was_not_stored(error, told, says):
    found = sending(error, "t", 3, doubtful=False)
    doubtful = sending(error, "t", 3, doubtful=True)

    assert type(found) is told
    assert says in str(found)
    assert type(doubtful) is SendUncertain
    assert "t/3" in str(doubtful)


@pytest.mark.parametrize(
    ("error", "doubt"),
    [
        (raised.KafkaConnectionError("lost"), True),
        (raised.KafkaTimeoutError("expired"), True),
        (raised.RequestTimedOutError(), True),
        (raised.NotEnoughReplicasAfterAppendError(), True),
        (raised.UnknownError(), True),
        (raised.NotEnoughReplicasError(), False),
        (raised.NotLeaderForPartitionError(), False),
        (raised.MessageSizeTooLargeError(), False),
        (raised.TopicAuthorizationFailedError(), False),
        (raised.UnknownTopicOrPartitionError(), False),
    ],
)
def test_which_answers_leave_it_open_whether_a_message_was_stored(error, doubt):
    assert indefinite(error) is doubt


def test_rights_to_groups_and_topics_are_told_with_what_would_give_them():
    group = group_failure(raised.GroupAuthorizationFailedError("g"), "t", "g")
    topic = group_failure(raised.TopicAuthorizationFailedError("t"), "t", "g")
    other = topic_failure(raised.KafkaTimeoutError("late"), "t", "looking at", "Describe")

    assert type(group) is type(topic) is NotAuthorized
    assert "--operation Read --group g" in str(group)
    assert "--operation Read --topic t" in str(topic)
    assert type(other) is Unreachable


@pytest.mark.parametrize("version", ["3.0.12", "3.0.13", "3.0.99"])
def test_versions_whose_private_code_is_known_are_taken(version):
    check_version(version)


@pytest.mark.parametrize("version", ["3.0.11", "2.3.0", "3.1.0", "3.1.0.dev", "4.0"])
def test_another_version_is_refused_with_what_to_install(version):
    with pytest.raises(ConfigurationError, match=f"kafka-python {version} is installed"):
        check_version(version)
