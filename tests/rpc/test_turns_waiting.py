"""What waits for its turn, wherever it does."""

from rpc.turns import Turn, Turns


def test_nothing_waits_where_everything_has_its_turn():
    turns = Turns()
    turns.enter("a", ())
    assert not turns.any_waiting

    turns.enter("b", (Turn("key"),))
    assert turns.any_waiting  # it may be
    assert turns.waiting() == []


def test_what_waits_is_told_once_of_each_lane_the_next_first():
    turns, keyed = Turns(), (Turn("key"), Turn("method"))
    for job, lanes in (("a", keyed), ("b", keyed), ("c", keyed[1:]), ("d", keyed), ("e", ())):
        turns.enter(job, lanes)
    assert turns.waiting() == ["b", "d", "c"]

    turns.enter("killer", (), alone=True)
    turns.enter("f", ())
    turns.enter("g", (Turn("other"),))
    turns.end("a")
    assert turns.waiting() == ["d", "b", "killer", "f", "g", "c"]


def test_what_is_withdrawn_waits_no_more():
    turns = Turns()
    for job in "abc":
        turns.enter(job, (Turn("key"),))
    turns.withdraw("b")

    assert turns.waiting() == ["c"]
    assert turns.end("a") == ["c"]
