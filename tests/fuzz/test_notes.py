"""Any text beside a committed offset: nothing noted, or a state that can be gone on from."""

import base64
import json
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from transports.kafka.ledger import LIMIT, SPAN, Offer, claim, read, write

FUZZ = settings.get_profile("fuzz")
numbers = (
    st.integers(0, 99)
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([2**62 - 1, 2**62, True, None, 1.5, "7", "1" * 5000])
)
lists = st.lists(numbers | st.lists(numbers, max_size=4), max_size=6)
heads = st.one_of(
    st.tuples(numbers, numbers, numbers, st.lists(lists, max_size=4), lists, lists).map(list),
    st.tuples(st.just(7), st.booleans(), numbers, lists, lists, st.lists(lists)).map(list),
    st.tuples(
        st.just(7),
        st.just(0),
        st.integers(0, 99),
        st.just([]),
        st.just([]),
        st.lists(st.tuples(numbers, numbers).map(list), max_size=4),
    ).map(list),
    st.recursive(numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
).map(lambda head: json.dumps(head).encode())
payloads = st.one_of(
    st.builds(lambda head, settled: head + b"\n" + settled, heads, st.binary(max_size=80)),
    st.binary(max_size=80),
    st.integers(0, 40_000).map(lambda depth: b"[" * depth),
    st.sampled_from([bytes(1 << 20), b"[7,0,0,[],[],[]]\n" + b"\xff" * (SPAN // 8)]),
)


@st.composite
def texts(draw):
    """Return text as it may stand there: of ours, of ours but spoilt, or of others."""
    packed = bytearray(zlib.compress(draw(payloads)))
    for _ in range(draw(st.integers(0, 2))):
        packed[draw(st.integers(0, len(packed) - 1))] = draw(st.integers(0, 255))
    return (
        draw(st.sampled_from(["parley.2:", "parley.2:", "parley.2:", "parley.1:", ""]))
        + base64.b64encode(packed).decode()
        + draw(st.sampled_from(["", "", "=", "é", "\x00"]))
    )


@FUZZ
@given(
    texts() | st.text(max_size=50), st.integers(0, 9) | st.integers(0, 2**60), st.integers(0, 50)
)
def test_any_text_is_nothing_or_a_state_to_go_on_from(text, base, ahead):
    found = read(base, text)
    taken = claim(Offer(base, text, 0, base + ahead))

    assert found is None or found.base == base
    assert taken.committed == taken.note.base == base
    assert not taken.note.handed_over
    written, said = write(taken.note)
    assert len(written) <= LIMIT
    assert read(base, written) == said
