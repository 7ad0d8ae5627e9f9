"""Makes a folder that a node can start in, without starting a second JVM for it.

Formatting writes two files: `meta.properties`, which names the cluster and the node, and a first
snapshot of the cluster's metadata. The snapshot holds the feature levels of the Kafka version and
nothing of the node as long as the quorum is static, so the one that Kafka's StorageTool wrote
(`relock.py`) fits every node. Only SCRAM users, who live in that snapshot, need the tool itself.
"""

import base64
import subprocess
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.runtime import Runtime

__all__ = ["CHECKPOINT", "format_by_tool", "format_storage", "is_formatted", "new_kafka_id"]

_META = "meta.properties"
CHECKPOINT = Path("__cluster_metadata-0") / "00000000000000000000-0000000000.checkpoint"


def is_formatted(data: Path) -> bool:
    """Tell whether `data` was formatted to the end."""
    return (data / _META).exists()


def format_storage(data: Path, cluster_id: str, node_id: int) -> None:
    """Format `data` for a node of a static quorum. Raises OSError when it cannot be written."""
    checkpoint = data / CHECKPOINT
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(
        resources.files("transports.kafka.broker").joinpath("bootstrap.checkpoint").read_bytes()
    )
    meta = {
        "version": "1",
        "cluster.id": cluster_id,
        "node.id": str(node_id),
        "directory.id": new_kafka_id(),
    }
    written = data / f"{_META}.new"
    written.write_text("".join(f"{name}={value}\n" for name, value in meta.items()), "ascii")
    written.replace(data / _META)  # last and at once: it is what says that the folder is formatted


def format_by_tool(
    runtime: Runtime,
    properties: Path,
    cluster_id: str,
    scram_users: Mapping[str, str],
) -> None:
    """Format the folder that the file `properties` names by Kafka's StorageTool, with SCRAM users.

    Takes two seconds. The passwords stand in the tool's arguments meanwhile, where other users of
    the machine can read them: they are for tests. Raises BrokerError with what the tool said; it
    takes no commas in a name or a password.
    """
    command = runtime.command("128m", "kafka.tools.StorageTool", "format")
    command += ["--cluster-id", cluster_id, "--config", properties]
    for user, password in scram_users.items():
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            command += ["--add-scram", f'{mechanism}=[name="{user}",password="{password}"]']
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if told.returncode:
        raise BrokerError(f"Kafka's StorageTool failed: {(told.stdout + told.stderr).strip()}")


def new_kafka_id() -> str:
    """Return a new id in Kafka's own form, of 22 characters; never one that starts with a dash."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not name.startswith("-"):
            return name
