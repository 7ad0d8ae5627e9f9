"""Planted bugs: each is a mistake that somebody could make, and that the tests must find.

    python -m chaos.mutants                       every one, and what found it
    RPC_MUTANT=lanes_ignored pytest -p chaos.mutants tests/rpc/test_intake.py

A mutant replaces something of the library in this process alone, for as long as it is planted.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import msgspec

import rpc.answers
import rpc.call
import rpc.context
import rpc.dispatcher
import rpc.execution
import rpc.idempotency
import rpc.instance
import rpc.intake
import rpc.job
import rpc.lanes
import rpc.replays
import rpc.reply
import rpc.request
import rpc.retry
import rpc.room
import rpc.settlement
import rpc.timekeeper
import rpc.turns
import transports.base
import transports.kafka.driver.consume
import transports.kafka.offsets
import transports.kafka.partition_log
import transports.kafka.partition_queue
from chaos.mutants.mutant import MUTANTS, Mutant, everywhere, mutant, put
from contracts import Certainty
from rpc.admission import Admission
from rpc.broker_time import BrokerTime

__all__ = ["ENV", "MUTANTS", "Mutant"]

ENV = "RPC_MUTANT"


@mutant("a request is acknowledged when it is taken, not when it is answered")
def commit_before_handling(stack: ExitStack) -> None:
    take = rpc.intake.Intake.take

    def early(self: Any, deliveries: Any) -> None:
        for delivery in deliveries:
            delivery.ack()
        take(self, deliveries)

    put(stack, rpc.intake.Intake, "take", early)


@mutant("nothing is ever acknowledged")
def never_acknowledges(stack: ExitStack) -> None:
    put(stack, transports.base.Delivery, "ack", lambda _self: None)


@mutant("how old a request is does not count: its time left begins when it is taken")
def age_ignored(stack: ExitStack) -> None:
    put(stack, BrokerTime, "age", lambda _self, _request, _delivery: 0.0)


@mutant("the server starts what is too late")
def no_deadline_check(stack: ExitStack) -> None:
    admit = Admission.admit
    put(stack, Admission, "admit", lambda self, key, job, _left: admit(self, key, job, 3600.0))
    put(stack, rpc.context.CallContext, "remaining", property(lambda _self: 3600.0))


@mutant("now and then a reply bears the call id of the request before")
def swapped_correlation(stack: ExitStack) -> None:
    made = rpc.reply.reply_message
    last: dict[str, Any] = {"count": 0}

    def swapped(request: Any, *args: Any, **options: Any) -> Any:
        last["count"] += 1
        before, last["request"] = last.get("request"), request
        if before is not None and last["count"] % 5 == 0 and before.method == request.method:
            request = msgspec.structs.replace(request, call_id=before.call_id)
        return made(request, *args, **options)

    everywhere(stack, made, swapped)


@mutant("each reply is sent twice")
def reply_twice(stack: ExitStack) -> None:
    send = rpc.settlement.Settlement.send

    def twice(self: Any, request: Any, reply: Any, on_sent: Any) -> None:
        send(self, request, reply, on_sent)
        send(self, request, reply, lambda _sent: None)

    put(stack, rpc.settlement.Settlement, "send", twice)


@mutant("ids are counted per client alone, and replies are taken whoever they are for")
def no_instance_filter(stack: ExitStack) -> None:
    build = rpc.instance.Instance.__init__
    decode = rpc.reply.decode_reply

    def built(self: Any) -> None:
        build(self)
        self.prefix = bytes(8)

    put(stack, rpc.instance.Instance, "__init__", built)
    everywhere(stack, decode, lambda message: decode(message)._replace(client=None))


@mutant("an idempotency key that comes with other arguments gets the reply to the first")
def fingerprint_ignored(stack: ExitStack) -> None:
    put(stack, rpc.replays, "fingerprint_of", lambda _arguments: b"")


@mutant("what was done effectively once is forgotten at once")
def dedup_forgotten(stack: ExitStack) -> None:
    put(
        stack,
        rpc.idempotency.MemoryStore,
        "begin",
        lambda _self, _work, _fingerprint, _lease: rpc.idempotency.Begun(1),
    )


@mutant("another attempt gets another call id")
def new_call_id_on_resend(stack: ExitStack) -> None:
    made = rpc.request.request_message

    def renamed(constant: Any, call_id: bytes, *rest: Any) -> Any:
        _timeout, _body, _key, attempt, *_ = rest
        if attempt > 1:
            call_id = call_id[:-1] + bytes([call_id[-1] ^ 0x80])
        return made(constant, call_id, *rest)

    everywhere(stack, made, renamed)


@mutant("what may have run is tried again, idempotent or not")
def unknown_retried(stack: ExitStack) -> None:
    allows = rpc.retry.allows

    def allowed(policy: Any, error: Any, attempt: int, **_options: Any) -> bool:
        return allows(policy, error, attempt, idempotent=True)

    everywhere(stack, allows, allowed)


@mutant("NOT_EXECUTED is told before it is settled, and of what others may have run")
def not_executed_unproven(stack: ExitStack) -> None:
    def refuse(
        self: Any, request: Any, refusal: Any, deliveries: Any, *, committed: bool = False
    ) -> None:
        del committed
        self._tell(request, refusal, deliveries)

    put(stack, rpc.settlement.Settlement, "refuse", refuse)


@mutant("at most once: started before the acknowledgement is durable")
def started_before_commit(stack: ExitStack) -> None:
    def at_once(_deliveries: Any, then: Callable[[bool], object]) -> None:
        then(True)  # noqa: FBT003 - what a commit tells

    put(stack, rpc.execution, "commit_all", at_once)


@mutant("what has one key runs side by side")
def lanes_ignored(stack: ExitStack) -> None:
    put(stack, rpc.lanes.Lanes, "enter", lambda _self, *_: True)
    put(stack, rpc.lanes.Lanes, "leave", lambda _self, *_: None)


@mutant("a server takes whatever comes, without a bound")
def unbounded_queue(stack: ExitStack) -> None:
    put(stack, Admission, "full", property(lambda _self: False))
    put(stack, rpc.room.Room, "enter", lambda _self, *_: None)


@mutant("a result that can't be encoded is not answered at all")
def reply_dropped_on_encode_error(stack: ExitStack) -> None:
    finish = rpc.execution.Execution.finish

    def finished(self: Any, job: Any, outcome: Any) -> None:
        headers = dict(getattr(outcome, "headers", ()))
        if headers.get("rpc-status") != b"INTERNAL":
            finish(self, job, outcome)

    put(stack, rpc.execution.Execution, "finish", finished)


@mutant("calls do not end by their deadline")
def deadline_not_kept(stack: ExitStack) -> None:
    put(stack, rpc.timekeeper.Timekeeper, "tick", lambda _self: None)


@mutant("a call without a reply is said not to have run")
def timeout_claims_not_executed(stack: ExitStack) -> None:
    put(stack, rpc.call.Call, "certainty", property(lambda _self: Certainty.NOT_EXECUTED))


@mutant(
    "the word that a call was given up is not heard", "tests/rpc/test_server.py", "-k", "cancel"
)
def cancel_ignored(stack: ExitStack) -> None:
    put(stack, rpc.execution.Execution, "cancel", lambda _self, _key: None)


@mutant(
    "the highest settled offset is committed, not the first that is not",
    "tests/kafka/test_offsets.py",
)
def highest_offset_committed(stack: ExitStack) -> None:
    log = transports.kafka.partition_log.PartitionLog
    told = log.mark

    def highest(self: Any, **options: Any) -> Any:
        with mock.patch.object(self, "_pending", {}):
            return told(self, **options)

    put(stack, log, "mark", highest)


@mutant("a frame is settled with the first of its messages", "tests/kafka/test_offsets.py")
def frame_settled_by_one(stack: ExitStack) -> None:
    log = transports.kafka.partition_log.PartitionLog
    settle = log.settle

    def whole(self: Any, offset: int, part: int = 0) -> bool:
        return [settle(self, offset, one) for one in range(64)][part]

    put(stack, log, "settle", whole)


@mutant("what may not be packed overtakes what waits to be", "tests/kafka/test_outbox.py")
def outbox_overtaken(stack: ExitStack) -> None:
    queue = transports.kafka.partition_queue.PartitionQueue
    put(stack, queue, "open", property(lambda _self: True))


@mutant("a partition that was taken away is kept, and served on")
def revoke_swallowed(stack: ExitStack) -> None:
    put(stack, transports.kafka.offsets.Offsets, "release", lambda _self: None)


@mutant(
    "what waits for its turn is run though its partition is another's by now",
    "tests/rpc/test_giving_back.py",
)
def lost_work_started(stack: ExitStack) -> None:
    put(stack, rpc.job.Job, "is_lost", property(lambda _self: False))


@mutant("what the owner before has noted as settled is handed out again")
def notes_ignored(stack: ExitStack) -> None:
    log = transports.kafka.partition_log.PartitionLog
    hold = log.hold

    def held(self: Any, claim: Any) -> None:
        hold(self, claim._replace(note=claim.note._replace(settled=b"")))

    put(stack, log, "hold", held)


@mutant("an inbox is used before its position is known", "tests/kafka/test_inbox.py")
def position_not_awaited(stack: ExitStack) -> None:
    reader = transports.kafka.driver.consume.Reader

    def opened(self: Any, partition: int, timeout: float) -> int:
        self.find_topic(timeout)
        place = transports.kafka.driver.consume.TopicPartition(self.topic, partition)
        self.assign([place])
        self.seek_to_end(place)
        return 0

    put(stack, reader, "open", opened)


_planted = ExitStack()
"""What the environment asks for is planted until the process ends."""
if os.environ.get(ENV):
    MUTANTS[os.environ[ENV]].plant(_planted)
