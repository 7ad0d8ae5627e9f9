"""From an admitted request to its reply: decode, run the handler, encode, or tell what failed.

Whatever a handler does there is a reply: `SystemExit`, `CancelledError`, a cyclic result and a
result of another type included. Any number of workers may use one dispatcher.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from contracts import (
    Cancelled,
    Certainty,
    Code,
    DeadlineExceeded,
    DecodeError,
    EncodeError,
    RpcError,
)
from rpc.alarms import Alarms, Limit
from rpc.answers import error_reply, handler_error, server_fault
from rpc.context import handling
from rpc.idempotency import StoredReply
from rpc.interceptor import CallInfo, Chain, Interceptor, Outcome
from rpc.job import Job
from rpc.refusal import Refusal, given_up, overdue, unreadable
from rpc.replays import Begin, Replays
from rpc.reply import reply_message
from rpc.text import scrubbed
from transports.base import Message

__all__ = ["Answer", "Dispatcher"]

T = TypeVar("T")

Answer = Message | Refusal | None
"""A reply; why the handler was not called; None: the reply of another job is waited for."""


class Dispatcher:
    """Runs jobs. `run` for sync handlers on a worker's thread, `run_async` on the event loop."""

    def __init__(self, interceptors: Sequence[Interceptor], replays: Replays) -> None:
        self._interceptors = tuple(interceptors)
        self._replays = replays
        self._alarms: Alarms | None = None
        self._closing = False

    def close(self) -> None:
        """Leave a job whose task is cancelled from here on to another server."""
        self._closing = True

    def run(self, job: Job) -> Answer:
        """Return the answer to `job`; in a context of its own, so that nothing leaks to the next.

        A `Refusal` where the handler was not called; None where `job` joined another one.
        """
        try:
            return contextvars.copy_context().run(self._run, job)
        except BaseException as error:
            return _fault(job, error)

    async def run_async(self, job: Job) -> Answer:
        """Return the answer to `job` whose handler is a coroutine.

        Raises only `CancelledError`, where the drain cancelled the task though the caller waits.
        """
        handling(job.context)  # the task has a context of its own
        try:
            chain = Chain(self._interceptors) if self._interceptors else None
            entered = self._enter(job, chain)
            if not isinstance(entered, msgspec.Struct):
                return self._conclude(job, entered)
            once = job.plan.effectively_once
            if once and (found := await self._begin_async(job, entered)) is not Begin.RUN:
                return _elsewhere(chain, found)
            try:
                outcome = await self._await_handler(job, entered)
            except asyncio.CancelledError:
                if once:
                    self._replays.abandon(job)
                raise
            reply = self._conclude(job, outcome if chain is None else chain.leave(outcome))
            if once and not isinstance(reply, Refusal):
                keep = partial(self._replays.keep, job, reply)
                return await _in_thread(keep) if self._replays.blocking else keep()
        except GeneratorExit:  # the loop is gone, and with it whoever would tell the answer
            raise
        except BaseException as error:
            if self._closing and isinstance(error, asyncio.CancelledError):
                raise
            return _fault(job, error)
        return reply

    def _begin(self, job: Job, arguments: msgspec.Struct) -> Begin | Message | Refusal:
        """Begin work in the store, which may take longer than its caller waits."""
        found = self._replays.begin(job, arguments)
        if found is Begin.RUN and job.context.cancelled:
            self._replays.abandon(job)
            return _too_late(job)
        return found

    async def _begin_async(self, job: Job, arguments: msgspec.Struct) -> Begin | Message | Refusal:
        if not self._replays.blocking:
            return self._begin(job, arguments)
        found = await _in_thread(partial(self._begin, job, arguments))
        if found is not Begin.RUN:
            return found
        if self._is_left(job):
            self._replays.abandon(job)
            raise asyncio.CancelledError
        if job.context.cancelled and _task_cancelled():
            self._replays.abandon(job)
            return given_up(job.method)
        return found

    def _run(self, job: Job) -> Answer:
        handling(job.context)
        chain = Chain(self._interceptors) if self._interceptors else None
        entered = self._enter(job, chain)
        if not isinstance(entered, msgspec.Struct):
            return self._conclude(job, entered)
        once = job.plan.effectively_once
        if once and (found := self._begin(job, entered)) is not Begin.RUN:
            return _elsewhere(chain, found)
        outcome = self._call_handler(job, entered)
        reply = self._conclude(job, outcome if chain is None else chain.leave(outcome))
        if once and not isinstance(reply, Refusal):
            return self._replays.keep(job, reply)
        return reply

    def _enter(self, job: Job, chain: Chain | None) -> msgspec.Struct | Outcome:
        """Return the arguments to call the handler with, or the outcome where it is not called."""
        if job.context.cancelled:  # while it waited for a worker
            return Outcome(error=_too_late(job).error)
        try:
            arguments = job.plan.decode(job.request.body)
        except DecodeError as error:
            return Outcome(error=unreadable(scrubbed(f"{job.method}: {error}")).error)
        if chain is None:
            return arguments
        entered = chain.enter(
            CallInfo(
                side="server",
                service=job.plan.handler.spec.service,
                method=job.plan.handler.spec.name,
                arguments=arguments,
                metadata=dict(job.context.metadata),
                timeout=job.context.remaining,
                call_id=job.request.call_id.hex(),
                attempt=job.request.attempt,
            )
        )
        return entered if isinstance(entered, Outcome) else entered.arguments

    def _call_handler(self, job: Job, arguments: msgspec.Struct) -> Outcome:
        job.started = True
        try:
            return Outcome(job.plan.handler.spec.invoke(job.plan.handler.function, arguments))
        except BaseException as error:
            return Outcome(error=error)

    async def _await_handler(self, job: Job, arguments: msgspec.Struct) -> Outcome:
        job.started = True
        with Limit(self._alarms_here(), job.context.remaining) as limit:
            try:
                return Outcome(
                    await job.plan.handler.spec.invoke(job.plan.handler.function, arguments)
                )
            except BaseException as error:
                if limit.expired:
                    return _cut_off(job, _ran_out(job))
                if isinstance(error, asyncio.CancelledError) and _task_cancelled():
                    if self._is_left(job):
                        raise
                    if job.context.cancelled:
                        return _cut_off(job, _given_up(job))
                return Outcome(error=error)

    def _is_left(self, job: Job) -> bool:
        """Tell whether the drain ran out of time: no answer, so that another server does it."""
        return self._closing and _task_cancelled() and not job.context.cancelled

    def _alarms_here(self) -> Alarms:
        """Return the alarms of the running loop, which is mostly the one of the last job."""
        loop, alarms = asyncio.get_running_loop(), self._alarms
        if alarms is None or alarms.loop is not loop:
            alarms = self._alarms = Alarms(loop)
        return alarms

    def _conclude(self, job: Job, outcome: Outcome) -> Message | Refusal:
        """Return what is told; whatever goes wrong meanwhile is told, too."""
        error = outcome.error
        try:
            if error is None:
                try:
                    return self._success(job, outcome.value)
                except EncodeError as fault:
                    error = server_fault(job, "the result can't be encoded", fault)
                except TypeError as fault:
                    error = server_fault(job, f"the handler broke the contract: {fault}", None)
            elif job.started:
                error = handler_error(job, error)
            elif not isinstance(error, RpcError):
                error = server_fault(job, "an interceptor failed", error)
            return _refused(error) if not job.started else _told(job, error)
        except BaseException as fault:  # work that was begun is kept, or left to others
            return _fault(job, fault)

    def _success(self, job: Job, value: object) -> Message:
        plan = job.plan
        wrong = plan.handler.spec.check_result(value)
        if wrong is not None:
            raise TypeError(wrong)
        body = plan.codec.encode(value)
        _keep(job, None, body)
        return reply_message(job.request, None, plan.codec.content_type, body)


def _fault(job: Job, cause: BaseException) -> Message | Refusal:
    """Return what is told where no answer can be made of what happened."""
    error = server_fault(job, "a fault of the server's own", cause)
    if not job.started:
        return _refused(error)
    error.certainty = Certainty.UNKNOWN
    return _told(job, error)


def _refused(error: RpcError) -> Refusal:
    """Return `error` as proven: whoever ended the call, the handler did not run."""
    error.certainty = Certainty.NOT_EXECUTED
    return Refusal(error)


def _told(job: Job, error: RpcError) -> Message:
    job.invites_retry |= error.code is Code.UNAVAILABLE
    reply = error_reply(job.request, job.plan.codec, error)
    _keep(job, error.code, reply.body)
    return reply


def _task_cancelled() -> bool:
    """Tell a cancelled task from a handler that raises `CancelledError` by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _in_thread(function: Callable[[], T]) -> T:
    """Await what blocks, to its end also where the task is cancelled: it may have taken effect."""
    future = asyncio.ensure_future(asyncio.to_thread(function))
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(future)
    return future.result()


def _keep(job: Job, code: Code | None, body: bytes) -> None:
    """Note what is to be kept of the reply."""
    if job.plan.effectively_once:
        named = None if code is None else code.value
        job.stored = StoredReply(named, job.plan.codec.content_type, body)


def _elsewhere(chain: Chain | None, found: Begin | Message | Refusal) -> Answer:
    """Return the answer to what runs or ran elsewhere; its interceptors end without an outcome."""
    if chain is not None:
        chain.close()
    return None if isinstance(found, Begin) else found


def _too_late(job: Job) -> Refusal:
    """Return why a job is not started whose caller waits no longer."""
    return (overdue if job.context.remaining <= 0 else given_up)(job.method)


def _cut_off(job: Job, error: RpcError) -> Outcome:
    """Return the end of a handler that was stopped: its work is left to who asks next."""
    job.invites_retry = job.plan.effectively_once  # else what comes again is the same attempt
    return Outcome(error=error)


def _ran_out(job: Job) -> RpcError:
    return DeadlineExceeded(
        message=f"{job.plan.handler.spec.full_name}: stopped at the deadline",
    )


def _given_up(job: Job) -> RpcError:
    return Cancelled(
        message=f"{job.plan.handler.spec.full_name}: stopped, since the caller gave up",
    )
