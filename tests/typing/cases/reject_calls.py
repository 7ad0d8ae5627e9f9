# ruff: noqa: B018 - expressions that checkers refuse
"""Calls that both checkers must refuse, each under a mark of what mypy and pyright say."""

from typing import assert_type

from users import UserService

from rpc import Call, Stub

client = Stub(UserService)

# refused: arg-type | reportArgumentType
client.get("42")
# refused: call-arg | reportCallIssue
client.get()
# refused: call-arg | reportCallIssue
client.get(42, 43)
# refused: call-arg | reportCallIssue
client.get(user=42)
# refused: attr-defined | reportAttributeAccessIssue, reportUnknownMemberType
client.fetch(42)
# refused: call-arg | reportCallIssue
client.find("a", 1, True)
# refused: arg-type | reportArgumentType
client.get.with_options(timeout="1")
# refused: call-arg | reportCallIssue
client.get.with_options(retries=3)
# refused: arg-type | reportArgumentType
client.get.future("42")
# refused: assert-type | reportAssertTypeFailure
assert_type(client.get(42), str)

# refused: assignment | reportAssignmentType
name: str = client.get(42)
# refused: attr-defined | reportAttributeAccessIssue, reportUnknownMemberType
client.get(42).nam
# refused: attr-defined | reportAttributeAccessIssue, reportUnknownMemberType
client.find("a").name
# refused: assignment | reportAssignmentType
other: Call[str] = client.get.future(42)
# refused: attr-defined | reportAttributeAccessIssue, reportUnknownMemberType
client.get.aio(42).name


async def main() -> None:
    # refused: misc | reportGeneralTypeIssues
    await client.get(42)
    # refused: arg-type | reportArgumentType
    await client.get.aio("42")
    # refused: assignment | reportAssignmentType
    text: str = await client.get.aio(42)
    text.upper()
