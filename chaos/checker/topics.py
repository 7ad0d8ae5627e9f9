"""What stands in the topics beside what clients and servers say of them (I12, I19)."""

from collections.abc import Iterator

from chaos.checker.run import Run
from chaos.checker.violation import Violation

__all__ = ["allowed_topics", "receipts"]


def allowed_topics(run: Run) -> Iterator[Violation]:
    """I12: nothing is written to a topic that is not on the list."""
    if run.truth is None or not run.expect.topics:
        return
    prefixes = tuple(run.expect.topics)
    wrong: dict[str, int] = {}
    for record in run.truth.records:
        if not record.topic.startswith(prefixes):
            wrong[record.topic] = wrong.get(record.topic, 0) + 1
    for topic, count in wrong.items():
        yield Violation("I12", topic, f"{count} records in a topic that is not allowed")


def receipts(run: Run) -> Iterator[Violation]:
    """I19: where a client was told that its request stands, it stands."""
    if run.truth is None:
        return
    places = {
        (record.topic, record.partition, record.offset, record.part): record
        for record in run.truth.records
    }
    read = {record.topic for record in run.truth.records}
    for call in run.invoked():
        for acked in call.acked:
            part = acked.get("part", 0)
            place = (acked["topic"], acked["partition"], acked["offset"], part)
            record = places.get(place)
            if acked["topic"] not in read and record is None:
                yield Violation("I19", call.id, f"nothing stands in {acked['topic']}", call.story)
            elif record is None or record.call != call.id:
                found = "nothing" if record is None else f"{record.kind} {record.call}"
                where = f"{acked['topic']}[{acked['partition']}]@{acked['offset']}.{part}"
                yield Violation("I19", call.id, f"at {where} stands {found}", call.story)
