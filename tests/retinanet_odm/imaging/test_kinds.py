"""Images that Pillow would not know, or would know wrongly; each is read, or rejected with a reason of its own."""

import contextlib
import io
import struct
import sys

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, TiffImagePlugin

from retinanet_odm.errors import ImageError
from retinanet_odm.imaging import kinds
from retinanet_odm.imaging.images import normalise_image


def _image() -> Image.Image:
    image = Image.new("RGB", (64, 48), (10, 120, 200))
    ImageDraw.Draw(image).rectangle((4, 4, 20, 30), fill=(250, 20, 20))
    return image


def _saved(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    _image().save(buffer, kind, **options)
    return buffer.getvalue()


def _brand(*brands: bytes) -> bytes:
    box = brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I4s", 8 + len(box), b"ftyp") + box + bytes(64)


def _tiff(**tags: int) -> bytes:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    if "subfile" in tags:
        info.tagtype[254], info[254] = 4, tags["subfile"]
    if "dng" in tags:
        info.tagtype[50706], info[50706] = 1, bytes([1, 4, 0, 0])
    return _saved("TIFF", tiffinfo=info)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
REJECTED = [
    (b"", "image_empty", "no bytes"),
    (LFS, "git_lfs_pointer", "a pointer in place of the image"),
    (_tiff(dng=1), "image_is_raw", "DNG: the first image of the file is its thumbnail"),
    (_tiff(subfile=1), "image_is_raw", "NEF, ARW: the first image says that it is a smaller version"),
    (b"II*\0\x10\0\0\0CR\2\0" + _tiff()[12:], "image_is_raw|image_not_decodable", "CR2"),
    (_brand(b"avif", b"mif1"), "image_not_decodable|avif_not_supported", "AVIF without an image"),
    (_brand(b"mp42", b"isom"), "image_not_decodable", "a video"),
    (b"\0\0\0\4ftyp", "image_not_decodable", "an empty box"),
]


@pytest.mark.parametrize(("data", "reasons", "why"), REJECTED)
def test_rejected(data, reasons, why):
    with pytest.raises(ImageError) as caught:
        normalise_image(data, name="d/a.jpg")
    assert caught.value.reason in reasons.split("|"), why
    assert caught.value.detail.startswith("d/a.jpg: "), why


@pytest.mark.parametrize("brands", [(b"heic", b"mif1"), (b"mif1", b"heic"), (b"heix",), (b"msf1", b"hevc")])
def test_heic_names_the_extra_that_reads_it(monkeypatch, brands):
    kinds._register_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"retinanet-odm\[heif\]") as caught:
        normalise_image(_brand(*brands), name="a.heic")
    assert caught.value.reason == "heif_not_supported", "not image_…: another run may be able to read it"
    kinds._register_heif.cache_clear()


TIFFS = [(_tiff(), "a plain TIFF"), (_tiff(subfile=0), "the image itself"), (_tiff(subfile=2), "a page of several")]


@pytest.mark.parametrize(("data", "why"), TIFFS)
def test_other_tiffs_are_read(data, why):
    assert normalise_image(data, name="a.tif").full_size == (64, 48), why


def _pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize(("orientation", "size", "red"), [(1, (64, 48), (10, 10)), (6, (48, 64), (37, 10))])
def test_avif_becomes_an_upright_png(orientation, size, red):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = normalise_image(_saved("AVIF", quality=95, exif=exif.tobytes()), name="a.avif")
    assert (found.format, (found.width, found.height), found.full_size) == ("png", size, size)
    assert _pixels(found.data).getpixel(red)[0] > 200, "the red part is at the upper left, turned with the image"


def test_heic_becomes_an_upright_png():
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    found = normalise_image(_saved("HEIF", quality=95, exif=exif.tobytes()), name="a.heic")
    assert (found.format, found.full_size) == ("png", (48, 64))
    assert _pixels(found.data).getpixel((37, 10))[0] > 200


@settings(max_examples=60, deadline=None)
@given(st.integers(12, 400), st.binary(min_size=1, max_size=8))
def test_a_damaged_avif_is_read_or_rejected(position, noise):
    data = bytearray(_AVIF)
    data[position : position + len(noise)] = noise
    with contextlib.suppress(ImageError):  # nothing else
        normalise_image(bytes(data), name="a.avif")


_AVIF = _saved("AVIF", quality=95)
