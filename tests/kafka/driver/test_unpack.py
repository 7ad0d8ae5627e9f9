"""Decompression that ends at a size: whole batches come out, bombs and damage are told."""

import gzip
import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import (
    DefaultRecordBase,
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
)

from transports.errors import ConfigurationError
from transports.kafka.driver import unpack
from transports.kafka.driver.unpack import LIMIT, UnpackError, unpacked

GZIP, SNAPPY, LZ4, ZSTD = (
    DefaultRecordBatch.CODEC_GZIP,
    DefaultRecordBatch.CODEC_SNAPPY,
    DefaultRecordBatch.CODEC_LZ4,
    DefaultRecordBatch.CODEC_ZSTD,
)


class Packed(DefaultRecordBase):
    """As much of a batch as is looked at."""

    __slots__ = ("_buffer", "_pos", "compression_type")

    def __init__(self, kind: int, payload: bytes, begins: int = 3) -> None:
        self.compression_type = kind
        self._pos = begins
        self._buffer = bytearray(b"?" * begins + payload)


class Reader:
    """A stream as the libraries for lz4 and zstd open it, that never ends."""

    def __init__(self, *_: object, **__: object) -> None:
        self.given = 0

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stream_reader(self, *_: object, **__: object):
        return self

    def read(self, size: int) -> bytes:
        self.given += size
        return bytes(min(size, 1 << 16))


@pytest.mark.parametrize("payload", [b"", b"x", bytes(100_000)])
def test_what_fits_is_unpacked_also_of_several_members(payload):
    packed = Packed(GZIP, gzip.compress(payload) + gzip.compress(b"end"))

    assert unpacked(packed, 100_003) == (payload + b"end", 0)


def test_what_is_not_compressed_is_left_where_it_is():
    assert unpacked(Packed(0, b"abc"), 1) == (b"???abc", 3)


def test_a_batch_as_a_producer_writes_it_is_read():
    builder = DefaultRecordBatchBuilder(2, GZIP, False, -1, -1, -1, 1 << 20)
    for n in range(50):
        builder.append(n, 1_700_000_000_000, b"k", b"v" * 100, [])
    batch = DefaultRecordBatch(bytes(builder.build()))

    data, position = unpacked(batch, LIMIT)

    assert batch.compression_type == GZIP
    assert data[position:].count(b"v" * 100) == 50


def test_a_bomb_is_refused_and_takes_no_more_than_it_may():
    bomb = Packed(GZIP, gzip.compress(bytes(200 << 20), 1))
    tracemalloc.start()
    with pytest.raises(UnpackError, match="more than 16777216 bytes"):
        unpacked(bomb, LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * LIMIT


@pytest.mark.parametrize(
    ("kind", "name", "library"),
    [
        (ZSTD, "zstd", SimpleNamespace(ZstdDecompressor=Reader)),
        (LZ4, "lz4", SimpleNamespace(LZ4FrameFile=Reader)),
    ],
)
def test_streams_of_other_libraries_are_read_no_further_than_they_may(
    monkeypatch, kind, name, library
):
    monkeypatch.setattr(unpack.codec, name, library)

    with pytest.raises(UnpackError, match="more than 1000000 bytes"):
        unpacked(Packed(kind, b"bomb"), 1_000_000)


@pytest.mark.parametrize("header", [b"", b"\x82SNAPPY\x00" + bytes(8) + b"\x00\x00\x00\x06"])
def test_snappy_is_believed_when_it_claims_too_much(monkeypatch, header):
    monkeypatch.setattr(unpack.codec, "snappy", SimpleNamespace(decompress=lambda block: block))

    with pytest.raises(UnpackError, match="it claims more than 100 bytes"):
        unpacked(Packed(SNAPPY, header + b"\xff\xff\xff\xff\x0fx"), 100)
    assert unpacked(Packed(SNAPPY, header + b"\x05abcde"), 100) == (b"\x05abcde", 0)


def test_a_library_that_is_missing_is_told(monkeypatch):
    monkeypatch.setattr(unpack.codec, "zstd", None)

    with pytest.raises(ConfigurationError, match="zstd, and the package zstandard is not inst"):
        unpacked(Packed(ZSTD, b"x"), LIMIT)


def test_a_codec_that_there_is_not_is_damage():
    with pytest.raises(UnpackError, match="its compression, number 7, is not known"):
        unpacked(Packed(7, b"x"), LIMIT)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255), st.booleans())
def test_damage_is_told_as_one_kind_of_error(payload, place, byte, cut):
    packed = bytearray(gzip.compress(payload))
    packed[place % len(packed)] = byte
    if cut:
        del packed[-5:]
    try:
        data, _ = unpacked(Packed(GZIP, bytes(packed)), 100)
    except UnpackError:
        return

    assert len(data) <= 100
