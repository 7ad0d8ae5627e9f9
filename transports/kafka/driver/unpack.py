# pyright: reportAttributeAccessIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Decompression that ends at a size.

Stock unpacks whatever comes: half a megabyte of gzip becomes half a gigabyte. Brokers check the
compressed size alone, unless the topic has `compression.type=uncompressed`, as those we create.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from kafka import codec
from kafka.record.default_records import DefaultRecordBatch

from transports.errors import ConfigurationError

__all__ = ["LIMIT", "UnpackError", "missing_package", "unpacked"]

LIMIT: Final = 16 << 20
"""Bytes that a batch may have when it is unpacked, unless messages may be that large."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_XERIAL: Final = b"\x82SNAPPY\x00"
_PACKAGES: Final[Mapping[str, tuple[Callable[[], bool], str]]] = {
    "snappy": (codec.has_snappy, "python-snappy"),
    "lz4": (codec.has_lz4, "lz4"),
    "zstd": (codec.has_zstd, "zstandard"),
}


class UnpackError(ValueError):
    """A batch can't be decompressed, or is too large when it is."""


def unpacked(batch: Any, limit: int) -> tuple[bytes, int]:
    """Return the records of `batch`, decompressed, and where they begin.

    Raises `UnpackError` where they take more than `limit` bytes or are damaged, and
    `ConfigurationError` where the library for their compression is not installed.
    """
    kind = batch.compression_type
    if kind == DefaultRecordBatch.CODEC_NONE:
        return bytes(batch._buffer), batch._pos  # noqa: SLF001 - this folder reaches in
    if kind not in _UNPACK:
        raise UnpackError(f"its compression, number {kind}, is not known")
    name, unpack = _UNPACK[kind]
    if package := missing_package(name):
        raise ConfigurationError(
            f"it is compressed with {name}, and the package {package} is not installed: "
            f"pip install {package}"
        )
    packed = bytes(memoryview(batch._buffer)[batch._pos :])  # noqa: SLF001 - likewise
    try:
        data = unpack(packed, limit)
    except Exception as error:  # each library has a tree of errors of its own
        raise UnpackError(
            f"it can't be decompressed: {str(error) or type(error).__name__}"
        ) from error
    if len(data) > limit:
        raise UnpackError(f"decompressed it has more than {limit} bytes")
    return data, 0


def missing_package(name: str) -> str | None:
    """Return the package that the codec `name` needs and that is not there; None: nothing is."""
    if name not in _PACKAGES:  # Python brings gzip
        return None
    is_there, package = _PACKAGES[name]
    return None if is_there() else package


def _gzip(packed: bytes, limit: int) -> bytes:
    data = bytearray()
    while packed:  # a gzip file may have several members
        member = zlib.decompressobj(_GZIP)
        data += member.decompress(packed, limit + 1 - len(data))
        if len(data) > limit:
            break
        if not member.eof:
            raise EOFError("it ends too early")
        packed = member.unused_data
    return bytes(data)


def _zstd(packed: bytes, limit: int) -> bytes:
    reader = codec.zstd.ZstdDecompressor(max_window_size=limit).stream_reader(
        io.BytesIO(packed), read_across_frames=True
    )
    with reader:
        return _read(reader.read, limit)


def _lz4(packed: bytes, limit: int) -> bytes:
    if codec.lz4 is None:  # one of two older libraries, which know no bound
        data: bytes = codec.lz4_decode(packed)
        return data
    with codec.lz4.LZ4FrameFile(io.BytesIO(packed)) as reader:
        return _read(reader.read, limit)


def _read(read: Callable[[int], bytes], limit: int) -> bytes:
    data = bytearray()
    while len(data) <= limit and (more := read(limit + 1 - len(data))):
        data += more
    return bytes(data)


def _snappy(packed: bytes, limit: int) -> bytes:
    if not packed.startswith(_XERIAL):
        return _snappy_block(packed, limit)
    data, at = bytearray(), 16
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        data += _snappy_block(packed[at + 4 : at + 4 + size], limit - len(data))
        at += 4 + size
    return bytes(data)


def _snappy_block(block: bytes, limit: int) -> bytes:
    """Unpack a block, which says first how long it will be."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    if size > limit:
        raise ValueError(f"it claims more than {limit} bytes")
    data: bytes = codec.snappy.decompress(block)
    return data


_UNPACK: Final[Mapping[int, tuple[str, Callable[[bytes, int], bytes]]]] = {
    DefaultRecordBatch.CODEC_GZIP: ("gzip", _gzip),
    DefaultRecordBatch.CODEC_SNAPPY: ("snappy", _snappy),
    DefaultRecordBatch.CODEC_LZ4: ("lz4", _lz4),
    DefaultRecordBatch.CODEC_ZSTD: ("zstd", _zstd),
}
