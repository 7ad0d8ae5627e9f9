"""From an admitted request to its reply: decode, run the handler, encode, or tell what failed.

Whatever a handler does there is a reply: `SystemExit`, `CancelledError`, a cyclic result and a
result of another type included. Stateless; any number of workers may use one dispatcher.
"""

import asyncio
import contextvars
from collections.abc import Sequence

import msgspec

from contracts import (
    Cancelled,
    Certainty,
    Code,
    DeadlineExceeded,
    DecodeError,
    EncodeError,
    InvalidArgument,
    RpcError,
)
from rpc.answers import error_reply, handler_error, server_fault
from rpc.context import handling
from rpc.envelope import reply_message
from rpc.interceptor import CallInfo, Chain, Interceptor, Outcome
from rpc.job import Job
from transports.base import Message

__all__ = ["Dispatcher"]


class Dispatcher:
    """Runs jobs. `run` for sync handlers on a worker's thread, `run_async` on the event loop."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = tuple(interceptors)

    def run(self, job: Job) -> Message:
        """Return the reply to `job`; in a context of its own, so that nothing leaks to the next."""
        return contextvars.copy_context().run(self._run, job)

    async def run_async(self, job: Job) -> Message:
        """Return the reply to `job` whose handler is a coroutine.

        Raises only `CancelledError`, where the task was cancelled though the caller still waits.
        """
        handling(job.context)  # the task has a context of its own
        chain = Chain(self._interceptors) if self._interceptors else None
        entered = self._enter(job, chain)
        if isinstance(entered, msgspec.Struct):
            entered = await self._await_handler(job, entered)
            entered = entered if chain is None else chain.leave(entered)
        return self._conclude(job, entered)

    def _run(self, job: Job) -> Message:
        handling(job.context)
        chain = Chain(self._interceptors) if self._interceptors else None
        entered = self._enter(job, chain)
        if isinstance(entered, msgspec.Struct):
            entered = self._call_handler(job, entered)
            entered = entered if chain is None else chain.leave(entered)
        return self._conclude(job, entered)

    def _enter(self, job: Job, chain: Chain | None) -> msgspec.Struct | Outcome:
        """Return the arguments to call the handler with, or the outcome where it is not called."""
        if job.context.cancelled:  # while it waited for a worker
            return Outcome(error=_not_started(job))
        try:
            arguments = job.decode(job.request.body)
        except DecodeError as error:
            message = f"{job.handler.spec.full_name}: {error}"
            return Outcome(error=InvalidArgument(message=message, certainty=Certainty.NOT_EXECUTED))
        if chain is None:
            return arguments
        entered = chain.enter(
            CallInfo(
                side="server",
                service=job.handler.spec.service,
                method=job.handler.spec.name,
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
            return Outcome(job.handler.spec.invoke(job.handler.function, arguments))
        except BaseException as error:
            return Outcome(error=error)

    async def _await_handler(self, job: Job, arguments: msgspec.Struct) -> Outcome:
        job.started = True
        limit = asyncio.timeout(job.context.remaining)
        try:
            async with limit:
                return Outcome(await job.handler.spec.invoke(job.handler.function, arguments))
        except BaseException as error:
            if limit.expired():
                return Outcome(error=_ran_out(job))
            if isinstance(error, asyncio.CancelledError) and _task_cancelled():
                if not job.context.cancelled:
                    raise  # the drain ran out of time: no answer, so that another server does it
                return Outcome(error=_given_up(job))
            return Outcome(error=error)

    def _conclude(self, job: Job, outcome: Outcome) -> Message:
        error = outcome.error
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
        if not job.started:  # whoever ended the call, the handler did not run
            error.certainty = Certainty.NOT_EXECUTED
        job.invites_retry = error.code is Code.UNAVAILABLE
        return error_reply(job.request, job.codec, error)

    def _success(self, job: Job, value: object) -> Message:
        wrong = job.handler.spec.check_result(value)
        if wrong is not None:
            raise TypeError(wrong)
        body = job.codec.encode(value)
        return reply_message(job.request, None, job.codec.content_type, body)


def _task_cancelled() -> bool:
    """Tell a cancelled task from a handler that raises `CancelledError` by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _not_started(job: Job) -> RpcError:
    kind = DeadlineExceeded if job.context.remaining <= 0 else Cancelled
    what = "the deadline passed" if kind is DeadlineExceeded else "the caller gave up"
    return kind(
        message=f"{job.handler.spec.full_name}: {what} before the handler was started",
        certainty=Certainty.NOT_EXECUTED,
    )


def _ran_out(job: Job) -> RpcError:
    return DeadlineExceeded(
        message=f"{job.handler.spec.full_name}: stopped at the deadline",
    )


def _given_up(job: Job) -> RpcError:
    return Cancelled(
        message=f"{job.handler.spec.full_name}: stopped, since the caller gave up",
    )
