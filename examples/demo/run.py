"""The whole of it on a real broker: two servers, a client, a crash, a drain. About 20 seconds.

make demo

Exits 0 only if everything was as it should be. Ends every process that it starts, on Ctrl-C too.
"""

import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

from examples.demo import scenes
from examples.demo.contract import Users
from examples.demo.transcript import Transcript
from examples.demo.worker import Worker
from rpc import Channel, RpcError, Stub
from transports.kafka.broker import Broker, BrokerError

__all__ = ["main"]


def _play(show: Transcript, stack: ExitStack) -> None:
    show.title("A real Apache Kafka, two servers, one client")
    started = time.monotonic()
    with show.progress() as on_progress:
        broker = stack.enter_context(Broker(on_progress=on_progress))
    show.say(f"Kafka is ready at {broker.bootstrap}, after {time.monotonic() - started:.1f} s")
    url = f"kafka://{broker.bootstrap}?client_id=demo"
    one, two = workers = [stack.enter_context(Worker(name, url)) for name in ("one", "two")]
    scenes.start(show, workers)
    show.code(f"channel = Channel(url, retry={scenes.POLICY})")
    channel = stack.enter_context(Channel(url, retry=scenes.PATIENT))
    show.code("users = Stub(Users, channel=channel)")
    users = Stub(Users, channel=channel)
    scenes.results(show, users)
    scenes.deadline(show, users)
    scenes.unexpected_error(show, users, workers)
    scenes.spread(show, users, workers)
    scenes.crash(show, users, one, two)
    scenes.drain(show, users, two)


def main() -> int:
    """Run the demo and return its exit code."""
    signal.signal(signal.SIGTERM, _leave)
    show = Transcript()
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            _play(show, stack)
    except KeyboardInterrupt:
        return 130
    except (scenes.Unexpected, BrokerError, RpcError, RuntimeError) as error:
        show.failed(error)
        return 1
    show.end(time.monotonic() - started)
    return 0


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
