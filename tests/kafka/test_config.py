"""A URL becomes settings, or a message that says what would."""

import pytest

from transports.base import Address
from transports.errors import ConfigurationError
from transports.kafka import KafkaConfig, KafkaTransport, connection, open_transport
from transports.kafka.connection import driver_settings
from transports.kafka.driver import unpack

SCRAM = "security_protocol=SASL_SSL&sasl_mechanism=SCRAM-SHA-512"


@pytest.mark.parametrize(
    ("url", "bootstrap"),
    [
        ("kafka://localhost:9092", ("localhost:9092",)),
        ("kafka://a:1,b:2", ("a:1", "b:2")),
        ("kafka://a, b", ("a:9092", "b:9092")),
        ("kafka://[::1]:9093,[::1]", ("[::1]:9093", "[::1]:9092")),
        ("kafka://a:1/?client_id=app", ("a:1",)),
    ],
)
def test_brokers_are_taken_from_the_address(url, bootstrap):
    assert KafkaConfig.from_url(url).bootstrap == bootstrap


def test_parameters_are_ours_in_seconds_or_the_driver_s_by_either_spelling():
    config = KafkaConfig.from_url(
        "kafka://a:1?client_id=shop&delivery_timeout=2.5&partitions=3&create_topics=no&replication=2"
        "&frames=false"
        "&ssl.check.hostname=false&fetch_max_wait_ms=50&security.protocol=SSL"
    )

    assert (config.client_id, config.delivery_timeout, config.partitions) == ("shop", 2.5, 3)
    assert (config.create_topics, config.replication) == (False, 2)
    assert (config.frames, KafkaConfig().frames) == (False, True)
    assert config.driver == {
        "ssl_check_hostname": False,
        "fetch_max_wait_ms": 50,
        "security_protocol": "SSL",
    }


def test_the_shortest_address_has_sound_defaults():
    config = KafkaConfig.from_url("kafka://localhost")

    assert config == KafkaConfig()
    assert (config.client_id, config.partitions, config.heartbeat_interval) == ("rpc", 12, 0.5)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://a:1", "starts with kafka://"),
        ("kafka://", "no broker is named"),
        ("kafka://a:x", "'a:x' is no broker address; write host:port"),
        ("kafka://:9092", "':9092' is no broker address"),
        ("kafka://user:pw@a:1", "credentials don't stand in the address"),
        ("kafka://a:1/topic", "a Kafka address has no path"),
        ("kafka://a:1#x", "a Kafka address has no path"),
        ("kafka://a:1?clientid=x", "takes no parameter clientid; did you mean client_id"),
        ("kafka://a:1?sasl.mechanisms=PLAIN", "did you mean sasl_mechanism"),
        ("kafka://a:1?fetch.max.wait=1", "did you mean fetch_max_wait_ms"),
        ("kafka://a:1?xyzzy=1", "takes no parameter xyzzy$"),
        ("kafka://a:1?acks=1", "acks can't be set: it is always `all`"),
        ("kafka://a:1?delivery.timeout.ms=1", "use `delivery_timeout`, in seconds"),
        ("kafka://a:1?group.id=g", "see `group_prefix`"),
        ("kafka://a:1?partitions=many", "partitions must be a whole number"),
        ("kafka://a:1?partitions=-1", "partitions can't be negative"),
        ("kafka://a:1?partitions=0", "partitions must be at least 1"),
        ("kafka://a:1?max_unacked=0", "max_unacked must be at least 1"),
        ("kafka://a:1?max_chunked_bytes=-1", "max_chunked_bytes can't be negative"),
        ("kafka://a:1?max_chunked_bytes=1048576", "must be 0, or more than max_message_bytes"),
        ("kafka://a:1?session_timeout=soon", "session_timeout must be a number of seconds"),
        ("kafka://a:1?session_timeout=nan", "session_timeout must be a number of seconds"),
        ("kafka://a:1?session_timeout=1", "at most a third of session_timeout"),
        ("kafka://a:1?create_topics=maybe", "create_topics must be true or false"),
        ("kafka://a:1?client_id=", "client_id '' must be 1 to 200"),
        ("kafka://a:1?client_id=a b", "it names a topic"),
        ("kafka://a:1?partitions=1&partitions=2", "partitions is given twice"),
        ("kafka://a:1?security_protocol=TLS", "security_protocol must be one of PLAINTEXT, SSL"),
        ("kafka://a:1?security_protocol=SASL_SSL", "needs sasl_mechanism"),
        ("kafka://a:1?sasl_mechanism=PLAIN", "needs security_protocol=SASL_SSL"),
        (f"kafka://a:1?{SCRAM}", "needs sasl_plain_username or sasl_plain_username_file"),
        (f"kafka://a:1?{SCRAM}&sasl_plain_username=u", "needs sasl_plain_password"),
        (
            "kafka://a:1?security_protocol=SASL_PLAINTEXT&sasl_mechanism=AWS_MSK_IAM",
            "AWS_MSK_IAM needs security_protocol=SASL_SSL",
        ),
        (
            "kafka://a:1?security_protocol=SASL_SSL&sasl_mechanism=OAUTHBEARER",
            "needs sasl_oauth_token_provider",
        ),
        (
            "kafka://a:1?sasl_oauth_token_provider=no.such.module:thing",
            "must name an object as package.module:attribute",
        ),
        ("kafka://a:1?client=librdkafka", "client must be one of kafka-python, confluent"),
        ("kafka://a:1?client=confluent&proxy_url=socks5://p:1", "does not take proxy_url"),
        ("kafka://a:1?client=confluent&max_poll_records=1", "does not take max_poll_records"),
        (
            "kafka://a:1?client=confluent&security_protocol=SASL_SSL&sasl_mechanism=AWS_MSK_IAM",
            "can't do sasl_mechanism=AWS_MSK_IAM; use client=kafka-python",
        ),
        ("kafka://a:1?sasl_plain_password_file=/no/such", "can't be read from /no/such"),
        ("kafka://a:1?compression_type=zst", "compression_type must be one of none, gzip, snappy"),
        ("kafka://a:1?client=confluent&compression_type=zst", "compression_type must be one of"),
        (
            "kafka://a:1?isolation_level=read_comitted",
            "isolation_level must be one of read_uncommitted, read_committed$",
        ),
        (
            "kafka://a:1?client=confluent&isolation_level=read_comitted",
            "isolation_level must be one of",
        ),
    ],
)
def test_what_makes_no_sense_is_told(url, says):
    with pytest.raises(ConfigurationError, match=says):
        open_transport(url)


def test_an_unknown_setting_of_the_driver_is_told_in_code_too():
    with pytest.raises(ConfigurationError, match="did you mean ssl_cafile"):
        KafkaConfig(driver={"ssl_cafiles": "x"})


def test_secrets_come_from_files_and_show_nowhere(tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    url = (
        f"kafka://a:1?{SCRAM}&sasl_plain_username=u"
        f"&sasl_plain_password_file={tmp_path}/password&ssl_password=hush"
    )
    config = KafkaConfig.from_url(url)

    assert config.driver["sasl_plain_password"] == "s3cret"
    assert "SCRAM-SHA-512" in repr(config)
    assert "s3cret" not in f"{config!r}{config}"
    assert "hush" not in f"{config!r}{config}"


def test_a_secret_given_twice_is_refused_without_showing_it(tmp_path):
    (tmp_path / "password").write_text("s3cret")
    url = f"kafka://a:1?sasl_plain_password=s3cret&sasl_plain_password_file={tmp_path}/password"

    with pytest.raises(ConfigurationError) as raised:
        KafkaConfig.from_url(url)
    assert str(raised.value) == "sasl_plain_password is given twice"


def test_settings_can_not_be_changed():
    config = KafkaConfig()

    with pytest.raises(AttributeError):
        config.partitions = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.driver["acks"] = 1  # type: ignore[index]


def test_settings_reach_the_clients_they_concern():
    config = KafkaConfig.from_url(
        "kafka://a:1?security_protocol=SASL_SSL&sasl_mechanism=AWS_MSK_IAM&linger_ms=3"
        "&fetch_max_wait_ms=9&retry_backoff_ms=7&delivery_timeout=4"
    )
    every, producer = driver_settings(config), driver_settings(config, "producer")

    assert every["sasl_mechanism"] == "AWS_MSK_IAM"
    assert every["security_protocol"] == "SASL_SSL"
    assert (every["retry_backoff_ms"], every["reconnect_backoff_max_ms"]) == (7, 1000)
    assert every["request_timeout_ms"] == 4000
    assert "linger_ms" not in every
    assert producer["linger_ms"] == 3
    assert "fetch_max_wait_ms" not in producer


def test_what_is_not_installed_is_told_before_anything_is_opened(monkeypatch):
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    url = "kafka://127.0.0.1:1?security_protocol=SASL_SSL&sasl_mechanism=AWS_MSK_IAM"
    with open_transport(url) as transport, pytest.raises(ConfigurationError, match="botocore"):
        transport.prepare(Address("t"), 5)


def test_an_object_is_imported_by_its_path():
    config = KafkaConfig.from_url("kafka://a:1?ssl_context=ssl:create_default_context")

    assert callable(config.driver["ssl_context"])


def test_making_a_transport_connects_to_nothing():
    transport = KafkaTransport(KafkaConfig(bootstrap=("127.0.0.1:1",), client_id="app"))

    assert transport.client_id == "app"
    transport.close(1)
    transport.close(1)


def test_a_driver_that_is_not_installed_is_told_with_its_extra(monkeypatch):
    monkeypatch.setattr("transports.kafka.config.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'parley-rpc\[confluent\]'"):
        open_transport("kafka://a:1?client=confluent")


@pytest.mark.parametrize(
    ("codec", "libraries", "package"),
    [
        ("zstd", ("zstd",), "zstandard"),
        ("snappy", ("snappy",), "python-snappy"),
        ("lz4", ("lz4", "lz4f", "lz4framed"), "lz4"),
    ],
)
def test_a_codec_whose_library_is_not_installed_is_told_with_its_package(
    monkeypatch, codec, libraries, package
):
    for library in libraries:
        monkeypatch.setattr(unpack.codec, library, None)
    with pytest.raises(ConfigurationError, match=f"needs {package}: pip install {package};"):
        open_transport(f"kafka://a:1?compression_type={codec}")

    # librdkafka brings its own
    assert KafkaConfig.from_url(f"kafka://a:1?client=confluent&compression_type={codec}")
    monkeypatch.setattr(unpack.codec, libraries[0], object())
    assert KafkaConfig.from_url(f"kafka://a:1?compression_type={codec}")


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize(
    "setting",
    [{"compression_type": "none"}, {"compression_type": "gzip"}, {"compression_type": None}],
)
def test_what_needs_no_library_is_taken_by_both_drivers(client, setting):
    assert KafkaConfig(client=client, driver=setting).driver == setting
