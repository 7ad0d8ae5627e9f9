"""Fixtures that the whole suite shares: one real Kafka broker for the session."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from transports.kafka.broker import Broker

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

# A suite in the background, or under nohup, has these signals ignored, and so have the processes
# that it starts; what they do on Ctrl-C is tested all the same: a handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# Brokers of tests leave tens of thousands of files, which a disk takes a minute to remove.
_MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

_KAFKA_FIXTURES = {"broker", "bootstrap"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker, so that `-m "not kafka"` leaves it out."""
    for item in items:
        if _KAFKA_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(autouse=True)
def _quiet_again() -> Iterator[None]:
    """Leave no logging on: `capture_logs` configures structlog, which prints from then on."""
    yield
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for the session, started by the first test that asks for it."""
    with Broker() as started:
        yield started


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of a broker: of the one that RPC_TEST_BOOTSTRAP names, or of the session's."""
    named = os.environ.get("RPC_TEST_BOOTSTRAP")
    if named:
        return named
    started: Broker = request.getfixturevalue("broker")
    return started.bootstrap


@pytest.fixture(scope="session")
def open_admin() -> Callable[..., "closing[KafkaAdminClient]"]:
    """Open an admin client of the broker at an address, for a `with` statement.

    It must be closed before its broker goes down: kafka-python leaves the sockets of its attempts
    to reconnect to the garbage collector, which makes warnings of them.
    """
    import_module("transports.kafka.driver")  # imports kafka-python without its warnings
    from kafka import KafkaAdminClient

    def open_at(bootstrap: str | list[str], **settings: object) -> "closing[KafkaAdminClient]":
        return closing(
            KafkaAdminClient(bootstrap_servers=bootstrap, retry_backoff_ms=20, **settings)
        )

    return open_at


@pytest.fixture
def topic_prefix() -> str:
    """A start for topic names and groups that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a process of its own that finds what this one does, and return its end.

    `forks`: without the warning that later Pythons have for whoever forks with threads.
    """

    def run(script: str, *arguments: str, forks: bool = False) -> subprocess.CompletedProcess[str]:
        quiet = ["-W", "ignore::DeprecationWarning"] if forks else []
        return subprocess.run(
            [sys.executable, *quiet, "-c", textwrap.dedent(script), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    return run
