"""TFRecord files without TensorFlow: a sequence of frames.

A frame is length, masked CRC-32C of the length, data, masked CRC-32C of the data; little-endian. The format is defined
in tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
"""

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import google_crc32c

_HEAD = struct.Struct("<Q4s")  # length and its checksum
_CRC_BYTES = 4  # after the data


class FrameError(Exception):
    """The bytes are not a complete frame."""


def frame_record(data: bytes) -> bytes:
    r"""Return a record with its frame around it.

    Example:
      >>> frame_record(b"abc")[:8]
      b'\x03\x00\x00\x00\x00\x00\x00\x00'
    """
    return b"".join(frame_pieces((data,)))


def frame_pieces(pieces: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the pieces of a record with those of its frame around them, so that a large one is not copied."""
    length = struct.pack("<Q", sum(map(len, pieces)))
    crc = functools.reduce(google_crc32c.extend, pieces, 0)
    return length + _masked(google_crc32c.value(length)), *pieces, _masked(crc)


def begins_frame(head: bytes) -> bool:
    """Return whether a file with these first bytes is a TFRecord file that is not empty.

    Example:
      >>> begins_frame(frame_record(b"abc")), begins_frame(b"no frame, but text")
      (True, False)
    """
    # The format has no magic number, but the first 8 bytes and their checksum agree by chance once in 2^32.
    return len(head) >= _HEAD.size and head[8 : _HEAD.size] == _masked_crc(head[:8])


def read_frames(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the records from the current position to the end of the file, with the offsets of their frames.

    Raises:
      FrameError: The file is truncated or corrupt.
    """
    offset = file.tell()
    while head := file.read(_HEAD.size):
        data = _read_data(file, head, offset)
        yield offset, data
        offset += _HEAD.size + len(data) + _CRC_BYTES


def read_frame(file: BinaryIO, offset: int) -> bytes:
    """Return the record whose frame begins at an offset.

    Raises:
      FrameError: No frame begins there, or it is truncated or corrupt.
    """
    file.seek(offset)
    return _read_data(file, file.read(_HEAD.size), offset)


def _read_data(file: BinaryIO, head: bytes, offset: int) -> bytes:
    if not begins_frame(head):
        raise FrameError(f"no record begins at byte {offset}")
    # The checksum of the length was verified above: a damaged length would make read() allocate any amount.
    length, _ = _HEAD.unpack(head)
    data = file.read(length)
    if len(data) != length or file.read(_CRC_BYTES) != _masked_crc(data):
        raise FrameError(f"the record at byte {offset} is truncated or corrupt")
    return data


def _masked_crc(data: bytes) -> bytes:
    return _masked(google_crc32c.value(data))


def _masked(crc: int) -> bytes:
    # The format masks checksums, because the checksum of data that contains its own checksum is a weak one.
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
