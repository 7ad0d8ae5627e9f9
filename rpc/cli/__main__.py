"""`python -m rpc.cli` is the `rpc` command."""

from rpc.cli import main

__all__: list[str] = []

main()
