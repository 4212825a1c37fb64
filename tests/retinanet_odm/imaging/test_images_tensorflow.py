"""Images are checked by their header and then by the model: TensorFlow must refuse what a full check refuses."""

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
    damaged = bytearray(jpeg)
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    start = data.draw(st.integers(0, len(damaged) - 3))
    del damaged[start : data.draw(st.integers(start, len(damaged) - 2))]  # the end mark stays
    try:
        found = normalise_image(bytes(damaged), name="x", rule=ImageRule(verify=VERIFY_HEADER))
    except ImageError:
        return
    if find_decode_error(found.data):
        assert not _decodes(found.data, "jpeg", ratio)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_wrong_pixels_with_correct_checksums(data: st.DataObject) -> None:
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


def test_the_error_is_that_of_the_full_check() -> None:
    intact = _JPEGS[0]
    assert find_decode_error(intact) is None
    half = len(intact) // 2
    damaged = intact[:half] + b"\xff\xc8" + intact[half:]  # a marker that the standard reserves
    assert normalise_image(damaged, name="x", rule=ImageRule(verify=VERIFY_HEADER)).data == damaged
    with pytest.raises(ImageError) as refused:
        normalise_image(damaged, name="x")
    assert refused.value.detail == f"x: {find_decode_error(damaged)}"
