"""Work that is done once: who does it, who waits for its reply, and what is kept of it.

Two requests for the same work in one process meet here, and the second gets the reply of the first;
those of several processes, and of later times, meet in the store. Any thread; the lock guards what
runs here, and the store is never called under it.
"""

import dataclasses
import enum
import hashlib
import threading
from functools import partial

import msgspec

from contracts import Certainty, InvalidArgument, RpcError, Unavailable
from rpc.answers import kept_reply
from rpc.idempotency import Begun, IdempotencyStore, Mismatch, Running, StoredReply, Work
from rpc.job import Job
from rpc.refusal import Refusal
from transports import failpoints
from transports.base import Message
from transports.log import get_logger

__all__ = ["Begin", "Replays", "fingerprint_of", "not_begun", "work_of"]

_log = get_logger("rpc.server")
_MARGIN = 5.0  # seconds beyond the deadline before another server may take the work over
_ELSEWHERE = 0.05  # seconds after which it is worth asking again


class Begin(enum.Enum):
    """What to do with a request for which there is no answer yet."""

    RUN = "run"
    JOINED = "joined"


class _Run:
    __slots__ = ("fence", "fingerprint", "job")

    def __init__(self, job: Job, fingerprint: bytes) -> None:
        self.job = job
        self.fingerprint = fingerprint
        self.fence = 0


class Replays:
    """The work that this process is at, in front of a store."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._runs: dict[Work, _Run] = {}

    @property
    def blocking(self) -> bool:
        """Whether `begin` and `keep` may wait."""
        return self._store.blocking

    def begin(self, job: Job, arguments: msgspec.Struct) -> Begin | Message | Refusal:
        """Tell whether `job` is to be run, has joined one that runs, or what it is answered."""
        work = work_of(job)
        try:
            fingerprint = fingerprint_of(arguments)
        except Exception:  # what no codec writes: an interceptor may have put it there
            fingerprint = hashlib.sha256(job.request.body).digest()
        with self._lock:
            run = self._runs.get(work)
            if run is None:
                self._runs[work] = run = _Run(job, fingerprint)
            elif run.fingerprint != fingerprint:
                return _mismatch(job)
            else:
                run.job.joined = (*run.job.joined, job)
                return Begin.JOINED
        try:
            if failpoints.on:
                failpoints.hit("idempotency.begin")
            lease = max(0.0, job.context.remaining) + _MARGIN
            found = self._store.begin(work, fingerprint, lease)
        except BaseException as error:  # a store is the user's, or a disk that is full
            self._end(work)
            if not isinstance(error, Exception):
                raise
            _log.error("idempotency.failed", **job.log_fields(), error=str(error), exc_info=error)
            return _unavailable(job, "what was done before can't be looked up")
        if isinstance(found, Begun):
            run.fence = found.fence
            job.context.completes_by(partial(self._complete, job, work, found.fence))
            return Begin.RUN
        self._end(work)
        match found:
            case Running():
                return _unavailable(job, "another server is at it")
            case Mismatch():
                return _mismatch(job)
            case _:
                job.stored = found
                return kept_reply(job.request, found)

    def keep(self, job: Job, reply: Message) -> Message:
        """Keep what came of `job`, and return the reply that everybody gets.

        An answer that invites to try again is not kept, nor is the end of a handler that was cut
        off; where the handler's own transaction kept a reply, that one is told. Where the store
        fails, the reply goes out nevertheless: it is what happened.
        """
        work = work_of(job)
        run = self._runs[work]
        try:
            if failpoints.on:
                failpoints.hit("idempotency.finish")
            if job.stored is None or job.invites_retry:
                kept = self._store.abandon(work, run.fence)
            else:
                kept = self._store.finish(work, run.fence, job.stored)
                if kept is None:
                    _log.warning("idempotency.lease_lost", **job.log_fields())
            if kept is not None and kept != job.stored:  # by the handler's own transaction
                job.stored = kept
                reply = kept_reply(job.request, kept)
        except Exception as error:
            _log.error("idempotency.failed", **job.log_fields(), error=str(error), exc_info=error)
        finally:
            self._end(work)
        return reply

    def abandon(self, job: Job) -> None:
        """Let another server do the work of `job`, which was stopped and is not answered."""
        work = work_of(job)
        run = self._runs[work]
        self._end(work)
        try:
            self._store.abandon(work, run.fence)
        except Exception as error:
            _log.error("idempotency.failed", **job.log_fields(), error=str(error), exc_info=error)

    def _end(self, work: Work) -> None:
        """Let no more requests join."""
        with self._lock:
            del self._runs[work]

    def _complete(
        self, job: Job, work: Work, fence: int, connection: object, result: object
    ) -> None:
        complete = getattr(self._store, "complete", None)
        if complete is None:
            raise TypeError(
                f"{type(self._store).__name__} can't write into a transaction of yours: "
                "serve with Server(idempotency=SqliteStore(...))"
            )
        wrong = job.plan.handler.spec.check_result(result)
        if wrong is not None:
            raise TypeError(wrong)
        reply = StoredReply(None, job.plan.codec.content_type, job.plan.codec.encode(result))
        complete(connection, work, fence, reply)


def work_of(job: Job) -> Work:
    """Return what names the work of `job`: its idempotency key, else its call."""
    request = job.request
    if request.idempotency_key is not None:
        return job.method, b"key:" + request.idempotency_key
    return job.method, b"call:" + (request.client or "").encode() + b":" + request.call_id


def fingerprint_of(arguments: msgspec.Struct) -> bytes:
    """Return a digest that is equal for equal arguments, whatever codec and order they came in.

    Of all that can be decoded. Stores compare digests of several versions: none may change.
    """
    try:
        form = msgspec.msgpack.encode(arguments, order="deterministic")
    except (TypeError, OverflowError):  # it sorts less than can be decoded, and has 64 bits
        form = _form(arguments)
    return hashlib.sha256(form).digest()


def _form(value: object) -> bytes:
    """Return bytes that are equal for equal values, of more types than msgspec can sort."""
    match value:
        case msgspec.Struct():
            tag, fields = value.__struct_config__.tag, msgspec.structs.astuple(value)
            parts = [_form(tag), *map(_form, fields)]
        case list() | tuple():
            parts = list(map(_form, value))
        case set() | frozenset():
            parts = sorted(map(_form, value))
        case dict():
            parts = sorted(map(_form, value.items()))
        case msgspec.UnsetType():
            parts = []
        case int() if not -(2**63) <= value < 2**64:
            return b"%d" % value
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = [_form(getattr(value, each.name)) for each in dataclasses.fields(value)]
        case _:
            return msgspec.msgpack.encode(value)
    return msgspec.msgpack.encode(parts)


def not_begun(job: Job) -> Refusal:
    """Return what is told of a job that joined another one, which nobody waits for any more."""
    return _unavailable(job, "the call that was to do the work came too late")


def _mismatch(job: Job) -> Refusal:
    return _not_executed(
        InvalidArgument(
            message=f"{job.method}: the idempotency key was used for other arguments; take a new "
            "key for other work"
        )
    )


def _unavailable(job: Job, why: str) -> Refusal:
    error = Unavailable(message=f"{job.method}: {why}; ask again in a moment")
    return _not_executed(error)._replace(retry_after=_ELSEWHERE)


def _not_executed(error: RpcError) -> Refusal:
    error.certainty = Certainty.NOT_EXECUTED
    return Refusal(error)
