"""Writing records: byte by byte what kafka-python writes."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from transports.base import Message
from transports.kafka.driver.write import BatchBuilder

HEADER = st.tuples(st.text(max_size=20), st.binary(max_size=300))
OFTEN = st.sampled_from([("a", b"1"), ("b", b"2"), ("b", b"3")])  # neighbours that agree in some
HEADERS = st.lists(HEADER | OFTEN, max_size=5).map(tuple)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**40), st.none() | st.binary(max_size=200), st.binary(), HEADERS),
        min_size=1,
        max_size=5,
    )
)
def test_a_batch_is_the_one_that_stock_writes(records):
    stock = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 24,
    )
    start, ours, batch = len(stock._buffer), b"", BatchBuilder(0, 1 << 24)
    first = records[0][0]
    for offset, (timestamp, key, body, headers) in enumerate(records):
        stock.append(offset, timestamp, key, body, headers)
        ours += batch.encoded(offset, timestamp - first, Message(body, headers, key))

    assert bytes(stock._buffer[start:]) == ours
