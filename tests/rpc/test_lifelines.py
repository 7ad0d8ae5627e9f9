"""Who lives: what can't be looked at is not dead."""

import os
import resource

import pytest

from rpc.lifelines import Lifelines


@pytest.fixture
def life(tmp_path):
    """Return what makes one of several, who hold their locks until the end."""
    made = []

    def make():
        made.append(Lifelines(tmp_path / "servers"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_one_lives_until_it_is_closed(life, tmp_path):
    one, other = life(), Lifelines(tmp_path / "servers")
    living = one.holds(other.name)
    other.close()

    assert (living, one.holds(other.name)) == (True, False)


def test_one_lives_though_there_is_no_descriptor_left_to_look_at_it(life):
    one, other = life(), life()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        living = one.holds(other.name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert living


def test_of_one_of_another_user_it_is_told_whether_it_lives(life, tmp_path, monkeypatch):
    one, other, dead, opened = life(), life(), tmp_path / "servers" / "dead", os.open
    dead.touch()

    def open_as_another_user(path, flags):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(path)
        return opened(path, flags)

    monkeypatch.setattr(os, "open", open_as_another_user)

    assert (one.holds(other.name), one.holds("dead")) == (True, False)
