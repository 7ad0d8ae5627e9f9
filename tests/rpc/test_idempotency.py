"""Replies that are kept: by any store, and by the one in memory."""

import ast
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from rpc.clock import ManualClock
from rpc.idempotency import Begun, MemoryStore, Mismatch, Running, StoredReply
from rpc.idempotency_sqlite import LeaseLost, SqliteStore

WORK, OTHER = ("Ledger.pay", b"key:1"), ("Ledger.pay", b"key:2")
REPLY = StoredReply(None, "application/json", b"5")
AGAIN = StoredReply("ABORTED", "application/json", b"{}")


@pytest.fixture(params=["memory", "sqlite"])
def store(request, clock, tmp_path):
    if request.param == "memory":
        yield MemoryStore(window=600, clock=clock)
        return
    with SqliteStore(tmp_path / "work.db", window=600, clock=clock) as made:
        yield made


def test_work_is_begun_once_and_its_reply_is_kept(store):
    begun = store.begin(WORK, b"f", 10)
    running = store.begin(WORK, b"f", 10)
    kept = store.finish(WORK, begun.fence, REPLY)

    assert (running, kept) == (Running(), REPLY)
    assert store.begin(WORK, b"f", 10) == REPLY
    assert isinstance(store.begin(OTHER, b"f", 10), Begun)


def test_other_arguments_are_refused_while_it_runs_and_afterwards(store):
    begun = store.begin(WORK, b"f", 10)
    assert store.begin(WORK, b"g", 10) == Mismatch()
    store.finish(WORK, begun.fence, REPLY)

    assert store.begin(WORK, b"g", 10) == Mismatch()


def test_abandoned_work_is_begun_again(store):
    first = store.begin(WORK, b"f", 10)
    store.abandon(WORK, first.fence)
    second = store.begin(WORK, b"f", 10)

    assert second.fence > first.fence


def test_work_whose_lease_ran_out_is_taken_over_and_the_first_one_changes_nothing(store, clock):
    first = store.begin(WORK, b"f", 10)
    clock.advance(10)
    second = store.begin(WORK, b"f", 10)
    store.abandon(WORK, first.fence)

    assert second.fence > first.fence
    assert store.finish(WORK, first.fence, AGAIN) is None
    assert store.begin(WORK, b"f", 10) == Running()
    assert store.finish(WORK, second.fence, REPLY) == REPLY


def test_a_reply_is_forgotten_after_the_window(store, clock):
    begun = store.begin(WORK, b"f", 10)
    store.finish(WORK, begun.fence, REPLY)
    clock.advance(600)

    assert isinstance(store.begin(WORK, b"other", 10), Begun)


def test_the_memory_is_bounded_by_count_and_bytes_and_the_oldest_go_first(clock):
    store = MemoryStore(entries=2, size=100, clock=clock)
    for number in range(3):
        work = ("m", b"%d" % number)
        store.finish(work, store.begin(work, b"f", 10).fence, REPLY)

    assert store.forgotten == 1
    assert isinstance(store.begin(("m", b"0"), b"f", 10), Begun)
    assert store.begin(("m", b"2"), b"f", 10) == REPLY
    big = store.begin(OTHER, b"f", 10)
    store.finish(OTHER, big.fence, StoredReply(None, "application/json", b"x" * 101))
    assert store.forgotten == 4


# -- SQLite ----------------------------------------------------------------------------------------


def test_a_file_keeps_replies_over_a_restart(tmp_path):
    path = tmp_path / "work.db"
    with SqliteStore(path) as store:
        store.finish(WORK, store.begin(WORK, b"f", 10).fence, REPLY)
    with SqliteStore(path) as store:
        assert store.begin(WORK, b"f", 10) == REPLY


CHILD = """
    import os, sys
    from rpc.idempotency_sqlite import SqliteStore

    store = SqliteStore(sys.argv[1])
    print(store.begin(("Ledger.pay", b"key:1"), b"f", 3600.0), flush=True)
    sys.stdin.read()
    os._exit(9)
"""


def test_work_of_a_process_that_lives_runs_elsewhere_and_that_of_a_dead_one_is_taken_over(tmp_path):
    path = tmp_path / "work.db"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child, SqliteStore(path) as store:
        assert child.stdout.readline() == "Begun(fence=1)\n"
        living = store.begin(WORK, b"f", 10)
        child.kill()
        child.wait()
        dead = store.begin(WORK, b"f", 10)

    assert (living, dead) == (Running(), Begun(2))


def test_one_database_has_one_folder_of_life_by_whatever_name_it_is_opened(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "work.db")
    monkeypatch.chdir(tmp_path / "data")
    with (
        SqliteStore("work.db") as relative,
        SqliteStore(tmp_path / "data" / "work.db") as absolute,
        SqliteStore(tmp_path / "link.db") as link,
    ):
        monkeypatch.chdir(tmp_path)
        absolute.begin(WORK, b"f", 10)

        assert [relative.begin(WORK, b"f", 10), link.begin(WORK, b"f", 10)] == [Running()] * 2


FORKED = """
    import os, signal, sys, threading
    from rpc.idempotency import StoredReply
    from rpc.idempotency_sqlite import SqliteStore

    WORK, REPLY = ("Ledger.pay", b"key:1"), StoredReply(None, "text/plain", b"")

    def hold():
        with store._lock:
            held.set()
            go.wait()

    def refused(function, *arguments):
        try:
            function(*arguments)
        except RuntimeError as error:
            return str(error)

    with SqliteStore(sys.argv[1]) as store:
        begun = store.begin(WORK, b"f", 3600.0)
        held, go = threading.Event(), threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        child = os.fork()
        if not child:
            signal.alarm(20)  # nobody else ends it, should it wait for the lock
            print(refused(store.begin, WORK, b"f", 1.0))
            print(refused(store.finish, WORK, 1, REPLY))
            print(refused(store.abandon, WORK, 1))
            print(refused(store.complete, None, WORK, 1, REPLY), flush=True)
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        go.set()
        holder.join()
        with SqliteStore(sys.argv[1]) as other:
            print(other.begin(WORK, b"f", 1.0))
"""


def test_a_forked_child_does_nothing_to_the_store_of_its_parent(tmp_path, run_script):
    ran = run_script(FORKED, str(tmp_path / "work.db"), forks=True)
    refused = "the store was made before a fork; make another in the child"

    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [*[refused] * 4, "7", "Running()"]


RIVAL = """
    import os, random, sys, threading
    from concurrent.futures import ThreadPoolExecutor
    from rpc.idempotency import Begun, Running, StoredReply
    from rpc.idempotency_sqlite import SqliteStore

    sys.stdin.readline()  # all open the file at once
    pause = threading.Event()

    def settle(number):
        work = ("Ledger.pay", b"%d" % number)
        while True:
            found = store.begin(work, b"f", 60.0)
            if isinstance(found, Begun):
                done.append(number)
                mine = StoredReply(None, "text/plain", b"%d" % os.getpid())
                return number, store.finish(work, found.fence, mine).body.decode()
            if not isinstance(found, Running):
                return number, found.body.decode()
            pause.wait(0.001)

    with SqliteStore(sys.argv[1], wait=60.0) as store, ThreadPoolExecutor(4) as pool:
        done, numbers = [], list(range(100))
        random.shuffle(numbers)
        replies = dict(pool.map(settle, numbers))
    print(sorted(done))
    print(sorted(replies.items()))
"""


def test_processes_that_contend_for_one_file_do_each_piece_of_work_once_and_agree(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(RIVAL), str(tmp_path / "work.db")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    rivals = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]
    try:
        for rival in rivals:
            rival.stdin.write("go\n")
            rival.stdin.flush()
        told = [rival.communicate(timeout=90) for rival in rivals]
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()

    assert [error for _, error in told] == ["", "", ""]
    done, replies = zip(*(said.splitlines() for said, _ in told), strict=True)
    assert sorted(number for one in done for number in ast.literal_eval(one)) == list(range(100))
    assert len(set(replies)) == 1


def test_a_reply_is_kept_in_the_transaction_of_the_handler_or_not_at_all(tmp_path, clock):
    path = tmp_path / "work.db"

    with SqliteStore(path, clock=clock) as store:
        begun = store.begin(WORK, b"f", 10)
        own = sqlite3.connect(path)
        store.complete(own, WORK, begun.fence, REPLY)
        own.rollback()
        assert store.begin(WORK, b"f", 10) == Running()
        store.complete(own, WORK, begun.fence, REPLY)
        own.commit()

        assert store.finish(WORK, begun.fence, AGAIN) == REPLY
        assert store.begin(WORK, b"f", 10) == REPLY
        own.close()


def test_whoever_lost_the_lease_can_not_complete(tmp_path, clock):
    path = tmp_path / "work.db"

    with SqliteStore(path, clock=clock) as store:
        first = store.begin(WORK, b"f", 10)
        clock.advance(11)
        store.begin(WORK, b"f", 10)
        own = sqlite3.connect(path)
        with pytest.raises(LeaseLost):
            store.complete(own, WORK, first.fence, REPLY)
        own.close()


def test_what_is_kept_in_a_transaction_is_not_abandoned_but_told(tmp_path, clock):
    path = tmp_path / "work.db"

    with SqliteStore(path, clock=clock) as store:
        begun = store.begin(WORK, b"f", 10)
        own = sqlite3.connect(path)
        store.complete(own, WORK, begun.fence, REPLY)
        own.commit()
        own.close()

        assert store.abandon(WORK, begun.fence) == REPLY
        assert store.begin(WORK, b"f", 10) == REPLY


def test_no_fence_comes_twice_within_the_window(tmp_path, clock):
    with SqliteStore(tmp_path / "work.db", window=60, clock=clock) as store:
        straggler = store.begin(WORK, b"f", 10)
        clock.advance(11)
        store.abandon(WORK, store.begin(WORK, b"f", 10).fence)
        clock.advance(1)
        for number in range(100):  # rows are purged meanwhile
            store.begin(("m", b"%d" % number), b"f", 10)
        store.begin(WORK, b"f", 10)

        assert store.finish(WORK, straggler.fence, REPLY) is None


def test_work_that_is_abandoned_while_one_waits_for_the_file_is_begun_by_it(tmp_path, clock):
    later = ManualClock(clock() + 1)
    path = tmp_path / "work.db"
    with SqliteStore(path, clock=clock) as waits, SqliteStore(path, clock=later) as gives_up:
        gives_up.abandon(WORK, gives_up.begin(WORK, b"f", 10).fence)

        assert waits.begin(WORK, b"f", 10) == Begun(2)


def test_old_rows_are_purged(tmp_path, clock):

    path = tmp_path / "work.db"
    with SqliteStore(path, window=60, clock=clock) as store:
        for number in range(100):
            work = ("m", b"%d" % number)
            store.finish(work, store.begin(work, b"f", 10).fence, REPLY)
        clock.advance(61)
        for number in range(100, 102):
            store.begin(("m", b"%d" % number), b"f", 10)
        own = sqlite3.connect(path)
        (count,) = own.execute("SELECT count(*) FROM rpc_work").fetchone()
        own.close()

    assert count <= 2
