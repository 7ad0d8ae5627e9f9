"""The quickstart as its reader runs it: a server process and a client process."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from examples.quickstart.contract import User, UserNotFound, UserService
from examples.quickstart.server import Users
from rpc.testing import in_memory


def test_a_client_process_gets_its_answers_from_a_server_process(
    start: Callable[..., Any], kafka_url: str
) -> None:
    server = start("-m", "examples.quickstart.server", url=kafka_url)
    server.wait_for("server.started")
    client = start("-m", "examples.quickstart.client", url=kafka_url)

    assert client.output() == "Douglas\nnot found: 7"
    assert client.child.returncode == 0


def test_a_server_logs_json_and_drains_on_sigterm(
    start: Callable[..., Any], kafka_url: str
) -> None:
    server = start("-m", "examples.quickstart.server", url=kafka_url)
    started = json.loads(server.wait_for("server.started"))
    code = server.stop()
    stopped = json.loads(server.wait_for("server.stopped"))

    assert started["services"] == ["UserService"]
    assert stopped["unfinished"] == 0
    assert code == 0


def test_the_implementation_can_be_tested_without_a_broker() -> None:
    with in_memory(UserService, Users()) as users:
        found = users.get(1)
        with pytest.raises(UserNotFound) as caught:
            users.get(7)

    assert found == User(1, "Ada")
    assert caught.value.user_id == 7
