import struct
from importlib import resources

import pytest

from transports.kafka.broker import Broker, BrokerError
from transports.kafka.broker.prepare import prepare
from transports.kafka.broker.progress import silent
from transports.kafka.broker.properties import Member, server_properties, write_properties
from transports.kafka.broker.storage import (
    CHECKPOINT,
    format_by_tool,
    format_storage,
    is_formatted,
    new_kafka_id,
)

HEADER = 61  # of a record batch, up to and including the count of its records


def record_batches(checkpoint: bytes) -> list[bytes]:
    """Split a snapshot into its batches."""
    batches, at = [], 0
    while at < len(checkpoint):
        (length,) = struct.unpack_from(">i", checkpoint, at + 8)
        batches.append(checkpoint[at : at + 12 + length])
        at += 12 + length
    return batches


def test_a_folder_is_formatted_once_it_names_its_cluster(tmp_path):
    before = is_formatted(tmp_path)
    format_storage(tmp_path, "5L6g3nShT-eMCtK--X86sw", node_id=7)

    told = dict(line.split("=") for line in (tmp_path / "meta.properties").read_text().split())
    assert (before, is_formatted(tmp_path)) == (False, True)
    assert told.pop("directory.id") != told["cluster.id"]
    assert told == {"version": "1", "cluster.id": "5L6g3nShT-eMCtK--X86sw", "node.id": "7"}


def test_ids_are_kafkas_and_differ():
    ids = [new_kafka_id() for _ in range(1_000)]

    assert len(set(ids)) == 1_000
    assert {len(name) for name in ids} == {22}
    assert not [name for name in ids if name.startswith("-")]


@pytest.mark.kafka
def test_the_committed_checkpoint_is_what_kafkas_own_tool_writes_but_for_the_time(tmp_path):
    member = Member(1, 9092, 9093)
    properties = tmp_path / "server.properties"
    settings = server_properties(member, (member,), tmp_path / "data", {})
    properties.write_text(write_properties(settings))

    format_by_tool(prepare(silent), properties, new_kafka_id(), {})

    by_tool = record_batches((tmp_path / "data" / CHECKPOINT).read_bytes())
    package = resources.files("transports.kafka.broker")
    committed = record_batches(package.joinpath("bootstrap.checkpoint").read_bytes())
    assert [len(batch) for batch in committed] == [len(batch) for batch in by_tool]
    _, features, _ = committed
    assert b"metadata.version" in features
    assert features[HEADER:] == by_tool[1][HEADER:]
    assert is_formatted(tmp_path / "data")


@pytest.mark.kafka
def test_what_the_tool_refuses_is_told(tmp_path):
    with (
        pytest.raises(BrokerError, match=r"StorageTool failed: .*SCRAM"),
        Broker(scram_users={"alice": "a,b"}),
    ):
        pytest.fail("started")
