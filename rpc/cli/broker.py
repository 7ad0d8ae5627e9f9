"""`rpc broker`: a real Apache Kafka until Ctrl-C."""

import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import click
from rich.console import Console

from rpc.cli.preparation import preparation
from transports.kafka.broker import Broker, BrokerError
from transports.kafka.broker.lock import KAFKA_VERSION
from transports.kafka.broker.ports import is_free

__all__ = ["command"]

_USUAL_PORT = 9092
_HEAP = re.compile(r"\d+[kmg]?", re.IGNORECASE)


def _parse_properties(
    _context: click.Context, _parameter: click.Parameter, given: Sequence[str]
) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for name, equals, value in pairs:
        if not (name.strip() and equals):
            raise click.BadParameter(f"{name + equals + value!r} is not of the form KEY=VALUE")
    return {name.strip(): value for name, _, value in pairs}


def _parse_heap(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    if not _HEAP.fullmatch(given):
        raise click.BadParameter(f"{given!r} is not a size like 384m or 1g")
    return given


@click.command("broker")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port for clients; 0 is a free one.  [default: 9092, or a free one where that is taken]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep topics and records in DIR.  [default: a temporary folder]",
)
@click.option(
    "--heap",
    default="384m",
    show_default=True,
    callback=_parse_heap,
    metavar="SIZE",
    help="Memory for the JVM's heap.",
)
@click.option(
    "--property",
    "properties",
    multiple=True,
    callback=_parse_properties,
    metavar="KEY=VALUE",
    help="A property of Kafka's server.properties; may be repeated.",
)
@click.option("--quiet", is_flag=True, help="Say nothing on standard error but errors.")
def command(
    *, port: int | None, data: Path | None, heap: str, properties: Mapping[str, str], quiet: bool
) -> None:
    """Run a real Apache Kafka on this machine.

    One node on the loopback address, in the foreground. Its address is printed when it is ready for
    topics to be created; Ctrl-C or SIGTERM stops it. The first run fetches Kafka, of 45 MB.
    """
    _interrupt_on_termination()
    console = Console(stderr=True, quiet=quiet)
    if port is None and is_free(_USUAL_PORT):
        port = _USUAL_PORT
    try:
        with ExitStack() as running:
            with preparation(console) as on_progress:
                broker = Broker(
                    port=port, data=data, heap=heap, properties=properties, on_progress=on_progress
                )
                running.enter_context(broker)
            _run(broker, console)
    except BrokerError as error:
        raise click.ClickException(str(error)) from error


def _run(broker: Broker, console: Console) -> None:
    with suppress(KeyboardInterrupt):
        click.echo(broker.bootstrap)
        console.print(
            f"Kafka {KAFKA_VERSION} is ready; Ctrl-C stops it. It logs to {broker.log_path}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        broker.wait()


def _interrupt_on_termination() -> None:
    """Let what would end this process end it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hang_up = getattr(signal, "SIGHUP", None)  # absent on Windows
    if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_DFL:  # not under nohup
        signal.signal(hang_up, signal.default_int_handler)
