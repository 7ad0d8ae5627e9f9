"""Both drivers beside each other on a real broker, and what only the second could get wrong."""

import pytest

from transports.base import Address, Message, Receipt
from transports.errors import AddressUnknown, MessageRefused

CLIENTS = ["kafka-python", "confluent"]


@pytest.mark.parametrize(("first", "second"), [CLIENTS, CLIENTS[::-1]])
def test_a_member_goes_on_where_one_of_the_other_driver_left_off(
    kit, taken, eventually, first, second
):
    topic, sender = kit.topic(1), kit.transport(client=first, client_id="sender")
    before = kit.transport(client=first).receiver(Address(topic), shared=True)
    for n in range(4):
        sender.send(Address(topic, 0), Message(b"%d" % n, (("n", b"%d" % n),)), lambda _: None)
    durable = []
    for delivery in taken(before, 4, ack=False)[1::2]:
        delivery.ack()
        delivery.commit(durable.append)
    eventually(lambda: len(durable) == 2)
    before.close(5)
    after = kit.transport(client=second).receiver(Address(topic), shared=True)
    sender.send(Address(topic, 0), Message(b"fresh"), lambda _: None)
    came = taken(after, 3)

    assert [d.message for d in came[:2]] == [
        Message(b"0", (("n", b"0"),)),
        Message(b"2", (("n", b"2"),)),
    ]
    assert [d.redelivered for d in came] == [True, True, False]


def test_headers_that_are_none_are_refused_and_end_no_process(kit, outcome_of):
    topic, transport = kit.topic(1), kit.transport(client="confluent")
    for headers in ((("\ud800", b""),), ((b"name", b""),), (("a\0b", b""),), (("n", "text"),)):
        assert isinstance(
            outcome_of(transport, Address(topic), Message(b"", headers)), MessageRefused
        )

    assert isinstance(outcome_of(transport, Address(topic), Message(b"fine")), Receipt)


def test_a_header_name_that_is_not_utf8_is_told_and_its_neighbours_are_read(
    kit, taken, outcome_of, raw_name
):
    topic, poisoner = kit.topic(1), kit.transport()
    receiver = kit.transport(client="confluent").receiver(Address(topic), shared=True)
    bad = ((raw_name(b"\xff\xfe"), b"x"), ("n", b""), (raw_name(b"\xfe"), b"x"))
    fine = (("fine", b""),)
    for headers in (fine, bad) * 50:
        poisoner.send(Address(topic, 0), Message(b"body", headers), lambda _: None)
    outcome_of(poisoner, Address(topic, 0), Message(b"last"))
    came = taken(receiver, 101)

    assert [d.problem is None for d in came] == [True, False] * 50 + [True]
    assert [d.message for d in came[:2]] == [Message(b"body", fine), Message(b"")]


@pytest.mark.parametrize("shared", [True, False])
def test_a_topic_that_is_gone_is_told(kit, shared):
    topic, transport = kit.topic(1), kit.transport(client="confluent", address_timeout=0.5)
    receiver = transport.receiver(Address(topic), shared=shared)
    kit.admin.delete_topics([topic])

    def read():
        for _ in range(40):
            receiver.receive(0.5)

    with pytest.raises(AddressUnknown, match="was deleted"):
        read()


def test_a_member_renews_its_lease_though_there_is_nothing_to_commit(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(client="confluent")
    receiver = transport.receiver(Address(topic), shared=True)
    member = receiver._session.member
    first = member.renewed_at

    eventually(lambda: member.renewed_at > first)
    assert receiver._session.leased()


def test_a_session_may_be_longer_than_a_poll_may_take(kit):
    topic = kit.topic(1)
    settings = {"session_timeout": 45.0, "heartbeat_interval": 3.0}
    receiver = kit.transport(client="confluent", **settings).receiver(Address(topic), shared=True)

    assert receiver.receive(0) == ()
