"""A package named as one of ours that stands in front of it is told, with the path found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rpc

HOME = Path(rpc.__file__).parent.parent


def import_rpc(folder: Path, *before: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(part) for part in (*before, *(part for part in sys.path if part)))
    return subprocess.run(
        [sys.executable, "-c", "import rpc; print(rpc.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("name", ["contracts", "transports"])
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"])
def test_a_package_in_front_of_ours_is_named_with_its_path_and_the_way_out(tmp_path, name, form):
    found = tmp_path / form.format(name)
    found.parent.mkdir(exist_ok=True)
    found.write_text("")
    outcome = import_rpc(tmp_path, tmp_path)
    (told,) = [line for line in outcome.stderr.splitlines() if line.startswith("ImportError")]

    assert outcome.returncode == 1
    assert f"rpc needs its own package '{name}' in {HOME / name}" in told
    assert str(found.resolve()) in told
    assert "Rename yours" in told
    assert f"put {HOME} before it on sys.path" in told


def test_without_a_package_in_front_nothing_is_told(tmp_path):
    outcome = import_rpc(tmp_path)

    assert outcome.stderr == ""
    assert Path(outcome.stdout.strip()).parent == HOME / "rpc"
