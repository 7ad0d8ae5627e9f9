import gc
import os
import weakref

from transports.forks import renew_in_child


class Renewed:
    def __init__(self):
        self.pids = []

    def after_fork(self):
        self.pids.append(os.getpid())


def told_by_a_child(tell):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, tell().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told, child


def test_what_lives_is_renewed_in_the_child_and_not_in_the_parent():
    things = [Renewed(), Renewed()]
    for thing in things:
        renew_in_child(thing)

    told, child = told_by_a_child(lambda: repr([thing.pids for thing in things]))

    assert told == repr([[child], [child]])
    assert [thing.pids for thing in things] == [[], []]


def test_nothing_is_kept_alive_for_it():
    thing = Renewed()
    renew_in_child(thing)
    gone = weakref.ref(thing)

    del thing
    gc.collect()

    assert gone() is None
