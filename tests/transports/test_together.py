"""What a thread gives rise to in one go is held back until its end, and done once."""

import threading

import pytest

from transports.together import Batch, hold, let_go, together


@pytest.fixture
def done():
    return []


def test_outside_of_a_batch_nothing_is_held(done):
    assert not hold("key", lambda: done.append(1))
    assert done == []


def test_what_is_held_is_done_once_for_each_key_at_the_end(done):
    with together():
        for _ in range(3):
            assert hold("a", lambda: done.append("a"))
            assert hold("b", lambda: done.append("b"))
        assert done == []

    assert sorted(done) == ["a", "b"]
    assert not hold("a", lambda: done.append("a"))


def test_a_batch_within_a_batch_is_part_of_it(done):
    with together():
        with together():
            hold("a", lambda: done.append("a"))
        assert done == []
        assert hold("b", lambda: done.append("b"))

    assert sorted(done) == ["a", "b"]


def test_what_is_held_is_done_though_the_block_fails(done):
    def fail():
        with together():
            hold("a", lambda: done.append("a"))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()

    assert done == ["a"]


def test_who_is_about_to_wait_lets_go_first_and_holds_again(done):
    with together():
        hold("a", lambda: done.append(1))
        let_go()
        assert done == [1]
        assert hold("a", lambda: done.append(2))

    assert done == [1, 2]


def test_to_let_go_outside_of_a_batch_does_nothing(done):
    let_go()
    assert done == []


def test_a_batch_lasts_longer_than_its_blocks_and_another_thread_may_let_go(done):
    batch = Batch()
    with batch:
        hold("a", lambda: done.append("a"))
    with batch:
        hold("b", lambda: done.append("b"))
    assert done == []
    other = threading.Thread(target=batch.let_go)
    other.start()
    other.join()
    batch.let_go()

    assert sorted(done) == ["a", "b"]


def test_what_is_held_while_it_is_done_is_done_too(done):
    with together() as batch:
        batch.hold("a", lambda: (done.append("a"), batch.hold("b", lambda: done.append("b"))))

    assert done == ["a", "b"]


def test_each_thread_has_its_own(done):
    inside, go = threading.Event(), threading.Event()

    def other():
        with together():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert not hold("a", lambda: done.append("a"))
    go.set()
    thread.join()
