"""What a node runs on: a Java, Kafka's jars, and flags of the JVM."""

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Runtime"]

_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class Runtime(NamedTuple):
    """A Java and the jars, with further flags of the JVM."""

    java: Path
    jars: tuple[Path, ...]
    flags: tuple[str, ...] = ()

    def command(
        self, heap: str, *main: str | Path, flags: tuple[str, ...] = ()
    ) -> list[str | Path]:
        """Return the command that runs `main`, a class and its arguments, with `heap` as `-Xmx`."""
        classpath = os.pathsep.join(map(str, self.jars))
        return [
            self.java,
            f"-Xmx{heap}",
            *_QUICK,
            *_LOGGING,
            *self.flags,
            *flags,
            "-cp",
            classpath,
            *main,
        ]
