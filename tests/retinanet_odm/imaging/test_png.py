"""PNG files: chunks, checksums and rows."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from retinanet_odm.errors import ImageError
from retinanet_odm.imaging.images import normalise_image
from tests.retinanet_odm.images import encoded, png_of

_PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
_IMAGE = Image.fromarray(_PIXELS)
_PNG = encoded("PNG", _IMAGE)
_END = (b"IEND", b"")
# Steps of the passes of an interlaced image: column and row of the first pixel, and the steps (PNG, 8.2).
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _header(*, interlaced: bool = False, depth: int = 8) -> tuple[bytes, bytes]:
    height, width, _ = _PIXELS.shape
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, interlaced)


def _rows(*, interlaced: bool = False) -> bytes:
    if not interlaced:
        return b"".join(b"\0" + row.tobytes() for row in _PIXELS)
    parts = (_PIXELS[top::down, left::across] for left, top, across, down in _PASSES)
    return b"".join(b"\0" + row.tobytes() for part in parts for row in part)


def _data(rows: bytes) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(rows)


def _split(rows: bytes, size: int) -> list[tuple[bytes, bytes]]:
    packed = zlib.compress(rows)
    return [(b"IDAT", packed[start : start + size]) for start in range(0, len(packed), size)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_of(_header(), _data(_rows()), _END), id="plain"),
        pytest.param(png_of(_header(interlaced=True), _data(_rows(interlaced=True)), _END), id="interlaced"),
        pytest.param(png_of(_header(), *_split(_rows(), 100), _END), id="pixels in many chunks"),
        pytest.param(png_of(_header(), (b"tEXt", b"a\0b"), _data(_rows()), (b"teSt", b"x"), _END), id="more chunks"),
        pytest.param(png_of(_header(), _data(_rows()), _END) + b"trailing", id="bytes after the end"),
        pytest.param(png_of(_header(), _data(_rows() + bytes(99)), _END), id="too many rows"),
        pytest.param(encoded("PNG", _IMAGE, save_all=True, append_images=[_IMAGE.rotate(90)]), id="animated"),
        pytest.param(encoded("PNG", Image.new("RGB", (1, 1))), id="one pixel"),
        pytest.param(encoded("PNG", Image.new("L", (1, 3000))), id="one column"),
    ],
)
def test_a_valid_file_passes_byte_for_byte(data: bytes) -> None:
    assert normalise_image(data, name="x").data is data


def _changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def _unfinished(rows: bytes) -> tuple[bytes, bytes]:
    """Pixel data without the end of the zlib stream."""
    return b"IDAT", zlib.compress(rows)[:-9]


@pytest.mark.parametrize(
    "data",
    [
        *(pytest.param(_PNG[:-count], id=f"without its last {count} bytes") for count in range(1, 22)),
        pytest.param(_changed(_PNG, -14), id="wrong checksum of pixels"),
        pytest.param(_changed(_PNG, -1), id="wrong checksum of the end"),
        pytest.param(_changed(_PNG, 30), id="wrong checksum of the header"),
        pytest.param(_changed(_PNG, len(_PNG) // 2), id="a changed pixel"),
        pytest.param(png_of(_header(), _END), id="no pixels"),
        pytest.param(png_of(_header(), (b"IDAT", b""), _END), id="empty pixels"),
        pytest.param(png_of(_header(), _data(_rows()[:-1]), _END), id="a byte is missing"),
        pytest.param(png_of(_header(), _data(_rows()[:-160]), _END), id="a row is missing"),
        pytest.param(png_of(_header(), _unfinished(_rows()), _END), id="compressed data end early"),
        pytest.param(
            png_of(_header(interlaced=True), _data(_rows(interlaced=True)[:-160]), _END), id="an interlaced row"
        ),
        pytest.param(
            png_of(_header(interlaced=True), _data(_rows(interlaced=True)[:1000]), _END), id="passes are missing"
        ),
        pytest.param(png_of(_data(_rows()), _header(), _END), id="pixels before the header"),
        pytest.param(
            png_of(_header(), *_split(_rows(), 100)[:3], (b"teSt", b""), *_split(_rows(), 100)[3:], _END),
            id="pixels in two places",
        ),
        pytest.param(png_of(_header(), (b"IDAT", b"zlib?"), _END), id="no compressed data"),
        pytest.param(png_of(_header(), _data(b"\x09" + _rows()[1:]), _END), id="an unknown filter of a row"),
    ],
)
def test_damage_is_found(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^x: not a readable image: "):
        normalise_image(data, name="x")
