"""Any messages in a client's inbox: they end no call but their own, and nothing is raised."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpc import Channel, RpcError, Stub
from transports.base import Address, Message
from transports.memory import MemoryTransport

FUZZ = settings.get_profile("fuzz")
NAMES = [
    "kafka_correlationId",
    "content-type",
    "rpc-version",
    "rpc-kind",
    "rpc-method",
    "rpc-client",
    "rpc-status",
    "rpc-attempt",
    "rpc-retry-after",
    "rpc-sent",
]
VALUES = [
    *(b"", b"0", b"1", b"-1", b"99", b"9" * 400, b"reply", b"request", b"clock", b"OK"),
    *(b"NOT_FOUND", b"UNAVAILABLE", b"\xff", b"application/json", b"application/msgpack"),
    *(b"text/plain", b"Odds.whole", "²".encode()),
]
header_lists = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.text(max_size=9),
        st.sampled_from(VALUES) | st.binary(max_size=40),
    ),
    max_size=10,
).map(tuple)
bodies = st.binary(max_size=60) | st.sampled_from(
    [b"7", b'"x"', b"null", b"{}", b'{"code":"OK"}', b'{"code":7}', b"[" * 2000, b"\x91" * 2000]
)


class Line:
    """A client of `Odds` that is stepped, with calls that wait for replies."""

    def __init__(self, contract) -> None:
        name = uuid.uuid4().hex
        self.transport = MemoryTransport(name, partitions=1)
        self.server = MemoryTransport(name, partitions=1)
        self.server.prepare(Address("Odds.requests"), 1)
        self.requests = self.server.receiver(Address("Odds.requests"), shared=True)
        self.channel = Channel(self.transport, threads=False, retry=None)
        self.client = Stub(contract, channel=self.channel)

    def call(self):
        """Start a call, and return it with the headers of a reply to it, and where that goes."""
        call = self.client.whole.with_options(timeout=1000).future(1)
        (delivery,) = self.take(1)
        headers = dict(delivery.message.headers)
        partition = int.from_bytes(headers["kafka_replyPartition"], "big")
        kept = ("kafka_correlationId", "rpc-client", "rpc-method", "content-type")
        reply = tuple((name, headers[name]) for name in kept)
        return call, reply, Address(headers["kafka_replyTopic"].decode(), partition)

    def take(self, max_wait: float):
        """Take, as a server does, what has come: calls, and cancels of those given up."""
        taken = self.requests.receive(max_wait)
        for delivery in taken:
            delivery.ack()
        return taken

    def arrive(self, address: Address, *messages: Message) -> None:
        for message in messages:
            self.server.send(address, message, lambda sent: None)
        self.channel.step()

    def close(self) -> None:
        self.channel.close()
        self.transport.close(1.0)
        self.server.close(1.0)


@pytest.fixture(scope="module")
def line(contract):
    made = Line(contract)
    yield made
    made.close()


@FUZZ
@given(st.lists(st.builds(Message, bodies, header_lists, st.none() | st.binary()), max_size=5))
def test_what_is_no_reply_disturbs_no_call(line, noise):
    call, reply, address = line.call()
    line.arrive(address, *noise)

    assert not call.done()
    line.arrive(address, Message(b"7", reply, None))
    assert call.result(0) == 7


@FUZZ
@given(
    added=header_lists,
    dropped=st.sets(st.sampled_from(NAMES), max_size=2),
    before=st.booleans(),
    body=bodies,
)
def test_a_reply_that_is_disturbed_ends_its_own_call_or_none(line, added, dropped, before, body):
    other, sound, address = line.call()
    call, reply, _ = line.call()
    kept = tuple((name, value) for name, value in reply if name not in dropped)
    headers = (*added, *kept) if before else (*kept, *added)
    line.arrive(address, Message(body, headers, None))

    assert not other.done()
    if call.done():
        error = call.exception(0)
        assert error is None or isinstance(error, RpcError)
    else:
        call.cancel()
    line.arrive(address, Message(b"8", sound, None))
    assert other.result(0) == 8
    line.take(0)  # what the cancelled call has sent
