"""What these bytes are as an image: format, checks, EXIF, perceptual hash; and boxes drawn onto images.

Begin with `images.normalise_image`: encoded bytes in, bytes out that TensorFlow decodes to upright 8-bit pixels.
`drawing` draws boxes with captions.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.imaging.drawing import DrawnBox, draw_boxes, draw_thumbnail
    from retinanet_odm.imaging.images import (
        EncodedImage,
        ImageRule,
        difference_hash,
        normalise_image,
    )

__all__ = [
    "DrawnBox",
    "EncodedImage",
    "ImageRule",
    "difference_hash",
    "draw_boxes",
    "draw_thumbnail",
    "normalise_image",
]

# Imported on first use, and Pillow and numpy with them.
_MODULES = {
    "DrawnBox": "drawing",
    "EncodedImage": "images",
    "ImageRule": "images",
    "difference_hash": "images",
    "draw_boxes": "drawing",
    "draw_thumbnail": "drawing",
    "normalise_image": "images",
}

__getattr__ = lazy_exports(__name__, _MODULES)
