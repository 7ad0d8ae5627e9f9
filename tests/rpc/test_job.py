"""One admitted request."""

from typing import Protocol

from contracts import JSON, check_implementation, method
from rpc.context import CallContext
from rpc.job import Job, Plan
from rpc.request import decode_request


class Echo(Protocol):
    @method
    def say(self, text: str) -> str: ...


class EchoImpl(Echo):
    def say(self, text: str) -> str:
        return text


def test_what_every_log_line_about_a_call_says(request_of, clock):
    message = request_of(b'{"text":"hi"}', client=b"me", attempt=b"2", method=b"Echo.say")
    ((handler,),) = check_implementation(EchoImpl()).values()
    request = decode_request(message)
    plan = Plan(
        handler=handler,
        method="Echo.say",
        codec=JSON,
        decode=JSON.decoder(handler.spec.arguments),
        at_most_once=False,
        effectively_once=False,
        in_order=True,
    )
    context = CallContext("Echo", "say", clock() + 1, request, clock(), clock)
    job = Job(request, plan, context, ("me", request.call_id), (), [])

    assert job.log_fields() == {
        "service": "Echo", "method": "say", "call_id": b"0123456789abcdef".hex(), "attempt": 2,
        "elapsed": 0.0,
    }  # fmt: skip
