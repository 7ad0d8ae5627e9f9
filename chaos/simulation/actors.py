"""Clients and servers of a simulation: the library's own, moved one step at a time."""

from typing import Any
from unittest import mock

from msgspec.structs import asdict

import rpc.server
from chaos.simulation.broker import Broker
from chaos.simulation.transport import VirtualTransport
from chaos.simulation.work import MODES, Work, Worker
from chaos.simulation.world import Process
from contracts import Call
from rpc import Channel, RetryPolicy, RpcError, Stub
from rpc.engine import Engine
from rpc.job import Job
from transports.base import Delivery, Message, Receipt
from transports.errors import TransportError

__all__ = ["LIMIT", "Client", "Server"]

_RETRY = RetryPolicy(attempts=4, attempt_timeout=1.0)
_GRACE = 10.0
_KEYS = ("red", "green", "blue")
_METHODS = tuple(MODES)
LIMIT = 8
"""Requests that a server starts at most before others have ended."""
_HEADER = "kafka_correlationId"


class Client:
    """One client process: a channel, and what it says of its calls."""

    def __init__(self, broker: Broker, number: int) -> None:
        self.world = broker.world
        self.process = Process(self.world, "client", number)
        self.transport = VirtualTransport(broker, self.process)
        self.channel = Channel(
            self.transport,
            clock=self.world.clock,
            rng=self.world.random.random,
            retry=_RETRY,
            threads=False,
        )
        self._stub = Stub(Work, channel=self.channel)
        self._number = 0
        self.open = 0
        """Calls that have not ended."""
        self._invoking: dict[str, object] = {}
        self._watch_sends()

    @property
    def ready(self) -> bool:
        """Whether there is something to do."""
        return self.process.runs and any(one.waits for one in self.transport.receivers)

    def step(self) -> None:
        """Take what has come, and do what is due."""
        if self.process.runs:
            self.channel.step()

    tick = step

    def _watch_sends(self) -> None:
        """Note acknowledgements where they reach the client, of each attempt."""
        send = self.transport.send

        def watched(address, message, on_sent, /, **options) -> None:
            headers = dict(message.headers)
            call = headers.get(_HEADER, b"").hex()
            if headers.get("rpc-kind") == b"request":
                self._announce(call, message)

            def sent(outcome: Receipt | TransportError) -> None:
                if isinstance(outcome, Receipt) and headers.get("rpc-kind") == b"request":
                    self.process.note("acked", call=call, **asdict(outcome))
                on_sent(outcome)

            send(address, message, sent, **options)

        self.transport.send = watched  # type: ignore[method-assign]  # the one place to look

    def _announce(self, call: str, message: Message) -> None:
        """Note the invocation when its id is known, before the broker can have it."""
        if self._invoking:
            fields, self._invoking = self._invoking, {}
            idem = dict(message.headers).get("rpc-idempotency-key")
            named = None if idem is None else idem.hex()
            self.process.note("invoke", call=call, **fields, idem=named)

    def invoke(self, *, last: bool = False) -> None:
        """Make a call of some method, with some timeout; some are given up."""
        if not self.process.runs:
            return
        lot = self.world.random
        name = lot.choice(_METHODS)
        timeout = 8.0 if last else lot.choice((0.3, 1.0, 3.0, 8.0))
        key = lot.choice(_KEYS)
        self._number += 1
        text = f"{self.process.name} {self._number}"
        if not last and self.world.chance(0.05):
            text = f"{lot.choice(('unlucky', 'unwritable'))} {text}"
        method = getattr(self._stub, name).with_options(timeout=timeout)
        if name == "exact" and not last and self.world.chance(0.4):
            work = lot.randrange(30)  # asked for by several clients, now and then for other things
            text = f"{'others' if self.world.chance(0.1) else 'work'} {work}"
            method = method.with_options(idempotency_key=f"work {work}")
        fields = {
            "client": self.channel.instance,
            "method": name,
            "key": key if name == "keyed" else None,
            "mode": MODES[name],
            "idempotent": name in {"repeat", "exact"},
            "args": text,
            "deadline": self.world.clock() + timeout,
        }
        self._invoking = dict(fields)
        arguments = (key, text) if name == "keyed" else (text,)
        call = method.future(*arguments)
        if self._invoking:  # it was not sent
            self._announce(call.call_id.hex(), Message(b""))
        self.open += 1
        call.add_done_callback(self._ended)
        if not last and self.world.chance(0.05):
            self.process.later(lot.uniform(0.0, 1.0), call.cancel)

    def _ended(self, call: Call) -> None:
        self.open -= 1
        error = call.exception(0)
        fields: dict[str, object] = {"code": None, "certainty": None, "reply": None}
        if error is None:
            fields["reply"] = call.result(0)
        elif isinstance(error, RpcError):
            fields |= {"code": error.code.value, "certainty": error.certainty.value}
        outcome = "ok" if error is None else "error"
        if call.state.value == "cancelled":
            outcome = "cancelled"
        self.process.note("end", call=call.call_id.hex(), outcome=outcome, **fields, server=None)


class _Steppable(Engine):
    """The inside of a server whose handlers run when told to, not when requests are taken."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.jobs: list[Job] = []
        super().__init__(*args, **options)

    def _run(self, job: Job) -> None:
        self.jobs.append(job)

    def run_job(self, number: int) -> None:
        """Run one of the jobs that have been started."""
        super()._run(self.jobs.pop(number))


class Server:
    """One server process, perhaps not started yet."""

    def __init__(self, broker: Broker, number: int) -> None:
        self.world = broker.world
        self.process = Process(self.world, "server", number)
        self.transport = VirtualTransport(broker, self.process)
        self.transport.on_delivery = self._took
        self._worker = Worker(self.process)
        self._engine: _Steppable | None = None
        with mock.patch.object(rpc.server, "Engine", self._make_engine):
            self._server = rpc.server.Server(
                self._worker,
                transport=self.transport,
                clock=self.world.clock,
                threads=False,
                max_in_flight=LIMIT,
            )
        self.started = False
        self._long: Job | None = None
        self._long_until = self._next_takes = 0.0
        self._told = 0
        self._drains_until: float | None = None

    def _make_engine(self, *args: Any, **options: Any) -> _Steppable:
        self._engine = _Steppable(*args, **options)
        return self._engine

    @property
    def _jobs(self) -> list[Job]:
        return [] if self._engine is None else self._engine.jobs

    @property
    def _ripe(self) -> list[int]:
        """Return which of the jobs may be run now: all but one that takes long."""
        late = self.world.clock() >= self._long_until
        return [n for n, job in enumerate(self._jobs) if late or job is not self._long]

    def take_long(self, seconds: float) -> None:
        """Let the next of the jobs take so long, so that others are settled before it."""
        self._next_takes = seconds

    @property
    def open(self) -> int:
        """Requests taken and not settled, of a server that lives."""
        return self._server.in_flight if self.started and self.process.alive else 0

    @property
    def ready(self) -> bool:
        """Whether there is something to do."""
        if not self.started or not self.process.runs:
            return False
        takes = self._drains_until is None and any(one.waits for one in self.transport.receivers)
        return bool(self._ripe) or takes

    def start(self) -> None:
        """Join the group."""
        if self.process.alive:
            self._server.start()
            self.started = True

    def _took(self, delivery: Delivery) -> None:
        headers = dict(delivery.message.headers)
        if headers.get("rpc-kind") == b"request":
            call = headers.get(_HEADER, b"").hex()
            self._worker.taken.setdefault(call, []).append(delivery)
            self.process.note("taken", call=call, offset=delivery.receipt.offset)

    def step(self) -> None:
        """Take what has come, or run one handler."""
        if not self.process.lives_on():
            return
        if self._jobs and self._next_takes:
            self._long = self.world.random.choice(self._jobs)
            self._long_until = self.world.clock() + self._next_takes
            self._next_takes = 0.0
        jobs = self._ripe
        if jobs and (self._drains_until is not None or self.world.chance(0.7)):
            self._engine.run_job(self.world.random.choice(jobs))
        elif self._drains_until is None:
            self._server.step()

    def drain(self) -> None:
        """Take no more, finish what was taken, and leave; `tick` does the last of it."""
        self.process.note("draining")
        self._drains_until = self.world.clock() + _GRACE

    def tick(self) -> None:
        """Leave, where that is due; tell how much is held."""
        if self.started and self.process.runs:
            held = len(self._jobs)
            if held != self._told:
                self._told = held
                self.process.note("gauge", started=held)
        if self._drains_until is None or not self.process.runs or not self.started:
            return
        late = self.world.clock() > self._drains_until
        if late or (not self._jobs and not self._server.in_flight):
            self._server.stop(0)
            self.process.note("exit")
            self.started = False
