"""Failed connections and missing rights: told within seconds, typed, with a way out."""

import re
import socket
import subprocess
import threading
import time

import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from transports.base import Address, Message, Receipt
from transports.errors import (
    AddressUnknown,
    ConfigurationError,
    NotAuthenticated,
    NotAuthorized,
    Unreachable,
)
from transports.kafka import open_transport
from transports.kafka.broker import Broker

pytestmark = pytest.mark.kafka

PASSWORD = "correct horse"
SOON = 6.0
"""Seconds within which each failure must be told: five, and what a busy machine adds."""


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate for localhost, not for 127.0.0.1, its authority, and another authority."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "other"):
        openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
    openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker",
        "-keyout", "b.key", "-out", "b.csr",
    )  # fmt: skip
    (folder / "ext").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    openssl(
        folder, "x509", "-req", "-in", "b.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-days", "2", "-out", "b.pem", "-extfile", "ext",
    )  # fmt: skip
    openssl(folder, "pkcs8", "-topk8", "-nocrypt", "-in", "b.key", "-out", "b8.key")
    store = (folder / "b8.key").read_text() + (folder / "b.pem").read_text()
    (folder / "store.pem").write_text(store)
    return folder


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


class Secure:
    """A broker with a port for each protocol, and two users: admin, and alice with few rights."""

    def __init__(self, broker, sasl, tls, folder):
        self.folder = folder
        self.plain, self.sasl, self.tls = broker.bootstrap, f"127.0.0.1:{sasl}", tls

    def url(self, user="alice", password=PASSWORD, mechanism="SCRAM-SHA-256", more=""):
        secret = password.replace(" ", "%20")
        return (
            f"kafka://{self.sasl}?security_protocol=SASL_PLAINTEXT&sasl_mechanism={mechanism}"
            f"&sasl_plain_username={user}&sasl_plain_password={secret}"
            f"&address_timeout=1&session_timeout=2&heartbeat_interval=0.3{more}"
        )


@pytest.fixture(scope="module")
def secure(certificates):
    sasl, tls = free_ports(2)
    properties = {
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}",
        "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://localhost:{tls}",
        "sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates / "store.pem"),
        "ssl.client.auth": "none",
        "auto.create.topics.enable": "true",
    }
    users = {"admin": PASSWORD, "alice": PASSWORD}
    with Broker(properties=properties, scram_users=users) as broker:
        yield Secure(broker, sasl, tls, certificates)


@pytest.fixture
def admin(secure):
    from kafka import KafkaAdminClient

    client = KafkaAdminClient(bootstrap_servers=secure.plain)
    yield client
    client.close()


@pytest.fixture
def allow(admin, eventually):
    """Give alice a right, or take one away, and wait until the broker goes by it."""

    def give(kind, name, operation, permission=ACLPermissionType.ALLOW):
        pattern = ResourcePattern(kind, name, ACLResourcePatternType.LITERAL)
        acl = ACL("User:alice", "*", operation, permission, pattern)
        admin.create_acls([acl])
        eventually(lambda: acl in admin.describe_acls(acl)[0])

    return give


@pytest.fixture
def make(admin, topic_prefix):
    """Create a topic that alice may not even see."""

    def create(suffix):
        name = f"{topic_prefix}.{suffix}"
        wanted = {"num_partitions": 1, "replication_factor": 1}
        admin.create_topics({name: wanted}, wait_for_metadata=True)
        return name

    return create


def told(url, outcome_of, topic="some-topic"):
    """Return what becomes of a message sent by a new transport to `url`, and after how long."""
    with open_transport(url) as transport:
        began = time.monotonic()
        outcome = outcome_of(transport, Address(topic), Message(b"x"))
        return outcome, time.monotonic() - began


def test_the_right_password_opens_and_rights_given_suffice(secure, allow, make, outcome_of, taken):
    topic, replies = make("requests"), make("replies")
    for name in (topic, replies):
        for operation in (ACLOperation.READ, ACLOperation.WRITE):
            allow(ResourceType.TOPIC, name, operation)
    allow(ResourceType.GROUP, topic, ACLOperation.READ)
    with open_transport(secure.url()) as transport:
        transport.prepare(Address(topic), 10)
        shared = transport.receiver(Address(topic), shared=True)
        inbox = transport.receiver(Address(replies), shared=False)
        outcomes = [
            outcome_of(transport, address, Message(b"x"))
            for address in (Address(topic), inbox.address)
        ]

        assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt]
        assert len(taken(shared, 1)) == len(taken(inbox, 1)) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"password": "guess"}, "refused the user or password"),
        ({"user": "bob"}, "refused the user or password"),
        ({"mechanism": "PLAIN"}, "does not take this sasl_mechanism"),
    ],
)
def test_a_wrong_user_password_or_mechanism_is_told(secure, outcome_of, given, says):
    outcome, took = told(secure.url(**given), outcome_of)

    assert isinstance(outcome, NotAuthenticated)
    assert says in str(outcome)
    assert secure.sasl in str(outcome)
    assert took < SOON


def test_a_secret_is_in_no_error_and_no_log(secure, outcome_of, caplog):
    caplog.set_level("DEBUG")
    outcome, _ = told(secure.url(password="guess-4711"), outcome_of)
    with open_transport(secure.url()) as transport:
        outcome_of(transport, Address("x"), Message(b"payload-4712"))
        shown = repr(transport.config)

    said = str(outcome) + shown + caplog.text
    assert not re.search("guess-4711|correct horse|payload-4712", said)


@pytest.mark.parametrize("shared", [True, False])
def test_a_receiver_tells_a_wrong_password_too(secure, shared):
    with (
        open_transport(secure.url(password="guess")) as transport,
        pytest.raises(NotAuthenticated),
    ):
        transport.receiver(Address("some-topic"), shared=shared)


TLS = "security_protocol=SSL"


CASES = [
    ("localhost:{tls}", TLS + "&ssl_cafile={folder}/other.pem", NotAuthenticated, "ssl_cafile"),
    ("localhost:{tls}", TLS, NotAuthenticated, "not trusted"),
    ("127.0.0.1:{tls}", TLS + "&ssl_cafile={folder}/ca.pem", NotAuthenticated, "another name"),
    ("{plain}", TLS + "&ssl_cafile={folder}/ca.pem", Unreachable, "is that a TLS port"),
    ("localhost:{tls}", "", Unreachable, "security_protocol"),
    ("{sasl}", "", Unreachable, "security_protocol"),
    ("localhost:{tls}", TLS + "&ssl_cafile=/no/such", ConfigurationError, "ssl_cafile can't be"),
    ("127.0.0.1:1", "", Unreachable, "nothing listens"),
    ("no-such-host.invalid:9092", "", Unreachable, "can't be resolved"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}")
def test_what_stands_in_the_way_of_a_connection_is_told(secure, outcome_of, case):
    where, query, error, says = case
    names = {"tls": secure.tls, "plain": secure.plain, "sasl": secure.sasl, "folder": secure.folder}
    url = f"kafka://{where}?{query}&connect_timeout=3".format(**names)

    outcome, took = told(url, outcome_of)

    assert type(outcome) is error, outcome
    assert says in str(outcome)
    assert took < SOON


def test_the_right_authority_and_name_open(secure, certificates, make, outcome_of):
    url = f"kafka://localhost:{secure.tls}?{TLS}&ssl_cafile={certificates}/ca.pem"

    assert isinstance(told(url, outcome_of, make("tls"))[0], Receipt)


def test_a_user_without_sasl_on_its_port_is_told(secure, outcome_of):
    url = secure.url().replace(secure.sasl, secure.plain)
    outcome, took = told(url, outcome_of)

    assert isinstance(outcome, NotAuthenticated | Unreachable)
    assert "SASL" in str(outcome)
    assert took < SOON


def test_a_topic_that_may_not_be_written_is_told_with_the_right(secure, allow, make, outcome_of):
    hidden, readable = make("hidden"), make("readable")
    allow(ResourceType.TOPIC, readable, ACLOperation.READ)
    with open_transport(secure.url()) as transport:
        unseen = outcome_of(transport, Address(hidden), Message(b"x"))
        unwritable = outcome_of(transport, Address(readable), Message(b"x"))
        with pytest.raises(NotAuthorized, match=f"--operation Write --topic {readable}"):
            transport.prepare(Address(readable), 5)

    assert isinstance(unseen, NotAuthorized)
    assert f"--topic {hidden}" in str(unseen)
    assert isinstance(unwritable, NotAuthorized)
    assert f"--operation Write --topic {readable}" in str(unwritable)


@pytest.mark.parametrize("shared", [True, False])
def test_a_topic_that_may_not_be_read_is_told_when_the_receiver_opens(secure, allow, make, shared):
    topic = make("unreadable")
    allow(ResourceType.TOPIC, topic, ACLOperation.DESCRIBE)
    allow(ResourceType.GROUP, topic, ACLOperation.READ)
    with open_transport(secure.url()) as transport:
        began = time.monotonic()
        with pytest.raises(NotAuthorized, match=f"--operation Read --topic {topic}"):
            transport.receiver(Address(topic), shared=shared)
        assert time.monotonic() - began < SOON


def test_a_group_that_may_not_be_joined_is_told_when_the_receiver_opens(secure, allow, make):
    topic = make("ungrouped")
    allow(ResourceType.TOPIC, topic, ACLOperation.READ)
    with open_transport(secure.url()) as transport:
        began = time.monotonic()
        with pytest.raises(NotAuthorized, match=f"--operation Read --group {topic}"):
            transport.receiver(Address(topic), shared=True)
        assert time.monotonic() - began < SOON


def test_a_group_that_may_not_be_looked_at_is_told_with_the_right(secure, allow, make):
    topic = make("unseen")
    allow(ResourceType.TOPIC, topic, ACLOperation.WRITE)
    with open_transport(secure.url()) as transport:
        began = time.monotonic()
        with pytest.raises(NotAuthorized, match=f"--operation Describe --group {topic}$"):
            transport.group(topic, 10)
        took = time.monotonic() - began
        allow(ResourceType.GROUP, topic, ACLOperation.DESCRIBE)

        assert transport.group(topic, 10).members == 0
        assert took < SOON


def test_where_creating_is_refused_the_command_and_the_right_are_told(secure, topic_prefix):
    with open_transport(secure.url(more="&partitions=7")) as transport:
        with pytest.raises(NotAuthorized) as raised:
            transport.prepare(Address(topic_prefix), 5)
        with pytest.raises(NotAuthorized):
            transport.receiver(Address(topic_prefix), shared=False)

    assert "--operation Create" in str(raised.value)
    assert f"kafka-topics.sh --create --topic {topic_prefix} --partitions 7" in str(raised.value)
    assert "message.timestamp.type=LogAppendTime" in str(raised.value)


WITHDRAWN = [(ResourceType.TOPIC, True), (ResourceType.TOPIC, False), (ResourceType.GROUP, True)]


@pytest.mark.parametrize("withdrawn", WITHDRAWN)
def test_a_right_that_is_withdrawn_surfaces_from_receive(secure, allow, make, taken, withdrawn):
    kind, shared = withdrawn
    topic = make("withdrawn")
    for operation in (ACLOperation.READ, ACLOperation.WRITE):
        allow(ResourceType.TOPIC, topic, operation)
    allow(ResourceType.GROUP, topic, ACLOperation.READ)
    with open_transport(secure.url(more="&metadata_max_age=1")) as transport:
        receiver = transport.receiver(Address(topic), shared=shared)
        transport.send(Address(topic, 0), Message(b"x"), lambda _: None)
        taken(receiver, 1)
        allow(kind, topic, ACLOperation.ALL, ACLPermissionType.DENY)
        began = time.monotonic()
        with pytest.raises(NotAuthorized, match=topic):
            receiver.receive(20)

        assert time.monotonic() - began < SOON


def test_no_topic_comes_to_be_by_asking_for_it_though_the_broker_would(
    secure, admin, outcome_of, topic_prefix
):
    from kafka import KafkaProducer

    stock = KafkaProducer(bootstrap_servers=secure.plain, allow_auto_create_topics=False)
    stock.send(f"{topic_prefix}.stock", b"x").get(10)
    stock.close(timeout=1)
    outcome, _ = told(f"kafka://{secure.plain}?address_timeout=1", outcome_of, topic_prefix)

    assert isinstance(outcome, AddressUnknown)
    assert f"{topic_prefix}.stock" in admin.list_topics()
    assert topic_prefix not in admin.list_topics()


def test_a_deleted_topic_is_not_made_anew_by_those_who_read_it(secure, admin, make, eventually):
    topic = make("deleted")
    with open_transport(f"kafka://{secure.plain}?address_timeout=0.5") as transport:
        receivers = [transport.receiver(Address(topic), shared=shared) for shared in (True, False)]
        admin.delete_topics([topic])
        for receiver in receivers:
            with pytest.raises(AddressUnknown):
                receiver.receive(20)
        threading.Event().wait(0.5)

        assert topic not in admin.list_topics()
