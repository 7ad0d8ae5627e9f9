"""Whose turn it is: keys, limits, and those that run alone."""

from hypothesis import given
from hypothesis import strategies as st

from rpc.turns import Turn, Turns


def test_what_has_no_lane_runs_at_once():
    turns = Turns()

    assert turns.enter("a", ()) == ["a"]
    assert turns.enter("b", ()) == ["b"]
    assert turns.end("a") == []


def test_one_key_runs_one_after_the_other_and_a_wide_lane_several():
    turns = Turns()
    wide = (Turn("method", 2),)

    assert turns.enter("a", wide) == ["a"]
    assert turns.enter("b", wide) == ["b"]
    assert turns.enter("c", wide) == []
    assert turns.end("b") == ["c"]
    assert turns.enter("d", (Turn("key"),)) == ["d"]
    assert turns.enter("e", (Turn("key"),)) == []
    assert turns.end("d") == ["e"]


def test_one_that_waits_for_its_key_takes_no_place_of_its_method():
    turns = Turns()
    keyed = (Turn("key"), Turn("method", 2))
    turns.enter("a", keyed)

    assert turns.enter("b", keyed) == []
    assert turns.enter("c", (Turn("method", 2),)) == ["c"]
    assert turns.enter("d", (Turn("method", 2),)) == []
    assert turns.end("a") == ["d"]
    assert turns.end("c") == ["b"]


def test_one_runs_alone_once_the_others_have_ended_and_before_those_that_come_later():
    turns = Turns()
    turns.enter("a", ())

    assert turns.enter("killer", (), alone=True) == []
    assert turns.enter("b", ()) == []
    assert turns.end("a") == ["killer"]
    assert turns.enter("c", ()) == []
    assert turns.end("killer") == ["b", "c"]


def test_whoever_withdraws_makes_room():
    turns = Turns()
    turns.enter("a", (Turn("key"),))
    turns.enter("b", (Turn("key"),))
    turns.enter("killer", (), alone=True)
    turns.enter("c", ())

    assert turns.withdraw("b") == []
    assert turns.withdraw("killer") == ["c"]
    assert turns.end("a") == []
    assert turns.enter("d", (Turn("key"),)) == ["d"]


@given(
    st.lists(
        st.tuples(st.sampled_from("eeewx"), st.integers(0, 3), st.integers(0, 3), st.booleans()),
        max_size=60,
    )
)
def test_no_lane_is_too_full_nothing_runs_beside_one_that_is_alone_and_all_get_their_turn(steps):
    turns, jobs, running, waiting = Turns(), {}, [], []

    def run(ready):
        for job in ready:
            waiting.remove(job)
            running.append(job)
        for key in range(3):
            assert sum(jobs[job][0] == key for job in running) <= 1
        assert sum(jobs[job][1] == 1 for job in running) <= 2
        assert not any(jobs[job][2] for job in running) or len(running) == 1
        assert turns.going == len(running)

    def enter(number, key, method, alone):
        jobs[number] = (key, method, alone and not number % 3)
        lanes = [Turn(("key", key))] if key < 3 else []
        lanes += [Turn("method", 2)] if method == 1 else []
        waiting.append(number)
        run(turns.enter(number, lanes, alone=jobs[number][2]))

    for number, (what, key, method, alone) in enumerate(steps):
        if what == "e":
            enter(number, key, method, alone)
        elif what == "w" and waiting:
            run(turns.withdraw(waiting.pop(key % len(waiting))))
        elif running:
            run(turns.end(running.pop(key % len(running))))
    while running:
        run(turns.end(running.pop()))

    assert waiting == []
