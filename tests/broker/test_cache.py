import pytest

from transports.kafka.broker.cache import cache_folder, exclusive
from transports.kafka.broker.errors import BrokerError


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("RPC_CACHE_DIR", raising=False)
    by_xdg = cache_folder()
    monkeypatch.setenv("RPC_CACHE_DIR", str(tmp_path / "own"))
    by_name = cache_folder()

    assert by_xdg == tmp_path / "xdg" / "parley-rpc"
    assert by_name == tmp_path / "own"
    assert by_xdg.is_dir()
    assert by_name.is_dir()


def test_without_a_word_of_the_user_it_is_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("RPC_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert cache_folder().is_relative_to(tmp_path)
    assert cache_folder().name == "parley-rpc"


def test_a_cache_that_cannot_be_made_names_the_variable_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RPC_CACHE_DIR", str(tmp_path / "file" / "cache"))

    with pytest.raises(BrokerError, match=r"cannot be created .* RPC_CACHE_DIR"):
        cache_folder()


def test_a_lock_is_held_by_one_at_a_time_and_let_go(tmp_path):
    path = tmp_path / "lock"

    with exclusive(path, wait=True) as first, exclusive(path, wait=False) as second:
        both = (first, second)
    with exclusive(path, wait=False) as later:
        pass

    assert both == (True, False)
    assert later
