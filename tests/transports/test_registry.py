"""From a URL to a transport: built in, installed by others, unknown, broken."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import transports
from transports.errors import ConfigurationError
from transports.memory import MemoryTransport
from transports.registry import open_transport


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution for this test: its metadata and module on the module path."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, entry_points, module=None, code=""):
        folder = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "".join(f"{scheme} = {target}\n" for scheme, target in entry_points.items())
        (folder / "entry_points.txt").write_text(f"[parley_rpc.transports]\n{lines}")
        if module:
            (tmp_path / f"{module}.py").write_text(code)

    return install


def test_the_scheme_chooses_the_transport():
    with open_transport("memory://registry?client_id=shop") as transport:
        assert isinstance(transport, MemoryTransport)
        assert transport.client_id == "shop"


def test_a_scheme_is_read_in_either_case():
    with open_transport("MEMORY://registry") as transport:
        assert isinstance(transport, MemoryTransport)


def test_an_installed_distribution_offers_its_scheme(install):
    code = (
        "from transports.memory import MemoryTransport\n"
        "def begin(url):\n"
        "    return MemoryTransport(client_id=url)\n"
    )
    install("parley-carrier", {"carrier": "carrier_offered:begin"}, "carrier_offered", code)

    with open_transport("carrier://loft") as transport:
        assert transport.client_id == "carrier://loft"


def test_an_unknown_scheme_lists_those_found(install):
    install("parley-carrier", {"carrier": "carrier_unused:begin"})

    with pytest.raises(
        ConfigurationError, match=r"'nats'; found: carrier, kafka, memory\. Correct"
    ):
        open_transport("nats://localhost")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_driver", "ModuleNotFoundError: No module named 'no_such_driver'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "AttributeError: module .* has no attribute 'begin'"),
    ],
)
def test_an_entry_point_that_cannot_be_imported_says_whose_it_is_and_why(install, code, why):
    module = f"carrier_broken_{len(code)}"
    install("parley-carrier", {"carrier": f"{module}:begin"}, module, code)

    says = rf"transport 'carrier': {module}:begin of parley-carrier 1\.2 cannot be imported \({why}"
    with pytest.raises(ConfigurationError, match=says):
        open_transport("carrier://loft")


def test_an_entry_point_that_is_no_function_is_refused(install):
    install("parley-carrier", {"carrier": "carrier_number:begin"}, "carrier_number", "begin = 3\n")

    with pytest.raises(ConfigurationError, match=r"carrier_number:begin of .* is not callable"):
        open_transport("carrier://loft")


def test_a_scheme_offered_twice_names_both(install):
    install("parley-carrier", {"carrier": "one:begin"})
    install("other-carrier", {"carrier": "two:begin"})

    says = r"offered by other-carrier 1\.2 and parley-carrier 1\.2; uninstall"
    with pytest.raises(ConfigurationError, match=says):
        open_transport("carrier://loft")


def test_a_built_in_scheme_is_not_taken_over(install):
    install("parley-carrier", {"memory": "carrier_unused:begin"})

    with open_transport("memory://") as transport:
        assert isinstance(transport, MemoryTransport)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "://host", "host:9092"])
def test_a_url_without_a_scheme_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigurationError, match="begins with a scheme"):
        open_transport(url)


def test_a_password_in_a_url_is_not_in_the_error():
    with pytest.raises(ConfigurationError) as raised:
        open_transport("nats://user:secret@host")

    assert "secret" not in str(raised.value)


def test_opening_memory_from_a_plain_folder_imports_neither_metadata_nor_kafka(tmp_path):
    script = (
        "import sys; from transports import open_transport; open_transport('memory://').close(1);"
        "dear = {'kafka', 'transports.kafka', 'importlib.metadata', 'structlog'};"
        "print(sorted(dear & {*sys.modules}))"
    )
    root = transports.__path__[0].removesuffix("/transports")
    command = [sys.executable, "-S", "-c", script]

    # -S: no site-packages, so that neither installed metadata nor any dependency is there but one.
    (tmp_path / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_built_in_transport_that_cannot_be_imported_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "transports.kafka", None)

    says = r"transport 'kafka': transports\.kafka:open_transport of parley-rpc cannot be imported"
    with pytest.raises(ConfigurationError, match=says):
        open_transport("kafka://localhost:9092")
