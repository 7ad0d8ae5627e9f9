"""Text of peers: short, on one line, and without anything that a terminal obeys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.text import MAX_TEXT, scrubbed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße", "grüße"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
        ("x" * 2000, "x" * (MAX_TEXT - 3) + "..."),
    ],
)
def test_controls_are_shown_and_length_is_bounded(text, shown):
    assert scrubbed(text) == shown


@given(st.text(alphabet=st.characters(codec=None), max_size=300), st.integers(10, 100))
def test_whatever_comes_is_printable_and_fits(text, limit):
    shown = scrubbed(text, limit)

    assert shown.isprintable()
    assert len(shown.encode()) <= limit
