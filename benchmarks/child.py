"""One process of a benchmark: a server, or a client that runs what it is told on standard input.

Lines of JSON both ways; a server says `{"ready": true}` and waits to be ended.
"""

import json
import sys
import time

from benchmarks import ours, peers


def main() -> None:
    """Play `role` (raw-server, raw-client, rpc-server, rpc-client) against a broker."""
    role, bootstrap = sys.argv[1:3]
    if role == "raw-server":
        peers.serve(bootstrap, _ready)
    elif role == "rpc-server":
        ours.serve(bootstrap, _ready)
    elif role == "raw-client":
        raw = peers.RawClient(bootstrap)
        _serve_runs(lambda _style, *rest: raw.run(*rest))
    else:
        client = ours.OurClient(bootstrap)
        _serve_runs(client.run)


def _serve_runs(run) -> None:
    _ready()
    for line in sys.stdin:
        asked = json.loads(line)
        cpu = time.process_time()
        latencies = run(asked["style"], asked["in_flight"], asked["payload"], asked["seconds"])
        cpu = time.process_time() - cpu
        latencies.sort()
        _say(
            calls=len(latencies),
            rps=len(latencies) / asked["seconds"],
            p50_ms=_at(latencies, 0.5) * 1000,
            p99_ms=_at(latencies, 0.99) * 1000,
            client_cpu_us=cpu / max(1, len(latencies)) * 1e6,
        )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _ready() -> None:
    _say(ready=True)


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
