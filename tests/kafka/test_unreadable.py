"""Three strikes at one place, and a batch is stepped over."""

from transports.kafka.unreadable import Strikes


def test_the_third_failure_at_one_place_is_out():
    strikes = Strikes()

    assert [strikes.out(0, 7) for _ in range(4)] == [False, False, True, False]


def test_a_failure_elsewhere_begins_the_count_anew():
    strikes = Strikes()

    assert [strikes.out(0, offset) for offset in (7, 7, 9, 9, 7)] == [False] * 5


def test_partitions_are_counted_apart():
    strikes = Strikes()

    assert [strikes.out(partition, 7) for partition in (0, 1, 0, 1, 0)] == [
        False,
        False,
        False,
        False,
        True,
    ]
