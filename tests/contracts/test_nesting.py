"""Depth: counted as a decoder would meet it, without recursion, in time bounded by the size."""

import subprocess
import sys
import textwrap
import threading
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import JSON, MSGPACK, DecodeError, ErrorBody
from contracts.nesting import MAX_DEPTH, json_too_deep, may_nest, msgpack_too_deep, stack_is_usual


class Tree(msgspec.Struct):
    left: "Tree | None" = None


class Flat(msgspec.Struct):
    rows: list[dict[str, tuple[int, int | None]]]


def tree(depth: int) -> bytes:
    return b'{"left":' * depth + b"null" + b"}" * depth


VALUES = st.recursive(
    st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.binary(max_size=300)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=40,
)


def depth(value: object) -> int:
    match value:
        case list() if value:
            return 1 + max(map(depth, value))
        case dict() if value:
            return 1 + max(map(depth, value.values()))
        case list() | dict():
            return 1
        case _:
            return 0


def nonempty_depth(value: object) -> int:
    match value:
        case list() if value:
            return 1 + max(map(nonempty_depth, value))
        case dict() if value:
            return 1 + max(map(nonempty_depth, value.values()))
        case _:
            return 0


@settings(deadline=None)
@given(VALUES)
def test_the_depth_of_json_is_found_exactly(value):
    body, at = msgspec.json.encode(value), depth(value)

    assert not json_too_deep(body, at)
    assert at == 0 or json_too_deep(body, at - 1)


@settings(deadline=None)
@given(VALUES)
def test_the_depth_of_msgpack_is_found_exactly(value):
    body, at = msgspec.msgpack.encode(value), nonempty_depth(value)

    assert not msgpack_too_deep(body, at)
    assert at == 0 or msgpack_too_deep(body, at - 1)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 101,
        b'["]]]]",' * 101,
        b'["\\"]",' * 101,
        b"[{" * 51,
        b'{"a":' * 101 + b"1" + b"}" * 101,
    ],
)
def test_brackets_in_strings_do_not_hide_the_depth(body):
    assert json_too_deep(body)


@pytest.mark.parametrize(
    "body", [b"[" * 100, b"[]" * 5000, b'"' + b"[" * 5000 + b'"', b'["\\\\","["],' * 500]
)
def test_brackets_in_strings_and_those_that_are_closed_do_not_count(body):
    assert not json_too_deep(body)


@pytest.mark.parametrize("code", [b"\x91", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\x81\xa0"])
def test_every_container_of_msgpack_counts(code):
    assert msgpack_too_deep(code * 101 + b"\xc0")
    assert not msgpack_too_deep(code * 100 + b"\xc0")


@pytest.mark.alone
@pytest.mark.parametrize(
    "body",
    [
        b"[" * (1 << 20),
        b"{}," * 349_000,
        b'"\\"' * 349_000,
        b'"' + b'\\"' * 500_000,
        b'"",' * 349_000,
    ],
    ids=["open", "empty", "quotes", "unended", "strings"],
)
def test_a_mebibyte_of_anything_is_looked_through_in_time(body):
    began = time.thread_time()
    json_too_deep(b"[" * 101 + body)

    assert time.thread_time() - began < 1.0


@pytest.mark.alone
@pytest.mark.parametrize("body", [b"\x80" * (1 << 20), b"\x91" * (1 << 20), b"\xdf" * (1 << 20)])
def test_a_mebibyte_of_msgpack_is_looked_through_in_time(body):
    began = time.thread_time()
    msgpack_too_deep(body)
    msgpack_too_deep(b"\xdd\x00\x0f\xff\xff" + body)

    assert time.thread_time() - began < 2.0


def test_a_type_may_nest_if_it_holds_itself_or_anything():
    nests = {
        kind: may_nest(msgspec.inspect.type_info(kind))
        for kind in (Tree, Flat, ErrorBody, msgspec.Raw, int, list[Tree], dict[str, list[int]])
    }

    assert [kind for kind, may in nests.items() if may] == [
        Tree,
        ErrorBody,
        msgspec.Raw,
        list[Tree],
    ]


@pytest.mark.parametrize(("last", "nests"), [(int, False), (Tree, True)], ids=["flat", "tree"])
def test_a_type_that_is_reached_on_many_paths_is_looked_at_once(last, nests):
    lowest = msgspec.defstruct("Lowest", [("last", last)])
    kind = msgspec.defstruct("Level", [("a", int)])
    for _ in range(13):
        kind = msgspec.defstruct("Level", [(name, kind) for name in "abc"])
    kind = msgspec.defstruct("Top", [("kind", kind), ("lowest", lowest)])
    described = msgspec.inspect.type_info(kind)
    began = time.thread_time()

    assert may_nest(described) is nests
    assert time.thread_time() - began < 0.5


def test_a_body_nests_as_deep_as_allowed_and_no_deeper():
    assert JSON.decoder(Tree)(tree(MAX_DEPTH)).left is not None
    with pytest.raises(DecodeError, match=r"^nested too deeply$"):
        JSON.decoder(Tree)(tree(MAX_DEPTH + 1))
    with pytest.raises(DecodeError, match=r"^nested too deeply$"):
        MSGPACK.decoder(Tree)(b"\x81\xa4left" * (MAX_DEPTH + 1) + b"\xc0")


def test_what_is_not_known_may_not_nest_without_end():
    with pytest.raises(DecodeError, match=r"^nested too deeply$"):
        JSON.decoder(Flat)(b'{"rows":[],"new":' + b"[" * 100_000)
    with pytest.raises(DecodeError, match=r"^nested too deeply$"):
        MSGPACK.decoder(Flat)(b"\x82\xa4rows\x90\xa3new" + b"\x91" * 100_000)


SMALL = """
import sys, threading
import msgspec
from contracts import JSON, MSGPACK, DecodeError
class Flat(msgspec.Struct):
    rows: list[int]
def decode():
    for codec, body in (
        (JSON, b'{"rows":[],"new":' + b"[" * 5000),
        (MSGPACK, b"\\x82\\xa4rows\\x90\\xa3new" + b"\\x91" * 5000),
    ):
        try:
            codec.decoder(Flat)(body)
        except DecodeError as error:
            print(error)
decode()
threading.stack_size(128 << 10)
thread = threading.Thread(target=decode)
thread.start()
thread.join()
threading.stack_size(0)
sys.setrecursionlimit(1_000_000)
decode()
"""


def test_neither_a_small_stack_nor_a_raised_limit_lets_a_body_kill_the_process():
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SMALL)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "nested too deeply\n" * 6), ran.stderr


def test_the_stack_of_threads_is_the_usual_one():
    import rpc  # noqa: F401 - nothing in it may change the size for all

    assert threading.stack_size() == 0
    assert stack_is_usual()
