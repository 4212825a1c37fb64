"""Random views of a training photograph: scale, crop and mirroring, with static shapes and stateless seeds."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer import preprocess

Tensor = Any

# A box of which less than this fraction is left on the canvas teaches more about borders than about animals.
MIN_VISIBLE = 0.3


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far random views may differ; the defaults change nothing."""

    scale_min: float = 1.0
    scale_max: float = 1.0
    horizontal_flip: bool = False
    vertical_flip: bool = False


def random_view(
    image: Tensor, boxes: Tensor, labels: Tensor, canvas: tuple[int, int], settings: Augmentation, seed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One random view.

    Args:
      image: uint8 [height, width, 3].
      boxes: float32 [n, 4], relative (ymin, xmin, ymax, xmax).
      labels: int32 [n].
      canvas: (height, width) of the result.
      settings: the ranges to draw from.
      seed: int64 [2]; the same seed gives the same view.

    Returns:
      uint8 canvas, boxes [m, 4] in its pixels, clipped to it, and labels [m]; m <= n, boxes that are mostly cut off
      are left out.
    """
    draw = tf.random.stateless_uniform([5], seed)
    zoom = settings.scale_min + draw[0] * (settings.scale_max - settings.scale_min)
    canvas_image, placement = preprocess.letterbox(image, canvas, zoom=zoom, offset=draw[1:3])
    full = boxes * tf.tile(placement.size, [2]) - tf.tile(placement.origin, [2])
    boxes, labels = _visible(full, labels, canvas)
    if settings.horizontal_flip:
        canvas_image, boxes = _flip(canvas_image, boxes, canvas, axis=1, when=draw[3] < 0.5)
    if settings.vertical_flip:
        canvas_image, boxes = _flip(canvas_image, boxes, canvas, axis=0, when=draw[4] < 0.5)
    return canvas_image, boxes, labels


def _visible(boxes: Tensor, labels: Tensor, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
    limit = tf.constant([*canvas, *canvas], tf.float32)
    clipped = tf.clip_by_value(boxes, 0.0, limit)
    kept = _area(clipped) >= MIN_VISIBLE * _area(boxes)
    return tf.boolean_mask(clipped, kept), tf.boolean_mask(labels, kept)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _flip(image: Tensor, boxes: Tensor, canvas: tuple[int, int], *, axis: int, when: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors image and boxes along an axis (0 rows, 1 columns) when told."""

    def mirrored() -> tuple[Tensor, Tensor]:
        low, high = canvas[axis] - boxes[:, axis + 2], canvas[axis] - boxes[:, axis]
        columns = tf.unstack(boxes, num=4, axis=1)
        columns[axis], columns[axis + 2] = low, high
        return tf.reverse(image, [axis]), tf.stack(columns, axis=1)

    return tf.cond(when, mirrored, lambda: (image, boxes))
