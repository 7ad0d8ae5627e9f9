"""Which partitions are avoided: those that owe a reply and have sent none since."""

from hypothesis import given
from hypothesis import strategies as st

from rpc.health import FIRST_REST, LONGEST_REST, PartitionHealth


def test_a_partition_that_owes_a_reply_for_too_long_is_stalled():
    health = PartitionHealth()
    health.sent(3, due=1.0)
    health.sent(4, due=1.0)
    health.replied(4)

    assert health.stalled(0.99) == frozenset()
    assert health.stalled(1.0) == {3}


def test_a_reply_since_the_attempt_was_sent_is_enough():
    health = PartitionHealth()
    health.sent(3, due=1.0)
    health.sent(3, due=1.1)
    health.replied(3)

    assert health.stalled(2.0) == frozenset()


def test_a_stalled_partition_that_replies_is_well_again():
    health = PartitionHealth()
    health.sent(3, due=1.0)
    before = health.stalled(1.0)
    health.replied(3)

    assert before == {3}
    assert health.stalled(1.0) == frozenset()


def test_after_a_rest_it_is_tried_and_the_next_rests_are_longer():
    health, now, rests = PartitionHealth(), 0.0, []
    for _ in range(4):
        health.sent(3, due=now)
        assert health.stalled(now) == {3}
        began = now
        while health.stalled(now):
            now += 0.25
        rests.append(now - began)

    assert rests == [FIRST_REST, 4.0, LONGEST_REST, LONGEST_REST]


def test_what_is_acknowledged_during_a_rest_does_not_lengthen_it():
    health = PartitionHealth()
    health.sent(3, due=1.0)
    health.stalled(1.0)
    health.sent(3, due=1.5)

    assert health.stalled(1.0 + FIRST_REST) == frozenset()


steps = st.lists(
    st.tuples(st.sampled_from(["sent", "replied", "pass"]), st.integers(0, 3), st.floats(0, 2)),
    max_size=100,
)


@given(steps)
def test_a_partition_is_avoided_only_while_it_has_not_replied(steps):
    health, now, owing = PartitionHealth(), 0.0, {}
    for kind, partition, seconds in steps:
        if kind == "sent":
            health.sent(partition, now + seconds)
            owing[partition] = min(owing.get(partition, now + seconds), now + seconds)
        elif kind == "replied":
            health.replied(partition)
            owing.pop(partition, None)
        else:
            now += seconds
        stalled = health.stalled(now)
        assert all(one in owing and owing[one] <= now for one in stalled)
