"""Image bytes: what they are, whether they decode, and the bytes that go into a record or a model.

TensorFlow's decoder ignores EXIF orientation, cannot read TIFF and gives GIF and WebP a fourth dimension. So good
8-bit JPEG and PNG pass untouched, and every other picture becomes upright 8-bit RGB first: boxes then fit the pixels
that TensorFlow decodes.
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from detection.errors import ImageError

_ORIENTATION_TAG = 0x0112
# By Pillow's name of what was opened; MPO (a JPEG with further pictures behind it) is opened by the JPEG reader.
_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "BMP": "bmp", "GIF": "gif", "WEBP": "webp", "TIFF": "tiff"}
_OPENERS = tuple(name for name in _FORMATS if name != "MPO")
# What Pillow raises on bytes that are not a whole picture; everything else is a fault of the program. Its readers look
# before they leap only here and there: a spoilt TIFF tag surfaces as a TypeError or KeyError from deep inside.
_BAD_BYTES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """Upright image bytes that TensorFlow decodes as they are; width and height in pixels; format jpeg or png."""

    data: bytes
    format: str
    width: int
    height: int


def normalise_image(data: bytes, *, name: str) -> EncodedImage:
    """Checks that every pixel decodes and returns bytes fit for a record or a model.

    A good upright 8-bit RGB or grey JPEG or PNG is returned byte for byte. Other pictures are re-encoded: JPEG stays
    JPEG (quality 95, no chroma subsampling), the rest becomes PNG; 16-bit grey keeps its high byte.

    Args:
      data: the file's bytes; the format is sniffed from them, never from the name.
      name: for messages.

    Raises:
      ImageError: empty, not a known picture format, truncated or broken, or larger than Pillow's bomb limit.
    """
    if not data:
        raise ImageError("image_empty", f"{name}: expected an image, found a file of 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=_OPENERS) as image:
            kind = _FORMATS[str(image.format)]
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
            image.load()
            if kind in ("jpeg", "png") and orientation in (0, 1) and image.mode in ("L", "RGB"):
                return EncodedImage(data=data, format=kind, width=image.width, height=image.height)
            return _reencode(image, "jpeg" if kind == "jpeg" else "png")
    except _BAD_BYTES as error:
        # Pillow's text names the stream object with its address, which would differ from run to run.
        reason = str(error).split("<_io", 1)[0].strip() or type(error).__name__
        raise ImageError("image_not_decodable", f"{name}: not a readable image: {reason}") from error


def _reencode(image: Image.Image, kind: str) -> EncodedImage:
    upright = ImageOps.exif_transpose(_eight_bit(image)).convert("RGB")
    buffer = io.BytesIO()
    if kind == "jpeg":
        upright.save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        upright.save(buffer, "PNG")
    return EncodedImage(data=buffer.getvalue(), format=kind, width=upright.width, height=upright.height)


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey by its high byte, as TensorFlow does; Pillow's own conversion would clip at 255."""
    if image.mode not in ("I", "I;16", "I;16B", "I;16L"):
        return image
    grey = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8), "L")
    grey.getexif()[_ORIENTATION_TAG] = image.getexif().get(_ORIENTATION_TAG, 1)
    return grey
