"""The suite that holds a transport against each sentence of `transports.base`.

Any implementation can run it by its URL:

    RPC_CONFORMANCE_URL=scheme://... pytest --pyargs transports.conformance

or in its own tests, by a subclass that says how to open it:

    class TestMine(TransportConformance):
        @pytest.fixture
        def factory(self):
            return lambda: MyTransport("host:port")

Needs pytest. Each test makes a topic of its own, waits for conditions and never sleeps.
"""

import pytest

# Before they are imported, so that a failing assert shows its values.
pytest.register_assert_rewrite(
    "transports.conformance.custody",
    "transports.conformance.harness",
    "transports.conformance.inboxes",
    "transports.conformance.lifecycle",
    "transports.conformance.packing",
    "transports.conformance.sending",
    "transports.conformance.sharing",
)

from transports.conformance.custody import (  # noqa: E402 - as said above
    CustodyConformance,
    GroupConformance,
)
from transports.conformance.inboxes import InboxConformance  # noqa: E402 - as said above
from transports.conformance.lifecycle import LifecycleConformance  # noqa: E402 - as said above
from transports.conformance.packing import PackingConformance  # noqa: E402 - as said above
from transports.conformance.sending import SendingConformance  # noqa: E402 - as said above
from transports.conformance.sharing import SharingConformance  # noqa: E402 - as said above

__all__ = ["TransportConformance"]


class TransportConformance(
    SendingConformance,
    SharingConformance,
    CustodyConformance,
    GroupConformance,
    InboxConformance,
    PackingConformance,
    LifecycleConformance,
):
    """All of it. A subclass overrides `factory`, and `patience` where the default does not fit."""
