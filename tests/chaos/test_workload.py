"""What the service under test is asked for."""

import pytest

from chaos.workload import SETTINGS, large_size


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ("", None),
        ("client=confluent&frames=false", None),
        ("max_chunked_bytes=500000&max_message_bytes=20000", 60_000),
        ("max_message_bytes=20000&max_chunked_bytes=500000", 60_000),
        ("max_chunked_bytes=5000000", None),
    ],
)
def test_a_text_is_large_where_it_can_go_in_chunks(monkeypatch, settings, length):
    monkeypatch.setenv(SETTINGS, settings)

    assert large_size() == length
