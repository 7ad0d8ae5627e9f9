"""Computes the `server.properties` of a node. Pure.

A node has two listeners of its own on loopback, PLAINTEXT for clients and CONTROLLER for the
quorum. What a caller adds in `listeners`, `advertised.listeners` and
`listener.security.protocol.map` is joined to them; any other property replaces ours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from transports.kafka.broker.errors import BrokerError

__all__ = ["HOST", "NO_PROPERTIES", "Member", "server_properties", "write_properties"]

HOST = "127.0.0.1"
NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})

_REPLICAS = 3


class Member(NamedTuple):
    """One node of a cluster: its id and the ports of its own two listeners."""

    node_id: int
    port: int
    controller_port: int

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{HOST}:{self.port}"


def server_properties(
    member: Member, members: Sequence[Member], data: Path, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return the properties of `member`, one of `members`, that keeps its records in `data`.

    Raises BrokerError when `extra` moves one of the node's own listeners.
    """
    joined = _joined(member, extra)
    return _settings(member, members, data) | _replication(len(members)) | dict(extra) | joined


def write_properties(properties: Mapping[str, str]) -> str:
    """Write `properties` in the form that Java reads, in order and with what it asks escaped."""
    return "".join(f"{_escaped(name)}={_escaped(value)}\n" for name, value in properties.items())


def _settings(member: Member, members: Sequence[Member], data: Path) -> dict[str, str]:
    voters = ",".join(f"{m.node_id}@{HOST}:{m.controller_port}" for m in members)
    return {
        "process.roles": "broker,controller",
        "node.id": str(member.node_id),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "offsets.topic.num.partitions": "2",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.num.partitions": "2",
        # A broker that was killed is let back in once its old registration has lapsed.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "300",
        "controller.quorum.fetch.timeout.ms": "1000",
        "controller.quorum.election.timeout.ms": "500",
        # The cleaner's buffer is taken from the heap at the start: 128 MiB by default.
        "log.cleaner.dedupe.buffer.size": "4194304",
    }


def _replication(nodes: int) -> dict[str, str]:
    factor, in_sync = min(nodes, _REPLICAS), min(nodes, 2)
    return {
        "default.replication.factor": str(factor),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(factor),
        "transaction.state.log.replication.factor": str(factor),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(factor),
        "share.coordinator.state.topic.min.isr": str(in_sync),
    }


def _joined(member: Member, extra: Mapping[str, str]) -> dict[str, str]:
    own = {
        "PLAINTEXT": f"://{HOST}:{member.port}",
        "CONTROLLER": f"://{HOST}:{member.controller_port}",
    }
    added = _entries(extra.get("listeners", ""))
    for name, address in own.items():
        if added.get(name, address) != address:
            raise BrokerError(
                f"`listeners` says {name}{added[name]}, but this node's is {name}{address}: "
                "leave it out of `listeners`"
            )
    listeners = own | added
    clients = {name: address for name, address in listeners.items() if name != "CONTROLLER"}
    advertised = clients | _entries(extra.get("advertised.listeners", ""))
    advertised.pop("CONTROLLER", None)
    protocols = {"CONTROLLER": ":PLAINTEXT"} | {
        name: f":{name}" for name in clients if name in _SECURITY_PROTOCOLS
    }
    protocols |= _entries(extra.get("listener.security.protocol.map", ""))
    return {
        "listeners": _joined_entries(listeners),
        "advertised.listeners": _joined_entries(advertised),
        "listener.security.protocol.map": _joined_entries(protocols),
    }


_SECURITY_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})


def _entries(text: str) -> dict[str, str]:
    """Split `A://x,B://y` or `A:X,B:Y` into names and what follows them, the colon included."""
    entries = (entry.strip().partition(":") for entry in text.split(",") if entry.strip())
    return {name: colon + rest for name, colon, rest in entries}


def _joined_entries(entries: Mapping[str, str]) -> str:
    return ",".join(name + rest for name, rest in entries.items())


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(char) or _ascii(char) for char in text)


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", " ": "\\ "}


def _ascii(char: str) -> str:
    if char.isascii():
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()  # of bytes that are no UTF-8, too
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
