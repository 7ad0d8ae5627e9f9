"""A Maven repository on loopback, with jars made up for the tests."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from transports.kafka.broker.lock import LockedJar


class Repository:
    """Serves what is in its folder, and keeps the names of the jars that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        handler = partial(_Handler, repository=self, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def urls(self) -> dict[str, str]:
        return {"local": f"http://127.0.0.1:{self._server.server_port}"}

    def publish(self, name: str, content: bytes, served: bytes | None = None) -> LockedJar:
        """Lock `content` under `name`, and serve it, or `served` in its place."""
        sha256 = hashlib.sha256(content).hexdigest()
        jar = LockedJar("test.group", name, "1.0", len(content), sha256)
        path = self.folder / "test" / "group" / name / "1.0" / jar.filename
        path.parent.mkdir(parents=True)
        path.write_bytes(content if served is None else served)
        return jar

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args, repository: Repository, directory: str) -> None:
        self._repository = repository
        super().__init__(*args, directory=directory)

    def do_GET(self) -> None:
        if self.path.endswith(".jar"):
            self._repository.asked.append(Path(self.path).name)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    folder = tmp_path / "repository"
    folder.mkdir()
    served = Repository(folder)
    yield served
    served.close()
