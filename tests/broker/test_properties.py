from pathlib import Path

import pytest

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.properties import Member, server_properties, write_properties

ONE = (Member(1, 9092, 9093),)
THREE = (Member(1, 9092, 9093), Member(2, 9192, 9193), Member(3, 9292, 9293))


def of_one(**extra: str) -> dict[str, str]:
    named = {name.replace("_", "."): value for name, value in extra.items()}
    return server_properties(ONE[0], ONE, Path("/data"), named)


def test_a_single_node_is_its_own_quorum_on_loopback():
    properties = of_one()

    assert properties["process.roles"] == "broker,controller"
    assert properties["node.id"] == "1"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"
    assert properties["listener.security.protocol.map"] == (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
    )
    assert properties["log.dirs"] == "/data"


def test_groups_join_at_once_and_topics_are_made_on_purpose():
    properties = of_one()

    assert properties["group.initial.rebalance.delay.ms"] == "0"
    assert properties["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    ("members", "replicas", "in_sync"), [(ONE, "1", "1"), (THREE[:2], "2", "2"), (THREE, "3", "2")]
)
def test_internal_topics_have_as_many_replicas_as_there_are_nodes(members, replicas, in_sync):
    properties = server_properties(members[0], members, Path("/data"), {})

    assert properties["offsets.topic.replication.factor"] == replicas
    assert properties["transaction.state.log.replication.factor"] == replicas
    assert properties["share.coordinator.state.topic.replication.factor"] == replicas
    assert properties["transaction.state.log.min.isr"] == in_sync
    assert properties["min.insync.replicas"] == in_sync


def test_nodes_of_a_cluster_name_the_same_voters():
    voters = {
        server_properties(member, THREE, Path("/data"), {})["controller.quorum.voters"]
        for member in THREE
    }

    assert voters == {"1@127.0.0.1:9093,2@127.0.0.1:9193,3@127.0.0.1:9293"}


def test_properties_of_the_caller_go_before_ours():
    properties = of_one(auto_create_topics_enable="true", num_partitions="7")

    assert properties["auto.create.topics.enable"] == "true"
    assert properties["num.partitions"] == "7"


def test_listeners_of_the_caller_are_joined_to_ours():
    properties = of_one(listeners="SASL_PLAINTEXT://127.0.0.1:9094, TLS://127.0.0.1:9095")
    named = of_one(
        listeners="PLAINTEXT://127.0.0.1:9092,TLS://127.0.0.1:9095",
        advertised_listeners="TLS://localhost:9095",
        listener_security_protocol_map="TLS:SSL",
    )

    assert properties["listeners"] == (
        "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093,"
        "SASL_PLAINTEXT://127.0.0.1:9094,TLS://127.0.0.1:9095"
    )
    assert properties["listener.security.protocol.map"] == (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
    )
    assert named["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092,TLS://localhost:9095"
    assert named["listener.security.protocol.map"] == (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL"
    )


@pytest.mark.parametrize("listener", ["PLAINTEXT://127.0.0.1:1", "CONTROLLER://0.0.0.0:9093"])
def test_the_nodes_own_listeners_cannot_be_moved(listener):
    with pytest.raises(BrokerError, match=f"`listeners` says {listener}, but .* leave it out"):
        of_one(listeners=listener)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("C:\\kafka", "C:\\\\kafka"),
        (" two words", "\\ two\\ words"),
        ("a\tb\nc\r", "a\\tb\\nc\\r"),
        ("é", "\\u00e9"),
        ("\udcff", "\\udcff"),
        ("𝄞", "\\ud834\\udd1e"),
        ("a=b:c", "a=b:c"),
    ],
)
def test_values_are_written_as_java_reads_them(value, written):
    assert write_properties({"name": value}) == f"name={written}\n"
