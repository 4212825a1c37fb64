"""Box arithmetic. Boxes are float32 arrays [N, 4] of (ymin, xmin, ymax, xmax).

Pixel coordinates are continuous, 0-based edges: the whole image is (0, 0, height, width), so a box's width is
``xmax - xmin`` (as in COCO and CVAT; no ``+ 1``). Relative coordinates are divided by the image's height and width.
"""

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]


def as_boxes(rows: npt.ArrayLike) -> Boxes:
    """Return rows as float32 [N, 4]; an empty sequence becomes [0, 4]."""
    return np.asarray(rows, np.float32).reshape(-1, 4)


def area(boxes: Boxes) -> npt.NDArray[np.float32]:
    """Return areas [N]; zero for an empty or inverted box.

    Example:
      >>> area(as_boxes([(0, 0, 2, 3), (5, 5, 4, 9)])).tolist()
      [6.0, 0.0]
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def clip(boxes: Boxes, height: float, width: float) -> Boxes:
    """Return boxes clipped to an image of this size, which has the unit of the boxes.

    Example:
      >>> clip(as_boxes([(-1, 2, 9, 9)]), height=6, width=8).tolist()
      [[0.0, 2.0, 6.0, 8.0]]
    """
    # np.clip takes several times as long, and this is called for every box.
    limits = np.asarray([height, width, height, width], np.float32)
    return np.minimum(np.maximum(boxes, np.float32(0)), limits).astype(np.float32)


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Return the intersection over union [N, M] of a [N, 4] and b [M, 4]; 0 where the union is empty.

    Example:
      >>> iou(as_boxes([(0, 0, 2, 2)]), as_boxes([(0, 0, 2, 1), (5, 5, 9, 9)])).tolist()
      [[0.5, 0.0]]
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])  # [N, M, 2]
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    # Boxes that do not meet have negative sides here, whose product could be positive.
    sides = np.maximum(bottom_right - top_left, 0)
    overlap = sides[..., 0] * sides[..., 1]  # [N, M]
    union = area(a)[:, None] + area(b)[None, :] - overlap
    return np.where(union > 0, overlap / np.where(union > 0, union, 1), 0).astype(np.float32)


def to_relative(boxes: Boxes, height: npt.ArrayLike, width: npt.ArrayLike) -> Boxes:
    """Convert pixels to fractions of the image, whose sides are numbers, or arrays [N] for boxes of several images.

    Example:
      >>> to_relative(as_boxes([(3, 2, 6, 8)]), height=6, width=8).tolist()
      [[0.5, 0.25, 1.0, 1.0]]
    """
    # Transposed: sides of one image are [4], those of a box each [N, 4].
    return (boxes / np.asarray([height, width, height, width], np.float32).T).astype(np.float32)


def to_pixels(boxes: Boxes, height: float, width: float) -> Boxes:
    """Convert fractions of the image to pixels; the inverse of `to_relative`.

    Example:
      >>> to_pixels(as_boxes([(0.5, 0.25, 1, 1)]), height=6, width=8).tolist()
      [[3.0, 2.0, 6.0, 8.0]]
    """
    return (boxes * np.asarray([height, width, height, width], np.float32)).astype(np.float32)
