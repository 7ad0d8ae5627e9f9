"""The rights that docs/kafka.md lists: enough, and none too many."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.quickstart.contract import User, UserService
from examples.quickstart.server import Users
from rpc import (
    Certainty,
    Channel,
    DeadlineExceeded,
    PermissionDenied,
    RpcError,
    Server,
    Stub,
    Unauthenticated,
)
from transports.errors import NotAuthenticated, NotAuthorized, TransportError
from transports.kafka.broker import Broker
from transports.kafka.broker.ports import free_ports
from transports.kafka.driver import KafkaAdminClient

if TYPE_CHECKING:
    from kafka.admin import ACL

pytestmark = pytest.mark.kafka

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kafka.md"


def commands() -> list[str]:
    return re.findall(r"^kafka-acls\.sh .*$", PAGE.read_text(), re.MULTILINE)


def acl(command: str) -> "ACL":
    from kafka.admin import (  # after the driver, which imports kafka-python without its warnings
        ACL,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePattern,
        ResourceType,
    )

    words = shlex.split(command)[2:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    kind = "topic" if "--topic" in options else "group"
    pattern = options.get("--resource-pattern-type", "literal")
    return ACL(
        options["--allow-principal"],
        "*",
        ACLOperation[options["--operation"].upper()],
        ACLPermissionType.ALLOW,
        ResourcePattern(
            ResourceType[kind.upper()],
            options[f"--{kind}"],
            ACLResourcePatternType[pattern.upper()],
        ),
    )


class Secured:
    """A broker that lets each user do what it was allowed to, and nothing else."""

    def __init__(self, broker: Broker, port: int) -> None:
        self.port = port
        self.admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)

    def url(self, user: str, password: str | None = None) -> str:
        return (
            f"kafka://127.0.0.1:{self.port}?client_id=web&security_protocol=SASL_PLAINTEXT"
            f"&sasl_mechanism=SCRAM-SHA-256&sasl_plain_username={user}"
            f"&sasl_plain_password={password or user + '-secret'}"
        )

    def call(self) -> User:
        """Start a server, make one call, and return its result."""
        with (
            Server(Users(), transport=self.url("server")),
            Channel(self.url("client"), timeout=3.0) as channel,
        ):
            return Stub(UserService, channel=channel).get(42)


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    (port,) = free_ports(1)
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    properties = {
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{port}",
        "sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": f"{module} required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    passwords = {"server": "server-secret", "client": "client-secret"}
    with Broker(properties=properties, scram_users=passwords) as broker:
        made = Secured(broker, port)
        yield made
        made.admin.close()


def test_the_rights_of_the_page_are_enough_and_each_is_needed(secured: Secured) -> None:
    rights = [acl(command) for command in commands()]
    secured.admin.create_acls(rights)

    assert len(rights) == 7
    assert secured.call() == User(42, "Douglas")  # creates the topics: no right to create from here
    for right in rights[:5]:
        secured.admin.delete_acls([right])
        with pytest.raises((RpcError, TransportError)) as caught:
            secured.call()
        secured.admin.create_acls([right])

        assert isinstance(caught.value, NotAuthorized | PermissionDenied | DeadlineExceeded)
    assert secured.call() == User(42, "Douglas")


def test_a_wrong_password_is_told_to_clients_and_servers(secured: Secured) -> None:
    wrong = secured.url("client", "guessed")
    with Channel(wrong) as channel, pytest.raises(Unauthenticated) as called:
        Stub(UserService, channel=channel).get(42)
    with pytest.raises(NotAuthenticated, match="sasl_plain_password") as served:
        Server(Users(), transport=wrong).start()

    assert called.value.certainty is Certainty.NOT_EXECUTED
    assert "guessed" not in f"{called.value} {served.value}"
