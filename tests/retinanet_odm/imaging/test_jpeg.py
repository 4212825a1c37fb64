"""JPEG files: damage that decoders repair in silence is found, and what is only unusual passes."""

import contextlib
import io
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retinanet_odm.errors import ImageError
from retinanet_odm.imaging.images import VERIFY_FULL, VERIFY_HEADER, ImageRule, normalise_image
from retinanet_odm.imaging.jpeg import JpegError, _find_zeros, read_jpeg
from tests.retinanet_odm.images import encoded

_PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
_IMAGE = Image.fromarray(_PIXELS).resize((160, 120))
_JPEG = encoded("JPEG", _IMAGE)
_RESTARTS = encoded("JPEG", _IMAGE, restart_marker_rows=1)
_PROGRESSIVE = encoded("JPEG", _IMAGE, progressive=True)
_END = b"\xff\xd9"
_SOS = 0xDA


def _with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + data[2:]


def _before_end(data: bytes, more: bytes) -> bytes:
    return data[:-2] + more + _END


def _mpo() -> bytes:
    return encoded("MPO", _IMAGE, save_all=True, append_images=[_IMAGE.rotate(90)])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_PROGRESSIVE, id="progressive"),
        pytest.param(_RESTARTS, id="restart markers"),
        pytest.param(encoded("JPEG", _IMAGE, optimize=True), id="tables of its own"),
        pytest.param(encoded("JPEG", _IMAGE, subsampling=0), id="4:4:4"),
        pytest.param(encoded("JPEG", _IMAGE, subsampling=1), id="4:2:2"),
        pytest.param(encoded("JPEG", _IMAGE, keep_rgb=True), id="RGB, by Adobe's segment"),
        pytest.param(encoded("JPEG", _IMAGE.convert("L"), optimize=True), id="grey"),
        pytest.param(_mpo(), id="MPO: a second image follows"),
        pytest.param(encoded("JPEG", _IMAGE.resize((1, 1))), id="one pixel"),
        pytest.param(encoded("JPEG", _IMAGE.resize((3000, 1))), id="one row"),
        pytest.param(encoded("JPEG", Image.new("RGB", (640, 480))), id="black"),
        pytest.param(encoded("JPEG", Image.new("L", (640, 480), 90), optimize=True), id="one grey, tables of its own"),
        pytest.param(encoded("JPEG", Image.new("RGB", (640, 480)), progressive=True), id="black, progressive"),
        pytest.param(_JPEG + bytes(70_000), id="zeros after the end"),
        pytest.param(_JPEG + b"\xff\xd8\xff", id="bytes after the end"),
        pytest.param(_JPEG.replace(b"\xff\xc0", b"\xff\xff\xff\xff\xc0"), id="fill bytes before a marker (B.1.1.2)"),
        pytest.param(_before_end(_JPEG, b"\xff\xff"), id="fill bytes before the end"),
        pytest.param(_before_end(_JPEG, b"\0\0\0"), id="zeros of a webcam before the end"),
        pytest.param(_with_segment(_JPEG, 0xEF, b"own"), id="a segment of a maker"),
        pytest.param(_with_segment(_JPEG, 0xFE, b"\xff\xd9"), id="a comment that holds an end marker"),
        pytest.param(_JPEG.replace(b"JFIF\0\1", b"JFIF\0\x09"), id="an unknown version of JFIF"),
        pytest.param(_JPEG[:20] + b"xx" + _JPEG[20:], id="bytes between two segments of the header"),
    ],
)
def test_an_unusual_file_passes_byte_for_byte(data: bytes) -> None:
    assert normalise_image(data, name="x").data is data


def _middle(data: bytes) -> int:
    scan = read_jpeg(data).scans[0]
    return (scan.start + scan.end) // 2


def _without(data: bytes, count: int) -> bytes:
    place = _middle(data)
    return data[:place] + data[place + count :]


def _zeroed(data: bytes, count: int) -> bytes:
    place = _middle(data)
    return data[:place] + bytes(count) + data[place + count :]


def _before_scan(data: bytes, number: int) -> bytes:
    """Ends a file before one of its scans."""
    starts = [start for marker, start, _ in read_jpeg(data).segments if marker == _SOS]
    return data[: starts[number]] + _END


def _restarts_in_order(data: bytes, order: bytes) -> bytes:
    found = iter(order)
    return re.sub(rb"\xff[\xd0-\xd7]", lambda _: bytes([0xFF, 0xD0 + next(found)]), data)


_COUNT = len(re.findall(rb"\xff[\xd0-\xd7]", _RESTARTS))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_JPEG[: len(_JPEG) // 2] + _END, id="half a file with an end"),
        pytest.param(_JPEG[: len(_JPEG) // 2], id="half a file"),
        pytest.param(_JPEG[:-30], id="the last row and the end are missing"),
        pytest.param(_JPEG[:-30] + _END, id="the last row is missing"),
        pytest.param(_without(_JPEG, 1000), id="1000 bytes lost"),
        pytest.param(_without(_JPEG, 300), id="300 bytes lost"),
        pytest.param(_without(_PROGRESSIVE, 300), id="300 bytes of a progressive file lost"),
        *(pytest.param(_zeroed(_JPEG, count), id=f"{count} bytes zeroed") for count in (8, 50, 1000)),
        *(pytest.param(_zeroed(_PROGRESSIVE, count), id=f"{count} zeroed, progressive") for count in (50, 1000)),
        *(pytest.param(_before_scan(_PROGRESSIVE, number), id=f"{number} scans") for number in range(1, 10)),
        pytest.param(_before_end(_JPEG, b"\x5a" * 40), id="bytes left over"),
        pytest.param(_restarts_in_order(_RESTARTS, bytes(_COUNT)), id="restart markers all alike"),
        pytest.param(re.sub(rb"\xff\xd3", b"", _RESTARTS), id="a restart marker lost"),
        pytest.param(re.sub(rb"\xff\xd3.*\xff\xd4", b"\xff\xd4", _RESTARTS, flags=re.S), id="an interval lost"),
        pytest.param(_JPEG.replace(b"\xff\xda\0\x0c\x03", b"\xff\xda\0\x0c\x09"), id="a scan of 9 components"),
    ],
)
def test_damage_is_found(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^x: not a readable image: ") as found:
        normalise_image(data, name="x")
    assert found.value.reason == "image_not_decodable"


def test_the_message_of_libjpeg_reaches_the_caller() -> None:
    with pytest.raises(ImageError, match=r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9"):
        normalise_image(_before_end(_JPEG, b"\x5a" * 40), name="x")


_SMALL = [
    encoded("JPEG", _IMAGE, **options)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4})
]


def _is_intact(data: bytes, min_size: tuple[int, int]) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            read_jpeg(data).verify(image.size, min_size)
    except (JpegError, OSError, SyntaxError):
        return False
    return True


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(_SMALL), st.data())
def test_decoding_at_a_reduced_size_finds_the_same_damage(jpeg: bytes, data: st.DataObject) -> None:
    """libjpeg reads all coefficients, whatever the size."""
    scans = read_jpeg(jpeg).scans
    corrupt = bytearray(jpeg)
    for place in data.draw(st.lists(st.integers(scans[0].start, len(jpeg) - 3), min_size=1, max_size=5)):
        corrupt[place] = data.draw(st.integers(0, 254))
    large = (100_000, 100_000)
    assert _is_intact(bytes(corrupt), (1, 1)) == _is_intact(bytes(corrupt), large)


@pytest.mark.parametrize("data", [_JPEG, _PROGRESSIVE, _RESTARTS, encoded("JPEG", _IMAGE.convert("L"))])
@pytest.mark.parametrize("verify", [VERIFY_FULL, VERIFY_HEADER])
def test_an_end_marker_that_is_all_that_is_missing_is_added(data: bytes, verify: str) -> None:
    for missing in (1, 2):
        found = normalise_image(data[:-missing], name="x", rule=ImageRule(verify=verify))
        assert found.data == data
        assert [remark.code for remark in found.remarks] == ["end_marker_added"]


@pytest.mark.parametrize("data", [_JPEG, _PROGRESSIVE, _RESTARTS])
def test_a_file_that_lost_more_than_its_end_marker_is_damaged_or_has_all_pixels(data: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    for missing in range(3, 60):
        for verify in (VERIFY_FULL, VERIFY_HEADER):
            with contextlib.suppress(ImageError):
                found = normalise_image(data[:-missing], name="x", rule=ImageRule(verify=verify))
                assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.data))), pixels), missing


@settings(max_examples=100)
@given(st.lists(st.sampled_from([bytes(1), bytes(4), bytes(5), b"\x01", b"\xff\x02"]), max_size=30), st.data())
def test_zeros_are_found_where_they_are(pieces, data):
    scan = b"".join(pieces)
    start = data.draw(st.integers(0, len(scan)))
    end = data.draw(st.integers(start, len(scan)))
    for count in (6, 16):
        assert _find_zeros(scan, count, start, end) == scan.find(bytes(count), start, end)
