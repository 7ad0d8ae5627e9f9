"""What is asked for twice while it runs: the second gets the answer of the first."""

from contracts import Cancelled, Certainty
from rpc.answers import kept_reply
from rpc.job import Job
from rpc.refusal import Refusal, unreadable
from transports.base import Message

__all__ = ["detached", "join", "same"]


def join(running: Job, job: Job) -> Refusal | None:
    """Settle a duplicate together with what runs already."""
    if job.plan.effectively_once and job.request.body != running.request.body:
        return unreadable(f"{job.method}: this call runs already, with other arguments")
    if job.plan.at_most_once:
        for each in job.deliveries:
            each.ack()  # before the first one is answered: it must not outlive it
    running.deliveries += job.deliveries
    return None


def same(job: Job, other: Job, outcome: Message | Refusal) -> Message | Refusal:
    """Return the outcome of `job` as the answer to `other`, which joined it."""
    if isinstance(outcome, Refusal) or job.stored is None:
        return outcome
    other.started = True
    return kept_reply(other.request, job.stored)


def detached(job: Job) -> Refusal:
    """Return what is told of a call that its caller cancelled, whose work another waits for too."""
    message = f"{job.method}: the caller gave up; the work goes on for another"
    return Refusal(Cancelled(message=message, certainty=Certainty.UNKNOWN))
