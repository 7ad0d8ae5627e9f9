"""One side of calls whose joints leave the time: a child process of `benchmarks.profile`.

What is looked at is wrapped from outside, so that the normal path has no code for it. The clock is
one for all processes of a machine. Joints that belong to a call are noted by its id; those of the
driver's threads (kafka-python alone) as moments, which `profile` gives to the calls they fall in.

    python -m benchmarks.stamped server|client URL
"""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from benchmarks.contract import Echo
from benchmarks.null import CALL_ID
from benchmarks.process import questions, say
from rpc import Channel, Server, Stub, current_call, method
from transports.registry import open_transport

now = time.perf_counter


class Stamps:
    """Moments by joint: of calls by their ids, of the driver's threads in the order of time."""

    def __init__(self):
        self.calls: dict[str, list[tuple[bytes, float]]] = {}
        self.moments: dict[str, list[float]] = {}

    def keep(self, joint):
        """Return what keeps an id and the moment at which its call was at `joint`."""
        return self.calls.setdefault(joint, []).append

    def call(self, joint):
        """Return what notes that a call has come to `joint`."""
        note = self.keep(joint)
        return lambda call_id: note((call_id, now()))

    def moment(self, joint):
        """Return what notes that something happened at `joint`."""
        note = self.moments.setdefault(joint, []).append
        return lambda: note(now())

    def take(self, path):
        """Write everything to a file, and begin anew."""
        calls = {
            joint: {call_id.hex(): at for call_id, at in reversed(noted)}  # the first counts
            for joint, noted in self.calls.items()
        }
        Path(path).write_text(json.dumps({"calls": calls, "moments": self.moments}))
        for noted in (*self.calls.values(), *self.moments.values()):
            noted.clear()


def id_of(message):
    """Return the call id of a message, or nothing where it bears none."""
    for name, value in message.headers:
        if name == CALL_ID:
            return value
    return b""


class Arrived(list):
    """Deliveries that note when each has its turn: when whoever takes them comes to it."""

    def __init__(self, deliveries, note):
        super().__init__(deliveries)
        self._note = note

    def __iter__(self):
        for delivery in super().__iter__():
            self._note(id_of(delivery.message))
            yield delivery

    def __getitem__(self, index):
        found = super().__getitem__(index)
        return Arrived(found, self._note) if isinstance(index, slice) else found


class StampedReceiver:
    """A receiver that notes when each delivery is handed out, and when it has its turn."""

    def __init__(self, receiver, received, taken):
        self._receiver = receiver
        self._received = received
        self._taken = taken

    def receive(self, max_wait):
        """Return what has arrived."""
        deliveries = self._receiver.receive(max_wait)
        for delivery in deliveries:
            self._received(id_of(delivery.message))
        return Arrived(deliveries, self._taken)

    def __getattr__(self, name):
        return getattr(self._receiver, name)


class StampedTransport:
    """A transport that notes when messages are handed over, acknowledged and handed out."""

    def __init__(self, transport, stamps, what):
        self._transport = transport
        self._begin = stamps.call(f"{what}.send")
        self._end = stamps.call(f"{what}.queued")
        self._acknowledged = stamps.call(f"{what}.acknowledged")
        back = {"request": "reply", "reply": "request"}[what]
        self._notes = stamps.call(f"{back}.received"), stamps.call(f"{back}.taken")

    def send(self, address, message, on_sent, /, **options):
        """Hand `message` over."""
        call_id = id_of(message)

        def sent(outcome):
            self._acknowledged(call_id)
            on_sent(outcome)

        self._begin(call_id)
        self._transport.send(address, message, sent, **options)
        self._end(call_id)

    def receiver(self, address, *, shared):
        """Open a receiver."""
        return StampedReceiver(self._transport.receiver(address, shared=shared), *self._notes)

    def __getattr__(self, name):
        return getattr(self._transport, name)


class StampedEcho(Echo):
    """The handler, which notes when it is called and when it returns."""

    def __init__(self, stamps):
        self._begin = stamps.call("handler.begin")
        self._end = stamps.call("handler.end")

    @method
    def echo(self, text: str) -> str:
        call_id = current_call().call_id
        self._begin(call_id)
        self._end(call_id)
        return text


def before(owner, name, note):
    """Call `note` with what a method is called with, before it."""
    inner = getattr(owner, name)

    def noting(*args, **kwargs):
        note(*args)
        return inner(*args, **kwargs)

    setattr(owner, name, noting)


def stamp_driver(stamps):
    """Note what is done of kafka-python, on whichever thread."""
    from kafka.consumer.fetcher import Fetcher  # noqa: PLC0415 - kafka-python's alone
    from kafka.producer.sender import Sender  # noqa: PLC0415

    from transports.kafka.driver.sockets import PlainTransport  # noqa: PLC0415

    drained, written = stamps.moment("drained"), stamps.moment("written")
    read, fetched = stamps.moment("read"), stamps.moment("fetched")

    here = threading.local()  # a request is written by the thread that made it

    def drain(*_):
        here.drained = True
        drained()

    def write(*_):
        if getattr(here, "drained", False):
            here.drained = False
            written()

    def reads():
        return "kafka-sender" not in threading.current_thread().name

    before(Sender, "_create_produce_requests", drain)
    before(PlainTransport, "write", write)
    before(PlainTransport, "read", lambda *_: read() if reads() else None)
    before(Fetcher, "_handle_fetch_response", lambda *_: fetched())


class StampedClient:
    """Makes calls that are noted from their first line to the result in the caller's hands."""

    def __init__(self, transport, stamps):
        self._channel = Channel(transport, timeout=30.0)
        self._echo = Stub(Echo, channel=self._channel).echo
        self._echo("")
        self._began, self._over = stamps.keep("call.begin"), stamps.call("call.end")

    def run(self, style, in_flight, payload, seconds):
        """Keep calls in flight for a while; return how many there were."""
        styles = {"call": self._call, "future": self._future, "aio": self._aio}
        return styles[style](in_flight, "x" * payload, now() + seconds)

    def _begin(self, text):
        at = now()
        call = self._echo.future(text)
        self._began((call.call_id, at))
        return call

    def _call(self, _in_flight, text, ends):
        calls = 0
        while now() < ends:
            call = self._begin(text)
            call.result()
            self._over(call.call_id)
            calls += 1
        return calls

    def _future(self, in_flight, text, ends):
        room, calls = SimpleQueue(), 0

        def done(call):
            call.result()
            self._over(call.call_id)
            room.put(None)

        for _ in range(in_flight):
            room.put(None)
        while now() < ends:
            room.get()
            self._begin(text).add_done_callback(done)
            calls += 1
        for _ in range(in_flight):
            room.get()
        return calls

    def _aio(self, in_flight, text, ends):
        calls = 0

        async def loop():
            nonlocal calls
            while now() < ends:
                call = self._begin(text)
                await call
                self._over(call.call_id)
                calls += 1

        async def main():
            await asyncio.gather(*(loop() for _ in range(in_flight)))

        asyncio.run(main())
        return calls

    def close(self):
        """Close the channel."""
        self._channel.close()


def serve(transport, stamps):
    """Serve until the parent is done."""
    with Server(StampedEcho(stamps), transport=transport):
        for asked in questions():
            stamps.take(asked["stamps"])
            say(taken=True)


def call(transport, stamps):
    """Make the calls that are asked for."""
    client = StampedClient(transport, stamps)
    for asked in questions():
        path = asked.pop("stamps")
        calls = client.run(**asked)
        stamps.take(path)
        say(calls=calls)
    client.close()


def main():
    """Play one side."""
    side, url = sys.argv[1:]
    stamps = Stamps()
    if "client=confluent" not in url:  # librdkafka's threads can't be looked at from here
        stamp_driver(stamps)
    with open_transport(url) as opened:
        if side == "server":
            serve(StampedTransport(opened, stamps, "reply"), stamps)
        else:
            call(StampedTransport(opened, stamps, "request"), stamps)


if __name__ == "__main__":
    main()
