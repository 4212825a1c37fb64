"""Encoded images: checks that they decode, and returns the bytes that go into a record or a model.

Begin with `normalise_image`. TensorFlow's decoder ignores EXIF orientation, cannot read TIFF and gives GIF and WebP a
fourth dimension. So valid 8-bit JPEG and PNG pass unchanged, and every other image is converted to upright 8-bit RGB
first: boxes then fit the pixels that TensorFlow decodes. An `ImageRule` can also request smaller or grey images, or
checks of the header only.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from PIL import Image, ImageOps

from retinanet_odm.errors import ImageError, UsageError
from retinanet_odm.imaging.kinds import FORMATS, check_not_raw, find_openers

VERIFY_FULL = "full"
VERIFY_HEADER = "header"
NOT_DECODABLE = "image_not_decodable"  # the reason of an ImageError

_ORIENTATION_TAG = 0x0112
# DateTimeOriginal in the Exif part (CIPA DC-008 Exif 2.32, 4.6.5); DateTime in the main part is the last edit.
_EXIF_PART, _CAPTURE_TIME_TAG = 0x8769, 0x9003
_MIN_YEAR = 1900  # cameras without a clock write earlier years

_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"
_MIN_HASHED_SIZE = (64, 64)  # pixels, decoded at reduced size, that are enough for difference_hash

# Chunks that may contain an EXIF orientation: eXIf itself, and text that holds EXIF or XMP.
_PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")

# What Pillow raises for corrupt bytes; any other exception is a bug. Its readers validate only in part: a corrupt TIFF
# tag surfaces as a TypeError or KeyError from deep inside.
_CORRUPT_DATA_ERRORS = (
    OSError,
    RuntimeError,  # of libavif
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
    """

    data: bytes
    format: str
    width: int
    height: int
    full_size: tuple[int, int]
    orientation: int = 1
    perceptual_hash: int | None = None
    capture_time: datetime | None = None


def normalise_image(data: bytes, *, name: str, rule: ImageRule = _DEFAULT_RULE) -> EncodedImage:
    """Checks an image and returns bytes for a record or a model.

    A valid upright 8-bit RGB or grey JPEG or PNG is returned byte for byte, unless the rule requests a smaller or a
    grey image. Other images are re-encoded: JPEG stays JPEG (quality 95, no chroma subsampling), the rest becomes PNG;
    16-bit grey keeps its high byte.

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
        with Image.open(io.BytesIO(data), formats=openers) as image:
            check_not_raw(image, data, name=name)
            return _normalise(image, data, rule)
    except _CORRUPT_DATA_ERRORS as error:
        raise ImageError(NOT_DECODABLE, f"{name}: {_not_readable(error)}") from error


def find_decode_error(data: bytes) -> str | None:
    """Returns why an image that passed VERIFY_HEADER does not decode; None if it does."""
    try:
        with Image.open(io.BytesIO(data), formats=find_openers(data, name="")) as image:
            _decode_reduced(image)
    except _CORRUPT_DATA_ERRORS as error:
        return _not_readable(error)
    return None


def _not_readable(error: Exception) -> str:
    """Returns Pillow's text without the address of its stream object, which would differ from run to run."""
    return f"not a readable image: {str(error).split('<_io', 1)[0].strip() or type(error).__name__}"


def _normalise(image: Image.Image, data: bytes, rule: ImageRule) -> EncodedImage:
    kind = FORMATS[str(image.format)]
    full_size, size = image.size, _reduced_size(image.size, rule.max_side)
    # Whether the bytes may pass unchanged, as far as the header tells.
    fits = kind in _IS_COMPLETE and size == full_size and image.mode in (("L",) if rule.grayscale else ("L", "RGB"))
    if fits and rule.verify == VERIFY_HEADER and _IS_COMPLETE[kind](image, data):
        # A PNG that passes contains no EXIF, and Pillow would decode all of it to find out.
        time = _capture_time(image) if kind == "jpeg" else None
        return EncodedImage(
            data=data, format=kind, width=size[0], height=size[1], full_size=full_size, capture_time=time
        )
    orientation, time = _orientation(image), _capture_time(image)
    if orientation >= 5 and kind != "tiff":  # Pillow already reports the upright size of a TIFF
        full_size = full_size[::-1]
    # Decoded only to find damage: the bytes of the file go into the record as they are.
    if fits and orientation == 1:
        _decode_reduced(image)
    else:
        image = _decode_upright(image, size, "L" if rule.grayscale else "RGB")
        kind = "jpeg" if kind == "jpeg" else "png"
        data, size = _encode(image, kind), image.size
    return EncodedImage(
        data=data,
        format=kind,
        width=size[0],
        height=size[1],
        full_size=full_size,
        orientation=orientation,
        perceptual_hash=difference_hash(image) if rule.perceptual_hash else None,
        capture_time=time,
    )


def _reduced_size(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    longest = max(size)
    if max_side is None or longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(_ORIENTATION_TAG, 1)
    return int(found) if found in range(1, 9) else 1


def _capture_time(image: Image.Image) -> datetime | None:
    """Reads the capture time; an invalid one is ignored, because the pixels may be valid all the same."""
    try:
        text = str(image.getexif().get_ifd(_EXIF_PART).get(_CAPTURE_TIME_TAG, ""))
        time = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except _CORRUPT_DATA_ERRORS:
        return None
    return time if time.year >= _MIN_YEAR else None


def _is_complete_jpeg(image: Image.Image, data: bytes) -> bool:
    """Returns whether a JPEG is upright and not truncated: no scan begins after the last end marker.

    Zeros from a camera's buffer may follow the marker. An EXIF thumbnail has an end marker too, but the scan of the
    image itself begins after it.
    """
    end = data.rfind(_JPEG_END)
    return end >= 0 and data.find(_JPEG_SCAN, end) < 0 and _orientation(image) == 1


def _is_complete_png(_: Image.Image, data: bytes) -> bool:
    """Returns whether a PNG is not truncated or changed (all checksums to IEND hold) and has no orientation.

    Chunks that may hold an orientation count as one: Pillow would decode the image to read them, because they may
    follow the pixels.
    """
    # After the signature of 8 bytes. A chunk: length, name, data, CRC-32 of name and data (PNG specification, 5.3).
    position, names = 8, set()
    while position + 12 <= len(data) and b"IEND" not in names:
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        checksum = zlib.crc32(memoryview(data)[position + 4 : end])
        if name in _PNG_METADATA or data[end : end + 4] != struct.pack(">I", checksum):
            return False
        names.add(name)
        position = end + 4
    return {b"IDAT", b"IEND"} <= names


_IS_COMPLETE = {"jpeg": _is_complete_jpeg, "png": _is_complete_png}


def _decode_reduced(image: Image.Image) -> None:
    """Decodes an image to check it, a JPEG at reduced size.

    libjpeg decodes to a half, a quarter or an eighth at a fraction of the cost. It reads all coefficients at any size,
    and that is where corrupt data shows.
    """
    image.draft("L", _MIN_HASHED_SIZE)
    image.load()


def _decode_upright(image: Image.Image, size: tuple[int, int], mode: str) -> Image.Image:
    """Decodes an image, resizes it to a size before its EXIF orientation, and applies the orientation last."""
    # As in _decode_reduced; twice the final size keeps LANCZOS sharp. The extent is where the image lies in it.
    drafted = image.draft(None, (2 * size[0], 2 * size[1])) if size != image.size else None
    image.load()
    plain = _to_eight_bits(image).convert(mode)
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.LANCZOS, box=drafted[1] if drafted else None)
    return ImageOps.exif_transpose(plain)


def _encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "jpeg":
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        # Without a colour profile, like JPEG: the one that Pillow makes for CIE LAB contains the time of day.
        image.save(buffer, "PNG", icc_profile=None)
    return buffer.getvalue()


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Converts 16-bit grey to its high byte, as TensorFlow does; Pillow's own conversion would clip at 255."""
    if image.mode not in ("I", "I;16", "I;16B", "I;16L"):
        return image
    grey = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8), "L")
    grey.info = dict(image.info)  # contains the orientation
    return grey


def difference_hash(image: Image.Image) -> int:
    """Computes the perceptual hash dHash: 64 bits that hardly change when an image is resized or compressed.

    The grey image is reduced to 9x8 pixels; each bit, row by row from the highest, tells whether a pixel is darker than
    its right neighbour. See N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    # reducing_gap lets a cheap box filter do the first part, so that a large image may differ by a bit or two.
    small = image.convert("L").resize((9, 8), Image.Resampling.LANCZOS, reducing_gap=16)
    pixels = np.asarray(small)
    return int.from_bytes(np.packbits(pixels[:, :-1] < pixels[:, 1:]).tobytes(), "big")
