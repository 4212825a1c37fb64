"""TFRecord files without TensorFlow: one frame after another.

A frame is length, masked CRC-32C of the length, data, masked CRC-32C of the data; little-endian. The format is stated
in tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

_HEAD = struct.Struct("<Q4s")
_CRC_BYTES = 4


class FrameError(Exception):
    """The bytes are no whole frame."""


def frame_record(data: bytes) -> bytes:
    """One record with its frame."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def begins_frame(head: bytes) -> bool:
    """Whether these first bytes of a file are those of a TFRecord file that is not empty."""
    return len(head) >= _HEAD.size and head[8 : _HEAD.size] == _masked_crc(head[:8])


def read_frames(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Every record from where the file stands to its end, with the offset of its frame.

    Raises:
      FrameError: the file is cut off or damaged.
    """
    offset = file.tell()
    while head := file.read(_HEAD.size):
        data = _read_data(file, head, offset)
        yield offset, data
        offset += _HEAD.size + len(data) + _CRC_BYTES


def read_frame(file: BinaryIO, offset: int) -> bytes:
    """The record whose frame begins there.

    Raises:
      FrameError: there is none, or it is cut off or damaged.
    """
    file.seek(offset)
    return _read_data(file, file.read(_HEAD.size), offset)


def _read_data(file: BinaryIO, head: bytes, offset: int) -> bytes:
    if not begins_frame(head):
        raise FrameError(f"no record begins at byte {offset}")
    length, _ = _HEAD.unpack(head)
    data = file.read(length)
    if len(data) != length or file.read(_CRC_BYTES) != _masked_crc(data):
        raise FrameError(f"the record at byte {offset} is cut off or damaged")
    return data


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
