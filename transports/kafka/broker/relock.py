"""Writes the lock and the bootstrap checkpoint anew: `python -m transports.kafka.broker.relock`.

To move to another Kafka, change `lock.KAFKA_VERSION`, run this, and run the tests. The checkpoint
is what Kafka's own StorageTool writes for a new folder: the feature levels of that version, and
nothing of the node, the cluster or its addresses.
"""

import hashlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from transports.kafka.broker.java import find_java
from transports.kafka.broker.lock import ROOTS, LockedJar, format_lock
from transports.kafka.broker.properties import Member, server_properties, write_properties
from transports.kafka.broker.runtime import Runtime
from transports.kafka.broker.storage import CHECKPOINT, format_by_tool, new_kafka_id

if TYPE_CHECKING:
    from jgo.maven import Artifact

__all__ = ["main"]


def main() -> None:
    """Resolve, download, measure, and write both files beside this one."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        files = _resolve(Path(scratch) / "repository")
        here.joinpath("kafka.lock").write_text(format_lock(files), "utf-8")
        checkpoint = _checkpoint(tuple(files.values()), Path(scratch) / "node")
        here.joinpath("bootstrap.checkpoint").write_bytes(checkpoint)
    sys.stderr.write(f"{len(files)} jars, {sum(jar.size for jar in files)} bytes\n")


def _resolve(cache: Path) -> dict[LockedJar, Path]:
    from jgo.maven import MavenContext  # noqa: PLC0415 - an extra, needed by this command only
    from jgo.parse import Coordinate  # noqa: PLC0415 - likewise

    maven = MavenContext(repo_cache=cache)
    roots = [replace(Coordinate.parse(root), scope="compile") for root in ROOTS]
    inputs, others = maven.resolver.resolve([maven.create_dependency(root) for root in roots])
    needed = [dependency for dependency in others if dependency.scope in ("compile", "runtime")]
    return dict(_measured(dependency.artifact) for dependency in (*inputs, *needed))


def _measured(artifact: "Artifact") -> tuple[LockedJar, Path]:
    path = artifact.resolve()
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    jar = LockedJar(artifact.groupId, artifact.artifactId, artifact.version, len(content), sha256)
    return jar, path


def _checkpoint(jars: tuple[Path, ...], folder: Path) -> bytes:
    runtime = Runtime(find_java(), jars)
    member = Member(1, 9092, 9093)  # nothing of it is written
    folder.mkdir()
    properties = folder / "server.properties"
    settings = server_properties(member, (member,), folder / "data", {})
    properties.write_text(write_properties(settings), "ascii")
    format_by_tool(runtime, properties, new_kafka_id(), {})
    return (folder / "data" / CHECKPOINT).read_bytes()


if __name__ == "__main__":
    main()
