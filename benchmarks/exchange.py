"""What ping-pongs by hand have in common: their topics, and values with a number in front."""

import secrets
from time import perf_counter
from typing import NamedTuple

from kafka.admin import KafkaAdminClient, NewTopic

COMMIT_EVERY = 1.0  # seconds, as our servers do
_GRACE = 10.0  # seconds for what is in flight at the end


class Topics(NamedTuple):
    """One topic each way, and the group that serves."""

    requests: str
    replies: str
    group: str


def make_topics(bootstrap, name):
    """Make topics of one partition that nobody else uses."""
    stem = f"bench.{name}.{secrets.token_hex(4)}"
    topics = Topics(f"{stem}.requests", f"{stem}.replies", stem)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics(
        [
            NewTopic(topic, num_partitions=1, replication_factor=1)
            for topic in (topics.requests, topics.replies)
        ]
    )
    admin.close()
    return topics


class Exchange:
    """The exchanges in flight of one run, until `ends`."""

    def __init__(self, payload, ends):
        self.latencies = []
        self.open = {}
        self._body = b"x" * max(0, payload - 8)
        self._ends = ends
        self._next = secrets.randbits(48) << 16  # late answers to another run are not taken

    def waiting(self):
        """Tell whether answers are to be waited for: not for ever, should some be lost."""
        return self.open and perf_counter() < self._ends + _GRACE

    def next(self):
        """Begin an exchange and return what to send."""
        number = self._next.to_bytes(8, "big")
        self._next += 1
        self.open[number] = perf_counter()
        return number + self._body

    def ended(self, value):
        """Take an answer; return what to send next, None when it is time to end."""
        begun = self.open.pop(value[:8], None)
        now = perf_counter()
        if begun is None or now >= self._ends:
            return None
        self.latencies.append(now - begun)
        return self.next()
