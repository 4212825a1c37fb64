"""Damaged images: only ImageError comes out, or a good image."""

import contextlib
import io
import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from retinanet_odm.errors import ImageError
from retinanet_odm.imaging.images import VERIFY_HEADER, ImageRule, normalise_image
from tests.retinanet_odm.images import EXIF, EXIF_PNG, encoded, in_mode

_SEEDS = [
    *(encoded(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")),
    *(encoded("TIFF", compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
    encoded("TIFF", in_mode("1"), compression="group4"),
    encoded("PNG", in_mode("P")),
    encoded("JPEG", exif=EXIF),
    EXIF_PNG,
]


_RULES = [
    ImageRule(),
    ImageRule(verify=VERIFY_HEADER, perceptual_hash=True),
    ImageRule(verify=VERIFY_HEADER, max_side=20, grayscale=True, perceptual_hash=True),
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(range(len(_SEEDS))),
    st.sampled_from(_RULES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.none() | st.integers(0, 4000),
)
def test_corrupt_bytes_raise_image_error_and_nothing_else(
    seed: int, rule: ImageRule, changes: list[tuple[int, int]], length: int | None
) -> None:
    data = bytearray(_SEEDS[seed])
    for position, value in changes:
        data[position % len(data)] = value
    with warnings.catch_warnings(), contextlib.suppress(ImageError):
        warnings.simplefilter("ignore")
        found = normalise_image(bytes(data[:length]), name="x", rule=rule)
        with Image.open(io.BytesIO(found.data)) as image:
            assert (image.format, image.size) == (found.format.upper(), (found.width, found.height))
        assert rule.max_side is None or max(found.width, found.height) <= rule.max_side


def _verdict(data: bytes, *, in_full: bool) -> bool:
    """Whether a JPEG decodes, by this program or by Pillow at full size."""
    try:
        if not in_full:
            normalise_image(data, name="x")
            return True
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image.load()
            return True
    except (ImageError, OSError, SyntaxError, ValueError):
        return False


_NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
_JPEGS = [
    encoded("JPEG", Image.fromarray(_NOISE).resize((161, 121)), **options)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4})
]


@settings(max_examples=400)
@given(st.sampled_from(_JPEGS), st.data())
def test_decoding_at_a_reduced_size_finds_the_same_damage(jpeg: bytes, data: st.DataObject) -> None:
    """An image that passes unchanged is decoded at a reduced size: libjpeg reads all coefficients at any size."""
    corrupt = bytearray(jpeg[: data.draw(st.integers(1, len(jpeg)))])
    for place in data.draw(st.lists(st.integers(0, len(corrupt) - 1), max_size=5)):
        corrupt[place] = data.draw(st.integers(0, 255))
    assert _verdict(bytes(corrupt), in_full=False) == _verdict(bytes(corrupt), in_full=True)
