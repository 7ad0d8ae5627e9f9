import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.jars import fetch_jars, missing_jars

NOWHERE = {"closed": "http://127.0.0.1:1"}

# jgo leaves the connection of a download that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def no_connection_is_left_to_a_later_test():
    yield
    gc.collect()


def test_jars_are_fetched_once_and_found_again(repository, tmp_path):
    jars = [repository.publish("one", b"1" * 5_000), repository.publish("two", b"2" * 70_000)]
    folder = tmp_path / "cache" / "jars"

    paths = fetch_jars(jars, folder, repositories=repository.urls)
    again = fetch_jars(jars, folder, repositories=repository.urls)

    assert [path.read_bytes() for path in paths] == [b"1" * 5_000, b"2" * 70_000]
    assert again == paths
    assert sorted(repository.asked) == ["one-1.0.jar", "two-1.0.jar"]
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "one-1.0.jar", "two-1.0.jar"]


def test_a_warm_cache_asks_nothing_of_the_network_and_imports_no_downloader(repository, tmp_path):
    jars = [repository.publish("one", b"content")]
    fetch_jars(jars, tmp_path, repositories=repository.urls)
    program = f"""
import sys
from pathlib import Path
from transports.kafka.broker.jars import fetch_jars
from transports.kafka.broker.lock import LockedJar
fetch_jars({jars!r}, Path({str(tmp_path)!r}), repositories={NOWHERE!r})
print([name for name in ("jgo", "requests") if name in sys.modules])
"""

    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert (told.stdout, told.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "spoilt", [b"conten", b"", b"Content", b"content and more"], ids=["cut", "empty", "bit", "more"]
)
def test_a_spoilt_jar_in_the_cache_is_fetched_again(repository, tmp_path, spoilt):
    jars = [repository.publish("one", b"content"), repository.publish("two", b"other")]
    first, _ = fetch_jars(jars, tmp_path, repositories=repository.urls)
    first.write_bytes(spoilt)
    repository.asked.clear()

    fetch_jars(jars, tmp_path, repositories=repository.urls)

    assert first.read_bytes() == b"content"
    assert repository.asked == ["one-1.0.jar"]


def test_a_jar_that_is_not_the_locked_one_is_refused_and_not_kept(repository, tmp_path):
    jar = repository.publish("one", b"content", served=b"c0ntent")

    with pytest.raises(
        BrokerError, match=r"one-1.0.jar was fetched and refused: .* SHA-256 [0-9a-f]+"
    ):
        fetch_jars([jar], tmp_path, repositories=repository.urls)

    assert [path.name for path in tmp_path.glob("*.jar")] == []
    assert missing_jars([jar], tmp_path) == [jar]


def test_what_was_fetched_before_an_interruption_is_kept(repository, tmp_path):
    whole = repository.publish("one", b"content")
    gone = repository.publish("two", b"other")
    served = repository.folder / "test/group/two/1.0/two-1.0.jar"
    served.rename(served.with_suffix(".hidden"))
    with pytest.raises(BrokerError, match=r"two-1.0.jar could not be fetched"):
        fetch_jars([whole, gone], tmp_path / "jars", repositories=repository.urls)
    served.with_suffix(".hidden").rename(served)
    repository.asked.clear()

    fetch_jars([whole, gone], tmp_path / "jars", repositories=repository.urls)

    assert repository.asked == ["two-1.0.jar"]


def test_what_a_killed_fetch_left_is_cleared_away(repository, tmp_path):
    jar = repository.publish("one", b"content")
    left = tmp_path / ".partial" / "test" / "group" / "one" / "1.0" / jar.filename
    left.parent.mkdir(parents=True)
    left.write_bytes(b"con")

    (path,) = fetch_jars([jar], tmp_path, repositories=repository.urls)

    assert path.read_bytes() == b"content"
    assert not (tmp_path / ".partial").exists()


def test_without_a_network_the_error_says_what_to_do(repository, tmp_path):
    jar = repository.publish("one", b"content")

    with pytest.raises(BrokerError, match=r"one-1.0.jar could not be fetched .* mirror .* kept"):
        fetch_jars([jar], tmp_path, repositories=NOWHERE)


def test_without_the_downloader_the_error_names_the_extra(repository, tmp_path, monkeypatch):
    jar = repository.publish("one", b"content")
    monkeypatch.setitem(sys.modules, "jgo.config", None)

    with pytest.raises(BrokerError, match=r"pip install 'parley-rpc\[broker\]'"):
        fetch_jars([jar], tmp_path, repositories=repository.urls)


def test_several_at_once_fetch_each_jar_once(repository, tmp_path):
    jars = [repository.publish(f"jar{i}", bytes([i]) * 50_000) for i in range(6)]
    together = threading.Barrier(3)

    def fetch():
        together.wait()
        return fetch_jars(jars, tmp_path, repositories=repository.urls)

    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(fetch) for _ in range(3)]

    assert len({future.result() for future in results}) == 1
    assert sorted(repository.asked) == sorted(jar.filename for jar in jars)


def test_progress_rises_to_the_total(repository, tmp_path):
    jars = [repository.publish("one", b"1" * 30_000), repository.publish("two", b"2" * 40_000)]
    told = []

    fetch_jars(jars, tmp_path, told.append, repositories=repository.urls)

    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (told[-1].done, told[-1].total) == (70_000, 70_000)
    assert {progress.step for progress in told} == {"Fetching Apache Kafka"}


def test_an_interrupted_fetch_ends_its_downloads(repository, tmp_path):
    jars = [repository.publish(f"jar{i}", bytes([i]) * 500_000) for i in range(8)]

    def interrupt(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_jars(jars, tmp_path, interrupt, repositories=repository.urls)

    assert not (tmp_path / ".partial").exists()
    assert [t.name for t in threading.enumerate() if t.name.startswith("rpc-broker")] == []
