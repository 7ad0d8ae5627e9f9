"""Puts together what a node runs on: a Java, the jars, and an archive of their classes."""

from transports.kafka.broker.archive import archive_flags
from transports.kafka.broker.cache import cache_folder
from transports.kafka.broker.jars import fetch_jars
from transports.kafka.broker.java import find_java
from transports.kafka.broker.lock import read_lock
from transports.kafka.broker.progress import OnProgress
from transports.kafka.broker.runtime import Runtime

__all__ = ["prepare"]


def prepare(on_progress: OnProgress) -> Runtime:
    """Return what a node runs on, from the cache; the first time it is fetched and made.

    Raises BrokerError that says what is missing and how to get it.
    """
    cache, java = cache_folder(), find_java()
    runtime = Runtime(java, fetch_jars(read_lock(), cache / "jars", on_progress))
    return runtime._replace(flags=archive_flags(runtime, cache / "archives", on_progress))
