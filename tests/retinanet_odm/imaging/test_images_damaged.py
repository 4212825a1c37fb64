"""Damaged images: only ImageError comes out, or a good image."""

import contextlib
import io
import warnings

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


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
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
