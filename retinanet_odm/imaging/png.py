"""Damage of PNG files that Pillow reads but libpng, and so TensorFlow, does not: begin with `verify_png`."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Column and row of the first pixel, and the steps between pixels, of each pass of an interlaced image.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 20  # bytes of pixels in memory at once


class PngChunk(NamedTuple):
    """A chunk with a right checksum."""

    name: bytes
    content: memoryview


class PngError(ValueError):
    """A PNG file is damaged; the message completes "not a readable image: "."""


def read_chunks(data: bytes) -> Iterator[PngChunk]:
    """Yield the chunks of a PNG file up to IEND; bytes after it are ignored.

    Raises:
      PngError: a checksum is wrong, or IEND is missing.
    """
    # A chunk: length, name, content, CRC-32 of name and content (PNG specification, 5.3).
    view, position = memoryview(data), len(_SIGNATURE)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if struct.pack(">I", zlib.crc32(view[position + 4 : end])) != data[end : end + 4]:
            raise PngError(f"the checksum of the chunk at byte {position} is wrong")
        yield PngChunk(name, view[position + 8 : end])
        if name == b"IEND":
            return
        position = end + 4
    raise PngError("the file ends before its end chunk")


def verify_png(data: bytes) -> None:
    """Check that all chunks are intact and hold every row of pixels.

    Raises:
      PngError: they are not.
    """
    chunks = list(read_chunks(data))
    if not chunks or chunks[0].name != b"IHDR" or len(chunks[0].content) != 13:
        raise PngError("the file does not begin with its header")
    try:
        _check_pixels(chunks)
    except zlib.error as error:
        raise PngError(f"the pixel data cannot be inflated: {error}") from error


def _check_pixels(chunks: list[PngChunk]) -> None:
    places = [place for place, chunk in enumerate(chunks) if chunk.name == b"IDAT"]
    if not places or places[-1] - places[0] >= len(places):
        raise PngError("the pixel data are missing or in several places")
    expected = _pixel_bytes(chunks[0].content)
    found = _inflated_size((chunks[place].content for place in places), expected)
    if found < expected:
        raise PngError(f"expected {expected} bytes of pixel data, found {found}")


def _pixel_bytes(header: memoryview) -> int:
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(colour, 0)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))  # each row begins with its filter
    return total


def _inflated_size(contents: Iterable[memoryview], limit: int) -> int:
    """Return the size of the inflated data, and at least the limit if there are more."""
    inflate, size = zlib.decompressobj(), 0
    for content in contents:
        rest: bytes | memoryview = content
        while rest and size <= limit and not inflate.eof:
            size += len(inflate.decompress(rest, _PIECE))
            rest = inflate.unconsumed_tail
    if size <= limit and not inflate.eof:
        size += len(inflate.flush())
    if size <= limit and not inflate.eof:
        raise PngError("the pixel data end early")
    return size
