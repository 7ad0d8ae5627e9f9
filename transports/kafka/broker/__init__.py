"""A real Apache Kafka for development and tests, without Docker and with nothing installed by hand.

    with Broker() as broker:
        KafkaAdminClient(bootstrap_servers=broker.bootstrap)

The first start fetches Kafka's jars into the user's cache; later ones need no network. It runs on
a Java 17 or newer of the machine, or on the one of the extra `[broker]`.
"""

from transports.kafka.broker.broker import Broker
from transports.kafka.broker.cluster import Cluster
from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.progress import OnProgress, Progress

__all__ = ["Broker", "BrokerError", "Cluster", "OnProgress", "Progress"]
