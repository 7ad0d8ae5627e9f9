from pathlib import Path

import pytest

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.folder import open_folder, temporary_folder
from transports.kafka.broker.lock import KAFKA_VERSION


def test_a_folder_that_is_missing_is_made_and_can_be_opened_again(tmp_path):
    folder = open_folder(tmp_path / "a" / "b")
    (folder / "data").mkdir()

    assert folder == tmp_path / "a" / "b"
    assert open_folder(folder) == folder


def test_a_relative_folder_is_the_one_it_was_when_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert open_folder(tmp_path.relative_to(tmp_path) / "data") == tmp_path / "data"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(BrokerError, match="holds files that are not a broker's: choose an empty"):
        open_folder(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_records_of_another_kafka_are_left_alone(tmp_path):
    folder = open_folder(tmp_path / "data")
    (folder / "kafka.version").write_text("3.9.0\n")

    with pytest.raises(
        BrokerError, match=f"records of Kafka 3.9.0, and this is Kafka {KAFKA_VERSION}"
    ):
        open_folder(folder)


def test_a_folder_that_cannot_be_made_is_named_with_the_cause(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokerError, match=r"file/data cannot be used \(Not a directory\)"):
        open_folder(tmp_path / "file" / "data")


def test_a_temporary_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))

    with pytest.raises(BrokerError, match=r"No temporary folder can be made .* in TMPDIR"):
        temporary_folder()


def test_a_temporary_folder_outlives_a_forked_child_and_not_its_owner(run_script):
    program = """
    import os, sys
    from transports.kafka.broker.folder import temporary_folder

    folder = temporary_folder()
    if os.fork() == 0:
        sys.exit()
    os.wait()
    print(folder.name, os.path.isdir(folder.name))
    """
    ran = run_script(program, forks=True)
    name, there = ran.stdout.split()

    assert ran.returncode == 0
    assert there == "True"
    assert not Path(name).exists()
