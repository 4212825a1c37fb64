"""A picture that passes on its header is left to the model: TensorFlow must refuse what a full check would refuse."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retinanet_odm.errors import ImageError
from retinanet_odm.imaging.images import VERIFY_HEADER, ImageRule, find_decode_error, normalise_image
from tests.retinanet_odm.images import IHDR, encoded, png_of

_NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
_JPEGS = [
    encoded("JPEG", Image.fromarray(_NOISE).resize((161, 121)), **options)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4})
]


def _decodes(data: bytes, kind: str, ratio: int = 1) -> bool:
    import tensorflow as tf

    try:
        tf.io.decode_jpeg(data, channels=3, ratio=ratio) if kind == "jpeg" else tf.io.decode_png(data, channels=3)
    except tf.errors.InvalidArgumentError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_JPEGS), st.sampled_from([1, 2, 4, 8]), st.data())
def test_tensorflow_refuses_what_the_full_check_refuses(jpeg: bytes, ratio: int, data: st.DataObject) -> None:
    spoilt = bytearray(jpeg)
    for place in data.draw(st.lists(st.integers(0, len(spoilt) - 1), max_size=4)):
        spoilt[place] = data.draw(st.integers(0, 255))
    start = data.draw(st.integers(0, len(spoilt) - 3))
    del spoilt[start : data.draw(st.integers(start, len(spoilt) - 2))]  # lost, but for the end mark
    try:
        found = normalise_image(bytes(spoilt), name="x", rule=ImageRule(verify=VERIFY_HEADER))
    except ImageError:
        return
    if find_decode_error(found.data):
        assert not _decodes(found.data, "jpeg", ratio)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_pixels_that_are_wrong_though_the_checksums_are_right(data: st.DataObject) -> None:
    """PNG: filter bytes, too few rows, and packed bytes that were changed before they were summed."""
    width, height = 48, 32  # of IHDR
    pixels = bytearray([data.draw(st.integers(0, 255))]) * (height * (1 + 3 * width))
    pixels[:: 1 + 3 * width] = bytes(data.draw(st.sampled_from([0, 0, 0, 1, 9])) for _ in range(height))
    packed = bytearray(zlib.compress(bytes(pixels[: data.draw(st.integers(1, len(pixels)))])))
    for place in data.draw(st.lists(st.integers(0, len(packed) - 1), max_size=2)):
        packed[place] = data.draw(st.integers(0, 255))
    png = png_of(IHDR, (b"IDAT", bytes(packed)), (b"IEND", b""))
    assert normalise_image(png, name="x", rule=ImageRule(verify=VERIFY_HEADER)).data == png
    if find_decode_error(png):
        assert not _decodes(png, "png")


def test_what_is_found_is_what_the_full_check_says() -> None:
    whole = _JPEGS[0]
    assert find_decode_error(whole) is None
    half = len(whole) // 2
    spoilt = whole[:half] + b"\xff\xc8" + whole[half:]  # a marker that the standard reserves
    assert normalise_image(spoilt, name="x", rule=ImageRule(verify=VERIFY_HEADER)).data == spoilt
    with pytest.raises(ImageError) as refused:
        normalise_image(spoilt, name="x")
    assert refused.value.detail == f"x: {find_decode_error(spoilt)}"
