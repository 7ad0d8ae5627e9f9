"""Puts together what a node runs on: a Java, the jars, and an archive of their classes."""

from transports.kafka.broker.archive import archive_flags
from transports.kafka.broker.cache import cache_folder
from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.jars import fetch_jars
from transports.kafka.broker.java import find_java
from transports.kafka.broker.lock import read_lock
from transports.kafka.broker.progress import OnProgress
from transports.kafka.broker.runtime import FAST_START, Runtime

__all__ = ["prepare"]


def prepare(on_progress: OnProgress, *, fast_start: bool = True) -> Runtime:
    """Return what a node runs on, from the cache; the first time it is fetched and made.

    Raises BrokerError that says what is missing and how to get it.
    """
    cache, java = cache_folder(), find_java()
    quick = FAST_START if fast_start else ()
    try:
        runtime = Runtime(java, fetch_jars(read_lock(), cache / "jars", on_progress), quick)
        archive = archive_flags(runtime, cache / "archives", on_progress)
    except OSError as error:
        raise BrokerError(
            f"The cache folder {cache} cannot be used ({error}): "
            "correct its rights, or name another in RPC_CACHE_DIR"
        ) from error
    return runtime._replace(flags=(*quick, *archive))
