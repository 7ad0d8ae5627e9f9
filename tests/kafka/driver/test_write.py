"""Writing records: byte by byte what kafka-python writes."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from transports.kafka.driver.write import encoded_record

HEADERS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), max_size=5).map(tuple)


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
    start, ours = len(stock._buffer), b""
    first = records[0][0]
    for offset, (timestamp, key, body, headers) in enumerate(records):
        stock.append(offset, timestamp, key, body, headers)
        ours += encoded_record(offset, timestamp - first, key, body, headers)

    assert bytes(stock._buffer[start:]) == ours
