"""What a log says at its end. Pure."""

__all__ = ["log_tail"]

_LINES = 20


def log_tail(text: str) -> str:
    """Return the last lines of `text` without the frames of Java's stack traces."""
    lines = [line for line in text.splitlines() if line.strip() and not _is_frame(line)]
    return "\n".join(lines[-_LINES:])


def _is_frame(line: str) -> bool:
    return line.startswith(("\tat ", "\t... "))
