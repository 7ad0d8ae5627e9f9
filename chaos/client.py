"""A client process: `python -m chaos.client FOLDER NUMBER BOOTSTRAP RATE SEED [flood]`.

An open loop: calls are made at a rate, whatever becomes of them, by one thread; their ends are
noted by callbacks. SIGTERM ends the loop; then what is pending is awaited, and a few last calls
show that all is well. A `flood` makes long calls for which nobody waits long.
"""

import contextvars
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import chaos.mutants  # noqa: F401 - plants the bug that RPC_MUTANT names, if any
from chaos.child import end_with_parent
from chaos.clock import WallClock
from chaos.gauges import start_gauges
from chaos.history import Writer
from chaos.recording import RecordingTransport
from chaos.workload import FLOOD_WORK, Chaos, digest, large_size, transport_url
from rpc import (
    NO_RETRY,
    CallInfo,
    Cancelled,
    Channel,
    Interception,
    RetryPolicy,
    RpcError,
    Stub,
    open_transport,
)

__all__ = ["main"]

_KEYS = 16  # of each client: no two clients write to one key, so that order can be told
_LAST = 10
_MOMENT = 0.1
_PATIENCE = 30.0
_FLOOD_TIMEOUT = 1.5
_LARGE = 0.02  # share of the echoes that go in chunks, where messages may
RETRY = RetryPolicy(attempts=6, attempt_timeout=1.0)


class Intent(NamedTuple):
    """What a call is meant to be, for the history's `invoke`."""

    mode: str
    idempotent: bool = False
    key: str | None = None
    idem: str | None = None


_intent: contextvars.ContextVar[Intent] = contextvars.ContextVar("chaos_intent")


class ChaosClient:
    """Makes calls of every kind and writes down how each ends. Never fails of a failed call."""

    def __init__(self, channel: Channel, history: Writer, number: int, seed: int) -> None:
        self._stub = Stub(Chaos, channel=channel)
        self._flooding = self._stub.echo.with_options(timeout=_FLOOD_TIMEOUT, retry=NO_RETRY)
        self._channel, self._history, self._number = channel, history, number
        self._chance = random.Random(seed)
        self._large = large_size()
        self._paid: deque[tuple[str, str, int]] = deque(maxlen=20)
        self._count = 0
        self._lock = threading.Condition()
        self._open: set[bytes] = set()

    def one(self) -> None:
        """Make one call, of a kind that is drawn."""
        self._count += 1
        kind = self._chance.choices(
            ("echo", "append", "once", "pay", "expire"), (50, 20, 10, 10, 10)
        )
        getattr(self, f"_{kind[0]}")(f"{self._channel.instance}-{self._count}")

    def flood(self) -> None:
        """Make a call of those that are too many: it is not tried again."""
        self._count += 1
        text = f"{self._channel.instance}-{self._count}"
        self._make(Intent("alo", idempotent=True), self._flooding, text, FLOOD_WORK)

    def last(self) -> None:
        """Make one call that must succeed where all is well."""
        self._count += 1
        self._echo(f"{self._channel.instance}-{self._count}")

    def settle(self, timeout: float) -> bool:
        """Wait until every call has ended."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._open, timeout)

    def _echo(self, text: str) -> None:
        work = self._chance.choice((0.0, 0.001, 0.003))
        if self._large is not None and self._chance.random() < _LARGE:
            text = text.ljust(self._large)
        self._make(Intent("alo", idempotent=True), self._stub.echo, text, work)

    def _append(self, text: str) -> None:
        key = f"{self._number}-{self._chance.randrange(_KEYS)}"
        self._make(Intent("keyed", key=key), self._stub.append, key, text)

    def _once(self, text: str) -> None:
        self._make(Intent("amo"), self._stub.once, text)

    def _pay(self, text: str) -> None:
        if self._paid and self._chance.random() < 0.3:  # the same payment again
            idem, account, amount = self._chance.choice(self._paid)
        else:
            idem, account, amount = text, f"{self._number}-a", self._chance.randrange(1000)
            self._paid.append((idem, account, amount))
        pay = self._stub.pay.with_options(idempotency_key=idem)
        self._make(Intent("eo", idempotent=True, idem=idem), pay, account, amount)

    def _expire(self, text: str) -> None:
        work = self._chance.choice((0.0, 0.1, 0.6))
        self._make(Intent("alo"), self._stub.expire, text, work)

    def _make(self, intent: Intent, method: Any, *arguments: object) -> None:
        _intent.set(intent)
        call = method.future(*arguments)
        with self._lock:
            self._open.add(call.call_id)
        call.add_done_callback(self._end)

    def invoked(self, call: CallInfo) -> Interception:
        """Note a call before it is sent: an interceptor."""
        intent = _intent.get()
        arguments = [getattr(call.arguments, name) for name in call.arguments.__struct_fields__]
        self._history.write(
            "invoke",
            call=call.call_id,
            client=self._channel.instance,
            method=call.method,
            args=digest(*arguments),
            deadline=time.monotonic() + call.timeout,
            **intent._asdict(),
        )
        return (yield call)

    def _end(self, call: Any) -> None:
        fields: dict[str, object] = dict.fromkeys(("code", "certainty", "reply", "server"))
        try:
            fields["reply"], _, server = call.result().partition(" ")
            fields |= {"outcome": "ok", "server": int(server)}
        except Exception as error:  # also what no call should raise: the history must tell it
            fields["outcome"] = "cancelled" if isinstance(error, Cancelled) else "error"
            fields["code"] = type(error).__name__
            fields["message"] = str(error)
            if isinstance(error, RpcError):
                fields |= {"code": error.code, "certainty": error.certainty.name}
        self._history.write("end", call=call.call_id.hex(), **fields)
        with self._lock:
            self._open.discard(call.call_id)
            self._lock.notify_all()


def main() -> None:
    """Call at a rate until SIGTERM, then settle."""
    folder, number, bootstrap = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rate, seed, flood = float(sys.argv[4]), int(sys.argv[5]), sys.argv[6:] == ["flood"]
    end_with_parent()
    clock = WallClock()
    history = Writer(folder, "client", number)
    asked: list[int] = []  # an Event's lock may be held by the very thread that a signal interrupts
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    url = transport_url(bootstrap, "chaos-client")
    client: ChaosClient | None = None

    def invoked(call: CallInfo) -> Interception:
        assert client is not None
        return client.invoked(call)

    with (
        RecordingTransport(open_transport(url), history) as transport,
        Channel(transport, retry=RETRY, max_pending=20_000, interceptors=[invoked]) as channel,
    ):
        client = ChaosClient(channel, history, number, seed)
        client.last()
        print("ready", flush=True)
        start_gauges(
            history, lambda: {"pending": channel.pending, "in_flight": 0, "skew": clock.skew}
        )
        loop(client.flood if flood else client.one, rate, asked)
        settled = client.settle(_PATIENCE)
        for _ in range(_LAST):
            client.last()
        settled = client.settle(_PATIENCE) and settled
        history.write(
            "exit", settled=settled, late=channel.late_replies, foreign=channel.foreign_replies
        )


def loop(call: Callable[[], None], rate: float, asked: Sequence[int]) -> None:
    """Make calls by `call` at `rate` a second until `asked` to end.

    What was missed for more than a moment, as while we were stopped, is not caught up.
    """
    due = time.monotonic()
    while not asked:
        if (wait := due - time.monotonic()) > 0:
            time.sleep(min(wait, _MOMENT))
            continue
        call()
        due = max(due + 1 / rate, time.monotonic() - _MOMENT)


if __name__ == "__main__":
    main()
