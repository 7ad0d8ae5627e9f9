"""The settings of kafka-python that a user may pass, and why the others are refused."""

import difflib
from collections.abc import Mapping
from typing import Literal, NamedTuple

from transports.errors import ConfigurationError

__all__ = [
    "OWNED",
    "SECRET",
    "SETTINGS",
    "Scope",
    "Setting",
    "normalise",
    "parse_setting",
    "unknown",
]

Scope = Literal["every", "producer", "consumer"]
Kind = type[str] | type[int] | type[bool] | type[object]


class Setting(NamedTuple):
    """How one setting is read from text, and which clients take it."""

    kind: Kind
    scope: Scope = "every"


SETTINGS: Mapping[str, Setting] = {
    "security_protocol": Setting(str),
    "sasl_mechanism": Setting(str),
    "sasl_plain_username": Setting(str),
    "sasl_plain_password": Setting(str),
    "sasl_kerberos_name": Setting(str),
    "sasl_kerberos_service_name": Setting(str),
    "sasl_kerberos_domain_name": Setting(str),
    "sasl_oauth_token_provider": Setting(object),
    "ssl_context": Setting(object),
    "ssl_check_hostname": Setting(bool),
    "ssl_cafile": Setting(str),
    "ssl_certfile": Setting(str),
    "ssl_keyfile": Setting(str),
    "ssl_crlfile": Setting(str),
    "ssl_password": Setting(str),
    "proxy_url": Setting(str),
    "client_dns_lookup": Setting(str),
    "connections_max_idle_ms": Setting(int),
    "reconnect_backoff_ms": Setting(int),
    "reconnect_backoff_max_ms": Setting(int),
    "retry_backoff_ms": Setting(int),
    "receive_message_max_bytes": Setting(int),
    "batch_size": Setting(int, "producer"),
    "linger_ms": Setting(int, "producer"),
    "compression_type": Setting(str, "producer"),
    "client_rack": Setting(str, "consumer"),
    "fetch_max_wait_ms": Setting(int, "consumer"),
    "fetch_min_bytes": Setting(int, "consumer"),
    "fetch_max_bytes": Setting(int, "consumer"),
    "max_partition_fetch_bytes": Setting(int, "consumer"),
    "max_poll_records": Setting(int, "consumer"),
    "check_crcs": Setting(bool, "consumer"),
    "isolation_level": Setting(str, "consumer"),
    "group_instance_id": Setting(str, "consumer"),
    "enable_incremental_fetch_sessions": Setting(bool, "consumer"),
}

SECRET = frozenset(
    {"sasl_plain_password", "ssl_password", "sasl_oauth_token_provider", "ssl_context"}
)
"""Settings whose value is never shown."""

OWNED: Mapping[str, str] = {
    "acks": "it is always `all`: what is acknowledged is replicated",
    "enable_idempotence": "it is always off: one refused record would end such a producer",
    "max_in_flight_requests_per_connection": "it is always 1: order per key rests on it",
    "retries": "sends are retried until `delivery_timeout`",
    "transactional_id": "the transport does not use transactions",
    "group_id": "the group is named after the topic; see `group_prefix`",
    "enable_auto_commit": "offsets follow acknowledgements",
    "auto_offset_reset": "a shared receiver starts at the earliest, an inbox at the end",
    "bootstrap_servers": "they stand in the address: kafka://host:port,host:port",
    "delivery_timeout_ms": "use `delivery_timeout`, in seconds",
    "request_timeout_ms": "use `request_timeout`, in seconds",
    "bootstrap_timeout_ms": "use `connect_timeout`, in seconds",
    "session_timeout_ms": "use `session_timeout`, in seconds",
    "heartbeat_interval_ms": "use `heartbeat_interval`, in seconds",
    "metadata_max_age_ms": "use `metadata_max_age`, in seconds",
    "max_request_size": "use `max_message_bytes`",
    "max_block_ms": "sends never block; see `address_timeout`",
    "allow_auto_create_topics": "topics are created with settings that fit; see `create_topics`",
}


def normalise(name: str) -> str:
    """Return `name` as kafka-python spells it: dotted property names are taken too."""
    return name.strip().replace(".", "_").replace("-", "_").lower()


def parse_setting(name: str, kind: Kind, text: str) -> object:
    """Read `text` as the setting `name`. Raises `ConfigurationError`, showing no value."""
    if kind is bool:
        known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in known:
            raise ConfigurationError(f"{name} must be true or false")
        return known[text.lower()]
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a whole number") from None
    if kind is object:
        return _imported(name, text)
    return text


def unknown(name: str, known: set[str]) -> ConfigurationError:
    """Say why `name` is not taken, with the nearest name that is."""
    if name in OWNED:
        return ConfigurationError(f"{name} can't be set: {OWNED[name]}")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return ConfigurationError(f"kafka:// takes no parameter {name}{hint}")


def _imported(name: str, path: str) -> object:
    """Import `package.module:attribute`; a class is instantiated."""
    import importlib  # noqa: PLC0415 - only the few who name an object by its path need it

    module, _, attribute = path.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), attribute)
        return found() if isinstance(found, type) else found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{name} must name an object as package.module:attribute; {path} can't be had: {error}"
        ) from error
