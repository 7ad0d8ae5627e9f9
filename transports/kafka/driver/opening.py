"""Clients on kafka-python, connected, with the settings that each is opened with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transports.base import Address
from transports.errors import ConfigurationError
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.clients import MemberEvents
from transports.kafka.config import KafkaConfig
from transports.kafka.connection import connect, driver_settings
from transports.kafka.driver.client import Client
from transports.kafka.driver.consume import Reader
from transports.kafka.driver.member import Member
from transports.kafka.driver.produce import Producer

__all__ = ["WORTH_A_REQUEST", "open_member", "open_producer", "open_reader"]

# Two requests in place of one cost it as much time as is won where the server begins sooner
# (measured with 64 and 128 in flight).
WORTH_A_REQUEST = 128

_SILENCE_MS = 30_000
# While nothing comes a member asks twice a second; to ask ten times took twice the processor time
# (`make idle`). The price: partitions that it gets meanwhile it reads once that one is answered.
_MAX_WAIT_MS = 500


def open_producer(
    config: KafkaConfig, clock: BrokerClock, cancelled: Callable[[], bool]
) -> Producer:
    """Connect, and start the producer; `clock` learns from what brokers acknowledge.

    Raises a `TransportError`.
    """
    settings: dict[str, object] = {
        **driver_settings(config),
        "batch_size": 131_072,
        "linger_ms": 0,
        "delivery_timeout_ms": int(config.delivery_timeout * 1000),
        "max_request_size": max(config.max_message_bytes, 1_048_576),
        "max_in_flight_requests_per_connection": 1,
        **config.settings("producer"),
    }
    if settings.get("compression_type") == "none":  # as Kafka says it; kafka-python does not
        del settings["compression_type"]
    client = connect(config, settings, cancelled=cancelled)
    name = f"rpc-kafka-sender-{config.client_id}"
    with _building_on(client):
        return Producer(client, settings, config.max_message_bytes, name, clock)


def open_reader(config: KafkaConfig, place: Address) -> Reader:
    """Connect, and stand at the end of a partition. Raises a `TransportError`."""
    topic, partition = place
    settings = _consumer_settings(config, {"group_id": None, "auto_offset_reset": "latest"})
    client = connect(config, settings)
    with _building_on(client):
        reader = Reader(client, settings, topic)
    reader.open(partition or 0, config.connect_timeout)
    return reader


def open_member(
    config: KafkaConfig,
    topic: str,
    group: str,
    events: MemberEvents,
    cancelled: Callable[[], bool],
) -> Member:
    """Connect, and subscribe: the polls that follow join the group. Raises a `TransportError`."""
    own: dict[str, object] = {
        "group_id": group,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": int(config.session_timeout * 1000),
        "heartbeat_interval_ms": int(config.heartbeat_interval * 1000),
        # The thread does nothing but poll: who is silent for so long holds up the others' joins
        "max_poll_interval_ms": _SILENCE_MS,
    }
    settings = _consumer_settings(config, own)
    client = connect(config, settings, cancelled=cancelled)
    with _building_on(client):
        member = Member(client, settings, topic, events, config.revoke_timeout)
    member.join(config.connect_timeout)
    return member


@contextmanager
def _building_on(client: Client) -> Iterator[None]:
    """Shut `client` where nothing can be built on it, since nobody else knows of it."""
    try:
        yield
    except Exception as error:
        client.shut()
        raise ConfigurationError(
            f"the Kafka client refuses its settings: {error!r}; correct what is set beside the "
            "address, or in KafkaConfig(driver=...)"
        ) from error


def _consumer_settings(config: KafkaConfig, own: dict[str, object]) -> dict[str, object]:
    """Return the settings of whoever reads, with those that are its own; the user's come last."""
    return {
        **driver_settings(config),
        "enable_auto_commit": False,
        "max_poll_records": 100_000,
        "fetch_max_wait_ms": _MAX_WAIT_MS,
        "fetch_max_bytes": 8_388_608,
        "max_partition_fetch_bytes": max(1_048_576, config.max_message_bytes),
        **own,
        **config.settings("consumer"),
    }
