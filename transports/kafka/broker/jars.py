"""Fetches the locked jars into the user's cache.

A jar is in the cache under its own name only once it is verified: it is downloaded beside, compared
with the lock, and renamed. So an interruption costs at most the jars that were on their way, and
every call verifies all of them again. Where all are there, nothing is asked of the network and
`jgo`, which does the downloading, is not imported.
"""

import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from transports.kafka.broker.cache import exclusive
from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.lock import LockedJar
from transports.kafka.broker.progress import OnProgress, Progress, silent

if TYPE_CHECKING:
    from jgo.maven import MavenContext

__all__ = ["fetch_jars", "missing_jars"]

_Advance = AbstractContextManager[Callable[[int], None]]

_STEP = "Fetching Apache Kafka"
_AT_ONCE = 4
_ATTEMPTS = 3
_MTIME = 1_000_000_000
"""Of every jar, since an archive of classes is bound to the times of its jars."""


def missing_jars(jars: Sequence[LockedJar], folder: Path) -> list[LockedJar]:
    """Return those of `jars` that `folder` does not hold, or holds with another content."""
    with ThreadPoolExecutor(_AT_ONCE, "rpc-broker-verify") as pool:
        present = pool.map(lambda jar: _is_present(jar, folder), jars)
        return [jar for jar, there in zip(jars, present, strict=True) if not there]


def fetch_jars(
    jars: Sequence[LockedJar],
    folder: Path,
    on_progress: OnProgress = silent,
    repositories: Mapping[str, str] | None = None,
) -> tuple[Path, ...]:
    """Return the paths of `jars` in `folder`, having fetched and verified what was missing.

    `repositories` are names and URLs of Maven repositories; None is jgo's own configuration. Raises
    BrokerError when jgo is not installed, nothing can be fetched, or what was fetched is not what
    the lock says. Safe in several processes at once: one fetches and the others wait.
    """
    if missing_jars(jars, folder):
        folder.mkdir(parents=True, exist_ok=True)
        on_progress(Progress(_STEP))
        with exclusive(folder / ".lock", wait=True):
            missing = missing_jars(jars, folder)  # another process may have fetched them meanwhile
            if missing:
                _Fetch(missing, folder, on_progress, repositories).run()
    return tuple(folder / jar.filename for jar in jars)


def _is_present(jar: LockedJar, folder: Path) -> bool:
    try:
        return jar.matches((folder / jar.filename).read_bytes())
    except FileNotFoundError:
        return False


class _Fetch:
    """One fetching of jars; `_done` is written under `_lock`, by the downloading threads."""

    def __init__(
        self,
        jars: Sequence[LockedJar],
        folder: Path,
        on_progress: OnProgress,
        repositories: Mapping[str, str] | None,
    ) -> None:
        self._jars, self._folder, self._on_progress = jars, folder, on_progress
        self._partial = folder / ".partial"
        self._maven = _maven(self._partial, self._progress, repositories)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._done = 0
        self._total = sum(jar.size for jar in jars)

    def run(self) -> None:
        self._clear()  # what an interrupted fetch left
        pool = ThreadPoolExecutor(_AT_ONCE, "rpc-broker-fetch")
        try:
            for fetch in [pool.submit(self._fetch, jar) for jar in self._jars]:
                fetch.result()
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def _fetch(self, jar: LockedJar) -> None:
        content = self._download(jar)
        if not jar.matches(content):
            raise BrokerError(
                f"{jar.filename} was fetched and refused: it is not the file that the lock names "
                f"({jar.size} bytes, SHA-256 {jar.sha256}). Something between here and the "
                "repository changes files; fetch from another network or repository"
            )
        whole = self._partial / jar.filename
        whole.write_bytes(content)
        os.utime(whole, (_MTIME, _MTIME))
        whole.replace(self._folder / jar.filename)

    def _download(self, jar: LockedJar) -> bytes:
        component = self._maven.project(jar.group, jar.artifact).at_version(jar.version)
        problem: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                path = self._maven.resolver.download(component.artifact())
            except (OSError, RuntimeError) as error:  # what requests raises is an OSError
                problem = error
                shutil.rmtree(self._partial / component.path_prefix, ignore_errors=True)
            else:
                return path.read_bytes() if path else b""
        raise BrokerError(
            f"{jar.filename} could not be fetched ({problem}). Kafka's jars are downloaded once: "
            "connect this machine to the network, or name a mirror under [repositories] in "
            "~/.config/jgo.conf, and start again; what was fetched already is kept"
        ) from problem

    def _progress(self, _filename: str, _size: int) -> _Advance:
        return nullcontext(self._advance)

    def _advance(self, count: int) -> None:
        if self._stopped.is_set():
            raise CancelledError  # ends this download: another failed, or the user interrupted
        with self._lock:
            self._done = min(self._done + count, self._total)  # a second attempt counts again
            self._on_progress(Progress(_STEP, self._done, self._total))


def _maven(
    cache: Path,
    progress: Callable[[str, int], _Advance],
    repositories: Mapping[str, str] | None,
) -> "MavenContext":
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - an extra, needed to download only
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - likewise
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise BrokerError(
            "Kafka's jars are not in the cache, and jgo, which fetches them, is not installed: "
            "pip install 'parley-rpc[broker]'"
        ) from error
    if repositories is None:
        repositories = {"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories
    return MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=cache,
        remote_repos=dict(repositories),
    )
