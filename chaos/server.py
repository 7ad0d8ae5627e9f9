"""A server process: `python -m chaos.server FOLDER NUMBER BOOTSTRAP`, until SIGTERM."""

import sys
from pathlib import Path

import chaos.mutants  # noqa: F401 - plants the bug that RPC_MUTANT names, if any
from chaos.child import end_with_parent
from chaos.clock import WallClock
from chaos.effects import Ledger
from chaos.gauges import start_gauges
from chaos.history import Writer
from chaos.recording import RecordingTransport
from chaos.watching import watch_groups
from chaos.workload import WORKERS, ChaosServer, transport_url
from rpc import Server, SqliteStore, open_transport, serve

__all__ = ["main"]


def main() -> None:
    """Serve, and write down what is started, finished, replied and committed."""
    folder, number, bootstrap = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    end_with_parent()
    clock = WallClock()
    history = Writer(folder, "server", number)
    url = transport_url(bootstrap, "chaos-server")
    watch_groups(history)
    effects = folder / "effects.sqlite"
    with (
        RecordingTransport(open_transport(url), history) as transport,
        SqliteStore(effects, wait=30.0) as store,  # beside the effects: one transaction for both
    ):
        handlers = ChaosServer(history, Ledger(effects), transport.place)

        def ready(server: Server) -> None:
            ask_to_stop = server.ask_to_stop

            def note_and_stop() -> None:
                history.write("draining")
                ask_to_stop()

            server.ask_to_stop = note_and_stop  # type: ignore[method-assign]  # what the signal calls
            start_gauges(
                history,
                lambda: {"in_flight": server.in_flight, "pending": 0, "skew": clock.skew},
            )
            history.write("ready")
            print("ready", flush=True)

        serve(handlers, transport=transport, on_ready=ready, workers=WORKERS, idempotency=store)
    history.write("exit")


if __name__ == "__main__":
    main()
