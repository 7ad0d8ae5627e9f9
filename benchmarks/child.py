"""One process of a benchmark: a server, or a client that runs what it is told.

    python -m benchmarks.child server|client CONTENDER ADDRESS

ADDRESS is what the contender's module needs, as JSON. Lines of JSON both ways; it ends when its
standard input does, or by SIGTERM.
"""

import gc
import json
import os
import signal
import sys
import threading
from functools import partial

from benchmarks.process import measured, questions, say
from transports.errors import ConfigurationError


def server_of(kind, address):
    """Return what serves, given a function to tell when it is ready."""
    if kind == "ours":
        from benchmarks import ours  # noqa: PLC0415 - each process imports its own libraries alone

        return partial(ours.serve, address["url"])
    if kind.startswith("grpc"):
        from benchmarks import peer_grpc  # noqa: PLC0415

        return peer_grpc.serve if kind == "grpc" else peer_grpc.serve_aio
    return partial(_raw(kind).serve, *_place(address))


def client_of(kind, address):
    """Return a client that is connected."""
    if kind == "ours":
        from benchmarks import ours  # noqa: PLC0415

        if "instances" in address:
            return ours.OurClients(address["url"], address["instances"])
        return ours.OurClient(address["url"])
    if kind.startswith("grpc"):
        from benchmarks import peer_grpc  # noqa: PLC0415

        make = peer_grpc.Client if kind == "grpc" else peer_grpc.AsyncClient
        return make(address["port"])
    return _raw(kind).Client(*_place(address))


def _raw(kind):
    if kind == "kafka-python":
        from benchmarks import raw_kafka_python as raw  # noqa: PLC0415
    elif kind == "confluent":
        from benchmarks import raw_confluent as raw  # noqa: PLC0415
    elif kind == "aiokafka":
        from benchmarks import raw_aiokafka as raw  # noqa: PLC0415
    else:
        raise ImportError(f"no process of ours plays {kind}")
    return raw


def _place(address):
    from benchmarks.exchange import Topics  # noqa: PLC0415

    return address["bootstrap"], Topics(*address["topics"])


def _end_with_parent():
    """End as by SIGTERM when standard input ends, which it does when the parent is gone."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _freeze():
    """Have the garbage collector leave alone what is there, as `rpc.serve` does."""
    gc.collect()
    gc.freeze()


def _ready(**fields):
    _freeze()
    say(ready=True, **fields)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _name(address):
    """Give our service a name of its own, so that several can be measured on one broker."""
    if "service" in address:
        from benchmarks.contract import Echo  # noqa: PLC0415
        from rpc import service  # noqa: PLC0415

        service(name=address["service"])(Echo)


def main():
    """Play one side of a contender."""
    side, kind, told = sys.argv[1:]
    address = json.loads(told)
    _name(address)
    try:
        if side == "server":
            server_of(kind, address)(_ready)
            return
        client = client_of(kind, address)
    except (ImportError, ConfigurationError) as refused:  # a library or an option that is not there
        say(refused=f"{type(refused).__name__}: {refused}")
        return
    _freeze()
    for asked in questions():
        how = (asked["style"], asked["in_flight"], asked["payload"], asked["seconds"])
        say(**measured(partial(client.run, *how), asked["seconds"]))
    client.close()


if __name__ == "__main__":
    main()
