"""kafka-python's settings in librdkafka's words."""

import pytest
from confluent_kafka import Consumer, KafkaException

from transports.errors import ConfigurationError
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.settings import translated
from transports.kafka.settings import SETTINGS


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"security_protocol": "SASL_SSL"}, {"security.protocol": "SASL_SSL"}),
        ({"sasl_plain_username": "u"}, {"sasl.username": "u"}),
        ({"sasl_plain_password": "p"}, {"sasl.password": "p"}),
        ({"ssl_cafile": "/ca.pem"}, {"ssl.ca.location": "/ca.pem"}),
        ({"ssl_certfile": "/c.pem"}, {"ssl.certificate.location": "/c.pem"}),
        ({"ssl_keyfile": "/k.pem"}, {"ssl.key.location": "/k.pem"}),
        ({"ssl_check_hostname": False}, {"ssl.endpoint.identification.algorithm": "none"}),
        ({"ssl_check_hostname": True}, {"ssl.endpoint.identification.algorithm": "https"}),
        ({"fetch_max_wait_ms": 5}, {"fetch.wait.max.ms": 5}),
        (
            {"compression_type": "zstd", "linger_ms": 1},
            {"compression.type": "zstd", "linger.ms": 1},
        ),
        ({"group_instance_id": "a"}, {"group.instance.id": "a"}),
    ],
)
def test_a_setting_is_passed_on_by_its_other_name(given, made):
    assert translated(given) == made


def refusal(name):
    """Return why a setting is refused; None where it is not."""
    try:
        translated({name: "x"})
    except ConfigurationError as error:
        return str(error)
    return None


def test_every_setting_is_passed_on_or_refused_by_its_name():
    refused = {name: why for name in SETTINGS if (why := refusal(name)) is not None}

    assert all(f"does not take {name}: " in why for name, why in refused.items())
    assert set(refused) == {
        "sasl_kerberos_name",
        "sasl_kerberos_domain_name",
        "sasl_oauth_token_provider",
        "ssl_context",
        "proxy_url",
        "max_poll_records",
        "enable_incremental_fetch_sessions",
    }


@pytest.mark.parametrize("setting", ["proxy_url", "ssl_context", "max_poll_records"])
def test_what_has_no_counterpart_is_refused_when_the_transport_is_configured(setting):
    assert KafkaConfig(driver={setting: "x"}).driver == {setting: "x"}
    with pytest.raises(ConfigurationError, match=f"client=confluent does not take {setting}"):
        KafkaConfig(client="confluent", driver={setting: "x"})


SAMPLES = {
    "security_protocol": "plaintext",
    "sasl_mechanism": "PLAIN",
    "client_dns_lookup": "use_all_dns_ips",
    "compression_type": "gzip",
    "isolation_level": "read_committed",
    "receive_message_max_bytes": 100_000_000,
}


def said_of(made):
    """Return what librdkafka says of these settings."""
    try:
        Consumer({"group.id": "g", **made}).close()
    except KafkaException as failure:
        return failure.args[0].str()
    return ""


@pytest.mark.parametrize("name", [name for name in SETTINGS if refusal(name) is None])
def test_librdkafka_knows_every_name_that_is_passed_on(name):
    value = SAMPLES.get(name, {int: 1000, bool: True}.get(SETTINGS[name].kind, "x"))

    assert "No such configuration property" not in said_of(translated({name: value}))
