"""Encoded images: checks that they decode, and returns the bytes that go into a record or a model.

Begin with `normalise_image`. TensorFlow's decoder ignores EXIF orientation, cannot read TIFF and gives GIF and WebP a
fourth dimension. So valid 8-bit JPEG and PNG pass unchanged, and every other image is converted to upright 8-bit RGB
first: boxes then fit the pixels that TensorFlow decodes. An `ImageRule` can also request smaller or grey images, or
checks of the header only.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from retinanet_odm.errors import ImageError, UsageError
from retinanet_odm.imaging.depth import to_eight_bits
from retinanet_odm.imaging.errors import CORRUPT_DATA_ERRORS
from retinanet_odm.imaging.exif import capture_time_of, orientation_of
from retinanet_odm.imaging.jpeg import JpegFile, complete_jpeg, read_jpeg
from retinanet_odm.imaging.kinds import FORMATS, check_not_raw, find_openers
from retinanet_odm.imaging.png import verify_png
from retinanet_odm.imaging.verification import may_pass_undecoded

VERIFY_FULL = "full"
VERIFY_HEADER = "header"
_NOT_DECODABLE = "image_not_decodable"  # the reason of an ImageError
# The codes of remarks on an image.
PIXELS_SCALED, NO_CONTRAST, END_ADDED = "pixels_scaled", "image_without_contrast", "end_marker_added"

# The least difference of the brightest and the darkest pixel, of 255. 12-bit values in 16-bit colours, which keep their
# high byte, are below it.
_MIN_CONTRAST = 16
_MIN_HASHED_SIZE = (64, 64)  # pixels, decoded at reduced size, that are enough for difference_hash


@dataclass(frozen=True, kw_only=True)
class ImageRule:
    """How images are checked and converted.

    Attributes:
      verify: VERIFY_FULL decodes every pixel. VERIFY_HEADER does not decode a JPEG or PNG that would pass unchanged. It
        finds a corrupt header and a missing end of a JPEG, but not bytes that were changed, zeroed or lost in between.
        It finds every byte of a PNG that was changed or lost after writing, by the checksums, but not pixels that were
        never written.
      max_side: the maximum length of the longer side in pixels; larger images are scaled down with their aspect ratio.
      grayscale: convert colour images to one grey channel.
      perceptual_hash: also compute the difference hash of images that are decoded.

    Raises:
      UsageError: verify is another word, or max_side is less than 1.
    """

    verify: str = VERIFY_FULL
    max_side: int | None = None
    grayscale: bool = False
    perceptual_hash: bool = False

    def __post_init__(self) -> None:
        if self.verify not in (VERIFY_FULL, VERIFY_HEADER):
            raise UsageError(f"verify: expected {VERIFY_FULL!r} or {VERIFY_HEADER!r}, found {self.verify!r}")
        if self.max_side is not None and self.max_side < 1:
            raise UsageError(f"max_side: expected 1 pixel or more, found {self.max_side}")


_DEFAULT_RULE = ImageRule()


class ImageRemark(NamedTuple):
    """Something that deserves a look in an image that was read: a code, and one sentence without the name."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """Upright image bytes that TensorFlow decodes without further conversion.

    Attributes:
      data: the bytes.
      format: jpeg or png.
      width, height: in pixels.
      full_size: (width, height) of the upright image before max_side reduced it.
      orientation: the EXIF orientation 1..8 of the input; from 5 on its sides were swapped.
      perceptual_hash: the difference hash of the pixels, if it was requested and they were decoded.
      capture_time: DateTimeOriginal of the camera's clock, without time zone; None if EXIF does not contain it.
      remarks: what deserves a look.
    """

    data: bytes
    format: str
    width: int
    height: int
    full_size: tuple[int, int]
    orientation: int = 1
    perceptual_hash: int | None = None
    capture_time: datetime | None = None
    remarks: tuple[ImageRemark, ...] = ()


def normalise_image(data: bytes, *, name: str, rule: ImageRule = _DEFAULT_RULE) -> EncodedImage:
    """Check an image and return bytes for a record or a model.

    A valid upright 8-bit RGB or grey JPEG or PNG is returned byte for byte, unless the rule requests a smaller or a
    grey image, or a JPEG lacks nothing but its end marker: then it is added. Other images are re-encoded: JPEG stays
    JPEG (quality 95, no chroma subsampling), the rest becomes PNG; `depth` has the rules for pixels that are not 8-bit.

    Args:
      data: the file's bytes; the format is detected from them, never from the name.
      name: for messages.
      rule: by default every pixel is decoded, and neither size nor colours change.

    Raises:
      ImageError: the data is empty, of no supported format, a raw image, truncated or corrupt, or larger than Pillow's
        limit for decompression bombs; or its format needs a package that is not installed.

    Example:
      >>> png = io.BytesIO()
      >>> Image.new("RGB", (64, 48)).save(png, "PNG")
      >>> image = normalise_image(png.getvalue(), name="a.png", rule=ImageRule(max_side=32))
      >>> image.format, image.width, image.height, image.full_size
      ('png', 32, 24, (64, 48))
    """
    openers = find_openers(data, name=name)
    try:
        complete = complete_jpeg(data) if data.startswith(b"\xff\xd8\xff") else data
        with Image.open(io.BytesIO(complete), formats=openers) as image:
            check_not_raw(image, complete, name=name)
            return _normalise(image, complete, rule, was_complete=complete is data)
    except CORRUPT_DATA_ERRORS as error:
        raise ImageError(_NOT_DECODABLE, f"{name}: {_not_readable(error)}") from error


def encode_pixels(image: Image.Image, *, name: str) -> EncodedImage:
    """Return an image in memory as a PNG for a model: upright 8-bit RGB, as `normalise_image` makes of a file.

    Args:
      image: of any mode, also one that Pillow has opened and not yet read; its EXIF orientation is applied.
      name: for messages.

    Raises:
      ImageError: Pillow cannot read its pixels.
    """
    try:
        orientation, time = orientation_of(image), capture_time_of(image)
        upright, scaled = _decode_upright(image, image.size, "RGB")
    except CORRUPT_DATA_ERRORS as error:
        raise ImageError(_NOT_DECODABLE, f"{name}: {_not_readable(error)}") from error
    return EncodedImage(
        data=encode_image(upright, "png"),
        format="png",
        width=upright.width,
        height=upright.height,
        full_size=upright.size,
        orientation=orientation,
        capture_time=time,
        remarks=tuple(_remarks(upright, scaled, was_complete=True)),
    )


def _not_readable(error: Exception) -> str:
    """Return Pillow's text without the address of its stream object, which would differ from run to run."""
    return f"not a readable image: {str(error).split('<_io', 1)[0].strip() or type(error).__name__}"


def _normalise(image: Image.Image, data: bytes, rule: ImageRule, was_complete: bool) -> EncodedImage:
    kind = FORMATS[str(image.format)]
    full_size, size = image.size, _reduced_size(image.size, rule.max_side)
    # Whether the bytes may pass unchanged, as far as the header tells.
    fits = kind in ("jpeg", "png") and size == full_size and image.mode in (("L",) if rule.grayscale else ("L", "RGB"))
    if fits and was_complete and rule.verify == VERIFY_HEADER and may_pass_undecoded(image, data):
        # A PNG that passes contains no EXIF, and Pillow would decode all of it to find out.
        time = capture_time_of(image) if kind == "jpeg" else None
        return EncodedImage(
            data=data, format=kind, width=size[0], height=size[1], full_size=full_size, capture_time=time
        )
    jpeg = read_jpeg(data) if kind == "jpeg" else None
    if kind == "png":
        verify_png(data)
    orientation, time = orientation_of(image), capture_time_of(image)
    if orientation >= 5 and kind != "tiff":  # Pillow already reports the upright size of a TIFF
        full_size = full_size[::-1]
    scaled = ""
    # Decoded only to find damage: the bytes of the file go into the record as they are.
    if fits and orientation == 1 and (jpeg is None or jpeg.is_common):
        image = _decode_reduced(image, jpeg)
    else:
        if jpeg:
            jpeg.verify(image.size, (1, 1))
        image, scaled = _decode_upright(image, size, "L" if rule.grayscale else "RGB")
        kind = "jpeg" if jpeg else "png"
        data, size = encode_image(image, kind), image.size
    return EncodedImage(
        data=data,
        format=kind,
        width=size[0],
        height=size[1],
        full_size=full_size,
        orientation=orientation,
        perceptual_hash=difference_hash(image) if rule.perceptual_hash else None,
        capture_time=time,
        remarks=tuple(_remarks(image, scaled, was_complete)),
    )


def _remarks(image: Image.Image, scaled: str, was_complete: bool) -> Iterator[ImageRemark]:
    if not was_complete:
        yield ImageRemark(END_ADDED, "the JPEG file stops after its pixels, without an end marker, which was added")
    if scaled:
        yield ImageRemark(PIXELS_SCALED, scaled)
    grey = np.asarray(_grey(image))
    low, high = int(grey.min()), int(grey.max())
    if high - low < _MIN_CONTRAST:
        yield ImageRemark(NO_CONTRAST, f"all pixels have nearly the same brightness, {low} to {high} of 255")


def _reduced_size(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    longest = max(size)
    if max_side is None or longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def _decode_reduced(image: Image.Image, jpeg: JpegFile | None) -> Image.Image:
    """Decode an image to check it, a JPEG to grey and at reduced size."""
    pixels = jpeg.verify(image.size, _MIN_HASHED_SIZE) if jpeg else None
    if pixels is not None:
        return Image.fromarray(pixels)
    image.draft("L", _MIN_HASHED_SIZE)
    image.load()
    return image


def _decode_upright(image: Image.Image, size: tuple[int, int], mode: str) -> tuple[Image.Image, str]:
    """Decode an image, resize it to a size before its EXIF orientation, and apply the orientation last.

    Returns:
      The image, and how its values were scaled to 8 bits.
    """
    # A JPEG is reduced while it is decoded; twice the final size keeps LANCZOS sharp. The extent is where the image
    # lies in the result.
    drafted = image.draft(None, (2 * size[0], 2 * size[1])) if size != image.size else None
    image.load()
    eight, scaled = to_eight_bits(image)
    plain = eight.convert(mode)
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.LANCZOS, box=drafted[1] if drafted else None)
    return ImageOps.exif_transpose(plain), scaled


def encode_image(image: Image.Image, kind: str) -> bytes:
    """Encode an image as ``jpeg`` of a quality at which the loss is not seen, or else as PNG."""
    buffer = io.BytesIO()
    if kind == "jpeg":
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        # Without a colour profile, like JPEG: the one that Pillow makes for CIE LAB contains the time of day.
        image.save(buffer, "PNG", icc_profile=None)
    return buffer.getvalue()


def _grey(image: Image.Image) -> Image.Image:
    return image if image.mode == "L" else image.convert("L")  # which would copy it


def difference_hash(image: Image.Image) -> int:
    """Compute the perceptual hash dHash: 64 bits that hardly change when an image is resized or compressed.

    The grey image is reduced to 9x8 pixels; each bit, row by row from the highest, tells whether a pixel is darker than
    its right neighbour. See N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    # reducing_gap lets a cheap box filter do the first part, so that a large image may differ by a bit or two.
    small = _grey(image).resize((9, 8), Image.Resampling.LANCZOS, reducing_gap=16)
    pixels = np.asarray(small)
    return int.from_bytes(np.packbits(pixels[:, :-1] < pixels[:, 1:]).tobytes(), "big")
