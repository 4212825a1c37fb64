"""Pixels that are not 8-bit: the stated rules."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retinanet_odm.imaging.depth import to_eight_bits
from retinanet_odm.imaging.images import normalise_image
from tests.retinanet_odm.images import encoded


@pytest.mark.parametrize(
    ("pixels", "expected", "rule"),
    [
        pytest.param(np.uint16([[0, 0xFFFF]]), [0, 255], "", id="16 bits keep the high byte"),
        pytest.param(np.uint16([[0, 4095]]), [0, 255], "values of 12 bits are scaled to 8", id="12 bits in 16"),
        pytest.param(np.uint16([[0, 1023]]), [0, 255], "values of 10 bits are scaled to 8", id="10 bits in 16"),
        pytest.param(np.int32([[0, 255]]), [0, 255], "values of 8 bits are kept", id="8 bits in 32"),
        pytest.param(np.int32([[-1000, 254_000]]), [0, 255], "values of -1000 to 254000 are stretched", id="32 bits"),
        pytest.param(np.float32([[0, 1]]), [0, 255], "values of 0 to 1 are scaled to 255", id="float of 0..1"),
        pytest.param(np.float32([[1.6, 200]]), [2, 200], "values of 0 to 255 are rounded", id="float of 0..255"),
        pytest.param(np.float32([[-5, 1000]]), [0, 255], "values of -5 to 1000 are stretched", id="float of any range"),
        pytest.param(np.float32([[np.nan, 1]]), [0, 255], "values of 0 to 1 are scaled to 255", id="a missing value"),
        pytest.param(np.int32([[70_000, 70_000]]), [0, 0], "values of 70000 to 70000 are stretched", id="no contrast"),
    ],
)
def test_rule(pixels: np.ndarray, expected: list[int], rule: str) -> None:
    converted, found = to_eight_bits(Image.fromarray(pixels))
    assert np.asarray(converted)[0].tolist() == expected
    assert found.startswith(rule) and bool(found) == bool(rule)


def test_no_finite_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixel is a finite number"):
        to_eight_bits(Image.fromarray(np.float32([[np.nan, np.inf]])))


def _tiff(pixels: np.ndarray, **options: Any) -> bytes:
    return encoded("TIFF", Image.fromarray(pixels), **options)


_RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)
_SHADES = np.stack([_RAMP, _RAMP[::-1], _RAMP[:, ::-1]], -1)


def _colours(mode: str) -> Image.Image:
    return Image.fromarray((_SHADES * 255).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("data", "remarks"),
    [
        pytest.param(_tiff(_RAMP.astype(np.float32)), ["pixels_scaled"], id="float of 0..1"),
        pytest.param(_tiff((_RAMP * 200 - 100).astype(np.float32)), ["pixels_scaled"], id="float with negative values"),
        pytest.param(_tiff((_RAMP * 255).astype(np.int32)), ["pixels_scaled"], id="32-bit integers of 0..255"),
        pytest.param(_tiff((_RAMP * 1e6).astype(np.int32)), ["pixels_scaled"], id="32-bit integers of any range"),
        pytest.param(_tiff((_RAMP * 4095).astype(np.uint16)), ["pixels_scaled"], id="12 bits in 16, TIFF"),
        pytest.param(
            encoded("PNG", Image.fromarray((_RAMP * 4095).astype(np.uint16))),
            ["pixels_scaled"],
            id="12 bits in 16, PNG",
        ),
        pytest.param(_tiff((_RAMP * 65535).astype(np.uint16)), [], id="16 bits, TIFF"),
        pytest.param(encoded("PNG", Image.fromarray((_RAMP * 65535).astype(np.uint16))), [], id="16 bits, PNG"),
        pytest.param(encoded("PNG", _colours("1")), [], id="1 bit, PNG"),
        pytest.param(encoded("TIFF", _colours("1")), [], id="1 bit, TIFF"),
        pytest.param(
            encoded("PNG", Image.fromarray((_RAMP * 255).astype(np.uint8)).convert("LA")),
            [],
            id="grey with transparency",
        ),
        pytest.param(encoded("TIFF", _colours("RGBA")), [], id="colours with transparency"),
        pytest.param(encoded("PNG", _colours("P")), [], id="palette"),
        pytest.param(encoded("TIFF", _colours("CMYK")), [], id="CMYK, TIFF"),
        pytest.param(encoded("JPEG", _colours("CMYK")), [], id="CMYK, JPEG"),
        pytest.param(encoded("TIFF", _colours("YCbCr"), compression="jpeg"), [], id="YCbCr"),
        pytest.param(encoded("TIFF", _colours("LAB")), [], id="CIE LAB"),
        pytest.param(
            encoded("TIFF", _colours("RGB"), save_all=True, append_images=[Image.new("RGB", (9, 9))]),
            [],
            id="two pages: the first",
        ),
    ],
)
def test_no_depth_becomes_black(data: bytes, remarks: list[str]) -> None:
    found = normalise_image(data, name="x")
    with Image.open(io.BytesIO(found.data)) as image:
        assert (image.size, image.mode) == ((64, 48), "RGB")
        pixels = np.asarray(image)
    assert pixels.min() < 40 and pixels.max() > 215
    assert [remark.code for remark in found.remarks] == remarks


@pytest.mark.parametrize(
    ("image", "warns"),
    [
        pytest.param(Image.new("RGB", (64, 48), (90, 90, 90)), True, id="one colour"),
        pytest.param(Image.fromarray((_RAMP * 14 + 90).astype(np.uint8)), True, id="nearly one brightness"),
        pytest.param(Image.fromarray((_SHADES * 15).astype(np.uint8)), True, id="12 bits in 16-bit colours"),
        pytest.param(Image.fromarray((_RAMP * 30 + 90).astype(np.uint8)), False, id="fog"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_an_image_without_contrast_is_a_warning(image: Image.Image, warns: bool, kind: str) -> None:
    found = normalise_image(encoded(kind, image, **({"quality": 95} if kind == "JPEG" else {})), name="x")
    assert [remark.code for remark in found.remarks] == ["image_without_contrast"] * warns
