"""Each side of calls on a null transport, and the same steps without the framework."""

import asyncio
import threading
from functools import partial

from benchmarks.contract import Echo, EchoImpl, EchoLater
from benchmarks.null import Held, NullTransport, Template, call_id
from rpc import Channel, Server, Stub
from transports.base import Address, Message

_HELD = Held()


def exchange(payload):
    """Return a request and its reply as they look on the wire, as templates."""
    ours, theirs = NullTransport(), NullTransport()
    channel = Channel(ours, threads=False)
    server = Server(EchoImpl(), transport=theirs, threads=False).start()
    Stub(Echo, channel=channel).echo.future("x" * payload)
    (request,) = ours.acknowledge()
    theirs.receivers["requests"].put([Template(request).delivery(b"0" * 16, _HELD)])
    server.step()
    (reply,) = theirs.acknowledge()
    channel.close()
    server.stop(0)
    return request, reply


class Side:
    """One side of calls, in batches; each knows how to do one and how to stop."""

    def __init__(self, payload, inflight):
        self.inflight = inflight
        self.text = "x" * payload
        self.request, self.reply = exchange(payload)

    def prepare(self):
        """Make what arrives in the next batch; not counted."""

    def close(self):
        """Stop its threads."""


class Client(Side):
    """The client's side, by `.future`: sent, acknowledged, answered, and the result read."""

    def __init__(self, payload, inflight):
        super().__init__(payload, inflight)
        self.transport = NullTransport()
        self.channel = Channel(self.transport, timeout=30.0, max_pending=100_000)
        self.stub = Stub(Echo, channel=self.channel)
        self.stub.echo.future("")
        (first,) = self.transport.acknowledge()
        names = dict(first.headers)
        headers = tuple(
            (name, names["rpc-client"] if name == "rpc-client" else value)
            for name, value in self.reply.headers
        )
        self.template = Template(Message(self.reply.body, headers, self.reply.key))
        self.inbox = self.transport.receivers["replies"]
        self.over = threading.Event()
        self.left = 0
        self.inbox.put([self.template.delivery(call_id(first))])

    def answer(self):
        """Acknowledge and answer everything that was sent."""
        sent = self.transport.acknowledge()
        self.inbox.put([self.template.delivery(call_id(message)) for message in sent])

    def batch(self):
        """Make calls, answer them, and wait for the end of the last."""
        self.left = self.inflight
        self.over.clear()
        echo, text = self.stub.echo, self.text
        for _ in range(self.inflight):
            echo.future(text).add_done_callback(self._done)
        self.answer()
        self.over.wait()

    def _done(self, call):
        call.result()
        self.left -= 1
        if not self.left:
            self.over.set()

    def close(self):
        self.channel.close()


class BareClient(Side):
    """What `Client` does besides the framework: prepared messages, a callback per reply."""

    def __init__(self, payload, inflight):
        super().__init__(payload, inflight)
        self.transport = NullTransport()
        self.inbox = self.transport.receiver(Address("replies"), shared=False)
        self.template = Template(self.reply)
        self.over = threading.Event()
        self.left = 0
        self.closed = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def batch(self):
        """Send, acknowledge, receive."""
        self.left = self.inflight
        self.over.clear()
        request, send = self.request, self.transport.send
        for _ in range(self.inflight):
            send(None, request, self._sent)
        sent = self.transport.acknowledge()
        self.inbox.put([self.template.delivery(call_id(message)) for message in sent])
        self.over.wait()

    def _sent(self, _receipt):
        pass

    def _read(self):
        while not self.closed:
            for _ in self.inbox.receive(1.0):
                self._done()

    def _done(self):
        self.left -= 1
        if not self.left:
            self.over.set()

    def close(self):
        self.closed = True
        self.inbox.close(0)
        self.thread.join()


class AsyncClient(Client):
    """The client's side, by `.aio`: as many tasks of one event loop, each awaiting one call."""

    def __init__(self, payload, inflight):
        super().__init__(payload, inflight)
        self.runner = asyncio.Runner()

    def batch(self):
        """Make calls in tasks, answer them, and wait for the tasks."""
        self.runner.run(self._gather())

    async def _gather(self):
        tasks = [asyncio.ensure_future(self._one()) for _ in range(self.inflight)]
        await asyncio.sleep(0)  # every task has sent its message
        self.answer()
        await asyncio.gather(*tasks)

    async def _one(self):
        return await self.stub.echo.aio(self.text)

    def close(self):
        self.runner.close()
        super().close()


class BareAsyncClient(BareClient):
    """What `AsyncClient` does besides the framework: a task and a future per message."""

    def __init__(self, payload, inflight):
        super().__init__(payload, inflight)
        self.runner = asyncio.Runner()
        self.futures = []

    def batch(self):
        """Await as many futures as there are messages, in tasks."""
        self.runner.run(self._gather())

    async def _gather(self):
        self.left = self.inflight
        self.loop = asyncio.get_running_loop()
        self.futures = [self.loop.create_future() for _ in range(self.inflight)]
        tasks = [asyncio.ensure_future(self._one(future)) for future in self.futures]
        await asyncio.sleep(0)  # every task has sent its message
        sent = self.transport.acknowledge()
        self.inbox.put([self.template.delivery(call_id(message)) for message in sent])
        await asyncio.gather(*tasks)

    async def _one(self, future):
        self.transport.send(None, self.request, self._sent)
        return await future

    def _done(self):
        self.left -= 1
        if not self.left:
            self.loop.call_soon_threadsafe(self._resolve)

    def _resolve(self):
        for future in self.futures:
            future.set_result(None)

    def close(self):
        self.runner.close()
        super().close()


class ServerSide(Side):
    """The server's side: requests arrive, are run and answered, and the answers acknowledged."""

    def __init__(self, payload, inflight, implementation=EchoImpl, **options):
        super().__init__(payload, inflight)
        self.transport = NullTransport()
        self.server = Server(implementation(), transport=self.transport, **options).start()
        self.requests = self.transport.receivers["requests"]
        self.template = Template(self.request)
        self.number = 0
        self.ready = []

    def prepare(self):
        """Make the requests of the next batch."""
        first = self.number
        self.number += self.inflight
        self.ready = [
            self.template.delivery(number.to_bytes(16, "big"), _HELD)
            for number in range(first, self.number)
        ]

    def batch(self):
        """Deliver requests, wait for the replies, acknowledge them."""
        self.transport.awaited = self.inflight
        self.transport.reached.clear()
        self.requests.put(self.ready)
        self.transport.reached.wait()
        self.transport.acknowledge()

    def close(self):
        self.server.stop(1.0)


class BareServer(ServerSide):
    """What `ServerSide` does besides the framework: a prepared reply to each delivery."""

    def __init__(self, payload, inflight):
        Side.__init__(self, payload, inflight)
        self.transport = NullTransport()
        self.requests = self.transport.receiver(Address("requests"), shared=True)
        self.template = Template(self.request)
        self.number = 0
        self.closed = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.closed:
            for delivery in self.requests.receive(1.0):
                self.transport.send(None, self.reply, partial(_ack, delivery))

    def close(self):
        self.closed = True
        self.requests.close(0)
        self.thread.join()


class BareServerLater(BareServer):
    """What an `async def` handler does besides the framework: a task per message."""

    def __init__(self, payload, inflight):
        self.loop = asyncio.new_event_loop()
        self.runner = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.runner.start()
        super().__init__(payload, inflight)

    def _serve(self):
        while not self.closed:
            deliveries = self.requests.receive(1.0)
            self.loop.call_soon_threadsafe(self._start, deliveries)

    def _start(self, deliveries):
        self.tasks = [self.loop.create_task(self._answer(each)) for each in deliveries]

    async def _answer(self, delivery):
        self.transport.send(None, self.reply, partial(_ack, delivery))

    def close(self):
        super().close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.runner.join()
        self.loop.close()


def _ack(delivery, _receipt):
    delivery.ack()


SIDES = {
    "client .future": (Client, BareClient),
    "client .aio": (AsyncClient, BareAsyncClient),
    "server def": (ServerSide, BareServer),
    "server async def": (partial(ServerSide, implementation=EchoLater), BareServerLater),
}
