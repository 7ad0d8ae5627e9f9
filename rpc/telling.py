"""The outcome of a job, told to its caller: the reply, why it was not run, or that it is too large.

Any thread; holds no lock. What is settled before or after is the business of `rpc.settlement`.
"""

from functools import partial

from rpc.answers import error_reply, server_fault
from rpc.job import Job
from rpc.refusal import Refusal
from rpc.settlement import Settlement
from transports.base import Message, Receipt
from transports.errors import MessageTooLarge, TransportError

__all__ = ["tell_caller"]


def tell_caller(settlement: Settlement, job: Job, outcome: Message | Refusal) -> None:
    """Send what became of `job`, and settle it by that."""
    if isinstance(outcome, Refusal):
        settlement.refuse(job.request, outcome, job.deliveries, committed=job.committed)
    else:
        settlement.send(job.request, outcome, partial(_sent, settlement, job))


def _sent(settlement: Settlement, job: Job, sent: Receipt | TransportError) -> None:
    if isinstance(sent, MessageTooLarge) and not job.too_large:
        job.too_large = True
        error = server_fault(job, f"the result is too large: {sent}", None)
        reply = error_reply(job.request, job.plan.codec, error)
        settlement.send(job.request, reply, partial(_sent, settlement, job))
    else:
        settlement.settle(sent, job.deliveries)
