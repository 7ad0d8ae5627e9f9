"""Ownership and handover, by hand; the machine in test_topic covers their interplay."""

import pytest

from transports.base import Message
from transports.memory.group import Group
from transports.memory.log import Log


def group_of(partitions, records=0):
    logs = [Log("t", number) for number in range(partitions)]
    for log in logs:
        for n in range(records):
            log.append(Message(b"%d" % n), 0.0)
    return Group(logs)


def places(records):
    return [(record.receipt.partition, record.receipt.offset) for record in records]


@pytest.mark.parametrize(
    ("members", "owners"),
    [
        ([], [None, None, None, None, None]),
        ([7], [7, 7, 7, 7, 7]),
        ([7, 3], [7, 3, 7, 3, 7]),
        ([3, 7, 5], [3, 7, 5, 3, 7]),
        ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5]),
    ],
)
def test_partitions_are_dealt_in_the_order_of_joining(members, owners):
    group = group_of(5)
    for member in members:
        group.join(member)

    assert [group.owner(partition) for partition in range(5)] == owners


def test_partitions_are_dealt_anew_when_a_member_leaves():
    group = group_of(4)
    for member in (1, 2, 3):
        group.join(member)
    group.leave(2)

    assert [group.owner(partition) for partition in range(4)] == [1, 3, 1, 3]


def test_joining_twice_raises_and_changes_nothing():
    group = group_of(2, records=1)
    group.join(1)
    group.take(1, 1)

    with pytest.raises(ValueError, match="member 1 has joined already"):
        group.join(1)

    assert group.held(1) == 1
    assert group.owner(1) == 1


def test_a_busy_partition_does_not_starve_the_others():
    group = group_of(3, records=10)
    group.join(1)

    firsts = [places(group.take(1, 1))[0][0] for _ in range(3)]

    assert sorted(firsts) == [0, 1, 2]


def test_what_was_acknowledged_behind_a_gap_is_not_handed_out_again():
    group = group_of(1, records=5)
    group.join(1)
    group.take(1, 5)
    for offset in (0, 2, 4):
        group.ack(1, 0, offset)
    group.leave(1)
    group.join(2)

    assert group.watermark(0) == 1
    assert places(group.take(2, 5)) == [(0, 1), (0, 3)]
    assert [group.ack(2, 0, offset) for offset in (3, 1, 1, 2)] == [True, True, False, False]
    assert group.watermark(0) == 5


def test_an_ack_by_a_member_that_has_left_settles_nothing():
    group = group_of(1, records=2)
    group.join(1)
    group.take(1, 2)
    group.leave(1)
    group.join(2)
    group.take(2, 2)

    assert group.ack(1, 0, 0) is False
    assert group.held(2) == 2
    assert group.held(1) == 0


def test_a_partition_waits_for_its_old_owner_and_not_for_its_new_one():
    group = group_of(2, records=3)
    group.join(1)
    taken = places(group.take(1, 4))
    group.join(2)
    before = places(group.take(2, 10))
    for partition, offset in taken:
        group.ack(1, partition, offset)

    assert taken == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert before == []
    assert places(group.take(2, 10)) == [(1, 1), (1, 2)]


def test_a_member_settles_only_what_it_has_taken_itself():
    group = group_of(1, records=3)
    group.join(1)
    group.take(1, 3)
    group.leave(1)
    group.join(2)
    group.take(2, 1)

    assert [group.ack(2, 0, offset) for offset in (0, 1, 2)] == [True, False, False]
    assert group.watermark(0) == 1
