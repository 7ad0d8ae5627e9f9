"""What the environment decides."""

import pytest

from rpc.config import transport_url


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (None, "kafka://localhost:9092"),
        ("", "kafka://localhost:9092"),
        ("memory://tests", "memory://tests"),
    ],
)
def test_the_address_comes_from_the_environment_or_is_the_local_broker(monkeypatch, value, url):
    monkeypatch.delenv("RPC_TRANSPORT", raising=False)
    if value is not None:
        monkeypatch.setenv("RPC_TRANSPORT", value)

    assert transport_url() == url
