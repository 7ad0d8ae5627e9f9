import signal
import sys
import threading
import time

from rpc.flag import Flag


def test_it_is_set_for_whoever_waits_and_for_whoever_comes_later():
    flag, told = Flag(), []
    thread = threading.Thread(target=lambda: told.append(flag.wait(30)))
    thread.start()

    assert not flag.wait(0)
    assert not flag.is_set()
    flag.set()
    flag.set()
    thread.join(30)

    assert told == [True]
    assert flag.is_set()
    assert flag.wait()


def test_a_signal_that_another_thread_gets_is_heard_within_a_moment(await_true):
    flag, began = Flag(), time.monotonic()

    def get_it():
        await_true(lambda: flag._told._waiters)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
    try:
        thread = threading.Thread(target=get_it)
        thread.start()
        heard = flag.wait(30)
        thread.join(30)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert heard
    assert time.monotonic() - began < 15


def test_it_waits_no_longer_than_asked():
    began = time.monotonic()

    assert not Flag().wait(0.7)
    assert 0.7 <= time.monotonic() - began < 5


def interrupted(act, step, handler):
    """Call `act`, and `handler` in the middle of it, as a signal would; tell how far it came."""
    steps = 0

    def trace(_frame, event, _arg):
        nonlocal steps
        if event == "line":
            if steps == step:
                handler()
            steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        told = act()
    finally:
        sys.settrace(before)
    return told, steps > step


def test_a_signal_may_set_it_at_any_step_of_the_wait_that_it_interrupts():
    reached, step = True, 0
    while reached:
        flag = Flag()
        told, reached = interrupted(lambda flag=flag: flag.wait(0.05), step, flag.set)
        assert told is reached
        step += 1

    assert step > 5


def test_a_signal_may_set_it_at_any_step_of_setting_it():
    reached, step = True, 0
    while reached:
        flag, told = Flag(), []
        thread = threading.Thread(target=lambda flag=flag, told=told: told.append(flag.wait(30)))
        thread.start()
        _, reached = interrupted(flag.set, step, flag.set)
        thread.join(30)
        assert told == [True]
        step += 1

    assert step > 3
