"""The lock: every jar that the broker runs on, with its size and checksum.

`kafka.lock` beside this file holds one jar per line: coordinates, size in bytes, SHA-256. It is
written by `python -m transports.kafka.broker.relock` and never by hand. No I/O but `read_lock`.
"""

import hashlib
from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

__all__ = ["KAFKA_VERSION", "ROOTS", "LockedJar", "format_lock", "parse_lock", "read_lock"]

KAFKA_VERSION = "4.4.0"

ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka's own dependencies bind slf4j to nothing: without this a broker that fails says nothing.
    "org.slf4j:slf4j-simple:1.7.36",
)
"""What the lock is resolved from."""


class LockedJar(NamedTuple):
    """One jar, by its Maven coordinates, as it must be."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """The name in the repository and in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def matches(self, content: bytes) -> bool:
        """Tell whether `content` is this jar, byte for byte."""
        return len(content) == self.size and hashlib.sha256(content).hexdigest() == self.sha256


def parse_lock(text: str) -> tuple[LockedJar, ...]:
    """Read the lines of a lock; raises ValueError naming the line that is not one."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(_parse_line(line) for line in lines if line and not line.startswith("#"))


def format_lock(jars: Iterable[LockedJar]) -> str:
    """Write a lock that `parse_lock` reads back, sorted by coordinates."""
    head = "# Written by: python -m transports.kafka.broker.relock\n"
    return head + "".join(
        f"{jar.group}:{jar.artifact}:{jar.version} {jar.size} {jar.sha256}\n"
        for jar in sorted(jars)
    )


def read_lock() -> tuple[LockedJar, ...]:
    """Read the lock that this package carries."""
    return parse_lock(
        resources.files("transports.kafka.broker").joinpath("kafka.lock").read_text("utf-8")
    )


def _parse_line(line: str) -> LockedJar:
    try:
        coordinates, size, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        return LockedJar(group, artifact, version, int(size), sha256)
    except ValueError as error:
        raise ValueError(f"Not a line of a lock: {line!r}") from error
