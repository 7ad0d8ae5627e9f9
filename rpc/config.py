"""What the environment decides: where calls go when the code does not say."""

import os

__all__ = ["DEFAULT_TRANSPORT", "ENV_TRANSPORT", "transport_url"]

ENV_TRANSPORT = "RPC_TRANSPORT"
DEFAULT_TRANSPORT = "kafka://localhost:9092"


def transport_url() -> str:
    """Return the URL in `RPC_TRANSPORT`, else that of a broker on this machine."""
    return os.environ.get(ENV_TRANSPORT) or DEFAULT_TRANSPORT
