"""Transports that each break one promise, with the conformance suite over each.

Not collected with the tests: `test_conformance` runs it and wants to see it fail.
"""

# ruff: noqa: RUF012 - what instances share by a class attribute is how some of these are broken

import itertools
import time
import uuid
from collections import defaultdict
from threading import Event, current_thread, main_thread
from zlib import crc32

import pytest
from msgspec.structs import replace

from transports.base import Address, Delivery, GroupState
from transports.conformance import TransportConformance
from transports.errors import MessageRefused, TransportClosed, TransportError
from transports.faults import Fault, Faults
from transports.faulty import FaultyTransport
from transports.forwarding import ForwardingTransport
from transports.memory import MemoryTransport


class PromiseBrokenError(Exception):
    """Raised where nothing may be."""


class Sound(ForwardingTransport):
    """Hands everything on to a memory transport. Whatever is broken is broken in a subclass."""

    max_unacked = 100

    def __init__(self):
        super().__init__(MemoryTransport(type(self).__name__, max_unacked=self.max_unacked))


class Watched:
    """The custody of a delivery that was handed on: acknowledged as the receiver says."""

    def __init__(self, receiver, delivery):
        self.receiver = receiver
        self.delivery = delivery

    def ack(self, delivery):
        self.receiver.ack(self.delivery)
        return self.delivery.acked

    def begin(self, delivery):
        self.receiver.begin(self.delivery)

    def commit(self, delivery, then):
        self.receiver.commit(self.delivery, then)

    def owned(self, delivery):
        return self.receiver.owned(self.delivery)

    def lost(self, delivery):
        return self.receiver.lost(self.delivery)

    def give_back(self, delivery):
        return self.receiver.give_back(self.delivery)


class SoundReceiver:
    """Hands everything on to a receiver."""

    def __init__(self, inner):
        self.inner = inner
        self.closed = False

    @property
    def address(self):
        return self.inner.address

    def receive(self, max_wait):
        return [self.seen(delivery) for delivery in self.inner.receive(max_wait)]

    def seen(self, delivery):
        return Delivery(
            delivery.message,
            delivery.receipt,
            delivery.timestamp,
            Watched(self, delivery),
            redelivered=delivery.redelivered,
            crashes=delivery.crashes,
        )

    def ack(self, delivery):
        delivery.ack()

    def begin(self, delivery):
        delivery.begin()

    def commit(self, delivery, then):
        delivery.commit(then)

    def owned(self, delivery):
        return delivery.owned

    def lost(self, delivery):
        return delivery.lost

    def give_back(self, delivery):
        return delivery.give_back()

    def close(self, timeout):
        self.closed = True
        self.inner.close(timeout)


def with_receiver(shared=None, inbox=None):
    """Return a transport whose receivers of that kind are wrapped in that class."""

    class Wrapping(Sound):
        def receiver(self, address, *, shared):
            kind = self.kinds[shared]
            opened = self._inner.receiver(address, shared=shared)
            return kind(opened) if kind else opened

        kinds = {True: shared, False: inbox}

    return Wrapping


# Sending


class KeepsOneOfEachHeader(Sound):
    def send(self, address, message, on_sent, **options):
        headers = tuple(dict(message.headers).items())
        self._inner.send(address, replace(message, headers=headers), on_sent, **options)


class TakesAnEmptyKeyForNone(Sound):
    def send(self, address, message, on_sent, **options):
        self._inner.send(address, replace(message, key=message.key or None), on_sent, **options)


class Truncates(Sound):
    def send(self, address, message, on_sent, **options):
        self._inner.send(address, replace(message, body=message.body[:500_000]), on_sent, **options)


class GivesTheWrongReceipt(Sound):
    def send(self, address, message, on_sent, **options):
        def wrong(outcome):
            on_sent(outcome if isinstance(outcome, TransportError) else replace(outcome, offset=0))

        self._inner.send(address, message, wrong, **options)


class TellsTwice(Sound):
    def send(self, address, message, on_sent, **options):
        def twice(outcome):
            on_sent(outcome)
            on_sent(outcome)

        self._inner.send(address, message, twice, **options)


class TellsNoErrors(Sound):
    def send(self, address, message, on_sent, **options):
        def only_good(outcome):
            if not isinstance(outcome, TransportError):
                on_sent(outcome)

        self._inner.send(address, message, only_good, **options)


class RaisesErrors(Sound):
    def send(self, address, message, on_sent, **options):
        def raising(outcome):
            if isinstance(outcome, TransportError):
                errors.append(outcome)
            on_sent(outcome)

        errors = []
        self._inner.send(address, message, raising, **options)
        if errors:
            raise PromiseBrokenError("send raises")


class EndsWithTheFirstRefusal(Sound):
    ended = False

    def send(self, address, message, on_sent, **options):
        self.ended = self.ended or len(message.body) > 10_000_000
        if self.ended:
            on_sent(TransportClosed("ended for ever"))
            return
        self._inner.send(address, message, on_sent, **options)


def swaps_neighbours():
    return FaultyTransport(MemoryTransport("swaps"), Faults(reorder=0.5, hold=0.01))


def loses_some():
    return FaultyTransport(MemoryTransport("loses"), Faults(script=(None, Fault.DROP)))


def duplicates():
    return FaultyTransport(MemoryTransport("duplicates"), Faults(duplicate=1.0))


class RoutesKeysByItsOwnLights(Sound):
    lights = itertools.count()

    def __init__(self):
        super().__init__()
        self.light = next(self.lights)

    def send(self, address, message, on_sent, **options):
        if message.key is not None and address.partition is None:
            address = Address(address.topic, (crc32(message.key) + self.light) % 12)
        self._inner.send(address, message, on_sent, **options)


class SendsAllToOnePartition(Sound):
    def send(self, address, message, on_sent, **options):
        self._inner.send(
            Address(address.topic, address.partition or 0), message, on_sent, **options
        )


class AvoidsNothing(Sound):
    def send(self, address, message, on_sent, *, avoid=(), **options):
        self._inner.send(address, message, on_sent, **options)


class AvoidsWithKeysToo(Sound):
    def send(self, address, message, on_sent, *, avoid=(), **options):
        if avoid and address.partition is None:
            open_ = [n for n in range(12) if n not in avoid] or [0]
            address = Address(address.topic, open_[0])
        self._inner.send(address, message, on_sent, **options)


class RefusesWhatMustBeOnce(Sound):
    def send(self, address, message, on_sent, *, once=False, **options):
        if once:
            on_sent(MessageRefused("only as often as I like"))
        else:
            self._inner.send(address, message, on_sent, **options)


class PacksWithoutHeaders(Sound):
    def send(self, address, message, on_sent, *, packed=False, **options):
        message = replace(message, headers=()) if packed else message
        self._inner.send(address, message, on_sent, **options)


class PacksTwoAndTwo(Sound):
    """What is packed waits for another, whatever is sent meanwhile that is not."""

    def __init__(self):
        super().__init__()
        self.waiting = {}

    def send(self, address, message, on_sent, *, packed=False, **options):
        if packed and address not in self.waiting:
            self.waiting[address] = (message, on_sent)
            return
        self._inner.send(address, message, on_sent, **options)
        if packed:
            self._inner.send(address, *self.waiting.pop(address))


class PreparesNoDeadLetters(Sound):
    def prepare(self, address, timeout, *, purpose="requests"):
        if purpose == "requests":
            self._inner.prepare(address, timeout)


class HearsTheMainThreadOnly(Sound):
    def send(self, address, message, on_sent, **options):
        if current_thread() is main_thread():
            self._inner.send(address, message, on_sent, **options)


class IsAnIsland(Sound):
    def __init__(self):
        self._inner = MemoryTransport(uuid.uuid4().hex)

    def send(self, address, message, on_sent, **options):
        self._inner.prepare(address, 1)
        self._inner.send(address, message, on_sent, **options)


class PreparesOnce(Sound):
    prepared = defaultdict(int)

    def prepare(self, address, timeout, **options):
        self.prepared[address.topic] += 1
        if self.prepared[address.topic] > 1:
            raise PromiseBrokenError("prepared already")
        super().prepare(address, timeout, **options)


class PreparesAnything(Sound):
    def prepare(self, address, timeout, **options):
        self._inner.prepare(Address(address.topic), timeout, **options)


# Shared receivers


class BeginsAtTheEnd(SoundReceiver):
    def __init__(self, inner):
        super().__init__(inner)
        for delivery in inner.receive(0):
            delivery.ack()


class NamesAnotherTopic(SoundReceiver):
    @property
    def address(self):
        return Address("elsewhere")


class Broadcasts(SoundReceiver):
    everyone = defaultdict(list)

    def __init__(self, inner):
        super().__init__(inner)
        self.copies = []
        self.everyone[inner.address.topic].append(self)

    def receive(self, max_wait):
        arrived = super().receive(max_wait)
        for other in self.everyone[self.inner.address.topic]:
            if other is not self:
                other.copies += arrived
        copies, self.copies = self.copies, []
        return arrived + copies


class AcksWhatItHandsOut(SoundReceiver):
    def seen(self, delivery):
        delivery.ack()
        return delivery


class LosesAcks(SoundReceiver):
    def ack(self, delivery):
        pass


class AcksInOrderOnly(SoundReceiver):
    expected = 0

    def ack(self, delivery):
        if delivery.receipt.offset == self.expected:
            self.expected += 1
            delivery.ack()


class AcksCumulatively(SoundReceiver):
    def __init__(self, inner):
        super().__init__(inner)
        self.taken = []

    def seen(self, delivery):
        self.taken.append(delivery)
        return super().seen(delivery)

    def ack(self, delivery):
        for taken in self.taken:
            if taken.receipt.offset <= delivery.receipt.offset:
                taken.ack()


class AcksTheNextTheSecondTime(AcksCumulatively):
    def __init__(self, inner):
        super().__init__(inner)
        self.acked = set()

    def ack(self, delivery):
        offset = delivery.receipt.offset
        (self.taken[offset + 1] if offset in self.acked else delivery).ack()
        self.acked.add(offset)


class AcksAfterClose(SoundReceiver):
    settled = set()

    def ack(self, delivery):
        self.settled.add(delivery.receipt)
        delivery.ack()

    def receive(self, max_wait):
        arrived = super().receive(max_wait)
        return [delivery for delivery in arrived if delivery.receipt not in self.settled]


class NeverLeaves(SoundReceiver):
    def receive(self, max_wait):
        return [] if self.closed else super().receive(max_wait)

    def close(self, timeout):
        self.closed = True


class HasNoBound(Sound):
    max_unacked = 10**6


class StaysAtItsBound(SoundReceiver):
    taken = 0

    def receive(self, max_wait):
        if self.taken >= 100:
            return []
        arrived = super().receive(max_wait)
        self.taken += len(arrived)
        return arrived


# Custody


class SuspectsEverything(SoundReceiver):
    def seen(self, delivery):
        seen = super().seen(delivery)
        seen.redelivered = True
        return seen


class SuspectsNothing(SoundReceiver):
    def seen(self, delivery):
        seen = super().seen(delivery)
        seen.redelivered = False
        return seen


class SuspectsWhoeverComesSecond(SoundReceiver):
    topics = set()

    def __init__(self, inner):
        super().__init__(inner)
        self.second = inner.address.topic in self.topics
        self.topics.add(inner.address.topic)

    def seen(self, delivery):
        seen = super().seen(delivery)
        seen.redelivered = self.second
        return seen


class ChargesWhoeverCloses(SoundReceiver):
    def seen(self, delivery):
        seen = super().seen(delivery)
        seen.crashes = int(delivery.redelivered)
        return seen


class SettlesWhatBegins(SoundReceiver):
    def begin(self, delivery):
        delivery.ack()


class OwnsForEver(SoundReceiver):
    def owned(self, delivery):
        return True


class OwnsNothing(SoundReceiver):
    def owned(self, delivery):
        return False


class LosesNothing(SoundReceiver):
    def lost(self, delivery):
        return False


class TakesBackWhatIsHeld(SoundReceiver):
    def give_back(self, delivery):
        return True


class TakesNothingBack(SoundReceiver):
    def give_back(self, delivery):
        return False


class NeverCommits(SoundReceiver):
    def commit(self, delivery, then):
        pass


class CommitsTwice(SoundReceiver):
    def commit(self, delivery, then):
        delivery.commit(then)
        delivery.commit(then)


class CommitsAnything(SoundReceiver):
    def commit(self, delivery, then):
        then(True)


# Groups


class CountsNobody(Sound):
    def group(self, topic, timeout):
        return self._inner.group(topic, timeout)._replace(members=0)


class CountsForEver(Sound):
    most = 0

    def group(self, topic, timeout):
        state = self._inner.group(topic, timeout)
        CountsForEver.most = max(state.members, self.most)
        return state._replace(members=self.most)


class CountsInboxes(Sound):
    inboxes = 0

    def receiver(self, address, *, shared):
        self.inboxes += not shared
        return self._inner.receiver(address, shared=shared)

    def group(self, topic, timeout):
        state = self._inner.group(topic, timeout)
        return state._replace(members=state.members + self.inboxes)


class TellsWhatWasTaken(Sound):
    def group(self, topic, timeout):
        state = self._inner.group(topic, timeout)
        return state._replace(
            committed={n: mark and mark + 2 for n, mark in state.committed.items()}
        )


class TellsNoProgress(Sound):
    def group(self, topic, timeout):
        return self._inner.group(topic, timeout)._replace(committed={})


class KnowsAnyGroup(Sound):
    def group(self, topic, timeout):
        return GroupState(0, {})


# Inboxes


class InboxFromTheBeginning(Sound):
    def __init__(self):
        super().__init__()
        self.sent = defaultdict(list)

    def send(self, address, message, on_sent, **options):
        self.sent[address].append(message)
        super().send(address, message, on_sent, **options)

    def receiver(self, address, *, shared):
        opened = super().receiver(address, shared=shared)
        if not shared:
            for message in self.sent[address]:
                self._inner.send(address, message, lambda outcome: None)
        return opened


class OpensLate(SoundReceiver):
    def __init__(self, inner):
        super().__init__(inner)
        self.late = True

    def receive(self, max_wait):
        if self.late:
            self.late = False
            self.inner.receive(0)
        return super().receive(max_wait)


class NamesNoPartition(SoundReceiver):
    @property
    def address(self):
        return Address(self.inner.address.topic)


class OpensAnyPartition(Sound):
    def receiver(self, address, *, shared):
        return super().receiver(Address(address.topic), shared=shared)


class InboxesCompete(SoundReceiver):
    opened = {}

    def __init__(self, inner):
        super().__init__(self.opened.setdefault(inner.address, inner))


class BoundsTheInbox(SoundReceiver):
    taken = 0

    def receive(self, max_wait):
        self.taken += 1
        return super().receive(max_wait) if self.taken < 5 else []


# Waiting and closing


class SleepsThrough(SoundReceiver):
    def receive(self, max_wait):
        Event().wait(max_wait)
        return super().receive(0)


class WaitsTooLong(SoundReceiver):
    def receive(self, max_wait):
        return super().receive(max_wait + 0.5)


class DoesNotWait(SoundReceiver):
    def receive(self, max_wait):
        return super().receive(0)


class ClosesOnce(SoundReceiver):
    def close(self, timeout):
        if self.closed:
            raise PromiseBrokenError("closed already")
        super().close(timeout)


class DeliversAfterClose(SoundReceiver):
    def receive(self, max_wait):
        return self.last if self.closed else super().receive(max_wait)

    def close(self, timeout):
        if not self.closed:
            self.last = super().receive(0)
        super().close(timeout)


class OpensAgain(Sound):
    closed = False

    def close(self, timeout):
        self.closed = True

    def send(self, address, message, on_sent, **options):
        if self.closed:
            on_sent(TransportClosed("closed"))
        else:
            super().send(address, message, on_sent, **options)


class ForgetsTheLast(Sound):
    def __init__(self):
        super().__init__()
        self.waiting = []

    def send(self, address, message, on_sent, **options):
        for earlier in self.waiting:
            super().send(*earlier)
        self.waiting = [(address, message, on_sent)]


class StaysOpenAfterWith(Sound):
    def __exit__(self, kind, error, trace):
        pass


class Dated(SoundReceiver):
    """Says of each message another time at which it was appended."""

    shift = 0.0

    def seen(self, delivery):
        timestamp = delivery.timestamp + self.shift
        return Delivery(delivery.message, delivery.receipt, timestamp, delivery._custody)


class SaysItIsFresh(SoundReceiver):
    def seen(self, delivery):
        return Delivery(delivery.message, delivery.receipt, time.monotonic(), delivery._custody)


class CountsFromTheEpoch(Dated):
    shift = -1e9


class ComesFromTheFuture(Dated):
    shift = 1.0


class KnowsNoTime(Sound):
    def now(self):
        return None


class StandsStill(Sound):
    def now(self):
        return 1000.0


class HasNoName(Sound):
    @property
    def client_id(self):
        return ""


RECEIVERS_OF_BOTH_KINDS = (
    SleepsThrough,
    WaitsTooLong,
    DoesNotWait,
    ClosesOnce,
    DeliversAfterClose,
    NeverLeaves,
    SaysItIsFresh,
    CountsFromTheEpoch,
    ComesFromTheFuture,
)
SHARED = (
    BeginsAtTheEnd,
    NamesAnotherTopic,
    Broadcasts,
    AcksWhatItHandsOut,
    LosesAcks,
    AcksInOrderOnly,
    AcksCumulatively,
    AcksTheNextTheSecondTime,
    AcksAfterClose,
    StaysAtItsBound,
    SuspectsEverything,
    SuspectsNothing,
    SuspectsWhoeverComesSecond,
    ChargesWhoeverCloses,
    SettlesWhatBegins,
    OwnsForEver,
    OwnsNothing,
    LosesNothing,
    TakesBackWhatIsHeld,
    TakesNothingBack,
    NeverCommits,
    CommitsTwice,
    CommitsAnything,
)
INBOXES = (OpensLate, NamesNoPartition, InboxesCompete, BoundsTheInbox)
WHOLE = (
    KeepsOneOfEachHeader,
    TakesAnEmptyKeyForNone,
    Truncates,
    GivesTheWrongReceipt,
    TellsTwice,
    TellsNoErrors,
    RaisesErrors,
    EndsWithTheFirstRefusal,
    swaps_neighbours,
    loses_some,
    duplicates,
    RoutesKeysByItsOwnLights,
    SendsAllToOnePartition,
    HearsTheMainThreadOnly,
    IsAnIsland,
    PreparesOnce,
    PreparesAnything,
    HasNoBound,
    InboxFromTheBeginning,
    OpensAnyPartition,
    OpensAgain,
    ForgetsTheLast,
    StaysOpenAfterWith,
    HasNoName,
    AvoidsNothing,
    AvoidsWithKeysToo,
    RefusesWhatMustBeOnce,
    PacksWithoutHeaders,
    PacksTwoAndTwo,
    PreparesNoDeadLetters,
    CountsNobody,
    CountsForEver,
    CountsInboxes,
    TellsWhatWasTaken,
    TellsNoProgress,
    KnowsAnyGroup,
    KnowsNoTime,
    StandsStill,
)


def suite_over(opener, seconds):
    """Return the suite over one transport; a short patience, since much of it is waited out."""

    class Suite(TransportConformance):
        patience = seconds
        most_unacked = 200

        @pytest.fixture
        def factory(self):
            return opener

    return Suite


BROKEN = {
    **{opener.__name__: opener for opener in WHOLE},
    **{kind.__name__: with_receiver(shared=kind) for kind in SHARED},
    **{kind.__name__: with_receiver(inbox=kind) for kind in INBOXES},
    **{kind.__name__: with_receiver(shared=kind, inbox=kind) for kind in RECEIVERS_OF_BOTH_KINDS},
}
TestSoundReceiver = suite_over(with_receiver(SoundReceiver, SoundReceiver), 30.0)
for name, opener in BROKEN.items():
    globals()[f"Test_{name}"] = suite_over(opener, 0.3)
