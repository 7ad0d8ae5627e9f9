"""A promise that was broken, told so that one need not look into the histories."""

from typing import NamedTuple

from chaos.checker.run import Event

__all__ = ["Violation"]

_SHOWN = 12


class Violation(NamedTuple):
    """Which invariant, of which call, process or partition, and what was seen."""

    invariant: str
    """As `I3`; `V` for a run that proves nothing."""
    subject: str
    what: str
    events: tuple[Event, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.invariant} {self.subject}: {self.what}"]
        lines += [f"    {_line(event)}" for event in self.events[:_SHOWN]]
        if len(self.events) > _SHOWN:
            lines.append(f"    and {len(self.events) - _SHOWN} more")
        return "\n".join(lines)


def _line(event: Event) -> str:
    rest = {
        name: value
        for name, value in event.items()
        if name not in {"at", "event", "process"} and value is not None
    }
    fields = " ".join(f"{name}={value}" for name, value in rest.items())
    return f"{event['at']:.4f} {event.get('process', '')} {event['event']} {fields}"
