"""Apache Kafka as a transport, through kafka-python.

Importing this imports no kafka-python; opening a connection does.
"""

from transports.kafka.config import KafkaConfig
from transports.kafka.transport import KafkaTransport

__all__ = ["KafkaConfig", "KafkaTransport", "open_transport"]


def open_transport(url: str) -> KafkaTransport:
    """Return a transport for `kafka://host:port,host:port?name=value`; the first use connects.

    Raises `ConfigurationError`.
    """
    return KafkaTransport(KafkaConfig.from_url(url))
