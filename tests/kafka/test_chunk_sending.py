"""Sending in chunks: one outcome for all, which claims no more than is so."""

import pytest

from transports.base import Message, Receipt
from transports.errors import MessageRefused, MessageTooLarge, SendUncertain, Unreachable
from transports.kafka.chunk_sending import cut, send_chunks

CHUNKS = [Message(b"0"), Message(b"1"), Message(b"2")]
RECEIPTS = [Receipt("t", 0, offset) for offset in (5, 6, 9)]
UNCERTAIN, REFUSED = SendUncertain("no answer"), MessageRefused("no")
TOO_LARGE = MessageTooLarge("it takes too much")


class Driver:
    """Takes chunks, and tells of them when the test says so."""

    def __init__(self, full=None):
        self.full, self.chunks, self.tell = full, [], []

    def put(self, chunk, on_sent):
        if len(self.chunks) == self.full:
            raise Unreachable("too much waits")
        self.chunks.append(chunk)
        self.tell.append(on_sent)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (RECEIPTS, RECEIPTS[2]),
        ([RECEIPTS[0], UNCERTAIN, RECEIPTS[2]], UNCERTAIN),
        ([RECEIPTS[0], RECEIPTS[1], UNCERTAIN], UNCERTAIN),
        ([RECEIPTS[0], RECEIPTS[1], REFUSED], REFUSED),
        ([REFUSED, RECEIPTS[1], RECEIPTS[2]], REFUSED),
        ([UNCERTAIN, REFUSED, UNCERTAIN], REFUSED),
    ],
)
def test_a_message_is_sent_if_all_chunks_are_and_not_if_one_surely_is_not(
    order, outcomes, expected
):
    driver, told = Driver(), []
    send_chunks(driver.put, CHUNKS, told.append)
    assert driver.chunks == CHUNKS
    for index in order:
        assert told == []
        driver.tell[index](outcomes[index])

    assert told == [expected]


@pytest.mark.parametrize("full", [0, 1, 2])
def test_a_chunk_that_is_not_taken_ends_the_message_once_the_others_are_told(full):
    driver, told = Driver(full), []
    send_chunks(driver.put, CHUNKS, told.append)
    for tell in driver.tell:
        assert told == []
        tell(UNCERTAIN)

    assert [type(one) for one in told] == [Unreachable]
    assert len(driver.chunks) == full


def test_where_chunks_are_not_asked_for_the_error_says_how():
    with pytest.raises(MessageTooLarge, match=r"it takes too much; or .* max_chunked_bytes"):
        cut(Message(b"x" * 3000), 1000, 0, TOO_LARGE)


def test_beyond_the_bound_of_chunks_the_error_says_which():
    with pytest.raises(MessageTooLarge, match="takes 4280, and max_chunked_bytes is 4279"):
        cut(Message(b"x" * 3000), 1000, 4279, TOO_LARGE)
    assert len(cut(Message(b"x" * 3000), 1000, 4280, TOO_LARGE)) == 5


def test_where_headers_leave_no_room_the_error_says_so():
    with pytest.raises(MessageTooLarge, match=r"nor can it be sent in chunks: .* leave no room"):
        cut(Message(b"", (("big", b"x" * 3000),)), 1000, 10_000, TOO_LARGE)


def test_a_frame_is_not_cut():
    frame = Message(b"x" * 3000, (("rpc-frame", b"2"),))
    with pytest.raises(MessageTooLarge) as refused:
        cut(frame, 1000, 10_000, TOO_LARGE)

    assert refused.value is TOO_LARGE


def test_each_message_is_a_set_of_its_own():
    ids = {cut(Message(b"x" * 3000), 1000, 9000, TOO_LARGE)[0].headers[0][1] for _ in range(10)}

    assert len(ids) == 10
