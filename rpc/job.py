"""One admitted request on its way through the server: from the topic to its acknowledgement."""

import asyncio
import enum
from collections.abc import Callable, Sequence

import msgspec

from contracts import Codec, Handler
from rpc.admission import CallKey
from rpc.context import CallContext
from rpc.idempotency import StoredReply
from rpc.request import Request
from rpc.turns import Turn
from transports.base import Delivery

__all__ = ["Job", "Phase", "Plan"]


class Phase(enum.Enum):
    """How far a job has come. `Intake` owns it, and changes it under its lock.

             ┌─> COMMITTING ─┐
    WAITING ─┴───────────────┴─> QUEUED ──> RUNNING ──> OVER
       └────────── given up ───────┴─────────────────────^
    """

    WAITING = "waiting"
    """For its turn: the key's, the method's, or that of one that runs alone."""
    COMMITTING = "committing"
    """For the broker to say that the request is settled, or its start noted."""
    QUEUED = "queued"
    """For a worker."""
    RUNNING = "running"
    """Taken by a worker."""
    JOINED = "joined"
    """For the reply of another job, which does the same work; it holds no worker."""
    OVER = "over"
    """Answered, or left to another server."""


class Plan(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the jobs of one method and one codec have in common."""

    handler: Handler
    method: str
    """The full name of the method."""
    codec: Codec
    """That of the request: the answer speaks the language of the question."""
    decode: Callable[[bytes], msgspec.Struct]
    at_most_once: bool
    effectively_once: bool
    in_order: bool
    """Whether calls with one key run one after the other, whoever has chosen it."""
    limited: tuple[Turn, ...] = ()
    """The lane of the method, where it has a limit."""


class Job(msgspec.Struct, eq=False):
    """A request with what is needed to run and to answer it. Run by one worker."""

    request: Request
    plan: Plan
    context: CallContext
    key: CallKey
    turns: tuple[Turn, ...]
    """What it waits for before it runs: the lane of its key, then that of its method."""
    deliveries: list[Delivery]
    """Acknowledged together once the reply is out: the request, and duplicates that joined."""
    alone: bool = False
    """Whether servers died at it before, so that nothing else may run meanwhile."""
    phase: Phase = Phase.WAITING
    began: float = 0.0
    """When a worker took it."""
    committed: bool = False
    """Whether the request was settled for good before the start: no other server gets it."""
    started: bool = False
    """Whether the handler was called."""
    invites_retry: bool = False
    """Whether the reply asks to try again, or the work was cut off: the next attempt must run."""
    task: asyncio.Task[None] | None = None
    """The task that runs an `async def` handler."""
    too_large: bool = False
    """Whether the reply was refused for its size and an error is on its way instead."""
    stored: StoredReply | None = None
    """What the reply is for whoever asks for the same work again, where that is kept."""
    joined: Sequence["Job"] = ()
    """Those that get the same reply once this one has ended."""

    @property
    def method(self) -> str:
        """The full name of the method."""
        return self.plan.method

    @property
    def commits_first(self) -> bool:
        """Whether the broker must know something of it before it is started."""
        return self.alone or self.plan.at_most_once

    @property
    def lane(self) -> Turn | None:
        """That of its key, in which calls run one after the other."""
        return self.turns[0] if len(self.turns) > len(self.plan.limited) else None

    @property
    def is_lost(self) -> bool:
        """Whether another server may have it by now."""
        return self.deliveries[0].lost

    def give_back(self) -> bool:
        """Leave it to the server that has it by now; False where it is still to be run here."""
        if self.joined:
            return False
        self.deliveries = [each for each in self.deliveries if not each.give_back()]
        return not self.deliveries

    def log_fields(self) -> dict[str, object]:
        """Return what every log line about this call says."""
        return {
            "service": self.plan.handler.spec.service,
            "method": self.plan.handler.spec.name,
            "call_id": self.request.call_id.hex(),
            "attempt": self.request.attempt,
            "elapsed": self.context.elapsed,
        }
