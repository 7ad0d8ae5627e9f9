"""The `rpc` command; what is in it stands in `app.py`.

Standard output carries data alone, so that it can be piped; progress and diagnostics go to standard
error. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

import sys
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("click", "rich")


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(
            f"The rpc command needs {' and '.join(missing)}: pip install 'parley-rpc[cli]', "
            "or 'parley-rpc[broker]' to run brokers too"
        )
    from rpc.cli.app import app  # noqa: PLC0415 - needs what was looked for above

    app(prog_name="rpc")
