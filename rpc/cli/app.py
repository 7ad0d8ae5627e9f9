"""The commands by name, each in a module of its own that is imported when it is called."""

from importlib import import_module
from typing import NamedTuple

import click

__all__ = ["COMMANDS", "Listed", "app"]


class Listed(NamedTuple):
    """A command that can be listed without importing it: its module has it as `command`."""

    module: str
    summary: str


COMMANDS = {
    "broker": Listed("rpc.cli.broker", "Run a real Apache Kafka on this machine."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        command: click.Command = import_module(listed.module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="parley-rpc")
def app() -> None:
    """Typed RPC over Apache Kafka, from the command line."""
