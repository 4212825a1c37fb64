"""Which kind of image some bytes are, where Pillow would not know or would be wrong. Begin with `find_openers`.

Pillow opens a raw image of a camera as the thumbnail in it, if the raw format is a kind of TIFF; `check_not_raw`
rejects it. HEIC is opened by pillow-heif, the extra [heif], which is imported only when such an image appears.
"""

import functools
import struct
from typing import Any

from PIL import Image, features

from retinanet_odm.errors import ImageError

# Formats by Pillow's name. MPO, a JPEG that is followed by further images, is opened by the JPEG reader.
FORMATS = {
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "PNG": "png",
    "BMP": "bmp",
    "GIF": "gif",
    "WEBP": "webp",
    "TIFF": "tiff",
    "AVIF": "avif",
    "HEIF": "heif",
}
GIT_LFS = b"version https://git-lfs.github.com/spec/"
_OPENERS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
# Brands of files in the ISO base media format (ISO/IEC 23008-12, annex B; AV1 Image File Format, section 6).
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
# Tags of TIFF 6.0 and of Adobe's DNG specification.
_SUBFILE_TYPE, _DNG_VERSION = 254, 50706
_REDUCED = 1  # bit 0 of NewSubfileType: a smaller version of another image in the file
_CR2 = (b"II*\0", b"CR")  # at bytes 0 and 8


def find_openers(data: bytes, *, name: str) -> tuple[str, ...]:
    """Return the names of Pillow's readers that may open an image.

    Args:
      data: the file's bytes.
      name: for messages.

    Raises:
      ImageError: the file is empty, a pointer of Git LFS, or an image of a kind that needs an extra package.
    """
    if not data:
        raise ImageError("image_empty", f"{name}: expected an image, found a file of 0 bytes")
    if data.startswith(GIT_LFS):
        raise ImageError("git_lfs_pointer", f"{name}: expected an image, found a pointer of Git LFS: run git lfs pull")
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return _avif(name)
    if brands & _HEIF_BRANDS:
        return _heif(name)
    return _OPENERS


def _brands(data: bytes) -> frozenset[bytes]:
    """Return the brands in the first box of a file in the ISO base media format; none for other files."""
    if data[4:8] != b"ftyp":
        return frozenset()
    (size,) = struct.unpack_from(">I", data)
    box = data[8 : min(size, 256)]
    return frozenset(box[start : start + 4] for start in range(0, len(box), 4))


def _avif(name: str) -> tuple[str, ...]:
    if not features.check("avif"):  # the stubs of older Pillow versions lack it
        raise ImageError("avif_not_supported", f"{name}: AVIF images need Pillow 11.3 or later, with libavif")
    return ("AVIF",)


def _heif(name: str) -> tuple[str, ...]:
    if not _register_heif():
        raise ImageError(
            "heif_not_supported", f"{name}: HEIC images need pillow-heif: pip install 'retinanet-odm[heif]'"
        )
    return ("HEIF",)


@functools.cache
def _register_heif() -> bool:
    """Register pillow-heif with Pillow; return whether it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def check_not_raw(image: Image.Image, data: bytes, *, name: str) -> None:
    """Raise ImageError if what Pillow has opened is only the thumbnail of a raw image."""
    tags: Any = getattr(image, "tag_v2", {})
    is_cr2 = data.startswith(_CR2[0]) and data[8:10] == _CR2[1]
    if is_cr2 or _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0)) & _REDUCED:
        raise ImageError(
            "image_is_raw",
            f"{name}: a raw image of a camera (such as DNG, NEF or CR2), of which only a thumbnail can be read: convert"
            " it to TIFF or JPEG",
        )
