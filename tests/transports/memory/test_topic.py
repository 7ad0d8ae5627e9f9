"""The pure core of the memory transport: a machine of random steps against a plain model."""

from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from transports.base import Address, Message
from transports.errors import AddressUnknown, MessageRefused
from transports.memory import topic as topic_module
from transports.memory.topic import Topic

PARTITIONS = 3
MAX_HELD = 5


class TopicMachine(RuleBasedStateMachine):
    """Members come and go, take and acknowledge, inboxes read along; nothing is lost or doubled."""

    members = Bundle("members")
    inboxes = Bundle("inboxes")
    takings = Bundle("takings")

    @initialize(group_first=st.booleans())
    def begin(self, group_first):
        self.topic = Topic("t", PARTITIONS)
        self.numbers = iter(range(10**6))
        self.sent = defaultdict(list)
        self.acked = set()
        self.holders = {}
        self.here = []
        self.unread = {}
        self.had_group = group_first
        if group_first:
            self.topic.join(-1)
            self.topic.leave(-1)

    @rule(
        partition=st.none() | st.integers(0, PARTITIONS - 1),
        key=st.none() | st.sampled_from([b"", b"a", b"b", b"c"]),
    )
    def send(self, partition, key):
        message = Message(b"%d" % next(self.numbers), key=key)
        record = self.topic.append(Address("t", partition), message, 0.0)
        chosen = record.receipt.partition

        assert partition in {None, chosen}
        assert record.receipt.offset == len(self.sent[chosen])
        self.sent[chosen].append(message)
        for where, unread in self.unread.values():
            if where == chosen:
                unread.append(message)

    @rule(target=members)
    def join(self):
        member = next(self.numbers)
        self.topic.join(member)
        self.here.append(member)
        self.had_group = True
        return member

    @rule(member=consumes(members))
    def leave(self, member):
        self.topic.leave(member)
        self.topic.leave(member)
        self.here.remove(member)
        self.holders = {at: who for at, who in self.holders.items() if who != member}

    @rule(target=takings, member=members, limit=st.integers(0, 7))
    def take(self, member, limit):
        held = sum(who == member for who in self.holders.values())
        records = self.topic.take(member, limit, MAX_HELD)

        assert len(records) <= limit
        assert held + len(records) <= MAX_HELD
        self.check_taken(member, records)
        if len(records) < min(limit, MAX_HELD - held):
            assert self.left_for(member) == []
        return multiple(*((member, record.receipt) for record in records))

    def check_taken(self, member, records):
        for record in records:
            partition, offset = record.receipt.partition, record.receipt.offset
            held_there = {at: who for at, who in self.holders.items() if at[0] == partition}

            assert record.message == self.sent[partition][offset]
            assert (partition, offset) not in self.acked, "delivered after its ack"
            assert (partition, offset) not in self.holders, "delivered to two"
            assert set(held_there.values()) <= {member}, "overtakes what another still holds"
            assert all(at[1] < offset for at in held_there), "out of order"
            self.holders[partition, offset] = member

    def left_for(self, member):
        """Return what `member` could be handed: of its partitions that nobody else holds."""
        return [
            (partition, offset)
            for partition in range(PARTITIONS)
            if self.here[partition % len(self.here)] == member
            and {who for at, who in self.holders.items() if at[0] == partition} <= {member}
            for offset in range(len(self.sent[partition]))
            if (partition, offset) not in self.acked | self.holders.keys()
        ]

    @rule(taking=takings)
    def ack(self, taking):
        member, receipt = taking
        partition, offset = receipt.partition, receipt.offset
        holds = self.holders.get((partition, offset)) == member

        assert self.topic.ack(member, partition, offset) == holds
        if holds:
            del self.holders[partition, offset]
            self.acked.add((partition, offset))

    @rule(target=inboxes, partition=st.none() | st.integers(0, PARTITIONS - 1))
    def open_inbox(self, partition):
        inbox = next(self.numbers)
        chosen = self.topic.open_inbox(inbox, partition)

        assert partition in {None, chosen}
        self.unread[inbox] = (chosen, [])
        return inbox

    @rule(inbox=inboxes, limit=st.integers(0, 4))
    def read(self, inbox, limit):
        _, unread = self.unread[inbox]

        assert [record.message for record in self.topic.read(inbox, limit)] == unread[:limit]
        del unread[:limit]

    @rule(inbox=consumes(inboxes))
    def close_inbox(self, inbox):
        self.topic.close_inbox(inbox)
        self.topic.close_inbox(inbox)
        del self.unread[inbox]

        assert self.topic.read(inbox, 10) == []

    @invariant()
    def keeps_no_more_than_is_wanted(self):
        if not getattr(self, "had_group", False):
            return
        for partition in range(PARTITIONS):
            count, watermark = len(self.sent[partition]), 0
            while (partition, watermark) in self.acked:
                watermark += 1
            unread = [len(rest) for where, rest in self.unread.values() if where == partition]

            assert self.topic.backlog(partition) == max([count - watermark, *unread])

    def teardown(self):
        if not hasattr(self, "topic"):
            return
        for member in self.here:
            self.topic.leave(member)
        self.topic.join(-2)
        left = [record.receipt for record in self.topic.take(-2, 10**6, 10**6)]
        rest = [(receipt.partition, receipt.offset) for receipt in left]
        wanted = {(p, o) for p in self.sent for o in range(len(self.sent[p]))} - self.acked

        assert sorted(rest) == sorted(wanted), "lost or doubled"
        assert all(
            [o for q, o in rest if q == p] == sorted(o for q, o in rest if q == p)
            for p in self.sent
        )


TestTopicMachine = TopicMachine.TestCase
TestTopicMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def fill(topic, count, partition=0, body=b""):
    for _ in range(count):
        topic.append(Address("t", partition), Message(body), 0.0)


def test_read_messages_of_an_inbox_topic_are_kept_as_a_short_history():
    topic = Topic("t", 1)
    topic.open_inbox(1, 0)
    fill(topic, 1500)

    assert topic.backlog(0) == 1500, "unread, so all of it is wanted"
    assert len(topic.read(1, 1500)) == 1500
    assert topic.backlog(0) == 1000
    topic.join(2)
    assert [record.receipt.offset for record in topic.take(2, 1, 1)] == [500]


def test_a_short_history_is_short_in_bytes_too():
    topic = Topic("t", 1)
    topic.open_inbox(1, 0)
    fill(topic, 10, body=b"x" * 1024 * 1024)
    topic.read(1, 10)

    assert topic.backlog(0) == 4


def test_what_goes_to_a_partition_whose_inboxes_have_closed_does_not_pile_up():
    topic = Topic("t", 2)
    topic.open_inbox(1, 0)
    topic.close_inbox(1)

    fill(topic, 3000)

    assert topic.backlog(0) == 1000


def test_what_waits_for_the_first_reader_is_kept_whole():
    topic = Topic("t", 1)

    fill(topic, 3000)

    assert topic.backlog(0) == 3000


def test_what_only_a_closed_inbox_had_to_read_is_forgotten():
    topic = Topic("t", 1)
    topic.open_inbox(1, 0)
    topic.join(2)
    fill(topic, 3)
    for record in topic.take(2, 3, 3):
        topic.ack(2, 0, record.receipt.offset)

    assert topic.backlog(0) == 3
    topic.close_inbox(1)
    assert topic.backlog(0) == 0


@pytest.mark.parametrize(("records", "size"), [(5, 10**9), (10**9, 10)])
def test_a_full_partition_refuses_and_changes_nothing(monkeypatch, records, size):
    monkeypatch.setattr(topic_module, "MAX_BACKLOG", records)
    monkeypatch.setattr(topic_module, "MAX_BACKLOG_BYTES", size)
    topic = Topic("t", 2)
    fill(topic, 5, body=b"ab")

    with pytest.raises(MessageRefused, match="5 messages of 10 bytes wait in one partition"):
        fill(topic, 1)

    assert topic.backlog(0) == 5
    fill(topic, 1, partition=1)


@pytest.mark.parametrize("partition", [-1, 2])
def test_a_partition_that_is_not_there_is_named_with_those_that_are(partition):
    topic = Topic("t", 2)

    with pytest.raises(AddressUnknown, match=rf"no partition {partition}, only 0 to 1"):
        fill(topic, 1, partition=partition)


def test_a_topic_without_a_group_hands_out_and_settles_nothing():
    topic = Topic("t", 1)
    fill(topic, 1)

    assert topic.take(1, 10, 10) == []
    assert topic.ack(1, 0, 0) is False
    topic.leave(1)
    assert topic.backlog(0) == 1
