"""What the full check accepts, TensorFlow decodes to the pixels that Pillow sees."""

import functools
import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from retinanet_odm.errors import ImageError
from retinanet_odm.imaging.images import normalise_image
from retinanet_odm.imaging.png import read_chunks
from tests.retinanet_odm.images import IHDR, encoded, in_mode, png_of

_NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
_IMAGE = Image.fromarray(_NOISE).resize((161, 121))
_SMALL = Image.fromarray(_NOISE)
_FILES = {
    "JPEG": encoded("JPEG", _IMAGE),
    "progressive JPEG": encoded("JPEG", _IMAGE, progressive=True),
    "JPEG 4:4:4": encoded("JPEG", _IMAGE, subsampling=0),
    "JPEG with restart markers": encoded("JPEG", _IMAGE, restart_marker_blocks=4),
    "grey JPEG": encoded("JPEG", _IMAGE.convert("L")),
    "CMYK JPEG": encoded("JPEG", _IMAGE.convert("CMYK")),
    "PNG": encoded("PNG", _SMALL),
    "palette PNG": encoded("PNG", _SMALL.convert("P")),
    "16-bit PNG": encoded("PNG", Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)),
    "TIFF": encoded("TIFF", _SMALL),
    **{f"TIFF {how}": encoded("TIFF", _SMALL, compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")},
    "TIFF group4": encoded("TIFF", in_mode("1"), compression="group4"),
    "WebP": encoded("WEBP", _SMALL),
    "lossless WebP": encoded("WEBP", _SMALL, lossless=True),
    "GIF": encoded("GIF", _SMALL),
    "BMP": encoded("BMP", _SMALL),
}


def _cut(data: bytes, start: int, _count: int) -> bytes:
    return data[:start]


def _deleted(data: bytes, start: int, count: int) -> bytes:
    return data[:start] + data[start + count :]


def _zeroed(data: bytes, start: int, count: int) -> bytes:
    return data[:start] + bytes(len(data[start : start + count])) + data[start + count :]


def _flipped(data: bytes, start: int, count: int) -> bytes:
    return data[:start] + bytes([data[start] ^ 1 << count % 8]) + data[start + 1 :]


def _difference(data: bytes, kind: str) -> float:
    """Returns the mean absolute difference of TensorFlow's pixels from Pillow's."""
    import tensorflow as tf

    # Pillow's inverse cosine transform. TensorFlow's default computes in less exact integers: of intact images, pixels
    # differ by 1 or 2, and by more where damage has made coefficients large.
    jpeg = functools.partial(tf.io.decode_jpeg, dct_method="INTEGER_ACCURATE")
    seen = jpeg(data, channels=3) if kind == "jpeg" else tf.io.decode_image(data, channels=3)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert seen.shape == expected.shape
    return float(np.abs(seen.numpy() - expected).mean())


def _same_or_rejected(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged metadata
        try:
            found = normalise_image(data, name="x")
        except ImageError:
            return
        assert _difference(found.data, found.format) == 0


@pytest.mark.parametrize("name", _FILES)
def test_intact(name: str) -> None:
    found = normalise_image(_FILES[name], name="x")
    assert _difference(found.data, found.format) == 0


@pytest.mark.parametrize("mutate", [_cut, _deleted, _zeroed, _flipped])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(_FILES)), st.integers(0, 10**6), st.integers(1, 200))
def test_damaged(mutate: Callable[[bytes, int, int], bytes], name: str, start: int, count: int) -> None:
    data = _FILES[name]
    _same_or_rejected(mutate(data, start % len(data), count))


_CHUNKS = [(chunk.name, bytes(chunk.content)) for chunk in read_chunks(encoded("PNG", _SMALL.convert("P")))]
_CHUNKS += [(b"IEND", b"")] * (_CHUNKS[-1][0] != b"IEND")


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(len(_CHUNKS))), st.integers(0, len(_CHUNKS)), st.binary(max_size=3), st.integers(0, 99))
def test_chunks_of_a_png_moved_repeated_and_changed(order: list[int], copied: int, more: bytes, place: int) -> None:
    """Their checksums are right: damage of this kind is that of a program, not of a disk."""
    chunks = [_CHUNKS[number] for number in order]
    if copied < len(_CHUNKS):
        chunks.insert(place % len(chunks), _CHUNKS[copied])
    name, content = chunks[place % len(chunks)]
    chunks[place % len(chunks)] = name, content[:place] + more + content[place + len(more) :]
    _same_or_rejected(png_of(*chunks))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_pixels_of_a_png_that_are_damaged_under_a_correct_checksum(data: st.DataObject) -> None:
    """Filter bytes, too few rows, and packed bytes that were changed before they were summed."""
    width, height = struct.unpack_from(">II", IHDR[1])
    pixels = bytearray([data.draw(st.integers(0, 255))]) * (height * (1 + 3 * width))
    pixels[:: 1 + 3 * width] = bytes(data.draw(st.sampled_from([0, 0, 0, 1, 9])) for _ in range(height))
    packed = bytearray(zlib.compress(bytes(pixels[: data.draw(st.integers(1, len(pixels)))])))
    for place in data.draw(st.lists(st.integers(0, len(packed) - 1), max_size=2)):
        packed[place] = data.draw(st.integers(0, 255))
    _same_or_rejected(png_of(IHDR, (b"IDAT", bytes(packed)), (b"IEND", b"")))
