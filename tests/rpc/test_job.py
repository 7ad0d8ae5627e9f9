"""One admitted request: settled together with the duplicates that joined it."""

from typing import Protocol

from contracts import JSON, check_implementation, method
from rpc.context import CallContext
from rpc.envelope import decode_request
from rpc.job import Job
from transports.base import Delivery, Receipt, Unshared


class Echo(Protocol):
    @method
    def say(self, text: str) -> str: ...


class EchoImpl(Echo):
    def say(self, text: str) -> str:
        return text


class Ledger(Unshared):
    def __init__(self, settled):
        self.settled = settled

    def ack(self, delivery):
        self.settled.append(delivery)
        return True


def test_a_job_settles_every_delivery_of_its_request(request_of, clock):
    settled = []
    message = request_of(b'{"text":"hi"}', client=b"me", attempt=b"2", method=b"Echo.say")
    deliveries = [
        Delivery(message, Receipt("Echo.requests", 0, offset), 0.0, Ledger(settled))
        for offset in range(3)
    ]
    ((handler,),) = check_implementation(EchoImpl()).values()
    request = decode_request(message)
    context = CallContext("Echo", "say", clock() + 1, request, clock(), clock)
    decode = JSON.decoder(handler.spec.arguments)
    job = Job(
        request=request,
        handler=handler,
        codec=JSON,
        decode=decode,
        context=context,
        key=("me", request.call_id),
        lane=None,
        deliveries=deliveries,
    )
    job.ack()

    assert settled == deliveries
    assert job.log_fields() == {
        "service": "Echo", "method": "say", "call_id": b"0123456789abcdef".hex(), "attempt": 2,
        "elapsed": 0.0,
    }  # fmt: skip
