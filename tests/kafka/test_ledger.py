"""Notes beside committed offsets: what is written is read, and what a new owner makes of it."""

import base64
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from transports.kafka.ledger import (
    LIMIT,
    PARTS,
    SPAN,
    Claim,
    Crashes,
    Note,
    Offer,
    claim,
    position,
    read,
    write,
)
from transports.kafka.offsets import Offsets


def note_of(base, **said):
    settled = bytearray(SPAN // 8)
    for offset in said.pop("settled", ()):
        settled[(offset - base) // 8] |= 1 << (offset - base) % 8
    said = {"high": base, **said}
    return Note(base, bytes(settled).rstrip(b"\0"), **said)


def crashed(start, stop, times):
    """Crashes over whole records, or up to a part of one: parts are fractions of an offset."""
    return Crashes(int(start * PARTS), int(stop * PARTS), times)


NOTES = [
    note_of(0),
    note_of(7, settled=[8, 9, 300], handed_over=True, high=400),
    note_of(5, crashes=(crashed(5, 8, 1), crashed(8, 9, 2), crashed(20, 40, 1))),
    note_of(5, crashes=(crashed(5, 8, 3),), begun=frozenset({position(5), position(7, 63)})),
    note_of(5, settled=[7], parts=((5, 0b101), (9, (1 << 64) - 2))),
]


@pytest.mark.parametrize("note", NOTES)
def test_what_is_written_is_read(note):
    text, kept = write(note)

    assert kept == note
    assert read(note.base, text) == note


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize(
    "behind", ["\0", "\x11", "A", "AB", "ABC", "ABCD", "=", "A=", "AB==", "ABCDE\0"]
)
def test_a_note_is_read_whatever_librdkafka_shows_behind_it(note, behind):
    text, _ = write(note)

    assert read(note.base, text + behind) == note


def test_of_what_does_not_fit_the_far_end_is_left_away_and_the_rest_is_told():
    base = 1_000
    settled = [base + n for n in range(1, SPAN) if hash((n, "salt")) % 3]
    note = note_of(base, settled=settled, crashes=(crashed(base, base + 1, 2),))
    text, kept = write(note)

    assert LIMIT // 2 < len(text) <= LIMIT
    assert read(base, text) == kept
    assert 0 < len(kept.settled) < len(note.settled)
    assert kept.settled == note.settled[: len(kept.settled)]
    assert kept.crashes == note.crashes


def test_of_too_many_ranges_those_with_the_fewest_crashes_are_left_away():
    crashes = tuple(crashed(n, n + 1, 2 if n % 100 == 0 else 1) for n in range(0, 1000, 2))
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


def packed(data, prefix="parley.2:"):
    return prefix + base64.b64encode(zlib.compress(data)).decode()


HEAD = [5, 0, 0, [], [], []]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a note of somebody else",
        "parley.2:",
        "parley.2:%%%",
        "parley.2:" + base64.b64encode(b"not packed").decode(),
        packed(json.dumps(HEAD).encode(), prefix="parley.1:"),
        packed(b"\xff\xfe\n"),
        packed(b"{}\n"),
        packed(b"[" * 20_000),
        packed(b"9" * 20_000),
        packed(json.dumps([6, 0, 0, [], [], []]).encode()),
        packed(json.dumps([5, 0, -1, [], [], []]).encode()),
        packed(json.dumps([5, 0, True, [], [], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 3, 1]], [], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 5, 0]], [], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 5, 1], [4, 6, 1]], [], []]).encode()),
        packed(json.dumps([5, 0, 0, [[3, 5]], [], []]).encode()),
        packed(json.dumps([5, 0, 0, [], [1 << 70], []]).encode()),
        packed(json.dumps([5, 0, 0, [], [None], []]).encode()),
        packed(json.dumps([*HEAD, 1]).encode()),
        packed(json.dumps(HEAD[:-1]).encode()),
        packed(json.dumps([*HEAD[:-1], [[1]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[1, 0]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[1, 1 << 64]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[1, True]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[-1, 1]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[2, 1], [1, 1]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[1, 1], [1, 2]]]).encode()),
        packed(json.dumps([*HEAD[:-1], [[n, 1] for n in range(257)]]).encode()),
        packed(json.dumps(HEAD).encode() + b"\n" + b"\0" * (SPAN // 8 + 1)),
        packed(json.dumps(HEAD).encode() + b"\n" + b"\0" * 100_000_000),
        packed(json.dumps(HEAD).encode())[:-4],
    ],
)
def test_a_text_that_makes_no_sense_is_as_good_as_none(text):
    assert read(5, text) is None


@given(st.integers(0, 9), st.binary(max_size=60))
def test_any_bytes_are_read_or_ignored(base, data):
    for text in (data.decode("latin-1"), packed(data), "parley.2:" + data.hex()):
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
        (note_of(5, handed_over=True, high=9, crashes=(crashed(5, 7, 2),)), 20, 9, ((5, 7, 2),)),
        # A crash: all that was there may have been under way.
        (note_of(5), 20, 20, ((5, 20, 1),)),
        (note_of(5), 5, 5, ()),
        (note_of(5, crashes=(crashed(5, 20, 1),)), 30, 30, ((5, 20, 2), (20, 30, 1))),
        (note_of(5, crashes=(crashed(8, 10, 1),)), 12, 12, ((5, 8, 1), (8, 10, 2), (10, 12, 1))),
        # A suspect is charged only if it had been begun.
        (note_of(5, crashes=(crashed(5, 8, 2),)), 8, 8, ((5, 8, 2),)),
        (
            note_of(5, crashes=(crashed(5, 8, 2),), begun=frozenset({position(6)})),
            8,
            8,
            ((5, 6, 2), (6, 6 + 1 / PARTS, 3), (6 + 1 / PARTS, 8, 2)),
        ),
        (
            note_of(5, crashes=(crashed(5, 6, 2),), begun=frozenset({position(5)})),
            6,
            6,
            ((5, 5 + 1 / PARTS, 3), (5 + 1 / PARTS, 6, 2)),
        ),
        # The end of the log can't be before what is committed; if it seems so, nobody knows more.
        (note_of(5), 3, 5, ()),
        # Nothing is noted, though somebody committed.
        (None, 7, 7, ((5, 7, 1),)),
    ],
)
def test_what_a_new_owner_begins_with(found, end, doubt, crashes):
    got = claim(Offer(5, "" if found is None else text_of(found), 0, end))

    assert (got.committed, got.doubt) == (5, doubt)
    assert got.note.crashes == tuple(crashed(*one) for one in crashes)
    assert not got.note.handed_over
    assert got.note.begun == frozenset()


def test_a_partition_that_nobody_ever_had_is_without_doubt():
    got = claim(Offer(None, "", 3, 50))

    assert got == Claim(None, Note(3, high=3), 3)


def test_what_is_noted_as_settled_is_taken_over():
    got = claim(Offer(5, text_of(note_of(5, settled=[7, 9])), 0, 12))

    assert [offset for offset in range(5, 12) if got.note.settles(offset)] == [7, 9]


def test_of_the_parts_of_frames_the_far_end_is_left_away_before_anything_else():
    settled = [n for n in range(1, 20_000) if hash((n, "salt")) % 7 == 0]
    parts = tuple((n, hash((n, "parts")) % (1 << 63) | 1) for n in range(0, 600, 2))
    note = note_of(0, settled=settled, parts=parts)
    text, kept = write(note)

    assert len(text) <= LIMIT
    assert read(0, text) == kept
    assert kept.parts == parts[: len(kept.parts)]
    assert len(kept.settled) == len(note.settled) or not kept.parts


@pytest.mark.parametrize(
    ("begun", "crashes"),
    [
        ((), [(320, 384, 2)]),
        ((322,), [(320, 322, 2), (322, 323, 3), (323, 384, 2)]),
        ((320, 383), [(320, 321, 3), (321, 383, 2), (383, 384, 3)]),
    ],
)
def test_one_message_of_a_frame_is_charged_and_its_neighbours_are_not(begun, crashes):
    found = note_of(5, crashes=(crashed(5, 6, 2),), begun=frozenset(begun))

    assert claim(Offer(5, text_of(found), 0, 6)).note.crashes == tuple(
        Crashes(*one) for one in crashes
    )


class Owners(RuleBasedStateMachine):
    """One partition, and owners in turn, who hand it over or die, against what really happened.

    Of the records some are frames; `log` has how many messages each has. A place is an offset and
    a part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []
        self.committed: tuple[int, str] | None = None
        self.offsets: Offsets | None = None
        self.ever_out: set[tuple[int, int]] = set()
        self.ever_settled: set[tuple[int, int]] = set()
        self.durable: set[tuple[int, int]] = set()
        self.out: dict[tuple[int, int], object] = {}
        self.counts: dict[tuple[int, int], int] = {}
        self.begun: set[tuple[int, int]] = set()
        self.durably_begun: set[tuple[int, int]] = set()
        self.position = (0, 0)

    def places(self, start=0, end=None):
        end = len(self.log) if end is None else end
        return [(o, part) for o in range(start, end) for part in range(self.log[o])]

    def store(self, marks):
        for mark in marks.values():
            assert set(self.places(0, mark.offset)) <= self.ever_settled
            self.committed = (mark.offset, mark.text)
            self.durable |= {one for one in self.ever_settled if mark.covers(*one)}
            self.durably_begun = {divmod(one, PARTS) for one in mark.note.begun}
            assert not [one for one in self.out if mark.covers(*one)]

    @rule(records=st.lists(st.sampled_from([1, 1, 2, 3, 64]), min_size=1, max_size=3))
    def append(self, records):
        self.log += records

    @precondition(lambda self: self.offsets is None)
    @rule()
    def take_over(self):
        offset, text = self.committed or (None, "")
        made = claim(Offer(offset, text, 0, len(self.log)))
        text = write(made.note)[0]
        self.committed = (made.note.base, text)
        self.offsets = Offsets()
        self.offsets.assign({0: made}, "topic")
        self.position, self.out, self.begun = (made.note.base, 0), {}, set()
        self.ever_settled &= self.durable  # what the last owner knew alone is forgotten
        self.durably_begun = set()

    @precondition(lambda self: self.offsets is not None)
    @rule(count=st.integers(1, 70))
    def hand_out(self, count):
        for place in self.places(self.position[0]):
            if place < self.position:
                continue
            if count == 0:
                break
            count -= 1
            offset, part = place
            self.position = (offset, part + 1)
            log = self.offsets.take(0, offset, 1, part, self.log[offset])
            assert (log is None) == (place in self.durable)
            if log is None:
                continue
            assert log.redelivered(offset) or place not in self.ever_out
            assert log.crashes(offset, part) == self.counts.get(place, 0)
            self.out[place] = log
            self.ever_out.add(place)
        assert self.offsets.in_flight == self.offsets.in_flight_bytes == len(self.out)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def settle(self, data):
        place = data.draw(st.sampled_from(sorted(self.out)))
        log = self.out.pop(place)
        assert [log.settle(*place), log.settle(*place)] == [True, False]
        self.ever_settled.add(place)
        self.begun.discard(place)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def begin(self, data):
        place = data.draw(st.sampled_from(sorted(self.out)))
        self.out[place].begin(*place)
        if self.counts.get(place, 0) >= 2:
            self.begun.add(place)
        assert self.out[place].begun(*place) == (place in self.begun)

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
    @rule(seen=st.lists(st.sampled_from([1, 3]), max_size=3))
    def die(self, seen):
        self.log += seen
        for place in self.places(self.committed[0]):
            count = self.counts.get(place, 0)
            if count < 2 or place in self.durably_begun:
                self.counts[place] = count + 1
        self.offsets = None
        self.out = {}
        # Its successor comes at once: what is appended later is charged to nobody.
        self.take_over()


Owners.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestOwners = Owners.TestCase
