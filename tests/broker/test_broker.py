"""A real broker through its life. Each test that needs one of its own starts it."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from transports.kafka.broker import Broker, BrokerError
from transports.kafka.broker.ports import free_ports

pytestmark = pytest.mark.kafka

ONE_PARTITION = {"num_partitions": 1, "replication_factor": 1}


def test_topics_can_be_created_at_once_when_it_has_started(open_admin):
    with Broker() as broker, open_admin(broker.bootstrap) as admin:
        admin.create_topics({"first": ONE_PARTITION})
        topics = admin.list_topics()

    assert topics == ["first"]


def test_a_topic_outlives_a_kill_and_a_stop_on_the_same_port(open_admin):
    with Broker() as broker:
        address, pids, running, topics = broker.bootstrap, [broker.pid], [], []
        with open_admin(address) as admin:
            admin.create_topics({"kept": ONE_PARTITION})
        for end in (broker.kill, broker.stop):
            end()
            running.append(broker.running)
            broker.start()
            pids.append(broker.pid)
            with open_admin(address) as admin:
                topics.append(admin.list_topics())

    assert running == [False, False]
    assert topics == [["kept"], ["kept"]]
    assert len(set(pids)) == 3
    assert broker.bootstrap == address


def test_closing_ends_the_jvm_and_removes_the_temporary_folder():
    with Broker() as broker:
        pid, folder = broker.pid, broker.log_path.parent
        there = folder.exists()

    assert there
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(BrokerError, match="is not running: start it first"):
        broker.pid  # noqa: B018 - the property raises


def test_a_given_folder_is_kept_and_can_be_opened_on_another_port(tmp_path, open_admin):
    with Broker(data=tmp_path / "data") as first:
        with open_admin(first.bootstrap) as admin:
            admin.create_topics({"kept": ONE_PARTITION})
        with pytest.raises(BrokerError, match=r"Another broker runs in .*/data: stop that"):
            Broker(data=tmp_path / "data").start()
    with Broker(data=tmp_path / "data") as second, open_admin(second.bootstrap) as admin:
        topics = admin.list_topics()

    assert first.port != second.port
    assert topics == ["kept"]


def test_starting_what_runs_already_changes_nothing():
    with Broker() as broker:
        pid = broker.pid
        broker.start()

        assert broker.pid == pid


def test_a_jvm_does_not_outlive_a_killed_parent():
    program = (
        "from transports.kafka.broker import Broker\n"
        "broker = Broker(); broker.start(); print(broker.pid, broker.log_path, flush=True)\n"
        "broker.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with parent:
        pid, log = parent.stdout.readline().split()
        watched = os.pidfd_open(int(pid))
        parent.kill()
        ended, _, _ = select.select([watched], [], [], 5)
        os.close(watched)
    for path in sorted(Path(log).parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path(log).parent.rmdir()

    assert ended


def test_an_occupied_port_is_named(tmp_path):
    (port,) = free_ports(1)

    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(BrokerError, match=f"Port {port} on 127.0.0.1 is in use by another process"),
        Broker(port=port, data=tmp_path / "data"),
    ):
        pytest.fail("started")


def test_when_kafka_gives_up_the_error_has_its_reason():
    with (
        pytest.raises(
            BrokerError, match=r"(?s)ended while it started.*num\.partitions: Value must be"
        ),
        Broker(properties={"num.partitions": "-3"}) as broker,
    ):
        pytest.fail(f"started at {broker.bootstrap}")


def test_a_jvm_that_ends_by_itself_is_told_to_who_waits():
    with Broker() as broker:
        os.kill(broker.pid, signal.SIGTERM)

        with pytest.raises(BrokerError, match=r"Kafka ended by itself\. The end of .*broker\.log"):
            broker.wait()


def test_a_listener_with_scram_users_stands_beside_the_plain_one(open_admin):
    (sasl,) = free_ports(1)
    users = {"alice": 'a b]c="d', "bob": "other"}
    properties = {
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{sasl}",
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }
    seen = []

    with Broker(properties=properties, scram_users=users) as broker:
        with open_admin(broker.bootstrap) as admin:
            admin.create_topics({"seen": ONE_PARTITION})
        for user, mechanism in (("alice", "SCRAM-SHA-256"), ("bob", "SCRAM-SHA-512")):
            as_user = {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_plain_username": user,
                "sasl_plain_password": users[user],
            }
            with open_admin(f"127.0.0.1:{sasl}", **as_user) as admin:
                seen.append(admin.list_topics())

    assert seen == [["seen"], ["seen"]]
