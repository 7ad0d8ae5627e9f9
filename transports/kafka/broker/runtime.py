"""What a node runs on: a Java, Kafka's jars, and flags of the JVM."""

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["FAST_START", "Runtime"]

FAST_START = ("-XX:TieredStopAtLevel=1",)
"""No second, optimising compiler: it takes the processor from the start, and gives it back only to
a broker that is kept busy for longer than tests do."""

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

    def command(self, heap: str, *main: str | Path) -> list[str | Path]:
        """Return the command that runs `main`, a class and its arguments, with `heap` as `-Xmx`."""
        classpath = os.pathsep.join(map(str, self.jars))
        flags = (f"-Xmx{heap}", "-XX:+UseSerialGC", *_LOGGING, *self.flags)
        return [self.java, *flags, "-cp", classpath, *main]
