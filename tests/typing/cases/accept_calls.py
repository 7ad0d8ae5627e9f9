"""Every way to call a stub, typed as the contract says."""

from typing import assert_type

from users import User, UserService, UserServiceV2

from rpc import Call, Stub

client = Stub(UserService)
assert_type(client, UserService)

assert_type(client.get(42), User)
assert_type(client.get(user_id=42), User)
assert_type(client.find("a"), list[User])
assert_type(client.find("a", 3, exact=True), list[User])
client.delete(42)

assert_type(client.get.future(42).result(timeout=1.0), User)
assert_type(client.get.future(42).exception(), BaseException | None)
assert_type(client.get.with_options(timeout=0.5)(42), User)
assert_type(client.get.with_options(key="42", metadata={"tenant": "a"})(42).name, str)
assert_type(client.find.with_options(key=b"k").future("a").result(), list[User])

call: Call[User] = client.get.future(42)
call.add_done_callback(lambda done: done.result().name.upper())
sent_at: object = call.sent.result(timeout=1.0)
cancelled: bool = call.cancel()


async def main() -> None:
    assert_type(await client.get.aio(42), User)
    assert_type(await client.find.aio("a", exact=True), list[User])
    assert_type(await client.get.future(42), User)
    assert_type(await client.get.with_options(timeout=1).aio(42), User)


newer = Stub(UserServiceV2)
assert_type(newer.get(42), User)
assert_type(newer.rename(42, "b"), User)
as_the_older: UserService = newer
