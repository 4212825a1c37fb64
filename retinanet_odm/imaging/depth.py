"""Pixels that are not 8-bit become 8-bit by stated rules: begin with `to_eight_bits`."""

import numpy as np
from PIL import Image

_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
_MAX_SAMPLE_VALUE = 281  # TIFF 6.0, p. 36
_MIN_FULL_SCALE = 1 << 12  # the high byte of smaller values would be nearly black


def to_eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Convert 16-bit, 32-bit and float grey to 8 bits.

    - Integers within 0..255 are kept.
    - Other integers within 0..65535 lose their lowest bits. 16 bits are assumed, of which the high byte remains, as in
      TensorFlow. If a TIFF declares a lower maximum, or no value reaches 4096, as many bits are assumed as the
      maximum has: 12 bits in 16, for example.
    - Floats within 0..1 are multiplied by 255; other floats within 0..255 are rounded.
    - All others are stretched from their minimum to their maximum. Values that are not finite become black.

    Returns:
      The image, and how its values were scaled: "" if by the high byte of 16 bits or not at all.

    Raises:
      ValueError: no value is finite.
    """
    if image.mode not in _MODES:
        return image, ""
    pixels = np.asarray(image)
    eight, rule = _from_float(pixels) if image.mode == "F" else _from_integer(pixels, _declared_maximum(image))
    grey = Image.fromarray(eight.astype(np.uint8), "L")
    grey.info = dict(image.info)  # contains the orientation
    return grey, rule


def _declared_maximum(image: Image.Image) -> int:
    declared = getattr(image, "tag_v2", {}).get(_MAX_SAMPLE_VALUE, 0)
    return int(declared[0] if isinstance(declared, tuple) else declared)


def _from_integer(pixels: np.ndarray, declared: int) -> tuple[np.ndarray, str]:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 0xFFFF:
        return _stretch(pixels.astype(np.float64), low, high)
    if high <= 0xFF and (pixels.dtype.itemsize > 2 or declared == 0xFF):
        return pixels, "values of 8 bits are kept"
    maximum = declared if high <= declared <= 0xFFFF else 0xFFFF if high >= _MIN_FULL_SCALE else high
    bits = max(maximum.bit_length(), 8)
    return pixels.astype(np.uint32) >> (bits - 8), "" if bits == 16 else f"values of {bits} bits are scaled to 8"


def _from_float(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    finite = np.isfinite(pixels)
    if not finite.any():
        raise ValueError("no pixel is a finite number")
    low, high = float(pixels[finite].min()), float(pixels[finite].max())
    known = np.where(finite, pixels, low).astype(np.float64)
    if low >= 0 and high <= 1:
        eight, rule = np.rint(known * 255), "values of 0 to 1 are scaled to 255"
    elif low >= 0 and high <= 255:
        eight, rule = np.rint(known), "values of 0 to 255 are rounded"
    else:
        eight, rule = _stretch(known, low, high)
    return np.where(finite, eight, 0), rule


def _stretch(pixels: np.ndarray, low: float, high: float) -> tuple[np.ndarray, str]:
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((pixels - low) * scale), f"values of {low:g} to {high:g} are stretched to 0 to 255"
