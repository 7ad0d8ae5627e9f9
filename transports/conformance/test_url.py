"""The suite over the transport that `RPC_CONFORMANCE_URL` names."""

from transports.conformance import TransportConformance


class TestUrl(TransportConformance):
    """Each test is one promise of `transports.base`."""
