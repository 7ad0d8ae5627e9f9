"""What a Kafka transport is told: addresses, times in seconds, bounds, security."""

import dataclasses
import math
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from transports.errors import ConfigurationError
from transports.kafka.librdkafka.settings import translated
from transports.kafka.settings import SECRET, SETTINGS, Scope, normalise, parse_setting, unknown

__all__ = ["KafkaConfig"]

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM")
_CLIENTS = ("kafka-python", "confluent")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sasl_mechanism": _MECHANISMS,
    "compression_type": ("none", "gzip", "snappy", "lz4", "zstd"),
    "isolation_level": ("read_uncommitted", "read_committed"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KafkaConfig:
    """Immutable settings of one transport; times are seconds.

    Raises `ConfigurationError` for what makes no sense. Secrets are kept out of `repr`.
    """

    bootstrap: tuple[str, ...] = ("localhost:9092",)
    """Brokers to ask first, as `host:port`."""
    client_id: str = "rpc"
    """The client application's name, one for all its instances; names its reply address too."""
    connect_timeout: float = 5.0
    """How long to look for a broker before `Unreachable`."""
    request_timeout: float = 10.0
    """How long one request may stay unanswered; at most `delivery_timeout` takes effect."""
    delivery_timeout: float = 30.0
    """How long a send is tried; what is not acknowledged by then is `SendUncertain`."""
    address_timeout: float = 2.0
    """How long a topic may be unknown to the brokers before it is `AddressUnknown`."""
    metadata_max_age: float = 10.0
    """After how long new partitions are noticed at the latest."""
    max_message_bytes: int = 1_048_576
    """The largest message, headers included, and the `max.message.bytes` of created topics."""
    max_chunked_bytes: int = 0
    """The largest message that is sent in several records, to who reads them; 0: none is."""
    frames: bool = True
    """Whether messages that wait for one partition travel in one record, where both ends agree."""
    create_topics: bool = True
    """Whether a missing topic is created by `prepare` and `receiver`."""
    partitions: int = 12
    """Partitions of a created request topic: how many servers can share it."""
    reply_partitions: int = 16
    """Partitions of a created reply topic; clients may share one."""
    replication: int | None = None
    """Replicas of a created topic; None takes three, or as many as there are brokers."""
    request_retention: float = 86_400.0
    """How long a created request topic keeps records."""
    reply_retention: float = 900.0
    """How long a created reply topic keeps records: longer than any deadline."""
    dead_letter_retention: float = 1_209_600.0
    """How long a created topic of dead letters keeps records: until somebody has looked at them."""
    group_prefix: str = ""
    """Stands before the topic's name in the name of the consumer group."""
    heartbeat_interval: float = 0.5
    """How soon a member learns that others joined or left."""
    session_timeout: float = 6.0
    """How long a member may be silent before its partitions go to others."""
    commit_interval: float = 1.0
    """How often acknowledged offsets are committed."""
    revoke_timeout: float = 1.0
    """How long a rebalance waits for what is in flight here, so that others don't repeat it."""
    poll_timeout: float = 1.0
    """How long one poll of a group member waits; shorter ones endanger joins."""
    join_timeout: float = 20.0
    """How long a join may take, or a poll may hang, before the consumer is built anew."""
    max_unacked: int = 4096
    """How many messages a shared receiver hands out without an acknowledgement."""
    max_unacked_bytes: int = 64 * 1024 * 1024
    """Likewise in bytes."""
    client: str = "kafka-python"
    """The driver that moves messages: `kafka-python`, or `confluent`, which is an extra."""
    driver: Mapping[str, object] = dataclasses.field(default_factory=dict, repr=False)
    """The driver's own settings, by kafka-python's names: see `transports.kafka.settings`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "driver", MappingProxyType(dict(self.driver)))
        for name in self.driver:
            if name not in SETTINGS:
                raise unknown(name, set(SETTINGS))
        _check_numbers(self)
        if 0 < self.max_chunked_bytes <= self.max_message_bytes:
            raise ConfigurationError(
                f"max_chunked_bytes ({self.max_chunked_bytes}) must be 0, or more than "
                f"max_message_bytes ({self.max_message_bytes}), which one record takes"
            )
        if not self.bootstrap:
            raise ConfigurationError("no broker is named: kafka://host:port")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", self.client_id):
            raise ConfigurationError(
                f"client_id {self.client_id!r} must be 1 to 200 letters, digits, '.', '_' or '-': "
                "it names a topic"
            )
        _check_times(self)
        _check_choices(self.driver)
        _check_security(self.driver)
        _check_client(self)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read `kafka://host:port,host:port?name=value&...`.

        Names are the fields of this class, or kafka-python's, dotted or with underscores; a secret
        may be read from a file: `sasl_plain_password_file=/run/secrets/kafka`. Raises
        `ConfigurationError`, with the nearest name for an unknown one.
        """
        parts = urlsplit(url)
        if parts.scheme != "kafka":
            raise ConfigurationError(f"a Kafka address starts with kafka://, not {parts.scheme}://")
        if "@" in parts.netloc:
            raise ConfigurationError(
                "credentials don't stand in the address; use sasl_plain_username and "
                "sasl_plain_password_file"
            )
        if parts.path.strip("/") or parts.fragment:
            raise ConfigurationError("a Kafka address has no path: kafka://host:port?name=value")
        values: dict[str, object] = {}
        driver: dict[str, object] = {}
        for raw, text in parse_qsl(parts.query, keep_blank_values=True):
            _take(normalise(raw), text, values, driver)
        return cls(bootstrap=_brokers(parts.netloc), driver=driver, **values)  # type: ignore[arg-type]  # _take reads each by its field's type

    def settings(self, *scopes: Scope) -> dict[str, object]:
        """Return the driver's settings that concern clients of `scopes`."""
        return {
            name: value for name, value in self.driver.items() if SETTINGS[name].scope in scopes
        }

    def __repr__(self) -> str:
        shown = {n: "..." if n in SECRET else v for n, v in self.driver.items()}
        own = ", ".join(
            f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr
        )
        return f"KafkaConfig({own}, driver={shown})"


_KINDS: Mapping[str, type] = {
    field.name: {"str": str, "int": int, "float": float, "bool": bool, "int | None": int}[
        str(getattr(field.type, "__name__", field.type))
    ]
    for field in dataclasses.fields(KafkaConfig)
    if field.name not in {"bootstrap", "driver"}
}


def _take(name: str, text: str, values: dict[str, object], driver: dict[str, object]) -> None:
    secret = name.removesuffix("_file")
    if name in _KINDS:
        target, parsed = values, _own(name, text)
    elif name in SETTINGS:
        target, parsed = driver, parse_setting(name, SETTINGS[name].kind, text)
    elif secret != name and secret in SETTINGS and SETTINGS[secret].kind is str:
        name, target, parsed = secret, driver, _from_file(secret, text)
    else:
        raise unknown(name, {*_KINDS, *SETTINGS})
    if name in target:
        raise ConfigurationError(f"{name} is given twice")
    target[name] = parsed


def _own(name: str, text: str) -> object:
    kind = _KINDS[name]
    if kind is not float:
        return parse_setting(name, kind, text)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ConfigurationError(f"{name} must be a number of seconds")
    return seconds


def _from_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} can't be read from {path}: {error}") from error


def _brokers(netloc: str) -> tuple[str, ...]:
    """Split the addresses; 9092 where no port is given."""
    brokers = tuple(part.strip() for part in netloc.split(",") if part.strip())
    for broker in brokers:
        host, colon, port = broker.rpartition(":")
        if colon and not broker.endswith("]") and not (host and port.isdigit()):
            raise ConfigurationError(f"{broker!r} is no broker address; write host:port")
    return tuple(b if _has_port(b) else f"{b}:9092" for b in brokers)


def _has_port(broker: str) -> bool:
    return ":" in broker.rpartition("]")[2]


def _check_numbers(config: KafkaConfig) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and value < 0:
            raise ConfigurationError(f"{field.name} can't be negative")
        least = 0 if field.name == "max_chunked_bytes" else 1
        if _KINDS.get(field.name) is int and value is not None and value < least:
            raise ConfigurationError(f"{field.name} must be at least 1")


def _check_times(config: KafkaConfig) -> None:
    if config.heartbeat_interval * 3 > config.session_timeout:
        raise ConfigurationError(
            f"heartbeat_interval ({config.heartbeat_interval} s) must be at most a third of "
            f"session_timeout ({config.session_timeout} s)"
        )


def _check_client(config: KafkaConfig) -> None:
    _check_choice("client", config.client, _CLIENTS)
    if config.client == "confluent":
        translated(config.driver)
        if find_spec("confluent_kafka") is None:
            raise ConfigurationError(
                "client=confluent needs confluent-kafka: pip install 'parley-rpc[confluent]'"
            )
    else:
        _check_codec(config.driver.get("compression_type"))


def _check_codec(codec: object) -> None:
    """Raise `ConfigurationError` where kafka-python could not compress: it finds out in sending."""
    if codec in {None, "none", "gzip"}:
        return
    from transports.kafka.driver.unpack import missing_package  # noqa: PLC0415 - kafka-python is slow to import

    package = missing_package(str(codec))
    if package is not None:
        raise ConfigurationError(
            f"compression_type={codec} needs {package}: pip install {package}; or take gzip"
        )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name} must be one of {', '.join(choices)}")


def _check_choices(driver: Mapping[str, object]) -> None:
    for name, choices in _CHOICES.items():
        if driver.get(name) is not None:
            _check_choice(name, driver[name], choices)


def _check_security(driver: Mapping[str, object]) -> None:
    protocol = driver.get("security_protocol", "PLAINTEXT")
    mechanism = driver.get("sasl_mechanism")
    _check_choice("security_protocol", protocol, _PROTOCOLS)
    sasl = str(protocol).startswith("SASL_")
    if sasl and mechanism is None:
        raise ConfigurationError(f"security_protocol={protocol} needs sasl_mechanism")
    if mechanism is not None and not sasl:
        raise ConfigurationError(
            f"sasl_mechanism={mechanism} needs security_protocol=SASL_SSL or SASL_PLAINTEXT"
        )
    if mechanism == "AWS_MSK_IAM" and protocol != "SASL_SSL":
        raise ConfigurationError("sasl_mechanism=AWS_MSK_IAM needs security_protocol=SASL_SSL")
    if mechanism == "OAUTHBEARER" and "sasl_oauth_token_provider" not in driver:
        raise ConfigurationError("sasl_mechanism=OAUTHBEARER needs sasl_oauth_token_provider")
    if str(mechanism).startswith(("PLAIN", "SCRAM")):
        for name in ("sasl_plain_username", "sasl_plain_password"):
            if name not in driver:
                raise ConfigurationError(f"sasl_mechanism={mechanism} needs {name} or {name}_file")
