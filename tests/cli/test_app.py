from importlib import import_module
from importlib.metadata import version

import pytest

from rpc.cli.app import COMMANDS

WITHOUT = """
import sys
for name in {names!r}:
    sys.modules[name] = None           # as though it were not installed
from rpc.cli import main
main()
"""


def test_help_lists_the_commands_on_standard_output(rpc):
    process = rpc("--help")
    out, err = process.communicate()

    assert "broker  Run a real Apache Kafka on this machine." in out
    assert (err, process.returncode) == ("", 0)


def test_help_imports_no_command(rpc):
    program = (
        "import sys; from rpc.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in sys.modules if m == 'rpc.cli.broker'])"
    )
    out, _ = rpc("--help", program=program).communicate()

    assert out.endswith("[]\n")


def test_the_version_is_that_of_the_distribution(rpc):
    out, _ = rpc("--version").communicate()

    assert out == f"rpc, version {version('parley-rpc')}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No such command 'nope'"),
        (["broker", "--nope"], "No such option '--nope'"),
        (["broker", "--port", "many"], "'many' is not a valid integer range"),
        (["broker", "--port", "70000"], "70000 is not in the range"),
        (["broker", "--heap", "lots"], "'lots' is not a size like 384m or 1g"),
        (["broker", "--property", "novalue"], "'novalue' is not of the form KEY=VALUE"),
        (["broker", "--property", "=1"], "'=1' is not of the form KEY=VALUE"),
    ],
)
def test_wrong_usage_is_told_on_standard_error_with_code_2(rpc, arguments, told):
    process = rpc(*arguments)
    out, err = process.communicate()

    assert told in err
    assert (out, process.returncode) == ("", 2)


@pytest.mark.parametrize(
    ("names", "told"),
    [(["click", "rich"], "click and rich"), (["click"], "click"), (["rich"], "rich")],
)
def test_without_its_libraries_the_command_says_what_to_install(rpc, names, told):
    process = rpc("broker", program=WITHOUT.format(names=names))
    out, err = process.communicate()

    assert err == (
        f"The rpc command needs {told}: pip install 'parley-rpc[cli]', "
        "or 'parley-rpc[broker]' to run brokers too\n"
    )
    assert (out, process.returncode) == ("", 1)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_listed_command_is_there_under_its_name_and_summary(name):
    command = import_module(COMMANDS[name].module).command

    assert command.name == name
    assert command.help.splitlines()[0] == COMMANDS[name].summary
