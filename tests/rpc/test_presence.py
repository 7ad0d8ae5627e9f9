"""Whether anybody serves, by what the broker said and when."""

import pytest

from rpc.presence import ASK_EVERY, Presence
from transports.base import GroupState, Receipt

NOBODY, SOMEBODY = GroupState(0, {}), GroupState(1, {3: 37})


def heard(*answers):
    presence = Presence()
    for at, state in answers:
        assert presence.ask(at, 0.0)
        if state is None:
            presence.unanswered(off=False)
        else:
            presence.answered(state, at)
    return presence


@pytest.mark.parametrize(
    ("answers", "now", "nobody"),
    [
        ([], 9.0, False),
        ([(0.0, NOBODY)], 1.0, False),
        ([(0.0, NOBODY), (0.5, NOBODY)], 1.0, False),
        ([(0.0, NOBODY), (1.0, NOBODY)], 1.0, True),
        ([(0.0, NOBODY), (1.0, NOBODY)], 3.0, False),
        ([(0.0, NOBODY), (0.5, SOMEBODY), (1.0, NOBODY)], 1.0, False),
        ([(0.0, NOBODY), (0.5, None), (1.0, NOBODY)], 1.0, False),
        ([(0.0, SOMEBODY), (1.0, SOMEBODY)], 1.0, False),
    ],
)
def test_nobody_is_there_if_two_fresh_answers_say_so_and_none_between_does_not(
    answers, now, nobody
):
    assert heard(*answers).nobody(now) is nobody


def test_a_reply_proves_more_than_the_broker_says():
    presence = heard((0.0, NOBODY), (1.0, NOBODY))
    presence.replied()

    assert not presence.nobody(1.0)
    assert presence.told(Receipt("Echo.requests", 3, 40), 1.0) == ""


def test_it_is_asked_once_a_second_and_not_twice_at_once():
    presence = Presence()
    first, during = presence.ask(5.0), presence.ask(9.0)
    presence.answered(SOMEBODY, 9.0)

    assert (first, during) == (True, False)
    assert not presence.ask(5.0 + ASK_EVERY - 0.01)
    assert presence.ask(5.0 + ASK_EVERY)


def test_what_can_not_be_asked_is_not_asked_again():
    presence = Presence()
    presence.ask(0.0)
    presence.unanswered(off=True)

    assert not presence.ask(100.0)


@pytest.mark.parametrize(
    ("state", "offset", "told"),
    [
        (SOMEBODY, 40, "its group had 1 member and had settled that partition up to 37, 3 before"),
        (SOMEBODY, 37, "up to 37, 0 before it"),
        (SOMEBODY, 36, "up to 37, the request too"),
        (NOBODY, 2, "its group had no members and had settled that partition up to 0, 2 before it"),
    ],
)
def test_the_last_answer_is_told_of_a_request(state, offset, told):
    assert told in heard((1.0, state)).told(Receipt("Echo.requests", 3, offset), 3.0)
