"""Partitions: the Java client's for keys, even runs for the rest."""

import itertools
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.partitioner import murmur2 as stock_murmur2

from transports.kafka.partitioner import StickySpread, murmur2, partition_for_key

# A busy machine says nothing about the code.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What kafka-clients 4.4.0 answers: Utils.murmur2 and BuiltInPartitioner.partitionForKey.
GOLDEN = [
    # key, hash as Java's signed int, partition of 12, of 1000
    (b"", 275646681, 9, 681),
    (b"a", -1563381124, 4, 524),
    (b"ab", 316155434, 2, 434),
    (b"abc", 479470107, 3, 107),
    (b"abcd", -1323649548, 8, 100),
    (b"21", -973932308, 0, 340),
    (b"foobar", -790332482, 6, 166),
    (b"a-little-bit-long-string", -985981536, 8, 112),
    (b"a-little-bit-longer-string", -1486304829, 11, 819),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971, 5, 677),
    (b"\xff\xfe\x80\x00\x01", -112508915, 9, 733),
    (b"user-42", 1459644460, 4, 460),
    ("é€".encode(), 1912689889, 1, 889),
    (bytes(32), 1959818374, 10, 374),
]


@pytest.mark.parametrize(("key", "signed", "of_12", "of_1000"), GOLDEN)
def test_a_key_goes_where_the_java_client_sends_it(key, signed, of_12, of_1000):
    assert murmur2(key) == signed % 2**32
    assert partition_for_key(key, 12) == of_12
    assert partition_for_key(key, 1000) == of_1000


@UNHURRIED
@given(st.binary(max_size=70))
def test_the_hash_is_the_one_of_kafka_python(key):
    assert murmur2(key) == stock_murmur2(key)


def waits(_):
    return True


def idle(_):
    return False


def test_messages_without_a_key_that_wait_together_stay_together():
    spread = StickySpread(start=0, run=4)

    chosen = [spread.choose((0, 1, 2), waits) for _ in range(12)]

    assert chosen == [2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]


def test_messages_without_a_key_take_turns_where_none_waits():
    spread = StickySpread(start=0, run=4)

    chosen = [spread.choose((0, 1, 2), idle) for _ in range(6)]

    assert chosen == [2, 1, 0, 2, 1, 0]


def test_it_is_the_partition_whose_turn_it_is_that_is_asked_for():
    spread, asked = StickySpread(start=0, run=4), []
    first = spread.choose((0, 1, 2), idle)
    spread.choose((0, 1, 2), asked.append)

    assert asked == [first]


@pytest.mark.parametrize("servers", [2, 3, 4])
def test_what_is_sent_again_leaves_the_block_of_partitions_of_one_server(servers):
    spread, block = StickySpread(start=0, run=1), 12 // servers

    turns = [spread.choose(range(12), idle) // block for _ in range(24)]
    stays = sum(turn == again for turn, again in itertools.pairwise(turns))

    assert stays <= 24 // servers


@UNHURRIED
@given(waiting=st.lists(st.booleans(), min_size=90, max_size=90), partitions=st.integers(1, 12))
def test_shares_differ_by_no_more_than_a_run_whatever_waits(waiting, partitions):
    spread = StickySpread(start=5, run=8)
    turns = [spread.choose(range(partitions), lambda _, waits=waits: waits) for waits in waiting]
    runs = [turns[0]]
    runs += [turn for before, turn in itertools.pairwise(turns) if turn != before]

    visits = Counter(runs)

    assert partitions == 1 or max(visits.values()) - min(visits.values()) <= 1
    assert max(Counter(turns).values()) <= 8 * (len(waiting) // partitions + 1)


@pytest.mark.parametrize("waiting", [waits, idle])
def test_partitions_to_avoid_get_nothing_and_the_others_even_shares(waiting):
    spread = StickySpread(start=0, run=4)

    chosen = Counter(spread.choose(range(12), waiting, {0, 1, 2, 3}) for _ in range(320))

    assert chosen == dict.fromkeys(range(4, 12), 40)


def test_where_all_are_to_be_avoided_none_is():
    spread = StickySpread(start=0, run=1)

    assert {spread.choose((0, 1), idle, {0, 1}) for _ in range(4)} == {0, 1}


@UNHURRIED
@given(
    shunned=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=60),
    partitions=st.integers(1, 12),
)
def test_none_to_avoid_is_chosen_whoever_else_asks(shunned, partitions):
    spread = StickySpread(start=3, run=4)
    for avoid in shunned:
        chosen = spread.choose(range(partitions), waits, avoid)
        assert chosen not in avoid or avoid >= set(range(partitions))


def test_a_partition_without_a_leader_is_passed_over():
    spread = StickySpread(start=0, run=1)

    assert {spread.choose((0, 2), idle) for _ in range(4)} == {0, 2}
