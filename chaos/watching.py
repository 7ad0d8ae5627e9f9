"""Writes down what a server's group decides: partitions given and taken, offsets committed.

The joint between calls and transports does not show that, so the Kafka transport is watched from
inside: its methods are wrapped, in this process alone.
"""

from typing import Any

from chaos.history import Writer
from transports.kafka.group import SharedReceiver
from transports.kafka.session import Session

__all__ = ["watch_groups"]


def watch_groups(history: Writer) -> None:
    """Write `assigned`, `revoked` and `committed` events of every member made from now on."""
    assigned, committed, released = Session.assigned, Session.committed, SharedReceiver.released
    held: dict[Session, list[int]] = {}

    def on_assigned(session: Session, claims: Any, topic_id: object) -> None:
        held[session] = sorted(claims)
        history.write("assigned", partitions=held[session])
        assigned(session, claims, topic_id)

    def on_committed(session: Session, round_: Any) -> None:
        for partition, mark in round_.marks.items():
            history.write("committed", partition=partition, offset=mark.offset)
        committed(session, round_)

    def on_released(receiver: SharedReceiver, session: Session) -> None:
        released(receiver, session)
        history.write("revoked", partitions=held.pop(session, []))

    for owner, name, watched in (
        (Session, "assigned", on_assigned),
        (Session, "committed", on_committed),
        (SharedReceiver, "released", on_released),
    ):
        setattr(owner, name, watched)
