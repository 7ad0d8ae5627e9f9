import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.kafka.broker.lock import (
    KAFKA_VERSION,
    ROOTS,
    LockedJar,
    format_lock,
    parse_lock,
    read_lock,
)

WORD = st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True)
JARS = st.builds(
    LockedJar,
    WORD,
    WORD,
    WORD,
    st.integers(0, 2**31),
    st.from_regex("[0-9a-f]{64}", fullmatch=True),
)


def test_the_committed_lock_names_kafka_and_what_it_needs():
    jars = read_lock()

    assert len(jars) == 45
    assert 40_000_000 < sum(jar.size for jar in jars) < 50_000_000
    assert {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in jars} >= set(ROOTS)
    kafka = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert kafka == {KAFKA_VERSION}


def test_every_jar_of_the_committed_lock_is_pinned_in_full_and_once():
    jars = read_lock()

    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert all(jar.size > 1_000 for jar in jars)
    assert not [jar for jar in jars if "SNAPSHOT" in jar.version or jar.version == "RELEASE"]
    assert len({jar.filename for jar in jars}) == len(jars)
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)


@given(st.sets(JARS, max_size=5))
def test_a_lock_reads_back_what_it_was_written_from(jars):
    text = format_lock(jars)

    assert parse_lock(text) == tuple(sorted(jars))


@pytest.mark.parametrize(
    "line",
    ["a:b:1", "a:b:1 10", "a:b 10 abc", "a:b:1 ten abc", "a:b:1 10 abc def"],
)
def test_a_line_that_is_none_is_named(line):
    with pytest.raises(ValueError, match=f"Not a line of a lock: '{line}'"):
        parse_lock(f"# head\na:b:1 10 abc\n{line}\n")


@pytest.mark.parametrize(
    ("content", "same"), [(b"abc", True), (b"abd", False), (b"ab", False), (b"", False)]
)
def test_a_jar_is_recognised_by_every_byte(content, same):
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc"
    jar = LockedJar("group", "artifact", "1", 3, sha256)

    assert jar.matches(content) is same
