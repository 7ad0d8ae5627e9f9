"""The typed client: binding, options, the default channel, and how it is closed."""

import math
from typing import Protocol

import pytest

import rpc
from contracts import Certainty, Code, ContractError, RpcError, Unavailable, method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub, close_default_channel, connect, default_channel
from transports.memory import MemoryTransport


class Users(Protocol):
    @method(timeout=2.0, key="user_id")
    def name(self, user_id: int, *, shout: bool = False) -> str: ...

    @method
    def tenant(self) -> str | None: ...

    @method(key="group")
    def members(self, group: str) -> list[str]: ...


class UsersImpl(Users):
    def name(self, user_id: int, *, shout: bool = False) -> str:
        return f"user {user_id}" + "!" * shout

    def tenant(self) -> str | None:
        return rpc.current_call().metadata.get("tenant")

    def members(self, group: str) -> list[str]:
        return [group]


@pytest.fixture
def shop(line):
    return line(Users)


@pytest.fixture
def no_default(monkeypatch):
    """No default channel before the test, and none after it."""
    monkeypatch.delenv("RPC_TRANSPORT", raising=False)
    close_default_channel()
    yield monkeypatch
    close_default_channel()


def test_a_contract_that_cannot_work_is_told_before_the_first_call():
    class Wrong(Protocol):
        @method
        def get(self, user_id): ...

    with pytest.raises(ContractError, match="user_id"):
        Stub(Wrong)


@pytest.mark.parametrize(
    ("args", "kwargs", "body"),
    [
        ((42,), {}, b'{"user_id":42,"shout":false}'),
        ((), {"user_id": 42}, b'{"user_id":42,"shout":false}'),
        ((42,), {"shout": True}, b'{"user_id":42,"shout":true}'),
    ],
)
def test_arguments_travel_by_name(shop, args, kwargs, body):
    shop.client.name.future(*args, **kwargs)

    assert shop.wire.last.message.body == body


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, True), {}), ((1,), {"loud": 1}), ((1,), {"user_id": 2})]
)
def test_a_call_that_does_not_fit_the_signature_is_a_type_error_and_sends_nothing(
    shop, args, kwargs
):
    with pytest.raises(TypeError, match=r"Users\.name\(user_id: int, \*, shout: bool = False\)"):
        shop.client.name(*args, **kwargs)

    assert shop.wire.sent == []


def test_methods_are_bound_once_and_say_what_they_are(shop):
    assert shop.client.name is shop.client.name
    assert repr(shop.client) == "<Stub Users>"
    assert repr(shop.client.name) == "<method Users.name of a stub>"


# -- options ---------------------------------------------------------------------------------------


def test_options_given_later_keep_those_given_before(shop):
    plain = shop.client.name
    first = plain.with_options(timeout=0.5, metadata={"tenant": "a"})
    second = first.with_options(key="k")
    third = second.with_options(metadata={"tenant": "b"}, timeout=0.25)
    for bound in (plain, first, second, third):
        bound.future(42)

    assert [
        (sending.request.timeout, sending.message.key, sending.request.headers.get("tenant"))
        for sending in shop.wire.sent
    ] == [(2.0, b"42", None), (0.5, b"42", b"a"), (0.5, b"k", b"a"), (0.25, b"k", b"b")]


@pytest.mark.parametrize(
    ("key", "sent"), [("42", b"42"), (42, b"42"), (b"\xff", b"\xff"), ("", b"")]
)
def test_a_routing_key_of_the_call_goes_before_that_of_the_contract(shop, key, sent):
    shop.client.name.with_options(key=key).future(7)

    assert shop.wire.last.message.key == sent


def test_calls_without_a_key_leave_the_partition_to_the_transport(shop):
    shop.client.tenant.future()

    assert shop.wire.last.message.key is None
    assert shop.wire.last.address.partition is None


@pytest.mark.parametrize("timeout", [0, -1.0, math.inf, math.nan])
def test_a_timeout_that_is_no_time_is_refused(shop, timeout):
    with pytest.raises(ValueError, match="timeout is"):
        shop.client.name.with_options(timeout=timeout)
    with pytest.raises(ValueError, match="timeout is"):
        Channel(shop.wire, timeout=timeout)


def test_max_pending_below_one_is_refused(wire):
    with pytest.raises(ValueError, match="max_pending is 0"):
        Channel(wire, max_pending=0)


def test_the_channels_timeout_is_for_methods_that_name_none(line):
    shop = line(Users, timeout=7.0)
    shop.client.name.future(1)
    shop.client.tenant.future()

    assert [sending.request.timeout for sending in shop.wire.sent] == [2.0, 7.0]


def test_metadata_with_a_name_of_the_protocol_is_refused(shop):
    with pytest.raises(ValueError, match="rpc-timeout"):
        shop.client.name.with_options(metadata={"rpc-timeout": "99"})


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda client: client.members.future("\ud800"), "cannot be written: UnicodeEncode"),
        (lambda client: client.members.with_options(key=1).future("\ud800"), "lone surrogate"),
        (lambda client: client.members.future(2.5), "key 'group' cannot be written: float"),
        (lambda client: client.name.future(object()), "cannot be written: object"),
    ],
)
def test_arguments_that_cannot_travel_fail_the_call_and_send_nothing(shop, call, told):
    failed = call(shop.client)

    assert isinstance(failed.exception(0), RpcError)
    assert failed.exception().code is Code.INTERNAL
    assert failed.exception().certainty is Certainty.NOT_EXECUTED
    assert told in failed.exception().message
    assert shop.wire.sent == []
    assert shop.channel.pending == 0


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_channel_speaks_the_codec_it_was_given(line, codec):
    shop = line(Users, codec=codec)
    shop.client.tenant.future()

    assert shop.wire.last.headers["content-type"] == f"application/{codec}".encode()
    assert shop.wire.last.message.body == {"json": b"{}", "msgpack": b"\x80"}[codec]


def test_an_unknown_codec_is_refused(wire):
    with pytest.raises(ValueError, match="no codec for 'xml'"):
        Channel(wire, codec="xml")


# -- which channel ---------------------------------------------------------------------------------


def test_stubs_share_the_default_channel_at_the_address_of_the_environment(no_default, memory_url):
    no_default.setenv("RPC_TRANSPORT", memory_url)
    first, second = Stub(Users), Stub(Users)
    with Server(UsersImpl()):
        names = [first.name(1), second.name(2, shout=True)]

    assert names == ["user 1", "user 2!"]
    assert default_channel() is default_channel()
    assert first.name._channel is second.name._channel is default_channel()


def test_a_stub_outlives_the_default_channel(no_default, memory_url):
    no_default.setenv("RPC_TRANSPORT", memory_url)
    client = Stub(Users)
    with Server(UsersImpl()):
        first, channel = client.name(1), default_channel()
        close_default_channel()
        second = client.name(2)

    assert (first, second) == ("user 1", "user 2")
    assert channel.closed
    assert not default_channel().closed


def test_a_with_statement_closes_the_default_channel(no_default, memory_url):
    no_default.setenv("RPC_TRANSPORT", memory_url)
    with Server(UsersImpl()), Stub(Users) as client:
        channel = default_channel()

        assert client.name(1) == "user 1"
    assert channel.closed


def test_a_with_statement_closes_the_channel_that_was_given(memory_url):
    channel = Channel(memory_url)
    with Server(UsersImpl(), transport=memory_url), Stub(Users, channel=channel) as client:
        assert client.name(1) == "user 1"

    assert channel.closed
    with pytest.raises(Unavailable, match="closed"):
        client.name(1)


def test_connect_opens_a_channel_of_its_own_and_closes_it(memory_url):
    with Server(UsersImpl(), transport=memory_url):
        with connect(Users, memory_url, codec="msgpack") as client:
            assert client.name(1) == "user 1"
            channel = client.name._channel

        assert channel.closed


def test_a_transport_may_be_shared_by_both_ends(memory_url):
    with (
        MemoryTransport(memory_url.partition("//")[2]) as transport,
        Server(UsersImpl(), transport=transport),
        Channel(transport) as channel,
    ):
        client = Stub(Users, channel=channel)

        assert client.tenant.with_options(metadata={"tenant": "ä"})() == "ä"
        assert client.tenant() is None


def test_two_hundred_threads_share_one_channel(memory_url, run_together):
    with Server(UsersImpl(), transport=memory_url), Channel(memory_url, timeout=20) as channel:
        client = Stub(Users, channel=channel)
        name = client.name.with_options(timeout=20)
        calls = [lambda n=n: [name(n), name(n, shout=True)] for n in range(200)]
        results = run_together(*calls)

        assert results == [[f"user {n}", f"user {n}!"] for n in range(200)]
        assert (channel.pending, channel.late_replies, channel.foreign_replies) == (0, 0, 0)
