"""Text that a peer had a hand in, made fit for messages and logs: short, and without controls."""

__all__ = ["MAX_TEXT", "scrubbed"]

MAX_TEXT = 1024
"""Bytes of UTF-8; what is longer is cut, and says so."""
_CUT = "..."


def scrubbed(text: str, limit: int = MAX_TEXT) -> str:
    """Return `text` with control characters escaped, in at most `limit` bytes of UTF-8.

    Line breaks, escape sequences of terminals, and characters that change the direction of writing
    show as `\\n` or `\\x1b`: nobody forges a line of a log with them. Lone surrogates likewise.
    """
    clean = "".join(map(_shown, text[: limit + 1]))
    raw = clean.encode()
    if len(raw) <= limit and len(text) <= limit:
        return clean
    return raw[: limit - len(_CUT)].decode(errors="ignore") + _CUT


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
