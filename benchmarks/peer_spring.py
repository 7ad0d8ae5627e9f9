"""Spring's `ReplyingKafkaTemplate` and `@KafkaListener`, as `make bench-spring` builds them."""

from pathlib import Path

from benchmarks.process import Child, Refused

_BUILT = Path(__file__).parents[1] / "build" / "spring"


def start(side, address):
    """Return a process of one side. Raises `Refused` where it was not built."""
    jar = _BUILT / "peer-1.jar"
    if not jar.exists():
        raise Refused("it is built by `make bench-spring`, which needs Maven and Java 17")
    path = f"{jar}:{_BUILT / 'libs' / '*'}"
    program = ["java", "-Xmx512m", "-cp", path, "bench.Peer"]
    return Child([*program, side, address["bootstrap"], *address["topics"]])


def commands():
    """Return how to start what is no module of ours, by kind."""
    return {"spring": start}
