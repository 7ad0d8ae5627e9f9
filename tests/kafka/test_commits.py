"""Who waits for a commit is told once: what is durable, or that it can't be."""

import pytest

from transports.kafka.commits import Commits, Waiter, tell
from transports.kafka.ledger import PARTS, Claim, Crashes, Note, position
from transports.kafka.offsets import Offsets


@pytest.fixture
def held():
    offsets = Offsets()
    offsets.assign({0: Claim(None, Note(0), 0), 1: Claim(None, Note(0), 0)}, "topic-1")
    return offsets


@pytest.fixture
def settled(held):
    """Take and settle a message, and return who waits for it, with what it was told."""

    def wait(partition, offset, told):
        log = held.take(partition, offset, 1)
        log.settle(offset)
        return Waiter(log, offset, 0, False, told.append)

    return wait


def test_the_first_who_waits_begins_a_commit_and_those_who_come_meanwhile_the_next(held, settled):
    commits, first, second = Commits(), [], []
    assert commits.add(settled(0, 0, first))
    round_ = commits.begin(held.committable())
    assert not commits.add(settled(0, 1, second))
    tell(commits.succeeded(round_))

    assert (first, second) == ([True], [])
    assert commits.again(allowed=True)
    tell(commits.succeeded(commits.begin(held.committable())))
    assert second == [True]
    assert not commits.again(allowed=True)
    assert not commits.under_way


def test_a_commit_that_failed_is_repeated_for_those_who_wait(held, settled):
    commits, told = Commits(), []
    commits.add(settled(0, 0, told))
    tell(commits.failed(commits.begin(held.committable()), lost=False))

    assert told == []
    assert commits.again(allowed=True)
    tell(commits.succeeded(commits.begin(held.committable())))
    assert told == [True]


def test_who_waits_is_refused_when_we_are_out_of_the_group(held, settled):
    commits, told = Commits(), []
    commits.add(settled(0, 0, told))
    tell(commits.failed(commits.begin(held.committable()), lost=True))

    assert told == [False]
    assert not commits.again(allowed=True)


def test_who_waits_for_a_lost_partition_is_refused_once_no_commit_may_still_hold_it(held, settled):
    commits, flying, waiting = Commits(), [], []
    commits.add(settled(0, 0, flying))
    round_ = commits.begin(held.committable())
    commits.add(settled(0, 1, waiting))
    held.release()
    tell(commits.lost())
    assert (flying, waiting) == ([], [False])

    tell(commits.succeeded(round_))
    assert (flying, waiting) == ([True], [False])


def test_a_lost_partition_s_failed_commit_refuses(held, settled):
    commits, told = Commits(), []
    commits.add(settled(0, 0, told))
    round_ = commits.begin(held.committable())
    held.release()
    tell(commits.failed(round_, lost=False))

    assert told == [False]


def test_what_does_not_fit_a_note_waits_for_another_commit(held, settled):
    commits, told = Commits(), []
    blocking = held.take(0, 0, 1)
    commits.add(settled(0, 1, told))
    tell(commits.succeeded(commits.begin(held.committable(commits.wanted(), limit=0))))

    assert told == []
    assert not commits.again(allowed=True)  # it would not fit then either
    assert commits.due(changed=False)
    blocking.settle(0)
    tell(commits.succeeded(commits.begin(held.committable(commits.wanted(), limit=0))))
    assert told == [True]


def test_what_was_confirmed_already_is_said_again_for_who_asks_for_it(held, settled):
    commits, told = Commits(), []
    held.take(0, 0, 1)
    waiter = settled(0, 1, told)
    held.committed(held.committable())
    assert held.committable() == {}
    commits.add(waiter)
    tell(commits.succeeded(commits.begin(held.committable(commits.wanted()))))

    assert told == [True]


def test_closing_refuses_all_and_a_late_answer_tells_nobody_again(held, settled):
    commits, told = Commits(), []
    commits.add(settled(0, 0, told))
    round_ = commits.begin(held.committable())
    commits.add(settled(1, 0, told))
    tell(commits.close())
    assert told == [False, False]
    tell(commits.succeeded(round_))

    assert told == [False, False]
    assert not commits.under_way


def test_a_suspect_that_has_begun_is_told_when_that_is_noted(held):
    held.assign({0: Claim(0, Note(0, crashes=(Crashes(0, 2 * PARTS, 2),)), 2)}, "topic-1")
    commits, told = Commits(), []
    log = held.take(0, 0, 1)
    log.begin(0)
    commits.add(Waiter(log, 0, 0, True, told.append))
    tell(commits.succeeded(commits.begin(held.committable(commits.wanted(), limit=0))))
    assert told == []
    tell(commits.succeeded(commits.begin(held.committable(commits.wanted()))))

    assert told == [True]


def test_who_waits_for_one_part_of_a_frame_is_told_when_that_part_is_noted(held):
    commits, first, second = Commits(), [], []
    logs = [held.take(0, 0, 1, part, 3) for part in range(3)]
    logs[1].settle(0, 1)
    commits.add(Waiter(logs[1], 0, 1, False, first.append))
    commits.add(Waiter(logs[2], 0, 2, False, second.append))
    tell(commits.succeeded(commits.begin(held.committable(commits.wanted()))))

    assert (first, second) == ([True], [])


def test_one_suspect_of_a_frame_begins_by_itself(held):
    note = Note(0, crashes=(Crashes(0, PARTS, 2),))
    held.assign({0: Claim(0, note, 1)}, "topic-1")
    logs = [held.take(0, 0, 1, part, 3) for part in range(3)]
    logs[1].begin(0, 1)

    assert [logs[1].begun(0, part) for part in range(3)] == [False, True, False]
    assert held.committable()[0].note.begun == {position(0, 1)}
