"""Notes beside committed offsets: what is written is read, and what a new owner makes of it."""

import base64
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from transports.kafka.ledger import LIMIT, SPAN, Claim, Crashes, Note, Offer, claim, read, write
from transports.kafka.offsets import Offsets


def note_of(base, **said):
    settled = bytearray(SPAN // 8)
    for offset in said.pop("settled", ()):
        settled[(offset - base) // 8] |= 1 << (offset - base) % 8
    said = {"high": base, **said}
    return Note(base, bytes(settled).rstrip(b"\0"), **said)


NOTES = [
    note_of(0),
    note_of(7, settled=[8, 9, 300], handed_over=True, high=400),
    note_of(5, crashes=(Crashes(5, 8, 1), Crashes(8, 9, 2), Crashes(20, 40, 1))),
    note_of(5, crashes=(Crashes(5, 8, 3),), begun=frozenset({5, 7})),
]


@pytest.mark.parametrize("note", NOTES)
def test_what_is_written_is_read(note):
    text, kept = write(note)

    assert kept == note
    assert read(note.base, text) == note


def test_of_what_does_not_fit_the_far_end_is_left_away_and_the_rest_is_told():
    base = 1_000
    settled = [base + n for n in range(1, SPAN) if hash((n, "salt")) % 3]
    note = note_of(base, settled=settled, crashes=(Crashes(base, base + 1, 2),))
    text, kept = write(note)

    assert LIMIT // 2 < len(text) <= LIMIT
    assert read(base, text) == kept
    assert 0 < len(kept.settled) < len(note.settled)
    assert kept.settled == note.settled[: len(kept.settled)]
    assert kept.crashes == note.crashes


def test_of_too_many_ranges_those_with_the_fewest_crashes_are_left_away():
    crashes = tuple(Crashes(n, n + 1, 2 if n % 100 == 0 else 1) for n in range(0, 1000, 2))
    text, kept = write(note_of(0, crashes=crashes))

    assert len(text) <= LIMIT
    assert read(0, text) == kept
    assert [one for one in crashes if one.times == 2] == [
        one for one in kept.crashes if one.times == 2
    ]


@pytest.mark.parametrize("limit", [0, 10, 40, 100, LIMIT])
def test_a_note_is_never_longer_than_allowed(limit):
    for note in NOTES:
        text, kept = write(note, limit)
        assert len(text) <= limit
        assert (read(note.base, text) or Note(note.base)) == kept


def packed(data, prefix="parley.1:"):
    return prefix + base64.b64encode(zlib.compress(data)).decode()


HEAD = [5, 0, 0, [], []]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a note of somebody else",
        "parley.1:",
        "parley.1:%%%",
        "parley.1:" + base64.b64encode(b"not packed").decode(),
        packed(json.dumps(HEAD).encode(), prefix="parley.2:"),
        packed(b"\xff\xfe\n"),
        packed(b"{}\n"),
        packed(b"[" * 20_000),
        packed(b"9" * 20_000),
        packed(json.dumps([6, 0, 0, [], []]).encode()),
        packed(json.dumps([5, 0, -1, [], []]).encode()),
        packed(json.dumps([5, 0, True, [], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 3, 1]], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 5, 0]], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 5, 1], [4, 6, 1]], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 5]], []]).encode()),
        packed(json.dumps([5, 0, 0, [], [1 << 70]]).encode()),
        packed(json.dumps([5, 0, 0, [], [None]]).encode()),
        packed(json.dumps([*HEAD, 1]).encode()),
        packed(json.dumps(HEAD).encode() + b"\n" + b"\0" * (SPAN // 8 + 1)),
        packed(json.dumps(HEAD).encode() + b"\n" + b"\0" * 100_000_000),
        packed(json.dumps(HEAD).encode())[:-4],
    ],
)
def test_a_text_that_makes_no_sense_is_as_good_as_none(text):
    assert read(5, text) is None


@given(st.integers(0, 9), st.binary(max_size=60))
def test_any_bytes_are_read_or_ignored(base, data):
    for text in (data.decode("latin-1"), packed(data), "parley.1:" + data.hex()):
        found = read(base, text)
        assert found is None or found.base == base


def text_of(note):
    return write(note)[0]


@pytest.mark.parametrize(
    ("found", "end", "doubt", "crashes"),
    [
        # In order: nothing is charged to anybody.
        (note_of(5, handed_over=True, high=9), 20, 9, ()),
        (note_of(5, handed_over=True, high=5), 20, 5, ()),
        (note_of(5, handed_over=True, high=9, crashes=(Crashes(5, 7, 2),)), 20, 9, ((5, 7, 2),)),
        # A crash: all that was there may have been under way.
        (note_of(5), 20, 20, ((5, 20, 1),)),
        (note_of(5), 5, 5, ()),
        (note_of(5, crashes=(Crashes(5, 20, 1),)), 30, 30, ((5, 20, 2), (20, 30, 1))),
        (note_of(5, crashes=(Crashes(8, 10, 1),)), 12, 12, ((5, 8, 1), (8, 10, 2), (10, 12, 1))),
        # A suspect is charged only if it had been begun.
        (note_of(5, crashes=(Crashes(5, 8, 2),)), 8, 8, ((5, 8, 2),)),
        (
            note_of(5, crashes=(Crashes(5, 8, 2),), begun=frozenset({6})),
            8,
            8,
            ((5, 6, 2), (6, 7, 3), (7, 8, 2)),
        ),
        (note_of(5, crashes=(Crashes(5, 6, 2),), begun=frozenset({5})), 6, 6, ((5, 6, 3),)),
        # The end of the log can't be before what is committed; if it seems so, nobody knows more.
        (note_of(5), 3, 5, ()),
        # Nothing is noted, though somebody committed.
        (None, 7, 7, ((5, 7, 1),)),
    ],
)
def test_what_a_new_owner_begins_with(found, end, doubt, crashes):
    got = claim(Offer(5, "" if found is None else text_of(found), 0, end))

    assert (got.committed, got.doubt) == (5, doubt)
    assert got.note.crashes == crashes
    assert not got.note.handed_over
    assert got.note.begun == frozenset()


def test_a_partition_that_nobody_ever_had_is_without_doubt():
    got = claim(Offer(None, "", 3, 50))

    assert got == Claim(None, Note(3, high=3), 3)


def test_what_is_noted_as_settled_is_taken_over():
    got = claim(Offer(5, text_of(note_of(5, settled=[7, 9])), 0, 12))

    assert [offset for offset in range(5, 12) if got.note.settles(offset)] == [7, 9]


class Owners(RuleBasedStateMachine):
    """One partition, and owners in turn, who hand it over or die, against what really happened."""

    def __init__(self) -> None:
        super().__init__()
        self.end = 0
        self.committed: tuple[int, str] | None = None
        self.offsets: Offsets | None = None
        self.ever_out: set[int] = set()
        self.ever_settled: set[int] = set()
        self.durable: set[int] = set()
        self.out: dict[int, object] = {}
        self.counts: dict[int, int] = {}
        self.begun: set[int] = set()
        self.durably_begun: set[int] = set()
        self.position = 0

    def store(self, marks):
        for mark in marks.values():
            assert set(range(mark.offset)) <= self.ever_settled
            self.committed = (mark.offset, mark.text)
            self.durable |= {o for o in self.ever_settled if mark.covers(o)}
            self.durably_begun = set(mark.note.begun)

    @rule(count=st.integers(1, 5))
    def append(self, count):
        self.end += count

    @precondition(lambda self: self.offsets is None)
    @rule()
    def take_over(self):
        offset, text = self.committed or (None, "")
        made = claim(Offer(offset, text, 0, self.end))
        text = write(made.note)[0]
        self.committed = (made.note.base, text)
        self.offsets = Offsets()
        self.offsets.assign({0: made}, "topic")
        self.position, self.out, self.begun = made.note.base, {}, set()
        self.ever_settled &= self.durable  # what the last owner knew alone is forgotten
        self.durably_begun = set()

    @precondition(lambda self: self.offsets is not None and self.position < self.end)
    @rule(count=st.integers(1, 4))
    def hand_out(self, count):
        for offset in range(self.position, min(self.end, self.position + count)):
            self.position = offset + 1
            log = self.offsets.take(0, offset, 1)
            assert (log is None) == (offset in self.durable)
            if log is None:
                continue
            assert log.redelivered(offset) or offset not in self.ever_out
            assert log.crashes(offset) == self.counts.get(offset, 0)
            self.out[offset] = log
            self.ever_out.add(offset)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def settle(self, data):
        offset = data.draw(st.sampled_from(sorted(self.out)))
        assert self.out.pop(offset).settle(offset)
        self.ever_settled.add(offset)
        self.begun.discard(offset)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def begin(self, data):
        offset = data.draw(st.sampled_from(sorted(self.out)))
        self.out[offset].begin(offset)
        if self.counts.get(offset, 0) >= 2:
            self.begun.add(offset)
        assert self.out[offset].begun(offset) == (offset in self.begun)

    @precondition(lambda self: self.offsets is not None)
    @rule(told=st.booleans())
    def commit(self, told):
        marks = self.offsets.committable()
        self.store(marks)
        if told:
            self.offsets.committed(marks)
            assert not self.offsets.changed
            assert self.durable == self.ever_settled
            assert self.durably_begun == self.begun

    @precondition(lambda self: self.offsets is not None)
    @rule()
    def hand_over(self):
        self.store(self.offsets.handover())
        self.offsets = None
        self.out = {}

    @precondition(lambda self: self.offsets is not None)
    @rule(seen=st.integers(0, 3))
    def die(self, seen):
        self.end += seen
        for offset in range(self.committed[0], self.end):
            count = self.counts.get(offset, 0)
            if count < 2 or offset in self.durably_begun:
                self.counts[offset] = count + 1
        self.offsets = None
        self.out = {}
        # Its successor comes at once: what is appended later is charged to nobody.
        self.take_over()


Owners.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestOwners = Owners.TestCase
