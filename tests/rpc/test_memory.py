"""What a call in flight costs its client in memory."""

import gc
import tracemalloc
from typing import Protocol

from contracts import method

BYTES = 1_300
"""Of memory, at most, for a pending call with small arguments, its message included."""


class Echo(Protocol):
    @method(timeout=30.0, idempotent=True)
    def say(self, text: str) -> str: ...


def test_a_pending_call_takes_about_a_kilobyte_and_leaves_little(line):
    phone = line(Echo)
    say = phone.client.say

    def call_all() -> list[object]:
        calls = [say.future("hello") for _ in range(1000)]
        for sending in phone.wire.sent:
            sending.acknowledge()
        return calls

    def answer_all() -> None:
        sent, phone.wire.sent = phone.wire.sent, []
        phone.arrive(*(sending.reply(b'"x"') for sending in sent))

    call_all()
    answer_all()  # what is made once, is made
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        calls = call_all()
        pending = tracemalloc.get_traced_memory()[0] - before
        answer_all()
        assert all(call.done() for call in calls)
        calls.clear()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert pending / 1000 < BYTES
    assert left / 1000 < 200
