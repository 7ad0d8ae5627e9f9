"""What a shared receiver says of its deliveries, and keeps, when members die on a real broker."""

import signal
import threading

import pytest

from transports import failpoints
from transports.base import Address, Message
from transports.kafka.ledger import read

QUICK = {"heartbeat_interval": 0.2, "session_timeout": 1.5, "commit_interval": 0.1}


@pytest.fixture
def note(kit):
    """Return what is noted beside the committed offset of partition 0."""

    def look(topic):
        found = kit.admin.list_group_offsets(topic)[topic]
        for tp, committed in found.items():
            if tp.partition == 0:
                return read(committed.offset, committed.metadata)
        return None

    return look


def send(transport, topic, count):
    stored = threading.Semaphore(0)
    for n in range(count):
        transport.send(Address(topic, 0), Message(b"%d" % n), lambda _: stored.release())
    for _ in range(count):
        assert stored.acquire(timeout=20)


def said(deliveries):
    return [(d.receipt.offset, d.redelivered, d.crashes) for d in deliveries]


def test_what_was_settled_beyond_the_watermark_is_not_delivered_again_after_a_crash(
    kit, process, taken
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send(transport, topic, 6)
    member = process(topic, 6)
    assert [one[1:] for one in member.hear()] == [[False, 0]] * 6
    member.ask("ack", 1, 2, 4)
    member.say("commit", 4)
    assert member.hear() == ["told", 4, True]
    member.kill()
    send(transport, topic, 1)
    survivor = transport.receiver(Address(topic), shared=True)
    got = said(taken(survivor, 4))
    send(transport, topic, 1)

    assert got == [(0, True, 1), (3, True, 1), (5, True, 1), (6, True, 1)]
    assert said(taken(survivor, 1)) == [(7, False, 0)]


def test_who_closes_in_order_leaves_no_doubt_of_what_it_did_not_touch(kit, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK, max_unacked=3)
    first = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 6)
    flying = taken(first, 3, ack=False)
    assert said(flying) == [(0, False, 0), (1, False, 0), (2, False, 0)]
    flying[1].ack()
    first.close(5)
    second = kit.transport(**QUICK).receiver(Address(topic), shared=True)

    assert said(taken(second, 5)) == [
        (0, True, 0),
        (2, True, 0),
        (3, False, 0),
        (4, False, 0),
        (5, False, 0),
    ]


def test_a_suspect_is_charged_with_a_crash_only_if_it_had_begun(kit, process, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send(transport, topic, 2)
    for times in (0, 1):
        member = process(topic, 2)
        assert member.hear() == [[0, times > 0, times], [1, times > 0, times]]
        member.kill()
    member = process(topic, 2)
    assert member.hear() == [[0, True, 2], [1, True, 2]]
    member.ask("begin", 0)
    member.say("commit", 0)
    assert member.hear() == ["told", 0, True]
    member.kill()
    survivor = transport.receiver(Address(topic), shared=True)

    assert said(taken(survivor, 2)) == [(0, True, 3), (1, True, 2)]


def test_what_was_told_to_be_durable_survives_a_kill_that_moment(kit, process, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send(transport, topic, 3)
    member = process(topic, 3, commit_interval=60)
    member.hear()
    member.ask("ack", 1)
    member.say("commit", 1)
    assert member.hear() == ["told", 1, True]
    member.kill()
    survivor = transport.receiver(Address(topic), shared=True)

    assert [offset for offset, _, _ in said(taken(survivor, 2))] == [0, 2]


def test_a_member_that_was_stopped_for_longer_than_its_session_owns_nothing_when_it_wakes(
    kit, process, taken
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send(transport, topic, 2)
    member = process(topic, 2)
    member.hear()
    assert member.ask("owned", 0, 1) == [True, True]
    member.ask("ack", 0)
    member.signal(signal.SIGSTOP)
    survivor = transport.receiver(Address(topic), shared=True)
    taken(survivor, 1)
    # It is asked before it wakes, so that it answers before anything is heard of the broker.
    member.say("owned", 1)
    member.say("ack", 1)
    member.say("commit", 1)
    member.signal(signal.SIGCONT)

    assert member.hear() == [False]
    assert member.hear() == "done"
    assert member.hear() == ["told", 1, False]


def test_commits_are_made_at_once_and_together(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK | {"commit_interval": 60.0})
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 50)
    told = []
    for delivery in taken(receiver, 50):
        delivery.commit(told.append)
    eventually(lambda: len(told) == 50, patience=2)

    assert told == [True] * 50


def test_whoever_waits_when_it_is_closed_is_told_what_the_last_commit_held(kit, taken, note):
    topic, transport = kit.topic(1), kit.transport(**QUICK | {"commit_interval": 60.0})
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 3)
    flying = taken(receiver, 3, ack=False)
    kept, late = [], []
    flying[2].ack()
    flying[2].commit(kept.append)
    receiver.close(5)
    flying[0].ack()
    flying[0].commit(late.append)

    assert (kept, late) == ([True], [False])
    left = note(topic)
    assert (left.handed_over, left.high, left.settles(2)) == (True, 3, True)


def test_a_lost_partition_is_never_committed_and_who_waits_is_refused(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK | {"commit_interval": 60.0})
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 2)
    flying = taken(receiver, 2, ack=False)
    member, told = receiver._session.member, []
    # As a broker does that knows the member no longer.
    member._net.run(member._coordinator.reset_generation)
    assert not flying[0].owned
    flying[0].ack()
    flying[0].commit(told.append)
    eventually(lambda: receiver.receive(0.1) == () and told)

    assert told == [False]
    assert not flying[1].owned


def test_a_broker_that_takes_only_short_notes_gets_short_ones(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 2)
    flying = taken(receiver, 2, ack=False)
    session, stock = receiver._session, receiver._session.member._coordinator
    sending = stock._send_offset_commit_request

    async def picky(offsets):
        from kafka.errors import OffsetMetadataTooLargeError

        if any(len(said.metadata) > 30 for said in offsets.values()):
            raise OffsetMetadataTooLargeError
        return await sending(offsets)

    stock._send_offset_commit_request = picky
    told = []
    for delivery in flying:
        delivery.ack()
        delivery.commit(told.append)
    eventually(lambda: receiver.receive(0.1) == () and len(told) == 2)

    assert told == [True, True]
    assert session.note_limit < 3000


@pytest.fixture
def armed():
    """Arm failpoints in this process, until the test ends."""
    yield lambda text: failpoints.arm(failpoints.parse(text))
    failpoints.arm({})


@pytest.mark.parametrize("point", ["group.before_commit", "group.after_commit"])
def test_a_commit_or_an_answer_that_gets_lost_is_asked_for_again(
    kit, taken, eventually, armed, point
):
    topic, transport = kit.topic(1), kit.transport(**QUICK | {"commit_interval": 60.0})
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 1)
    (delivery,) = taken(receiver, 1)
    armed(f"{point}:drop@1")
    told = []
    delivery.commit(told.append)
    eventually(lambda: told)

    assert told == [True]


def test_who_dies_right_after_a_takeover_was_there(kit, process, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send(transport, topic, 1)
    first = transport.receiver(Address(topic), shared=True)
    taken(first, 1, ack=False)
    first.close(5)
    member = process(topic, 0)
    assert member.hear() == []
    member.kill()
    survivor = kit.transport(**QUICK).receiver(Address(topic), shared=True)

    ((_, redelivered, crashes),) = said(taken(survivor, 1))
    assert redelivered
    assert crashes >= 1
