"""The exceptions of image readers that mean corrupt data."""

import struct
import zlib

from PIL import Image

# What Pillow raises for corrupt bytes; any other exception is a bug. Its readers validate only in part: a corrupt TIFF
# tag surfaces as a TypeError or KeyError from deep inside.
CORRUPT_DATA_ERRORS = (
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
