"""Delivery modes and dead letters on a real broker, while servers are killed between steps."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import uuid

import pytest

from rpc.reply import decode_reply
from transports.base import Address, Message

pytestmark = pytest.mark.kafka

SERVER = """
    import sqlite3, sys
    from typing import Protocol

    from rpc import Server, SqliteStore, current_call, method, service
    from transports.kafka import KafkaConfig, KafkaTransport

    bootstrap, name, path = sys.argv[1:]

    @service(name=name)
    class Bank(Protocol):
        @method(delivery="at_most_once")
        def send(self, amount: int) -> int: ...

        @method(delivery="effectively_once")
        def pay(self, amount: int) -> int: ...

    class BankImpl(Bank):
        def send(self, amount: int) -> int:
            self._enter(amount, kept=False)
            return amount

        def pay(self, amount: int) -> int:
            self._enter(amount, kept=True)
            return amount

        def _enter(self, amount, kept):
            connection = sqlite3.connect(path)
            with connection:
                connection.execute("INSERT INTO entries VALUES (?)", (amount,))
                if kept:
                    current_call().complete_in(connection, amount)
            connection.close()

    transport = KafkaTransport(KafkaConfig(
        bootstrap=(bootstrap,), client_id=name, partitions=1, session_timeout=6.0,
    ))
    with SqliteStore(path) as store, Server(
        BankImpl(), transport=transport, idempotency=store
    ) as server:
        print("ready", flush=True)
        server.wait()
"""


class Bench:
    """Servers of one service as processes, and requests and replies by hand."""

    def __init__(self, kit, folder, request_of, outcome_of):
        self.kit, self.request_of, self.outcome_of = kit, request_of, outcome_of
        self.name, self.path = f"bank-{uuid.uuid4().hex[:8]}", folder / "bank.db"
        self.database = sqlite3.connect(self.path)
        self.database.execute("CREATE TABLE entries (amount)")
        self.database.commit()
        self.transport = kit.transport(partitions=1)
        self.replies = f"rpc.replies.{self.name}"
        self.transport.prepare(Address(self.replies), 20)
        self.inbox = self.transport.receiver(Address(self.replies), shared=False)
        self.transport.prepare(Address(f"{self.name}.requests"), 20)
        self.servers = []

    def serve(self, failpoints=""):
        server = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), self.kit.bootstrap, self.name,
             str(self.path)],
            env={**os.environ, "RPC_FAILPOINTS": failpoints}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.servers.append(server)
        assert server.stdout.readline() == "ready\n"
        return server

    def ask(self, name, amount=5, call=b"0123456789abcdef", timeout=b"60000"):
        address = self.inbox.address
        partition = address.partition.to_bytes(4, "big")
        message = self.request_of(
            b'{"amount":%d}' % amount, method=f"{self.name}.{name}".encode(), call=call,
            client=b"me", reply_topic=address.topic.encode(), reply_partition=partition,
            timeout=timeout, rpc_idempotency_key=call,
        )  # fmt: skip
        self.outcome_of(self.transport, Address(f"{self.name}.requests"), message)

    def answers(self, count, patience=40.0):
        ends, found = time.monotonic() + patience, []
        while len(found) < count and time.monotonic() < ends:
            for delivery in self.inbox.receive(0.5):
                headers = dict(delivery.message.headers)
                if headers.get("rpc-kind") == b"reply":
                    found.append(decode_reply(delivery.message))
        return found

    @property
    def entries(self):
        return [amount for (amount,) in self.database.execute("SELECT amount FROM entries")]

    def close(self):
        for server in self.servers:
            server.kill()
            server.wait(10)
            server.stdout.close()
        self.inbox.close(5)
        self.database.close()


@pytest.fixture
def bench(kit, tmp_path, request_of, outcome_of):
    made = Bench(kit, tmp_path, request_of, outcome_of)
    yield made
    made.close()


@pytest.fixture
def request_of():
    """Return what makes a request message by hand."""

    def make(body, key=None, **given):
        short = {
            "call": "kafka_correlationId", "reply_topic": "kafka_replyTopic",
            "reply_partition": "kafka_replyPartition", "method": "rpc-method",
            "client": "rpc-client", "timeout": "rpc-timeout",
        }  # fmt: skip
        named = {short.get(name, name.replace("_", "-")): value for name, value in given.items()}
        return Message(body, (("content-type", b"application/json"), *named.items()), key)

    return make


@pytest.mark.parametrize("point", ["server.before_handler", "server.before_reply"])
def test_at_most_once_runs_once_at_most_though_its_server_is_killed(bench, point):
    killed = bench.serve(f"{point}:kill")
    bench.ask("send")
    assert killed.wait(30) == -signal.SIGKILL
    ran = bench.entries
    bench.serve()
    bench.ask("send", 6, call=b"behind")
    (answer,) = bench.answers(1)

    assert (answer.call_id, answer.body) == (b"behind", b"6")
    assert bench.entries == [*ran, 6]
    assert ran == ([] if point == "server.before_handler" else [5])


@pytest.mark.parametrize(
    "point", ["server.before_handler", "idempotency.finish", "server.before_reply"]
)
def test_effectively_once_has_its_effect_once_though_its_server_is_killed(bench, point):
    killed = bench.serve(f"{point}:kill")
    bench.ask("pay")
    assert killed.wait(30) == -signal.SIGKILL
    bench.serve()
    (answer,) = bench.answers(1)
    bench.ask("pay")
    (again,) = bench.answers(1)

    assert (answer.code, answer.body, again.body) == (None, b"5", b"5")
    assert bench.entries == [5]


def test_what_can_not_be_decoded_is_kept_and_holds_up_nothing(bench, raw_name, taken):
    from kafka import KafkaProducer

    bench.serve()
    producer = KafkaProducer(bootstrap_servers=bench.kit.bootstrap)
    topic = f"{bench.name}.requests"
    producer.send(topic, b"junk", headers=[(raw_name(b"\xff\xfe"), b"x")])
    producer.flush(20)
    producer.close()
    bench.ask("send")
    (answer,) = bench.answers(1)
    dead = bench.transport.receiver(Address(f"{bench.name}.dead"), shared=True)
    (letter,) = taken(dead, 1)
    headers = dict(letter.message.headers)
    dead.close(5)

    assert answer.body == b"5"
    assert headers["rpc-dead-topic"] == topic.encode()
    assert json.loads(headers["rpc-dead-offset"]) == 0
    assert headers["rpc-dead-reason"]
