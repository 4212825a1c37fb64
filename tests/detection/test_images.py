"""Images: what passes untouched, what is re-encoded, and that bad bytes raise ImageError and nothing else."""

import contextlib
import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.errors import ImageError
from detection.images import normalise_image

# Red top left, green top right, blue bottom left, black bottom right: tells every turn and mirror apart.
_UPRIGHT = np.zeros((32, 48, 3), np.uint8)
_UPRIGHT[:16, :24, 0] = _UPRIGHT[:16, 24:, 1] = _UPRIGHT[16:, :24, 2] = 255


def _encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(_UPRIGHT)).save(buffer, kind, **options)
    return buffer.getvalue()


def _decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _mode(mode: str) -> Image.Image:
    return Image.fromarray(_UPRIGHT).convert(mode)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(_encoded("JPEG"), "jpeg", id="JPEG"),
        pytest.param(_encoded("JPEG", progressive=True), "jpeg", id="progressive JPEG"),
        pytest.param(_encoded("JPEG", _mode("L")), "jpeg", id="grey JPEG"),
        pytest.param(_encoded("PNG"), "png", id="PNG"),
        pytest.param(_encoded("PNG", _mode("L")), "png", id="grey PNG"),
        pytest.param(_encoded("JPEG") + b"trailing", "jpeg", id="bytes after the end, as some cameras write"),
    ],
)
def test_good_pictures_pass_byte_for_byte(data: bytes, kind: str) -> None:
    found = normalise_image(data, name="x")
    assert found.data is data
    assert (found.format, found.height, found.width) == (kind, 32, 48)


@pytest.mark.parametrize(
    ("data", "kind", "tolerance"),
    [
        pytest.param(_encoded("PNG", _mode("RGBA")), "png", 0, id="RGBA PNG"),
        pytest.param(_encoded("PNG", _mode("P")), "png", 0, id="palette PNG"),
        pytest.param(_encoded("JPEG", _mode("CMYK"), quality=95), "jpeg", 60, id="CMYK JPEG stays JPEG"),
        pytest.param(_encoded("GIF"), "png", 0, id="GIF: rank 4 in TensorFlow"),
        pytest.param(_encoded("WEBP", lossless=True), "png", 0, id="WebP: rank 4 in TensorFlow"),
        pytest.param(_encoded("TIFF"), "png", 0, id="TIFF: unknown to TensorFlow"),
        pytest.param(_encoded("TIFF", compression="tiff_lzw"), "png", 0, id="compressed TIFF"),
        pytest.param(_encoded("BMP"), "png", 0, id="BMP"),
    ],
)
def test_other_pictures_become_rgb(data: bytes, kind: str, tolerance: int) -> None:
    found = normalise_image(data, name="x")
    with Image.open(io.BytesIO(found.data)) as image:
        assert (image.format, image.mode, image.size) == (kind.upper(), "RGB", (found.width, found.height))
    assert found.format == kind
    assert np.abs(_decoded(found.data).astype(int) - _UPRIGHT).mean() <= tolerance


def test_black_and_white_becomes_rgb() -> None:
    found = normalise_image(_encoded("PNG", _mode("1")), name="x")
    assert set(np.unique(_decoded(found.data))) == {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind: str) -> None:
    """As TensorFlow does; Pillow's own conversion clips everything above 255 to white."""
    grey = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48) * 42
    found = normalise_image(_encoded(kind, Image.fromarray(grey)), name="x")
    np.testing.assert_array_equal(_decoded(found.data)[..., 0], grey >> 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_baked(kind: str, orientation: int) -> None:
    turns = {2: [0], 3: [0, 1], 4: [1], 5: ["t"], 6: ["t", 1], 7: [0, 1, "t"], 8: ["t", 0], 1: []}
    stored = _UPRIGHT
    for step in turns[orientation]:  # the inverse of what a viewer does
        stored = np.swapaxes(stored, 0, 1) if step == "t" else np.flip(stored, axis=1 - int(step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = _encoded(kind, Image.fromarray(np.ascontiguousarray(stored)), exif=exif, **options)
    found = normalise_image(data, name="x")
    assert (found.height, found.width) == _UPRIGHT.shape[:2]
    assert np.abs(_decoded(found.data).astype(int) - _UPRIGHT).mean() < 8
    with Image.open(io.BytesIO(found.data)) as image:
        assert image.getexif().get(0x0112, 1) == 1


def _bomb() -> bytes:
    """A PNG of a few bytes that says it is 60000x60000."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data + b"\x00\x00\x00\x00IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "image_empty", id="zero bytes: a transfer that never began"),
        pytest.param(_encoded("JPEG")[:-200], "image_not_decodable", id="JPEG cut short"),
        pytest.param(_encoded("JPEG")[:30], "image_not_decodable", id="JPEG cut within its header"),
        pytest.param(_encoded("PNG")[:-40], "image_not_decodable", id="PNG cut short"),
        pytest.param(_encoded("TIFF")[:-40], "image_not_decodable", id="TIFF cut short"),
        pytest.param(_encoded("GIF")[:60], "image_not_decodable", id="GIF cut short"),
        pytest.param(_encoded("WEBP")[:60], "image_not_decodable", id="WebP cut short"),
        pytest.param(b"this is text, not a picture\n" * 9, "image_not_decodable", id="a text file"),
        pytest.param(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_not_decodable", id="EPS runs programs"
        ),
        pytest.param(_bomb(), "image_not_decodable", id="decompression bomb"),
        pytest.param(
            _encoded("TIFF").replace(b"\x11\x01\x04\0", b"\x11\x01\x05\0"),
            "image_not_decodable",
            id="a TIFF whose offsets are fractions: a TypeError in Pillow",
        ),
        pytest.param(bytes(1000), "image_not_decodable", id="zeros: a failed disk"),
    ],
)
def test_bad_bytes(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=r"dive 7/x\.jpg") as caught:
        normalise_image(data, name="dive 7/x.jpg")
    assert caught.value.reason == reason
    assert "0x" not in caught.value.detail  # an address would differ from run to run


_SEEDS = [
    *(_encoded(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")),
    _encoded("TIFF", compression="tiff_lzw"),
    _encoded("TIFF", _mode("1"), compression="group4"),
    _encoded("PNG", _mode("P")),
    _encoded(
        "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    ),
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(range(len(_SEEDS))),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    st.none() | st.integers(0, 4000),
)
def test_spoilt_bytes_raise_image_error_and_nothing_else(
    seed: int, changes: list[tuple[int, int]], length: int | None
) -> None:
    data = bytearray(_SEEDS[seed])
    for position, value in changes:
        data[position % len(data)] = value
    with warnings.catch_warnings(), contextlib.suppress(ImageError):
        warnings.simplefilter("ignore")
        found = normalise_image(bytes(data[:length]), name="x")
        assert found.width > 0
