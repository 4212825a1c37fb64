"""What these bytes are as an image: format, checks, EXIF, perceptual hash; and boxes drawn onto images.

Begin with `images.normalise_image`: encoded bytes in, bytes out that TensorFlow decodes to upright 8-bit pixels.
`drawing` draws boxes with captions.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retinanet_odm.imaging.drawing import DrawnBox, draw_boxes, draw_thumbnail
    from retinanet_odm.imaging.images import (
        EncodedImage,
        ImageRule,
        difference_hash,
        find_decode_error,
        normalise_image,
    )

__all__ = [
    "DrawnBox",
    "EncodedImage",
    "ImageRule",
    "difference_hash",
    "draw_boxes",
    "draw_thumbnail",
    "find_decode_error",
    "normalise_image",
]

_MODULES = {
    "DrawnBox": "drawing",
    "EncodedImage": "images",
    "ImageRule": "images",
    "difference_hash": "images",
    "draw_boxes": "drawing",
    "draw_thumbnail": "drawing",
    "find_decode_error": "images",
    "normalise_image": "images",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, and Pillow and numpy with it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
