"""Image bytes: what they are, whether they decode, and the bytes that go into a record or a model.

TensorFlow's decoder ignores EXIF orientation, cannot read TIFF and gives GIF and WebP a fourth dimension. So good
8-bit JPEG and PNG pass untouched, and every other picture becomes upright 8-bit RGB first: boxes then fit the pixels
that TensorFlow decodes. An ImageRule may ask for smaller or grey pictures, or that good ones pass on their header.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from PIL import Image, ImageOps

from retinanet_odm.errors import ImageError, UsageError

VERIFY_FULL = "full"
VERIFY_HEADER = "header"
NOT_DECODABLE = "image_not_decodable"  # the reason of an ImageError
_ORIENTATION_TAG = 0x0112

# DateTimeOriginal, and where it stands (CIPA DC-008 Exif 2.32, 4.6.5). DateTime in the main part is the last change.
_EXIF_PART, _TAKEN_TAG = 0x8769, 0x9003
_FIRST_YEAR = 1900  # what cameras without a clock write lies before

# By Pillow's name of what was opened; MPO (a JPEG with further pictures behind it) is opened by the JPEG reader.
_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "BMP": "bmp", "GIF": "gif", "WEBP": "webp", "TIFF": "tiff"}
_OPENERS = tuple(name for name in _FORMATS if name != "MPO")
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"
_ENOUGH_TO_HASH = (64, 64)  # pixels of a decoded picture that difference_hash shrinks to 9x8

# Chunks in which an EXIF orientation may stand: eXIf itself, and text that holds EXIF or XMP.
_PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")

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
class ImageRule:
    """What is done with each photograph.

    Attributes:
      verify: FULL, every pixel decodes; HEADER, a JPEG or PNG that would pass byte for byte is not decoded. Of a JPEG,
        HEADER then notices a spoilt header and a missing end, but not bytes that were changed, zeroed or lost between
        the two; of a PNG, it notices every byte that was changed or lost after it was written, by the checksums,
        but not pixels that were never written.
      max_side: the most pixels of the longer side; larger pictures shrink with their aspect kept, others stay.
      grayscale: pictures with colours become grey, of one channel.
      perceptual_hash: also take a difference hash of pictures that are decoded.

    Raises:
      UsageError: verify is another word, or max_side less than 1.
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


_AS_IT_IS = ImageRule()


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """Upright image bytes that TensorFlow decodes as they are.

    Attributes:
      data: the bytes; format: jpeg or png; width, height: in pixels.
      full_size: (width, height) of the upright photograph before max_side made it smaller.
      orientation: the EXIF orientation 1..8 that the photograph came with; from 5 on its sides were swapped.
      perceptual_hash: the difference hash of the pixels, where one was asked for and they were decoded.
      capture_time: when the photograph was taken by the camera's clock, of no known time zone; None where EXIF does not tell.
    """

    data: bytes
    format: str
    width: int
    height: int
    full_size: tuple[int, int]
    orientation: int = 1
    perceptual_hash: int | None = None
    capture_time: datetime | None = None


def normalise_image(data: bytes, *, name: str, rule: ImageRule = _AS_IT_IS) -> EncodedImage:
    """Checks an image as the rule says and returns bytes fit for a record or a model.

    A good upright 8-bit RGB or grey JPEG or PNG is returned byte for byte, unless the rule wants it smaller or grey.
    Other pictures are re-encoded: JPEG stays JPEG (quality 95, no chroma subsampling), the rest becomes PNG; 16-bit
    grey keeps its high byte.

    Args:
      data: the file's bytes; the format is sniffed from them, never from the name.
      name: for messages.
      rule: by default every pixel is decoded, and neither size nor colours change.

    Raises:
      ImageError: empty, not a known picture format, truncated or broken, or larger than Pillow's bomb limit.
    """
    if not data:
        raise ImageError("image_empty", f"{name}: expected an image, found a file of 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=_OPENERS) as image:
            return _normalised(image, data, rule)
    except _BAD_BYTES as error:
        raise ImageError(NOT_DECODABLE, f"{name}: {_not_readable(error)}") from error


def find_decode_error(data: bytes) -> str | None:
    """Why a picture that passed on its header cannot be decoded; None where it can."""
    try:
        with Image.open(io.BytesIO(data), formats=_OPENERS) as image:
            image.draft("L", _ENOUGH_TO_HASH)
            image.load()
    except _BAD_BYTES as error:
        return _not_readable(error)
    return None


def _not_readable(error: Exception) -> str:
    """Pillow's text, without the address of the stream object that it names, which would differ from run to run."""
    return f"not a readable image: {str(error).split('<_io', 1)[0].strip() or type(error).__name__}"


def _normalised(image: Image.Image, data: bytes, rule: ImageRule) -> EncodedImage:
    kind = _FORMATS[str(image.format)]
    opened, size = image.size, _shrunk(image.size, rule.max_side)
    fits = kind in _CHECKS and size == opened and image.mode in (("L",) if rule.grayscale else ("L", "RGB"))
    if fits and rule.verify == VERIFY_HEADER and _CHECKS[kind](image, data):
        # A PNG that passes holds no EXIF, and Pillow would decode it to find out.
        capture_time = _capture_time(image) if kind == "jpeg" else None
        return EncodedImage(
            data=data, format=kind, width=size[0], height=size[1], full_size=size, capture_time=capture_time
        )
    orientation, capture_time = _orientation(image), _capture_time(image)
    swapped = orientation >= 5 and kind != "tiff"  # Pillow opens a TIFF with the size that it has once upright
    passes = fits and orientation == 1
    # libjpeg decodes to a half, a quarter or an eighth at a fraction of the cost. All damage shows while it reads the
    # coefficients, which it does in full at any size; for pictures to be resized, twice the size keeps LANCZOS sharp.
    if passes:
        image.draft("L", _ENOUGH_TO_HASH)
    drafted = image.draft(None, (2 * size[0], 2 * size[1])) if size != opened else None
    image.load()
    if not passes:
        image = _upright(image, size, drafted[1] if drafted else None, "L" if rule.grayscale else "RGB")
        kind = "jpeg" if kind == "jpeg" else "png"
        data, size = _encoded(image, kind), image.size
    return EncodedImage(
        data=data,
        format=kind,
        width=size[0],
        height=size[1],
        full_size=opened[::-1] if swapped else opened,
        orientation=orientation,
        perceptual_hash=difference_hash(image) if rule.perceptual_hash else None,
        capture_time=capture_time,
    )


def _shrunk(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    longest = max(size)
    if max_side is None or longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(_ORIENTATION_TAG, 1)
    return int(found) if found in range(1, 9) else 1


def _capture_time(image: Image.Image) -> datetime | None:
    """A time that is spoilt is none: the picture is whole all the same."""
    try:
        text = str(image.getexif().get_ifd(_EXIF_PART).get(_TAKEN_TAG, ""))
        capture_time = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except _BAD_BYTES:
        return None
    return capture_time if capture_time.year >= _FIRST_YEAR else None


def _is_whole_jpeg(image: Image.Image, data: bytes) -> bool:
    """Upright, and no scan begins behind the last end mark: what follows that mark are the zeros of a camera's buffer.

    An EXIF thumbnail has an end mark too, but the scan of the picture itself comes behind it.
    """
    end = data.rfind(_JPEG_END)
    return end >= 0 and data.find(_JPEG_SCAN, end) < 0 and _orientation(image) == 1


def _is_whole_png(_: Image.Image, data: bytes) -> bool:
    """All chunks to IEND are there, with right checksums, and none may hold an orientation.

    Pillow would have to decode the picture to tell the orientation, which may stand behind the pixels.
    """
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


_CHECKS = {"jpeg": _is_whole_jpeg, "png": _is_whole_png}


def _upright(
    image: Image.Image, size: tuple[int, int], extent: tuple[float, float, float, float] | None, mode: str
) -> Image.Image:
    """Shrinks what lies within the extent to the size, both as the picture was opened, and turns it last."""
    plain = _eight_bit(image).convert(mode)
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.LANCZOS, box=extent)
    return ImageOps.exif_transpose(plain)


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "jpeg":
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        # Without a colour profile, as JPEG is saved: the one that Pillow makes for CIE LAB tells the time of day.
        image.save(buffer, "PNG", icc_profile=None)
    return buffer.getvalue()


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey by its high byte, as TensorFlow does; Pillow's own conversion would clip at 255."""
    if image.mode not in ("I", "I;16", "I;16B", "I;16L"):
        return image
    grey = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8), "L")
    grey.info = dict(image.info)  # the orientation is in it
    return grey


def difference_hash(image: Image.Image) -> int:
    """A number of 64 bits that hardly changes when a picture is resized or compressed.

    The grey picture is shrunk to 9x8 pixels; each bit, row by row from the highest, says whether a pixel is darker
    than its right neighbour. It is dHash, N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    # With the gap a cheap box filter does the first part, so that a large photograph may differ by a bit or two.
    small = image.convert("L").resize((9, 8), Image.Resampling.LANCZOS, reducing_gap=16)
    pixels = np.asarray(small)
    return int.from_bytes(np.packbits(pixels[:, :-1] < pixels[:, 1:]).tobytes(), "big")
