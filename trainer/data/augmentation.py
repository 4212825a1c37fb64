"""Random views of a training photograph: turn, scale, crop, colour, mirroring; static shapes and stateless seeds."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.data import preprocess

Tensor = Any

# What the optional draws fold into a view's seed: with one more of them in use, the others stay as they were.
_TURN, _COLOUR = 1, 2


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far random views may differ; the defaults change nothing.

    Attributes:
      scale_min, scale_max: range of the scale, 1 fits the photograph to the canvas.
      horizontal_flip, vertical_flip: mirror half of the views.
      rot90: turn by 0, 90, 180 or 270 degrees, each as likely.
      photometric: 0..1, how far brightness, contrast, saturation and hue may be off.
      min_visible: 0..1; a box of which less is left on the canvas is left out, since it teaches more about borders
        than about animals.
      mosaic: 0..1, how likely a view becomes one of four at half their scale (see mosaic).
      mosaic_steps: from this step on, there is none.
    """

    scale_min: float = 1.0
    scale_max: float = 1.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    rot90: bool = False
    photometric: float = 0.0
    min_visible: float = 0.3
    mosaic: float = 0.0
    mosaic_steps: int = 0


def random_view(
    encoded: Tensor, boxes: Tensor, labels: Tensor, canvas: tuple[int, int], settings: Augmentation, seed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One random view.

    Args:
      encoded: the photograph's bytes.
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
    if settings.rot90:  # of the photograph, so that the canvas keeps its shape
        photograph, boxes = _turned(encoded, boxes, canvas, zoom, fold_seed(seed, _TURN))
    else:
        photograph = preprocess.decode_image_bytes(encoded, canvas, zoom)
    canvas_image, placement = preprocess.letterbox(photograph, canvas, zoom=zoom, offset=draw[1:3])
    if settings.photometric:
        canvas_image = _recolour_photograph(canvas_image, placement, settings.photometric, fold_seed(seed, _COLOUR))
    full = boxes * tf.tile(placement.size, [2]) - tf.tile(placement.origin, [2])
    boxes, labels = _visible(full, labels, canvas, settings.min_visible)
    if settings.horizontal_flip:
        canvas_image, boxes = _flip(canvas_image, boxes, canvas, axis=1, when=draw[3] < 0.5)
    if settings.vertical_flip:
        canvas_image, boxes = _flip(canvas_image, boxes, canvas, axis=0, when=draw[4] < 0.5)
    return canvas_image, boxes, labels


def fold_seed(seed: Tensor, purpose: int) -> Tensor:
    """The seed int64 [2] of draws of their own; purpose tells them from others of the same seed."""
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(purpose, tf.int64))


def _turned(
    encoded: Tensor, boxes: Tensor, canvas: tuple[int, int], zoom: Tensor, seed: Tensor
) -> tuple[preprocess.DecodedImage, Tensor]:
    """A photograph and relative boxes [n, 4], turned by a random number of quarters, anticlockwise."""
    quarters = tf.random.stateless_uniform([], seed, 0, 4, tf.int32)
    lies = quarters % 2 == 1
    upright = preprocess.decode_image_bytes(encoded, tf.where(lies, canvas[::-1], canvas), zoom)
    photograph = upright._replace(
        pixels=tf.image.rot90(upright.pixels, quarters), size=tf.where(lies, upright.size[::-1], upright.size)
    )
    ymin, xmin, ymax, xmax = tf.unstack(boxes, num=4, axis=1)
    turned = (
        [ymin, xmin, ymax, xmax],
        [1 - xmax, ymin, 1 - xmin, ymax],
        [1 - ymax, 1 - xmax, 1 - ymin, 1 - xmin],
        [xmin, 1 - ymax, xmax, 1 - ymin],
    )
    return photograph, tf.stack([tf.stack(edges, axis=1) for edges in turned])[quarters]


def _recolour_photograph(image: Tensor, placement: preprocess.Placement, strength: float, seed: Tensor) -> Tensor:
    """Recolours what a canvas shows of its photograph; the padding stays the mean colour."""
    height, width = tf.unstack(tf.cast(placement.size - placement.origin, tf.int32))
    return preprocess.pad(recolour(image[:height, :width], strength, seed), tuple(image.shape[:2]))


def recolour(image: Tensor, strength: float, seed: Tensor) -> Tensor:
    """A uint8 [height, width, 3] image in other light.

    Strength 1 adds up to a quarter of the range to the brightness, halves or doubles contrast and saturation at most,
    and turns the hue by up to a tenth of the circle; less strength, less of each. 0 changes nothing.
    """
    light, contrast, saturation, hue = tf.unstack(strength * tf.random.stateless_uniform([4], seed, -1.0, 1.0))
    values = tf.cast(image, tf.float32) / 255.0 + 0.25 * light
    values = tf.clip_by_value(tf.image.adjust_contrast(values, 2.0**contrast), 0.0, 1.0)
    values = tf.image.adjust_hue(tf.image.adjust_saturation(values, 2.0**saturation), 0.1 * hue)
    return tf.cast(tf.clip_by_value(tf.round(values * 255.0), 0.0, 255.0), tf.uint8)


def _visible(boxes: Tensor, labels: Tensor, canvas: tuple[int, int], least: float) -> tuple[Tensor, Tensor]:
    limit = tf.constant([*canvas, *canvas], tf.float32)
    clipped = tf.clip_by_value(boxes, 0.0, limit)
    # Even where the least is 0, a box without an area is none.
    kept = (_area(clipped) >= least * _area(boxes)) & (_area(clipped) > 0)
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


Batch = dict[str, Tensor]
MOSAIC_IMAGES = 4
_MOSAIC = 3  # what these draws fold into their seed; see augment


def some_mosaics(batch: Batch, settings: Augmentation, seed: int, step: Tensor) -> Batch:
    """The batch of a step with some of its views, at random by (seed, step), turned into mosaics.

    Args:
      batch: see records.training_batches.
      settings: how likely a mosaic is, and at which step that ends.
      seed: of the run.
      step: int64 scalar.
    """

    def drawn() -> Batch:
        draw = tf.random.stateless_uniform(
            tf.shape(batch["labels"])[:1], fold_seed(tf.stack([tf.constant(seed, tf.int64), step]), _MOSAIC)
        )
        return _choose(draw < settings.mosaic, all_mosaics(batch), batch)

    return tf.cond(step < settings.mosaic_steps, drawn, lambda: batch)


def all_mosaics(batch: Batch) -> Batch:
    """Of every view one mosaic: itself at the top left, then the three that follow it in the batch, row by row.

    The four keep their whole area, so that no box is cut off. Of more boxes than there is room for, the first stay,
    and left_out counts the others, beside those that the four views had left out.
    """
    room = batch["labels"].shape[1]
    height, width = batch["image"].shape[1:3]
    boxes, labels = _joined_boxes(batch["boxes"], batch["labels"], (height // 2, width // 2))
    beyond = tf.maximum(tf.math.count_nonzero(labels, axis=1, dtype=tf.int32) - room, 0)
    left_out = tf.add_n([beyond, *_neighbours(batch["left_out"])])
    boxes, labels = _first_valid(boxes, labels, room)
    return {"image": _joined_images(batch["image"]), "boxes": boxes, "labels": labels, "left_out": left_out}


def _neighbours(values: Tensor) -> list[Tensor]:
    """For each of the four pictures, the row of the batch it comes from: [B, ...] each."""
    return [tf.roll(values, -picture, axis=0) for picture in range(MOSAIC_IMAGES)]


def _joined_images(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] of four views each, H and W even."""
    height, width = images.shape[1:3]
    halves = tf.cast(tf.round(tf.image.resize(images, (height // 2, width // 2), method="area")), tf.uint8)
    one, two, three, four = _neighbours(halves)
    return tf.concat([tf.concat([one, two], axis=2), tf.concat([three, four], axis=2)], axis=1)


def _joined_boxes(boxes: Tensor, labels: Tensor, middle: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes [B, 4 M, 4] of four views each, and labels [B, 4 M]; middle is where the four meet, in pixels."""
    row, column = middle
    origins = [(0, 0), (0, column), (row, 0), (row, column)]
    moved = [
        part / 2 + tf.constant([*origin, *origin], tf.float32)
        for part, origin in zip(_neighbours(boxes), origins, strict=True)
    ]
    return tf.concat(moved, axis=1), tf.concat(_neighbours(labels), axis=1)


def _first_valid(boxes: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first count boxes [B, count, 4] that are no padding, and their labels; then padding of 0."""
    order = tf.argsort(tf.cast(labels == 0, tf.int32), axis=1, stable=True)[:, :count]
    labels = tf.gather(labels, order, batch_dims=1)
    boxes = tf.gather(boxes, order, batch_dims=1)
    return tf.where(labels[..., None] > 0, boxes, 0.0), labels


def _choose(which: Tensor, chosen: Batch, others: Batch) -> Batch:
    """Row by row from one batch, where which [B] is true, or from another."""
    rows = {name: tf.reshape(which, [-1] + [1] * (value.shape.rank - 1)) for name, value in others.items()}
    return {name: tf.where(rows[name], chosen[name], others[name]) for name in others}
