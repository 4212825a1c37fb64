"""What `--verify=header` verifies: that a JPEG or PNG is complete and may pass without being decoded."""

from PIL import Image

from retinanet_odm.imaging.exif import orientation_of
from retinanet_odm.imaging.png import PngError, read_chunks

_JPEG_END, _JPEG_SCAN = b"\xff\xd9", b"\xff\xda"
# Chunks that may contain an EXIF orientation: eXIf itself, and text that holds EXIF or XMP.
_PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")


def may_pass_undecoded(image: Image.Image, data: bytes) -> bool:
    """Return whether a JPEG or PNG is upright and, as far as its header and its end show, complete."""
    return _is_complete_png(data) if image.format == "PNG" else _is_complete_jpeg(image, data)


def _is_complete_jpeg(image: Image.Image, data: bytes) -> bool:
    """Return whether a JPEG is upright and not truncated: no scan begins after the last end marker.

    Zeros from a camera's buffer may follow the marker. An EXIF thumbnail has an end marker too, but the scan of the
    image itself begins after it.
    """
    end = data.rfind(_JPEG_END)
    return end >= 0 and data.find(_JPEG_SCAN, end) < 0 and orientation_of(image) == 1


def _is_complete_png(data: bytes) -> bool:
    """Return whether a PNG is not truncated or changed (all checksums to IEND hold) and has no orientation.

    Chunks that may hold an orientation count as one: Pillow would decode the image to read them, because they may
    follow the pixels.
    """
    try:
        names = {chunk.name for chunk in read_chunks(data)}
    except PngError:
        return False
    return b"IDAT" in names and names.isdisjoint(_PNG_METADATA)
