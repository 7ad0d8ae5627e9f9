"""What is called in a simulation: a method for each thing that a call may be promised."""

from typing import Protocol

from msgspec.structs import asdict

from chaos.checker.run import answer_to
from chaos.effects import Effect
from chaos.simulation.world import Process
from rpc import Code, RpcError, current_call, method
from transports.base import Delivery

__all__ = ["MODES", "Unlucky", "Work", "Worker"]


class Unlucky(RpcError, code=Code.ABORTED):
    """What a handler fails with on purpose."""


class Work(Protocol):
    """One method for each mode of the checker, and one more that may be repeated."""

    @method(idempotent=True, raises=[Unlucky])
    def repeat(self, text: str) -> str: ...

    @method(raises=[Unlucky])
    def plain(self, text: str) -> str: ...

    @method(key="name", raises=[Unlucky])
    def keyed(self, name: str, text: str) -> str: ...

    @method(delivery="at_most_once", raises=[Unlucky])
    def careful(self, text: str) -> str: ...

    @method(delivery="effectively_once", raises=[Unlucky])
    def exact(self, text: str) -> str: ...


MODES = {"repeat": "alo", "plain": "alo", "keyed": "keyed", "careful": "amo", "exact": "eo"}
"""By method, what the checker calls its mode."""


class Worker(Work):
    """Notes what it is asked to do, does it for a while, and answers."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.taken: dict[str, list[Delivery]] = {}
        """By call, what the server has taken of it."""

    @method
    def repeat(self, text: str) -> str:
        return self._work(text)

    @method
    def plain(self, text: str) -> str:
        return self._work(text)

    @method
    def keyed(self, name: str, text: str) -> str:
        del name
        return self._work(text)

    @method
    def careful(self, text: str) -> str:
        return self._work(text)

    @method
    def exact(self, text: str) -> str:
        return self._work(text)

    def _work(self, text: str) -> str:
        process, context = self._process, current_call()
        world, call = process.world, context.call_id.hex()
        keyed = MODES[context.method] == "keyed" and context.key is not None
        key = context.key.decode() if keyed else None
        idem = context.headers.get("rpc-idempotency-key")
        process.lives_on()
        deliveries = self.taken.get(call, [])
        one = next((one for one in deliveries if not one.acked), deliveries[-1])
        place = asdict(one.receipt)
        process.note(
            "start",
            call=call,
            attempt=context.attempt,
            key=key,
            **place,
            remaining=context.remaining,
        )
        if process.lives_on():
            named = None if idem is None else idem.hex()
            world.effects.append(
                Effect(call, key, named, process.pid, world.clock(), len(world.effects))
            )
        world.clock.advance(world.random.uniform(0.0, 0.004))
        lucky = not text.startswith("unlucky")
        process.lives_on()
        process.note("finish", call=call, outcome="ok" if lucky else "error")
        if not lucky:
            raise Unlucky(message="as it was asked for")
        if text.startswith("unwritable"):
            return "\ud800"  # a lone surrogate: no codec takes it
        return answer_to(text)
