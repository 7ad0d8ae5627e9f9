"""What kafka-python raises, told in the transport's words: what happened, to what, what to do.

The one place where the two are joined.
"""

from collections.abc import Sequence

from transports.errors import (
    AddressUnknown,
    ConfigurationError,
    MessageRefused,
    MessageTooLarge,
    NotAuthenticated,
    NotAuthorized,
    SendUncertain,
    TransportClosed,
    TransportError,
    Unreachable,
)
from transports.kafka.driver import kafka_errors

__all__ = [
    "connecting",
    "group_failure",
    "group_look_failure",
    "indefinite",
    "sending",
    "topic_failure",
]

_INDEFINITE = (
    kafka_errors.RequestTimedOutError,
    kafka_errors.NotEnoughReplicasAfterAppendError,
    kafka_errors.KafkaStorageError,
    kafka_errors.NetworkExceptionError,
    kafka_errors.UnknownError,
)


def indefinite(error: BaseException) -> bool:
    """Whether a broker that answers a send with `error` may have appended it all the same."""
    return type(error) in _INDEFINITE or not isinstance(error, kafka_errors.BrokerResponseError)


def connecting(error: BaseException, bootstrap: Sequence[str]) -> TransportError:
    """Tell why no broker could be used, with what to look at."""
    if isinstance(error, TransportError):
        return error
    brokers, said = ", ".join(bootstrap), _said(error)
    if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
        return NotAuthenticated(
            f"{brokers} refused the user or password ({said}); check sasl_plain_username and "
            "sasl_plain_password"
        )
    if isinstance(error, kafka_errors.UnsupportedSaslMechanismError):
        return NotAuthenticated(
            f"{brokers} does not take this sasl_mechanism ({said}); ask its operator which it takes"
        )
    if isinstance(error, kafka_errors.IllegalSaslStateError):
        return NotAuthenticated(
            f"{brokers} expects no SASL on this port ({said}); use its SASL port, or "
            "security_protocol=PLAINTEXT or SSL"
        )
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return _certificate(brokers, said)
    if isinstance(
        error, kafka_errors.KafkaConfigurationError | ImportError | ValueError | TypeError
    ) or (isinstance(error, OSError) and error.filename is not None):
        return ConfigurationError(f"the Kafka client refuses its settings: {said}")
    return Unreachable(f"no broker of {brokers} could be reached: {said}; {_hint(said)}")


def _certificate(brokers: str, said: str) -> TransportError:
    if "ostname mismatch" in said or "IP address mismatch" in said:
        return NotAuthenticated(
            f"the certificate of {brokers} is for another name ({said}); address the broker by the "
            "name in its certificate"
        )
    return NotAuthenticated(
        f"the certificate of {brokers} is not trusted ({said}); set ssl_cafile to the authority "
        "that signed it"
    )


def _hint(said: str) -> str:
    text = said.lower()
    if "refused" in text:
        return "nothing listens there"
    if "handshake failed" in text or "ssl" in text:
        return "is that a TLS port? if not, drop security_protocol=SSL or SASL_SSL"
    if "name or service not known" in text or "dns" in text or "resol" in text:
        return "the host name can't be resolved"
    return (
        "check the address, and security_protocol: a port for TLS or SASL drops whoever speaks "
        "plainly"
    )


def topic_failure(error: BaseException, topic: str, doing: str, right: str) -> TransportError:
    """Tell why `topic` can't be used for what we are `doing`, which needs the ACL `right`."""
    if isinstance(error, TransportError):
        return error
    said = _said(error)
    if isinstance(error, kafka_errors.AuthorizationError):
        return NotAuthorized(
            f"no right for {doing} topic {topic}; allow it: kafka-acls.sh --add --allow-principal "
            f"User:... --operation {right} --topic {topic}"
        )
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return AddressUnknown(f"topic {topic} does not exist while {doing} it; create it")
    if isinstance(error, kafka_errors.InvalidTopicError | ValueError):
        return AddressUnknown(f"{topic!r} can't be the name of a topic: {said}")
    return Unreachable(f"{doing} topic {topic} failed: {said}")


def group_failure(error: BaseException, topic: str, group: str) -> TransportError:
    """Tell why a member of `group` can't read `topic`."""
    if isinstance(error, kafka_errors.GroupAuthorizationFailedError):
        return NotAuthorized(
            f"no right to join consumer group {group}; allow it: kafka-acls.sh --add "
            f"--allow-principal User:... --operation Read --group {group}"
        )
    return topic_failure(error, topic, "reading", "Read")


def group_look_failure(error: BaseException, topic: str, group: str) -> TransportError:
    """Tell why one can't see how `group` stands in `topic`."""
    if isinstance(error, kafka_errors.GroupAuthorizationFailedError):
        return NotAuthorized(
            f"no right to look at consumer group {group}; allow it: kafka-acls.sh --add "
            f"--allow-principal User:... --operation Describe --group {group}"
        )
    return topic_failure(error, topic, "looking at the group of", "Describe")


def sending(error: BaseException, topic: str, partition: int, *, doubtful: bool) -> TransportError:
    """Tell why a message was not acknowledged.

    `doubtful`: an attempt may have reached the broker, so that nothing is proved.
    """
    said, place = _said(error), f"{topic}/{partition}"
    if doubtful:
        return SendUncertain(f"sent to {place}, but not acknowledged: {said}; it may be there")
    if isinstance(error, TransportError):
        return error
    if isinstance(error, kafka_errors.AuthorizationError):
        return topic_failure(error, topic, "writing to", "Write")
    if isinstance(
        error, kafka_errors.MessageSizeTooLargeError | kafka_errors.RecordListTooLargeError
    ):
        return MessageTooLarge(
            f"the broker refused a message to {place} for its size; raise max.message.bytes of the "
            "topic, or send less"
        )
    if isinstance(error, kafka_errors.IllegalStateError):
        return TransportClosed(f"the transport was closed before a message to {place} was sent")
    if isinstance(error, kafka_errors.KafkaTimeoutError):
        return Unreachable(f"a message to {place} could not be sent in time: {said}")
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return AddressUnknown(f"{place} does not exist")
    return MessageRefused(f"the broker refused a message to {place}: {said}")


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
