"""What kafka-python's settings are called by librdkafka. Pure.

Users choose a driver without writing their settings anew; topics and groups are looked at through
kafka-python either way, with the settings as they are.
"""

from collections.abc import Callable, Mapping

from transports.errors import ConfigurationError

__all__ = ["translated"]

_SAME = frozenset(
    {
        "security_protocol",
        "sasl_mechanism",
        "sasl_kerberos_service_name",
        "client_dns_lookup",
        "connections_max_idle_ms",
        "reconnect_backoff_ms",
        "reconnect_backoff_max_ms",
        "retry_backoff_ms",
        "receive_message_max_bytes",
        "batch_size",
        "linger_ms",
        "compression_type",
        "client_rack",
        "fetch_min_bytes",
        "fetch_max_bytes",
        "max_partition_fetch_bytes",
        "check_crcs",
        "isolation_level",
        "group_instance_id",
    }
)
"""Those that have dots in place of underscores, and mean the same."""
_RENAMED = {
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_password": "ssl.key.password",
    "fetch_max_wait_ms": "fetch.wait.max.ms",
}
_WITHOUT = {
    "sasl_kerberos_name": "it takes no name of a principal's host",
    "sasl_kerberos_domain_name": "it takes the broker's host name",
    "sasl_oauth_token_provider": "it asks for tokens in another way",
    "ssl_context": "it has a TLS library of its own; set ssl_cafile, ssl_certfile and ssl_keyfile",
    "proxy_url": "it knows no proxies",
    "max_poll_records": "it reads ahead by bytes; set fetch_max_bytes",
    "enable_incremental_fetch_sessions": "it has none",
}
_MECHANISMS_WITHOUT = frozenset({"OAUTHBEARER", "AWS_MSK_IAM"})


def translated(driver: Mapping[str, object]) -> dict[str, object]:
    """Return these settings of kafka-python as librdkafka's.

    Raises `ConfigurationError` for what has no counterpart, naming it.
    """
    if driver.get("sasl_mechanism") in _MECHANISMS_WITHOUT:
        raise ConfigurationError(
            f"client=confluent can't do sasl_mechanism={driver['sasl_mechanism']}; use "
            "client=kafka-python"
        )
    found: dict[str, object] = {}
    for name, value in driver.items():
        if name in _SAME:
            found[name.replace("_", ".")] = value
        elif name in _RENAMED:
            found[_RENAMED[name]] = value
        elif name in _MADE:
            found.update(_MADE[name](value))
        else:
            why = _WITHOUT.get(name, "it has nothing like it")
            raise ConfigurationError(f"client=confluent does not take {name}: {why}")
    return found


def _checked_name(checked: object) -> Mapping[str, object]:
    return {"ssl.endpoint.identification.algorithm": "https" if checked else "none"}


_MADE: Mapping[str, Callable[[object], Mapping[str, object]]] = {
    "ssl_check_hostname": _checked_name,
}
