# ruff: noqa: SLF001 - librdkafka's own error codes begin with an underscore, and are public
"""What librdkafka reports, told in the transport's words, by way of kafka-python's classes.

Brokers' codes are the same for both, so that `transports.kafka.errors` words each case once.
"""

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, KafkaException

from transports.errors import TransportError
from transports.kafka.clients import LostMembership, NoteTooLong
from transports.kafka.driver import kafka_errors
from transports.kafka.errors import connecting, group_failure, indefinite, sending, topic_failure

__all__ = [
    "FOR_COMPANY",
    "TOPIC_CHANGED",
    "cause",
    "connecting",
    "definite",
    "error_of",
    "not_sent",
    "reading",
    "told_of",
]

TOPIC_CHANGED = frozenset(
    {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
"""After which brokers are to be asked for the topic again."""
FOR_COMPANY = frozenset(
    {
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError.INVALID_RECORD,
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)
"""What is said of all of a batch, though it may be the fault of one, or of none by itself."""
_UNTRIED = frozenset(
    {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError._PURGE_QUEUE}
)
"""What is reported of messages that wait to be sent, perhaps once more."""
_LOST = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._FATAL,
    }
)
_NEVER_APPENDED = frozenset(
    {
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)
"""What is reported of batches that no broker took, whatever was tried before: they are sent again
as they were."""


def error_of(failure: KafkaException) -> KafkaError:
    """Return what an exception of confluent-kafka carries."""
    error: KafkaError = failure.args[0]
    return error


def cause(error: KafkaError) -> BaseException:
    """Return what kafka-python would have raised."""
    code, said = error.code(), error.str()
    made = kafka_errors.for_code(code) if code > 0 else _LOCAL.get(code, _elsewhere)
    found: BaseException = made(said)
    return found


def _authentication(said: str) -> BaseException:
    kind = kafka_errors.SaslAuthenticationFailedError
    if "unsupported" in said.lower():
        kind = kafka_errors.UnsupportedSaslMechanismError
    found: BaseException = kind(said)
    return found


def _tls(said: str) -> BaseException:
    """Name the cause as Python's TLS library does, which `connecting` looks for."""
    if "certificate verify failed" in said and "CERTIFICATE_VERIFY_FAILED" not in said:
        said = f"CERTIFICATE_VERIFY_FAILED, for its authority or its name: {said}"
    return _elsewhere(said)


def _elsewhere(said: str) -> BaseException:
    found: BaseException = kafka_errors.KafkaConnectionError(said)
    return found


_LOCAL: Mapping[int, Callable[[str], BaseException]] = {
    KafkaError._AUTHENTICATION: _authentication,
    KafkaError._SSL: _tls,
    KafkaError._UNKNOWN_TOPIC: kafka_errors.UnknownTopicOrPartitionError,
    KafkaError._UNKNOWN_PARTITION: kafka_errors.UnknownTopicOrPartitionError,
    KafkaError._PURGE_QUEUE: kafka_errors.IllegalStateError,
    KafkaError._INVALID_ARG: kafka_errors.KafkaConfigurationError,
    KafkaError._TIMED_OUT: kafka_errors.KafkaTimeoutError,
    KafkaError._TIMED_OUT_QUEUE: kafka_errors.KafkaTimeoutError,
    KafkaError._MSG_TIMED_OUT: kafka_errors.KafkaTimeoutError,
    KafkaError._FATAL: kafka_errors.KafkaTimeoutError,
}


def definite(error: KafkaError, took: float, retry_after: float) -> bool:
    """Whether a message that ended so, `took` seconds after it was put, is in no log.

    A broker's refusal speaks of one attempt, and librdkafka does not tell whether there was another
    before it. There was none where less time has passed than it leaves between two.
    """
    code = error.code()
    if code in _NEVER_APPENDED:
        return True
    if code in _UNTRIED:
        return took < retry_after
    return code > 0 and took < retry_after and not indefinite(cause(error))


def not_sent(error: KafkaError, topic: str, partition: int, *, doubtful: bool) -> TransportError:
    """Tell why a message was not acknowledged; see `sending`."""
    return sending(cause(error), topic, partition, doubtful=doubtful)


def reading(error: KafkaError, topic: str, group: str | None) -> TransportError:
    """Tell why `topic` can't be read, by a member of `group` if there is one."""
    if group is None:
        return topic_failure(cause(error), topic, "reading", "Read")
    return group_failure(cause(error), topic, group)


def told_of(error: Exception) -> Exception:
    """Tell why a commit failed as `MemberEvents` are told it."""
    if not isinstance(error, KafkaException):
        return error
    code = error_of(error).code()
    if code in _LOST:
        return LostMembership(error_of(error).str())
    if code == KafkaError.OFFSET_METADATA_TOO_LARGE:
        return NoteTooLong(error_of(error).str())
    why = cause(error_of(error))
    return why if isinstance(why, Exception) else error
