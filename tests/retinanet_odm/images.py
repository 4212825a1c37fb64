"""Small images that tests of images share."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

# Red top left, green top right, blue bottom left, black bottom right: every rotation and mirror image differs.
UPRIGHT = np.zeros((32, 48, 3), np.uint8)
UPRIGHT[:16, :24, 0] = UPRIGHT[:16, 24:, 1] = UPRIGHT[16:, :24, 2] = 255


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(UPRIGHT)).save(buffer, kind, **options)
    return buffer.getvalue()


def in_mode(mode: str) -> Image.Image:
    return Image.fromarray(UPRIGHT).convert(mode)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


IHDR = (b"IHDR", struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0))
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
EXIF_PNG = encoded("PNG", exif=EXIF)
