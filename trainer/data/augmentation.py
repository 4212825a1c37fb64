"""Random views of a training image, and mosaics of four views. Begin with `random_view`.

Every draw is stateless: it depends only on a seed of (run, position of the image), so a resumed run repeats it. All
results have static shapes.

Shapes: the canvas has H × W pixels; n boxes of an image, M of a padded one; B images in a batch. Boxes are
(ymin, xmin, ymax, xmax).
"""

import functools
from dataclasses import dataclass

import tensorflow as tf

from trainer.data import preprocess
from trainer.data.parsing import REGION
from trainer.typing import Tensor

Batch = dict[str, Tensor]

# Optional draws fold a purpose into the seed, so that turning one on does not change the others.
_TURN, _COLOUR, _MOSAIC = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Ranges of the random views; the defaults change nothing.

    Attributes:
      scale_min: Minimum scale; at 1 the image fits the canvas.
      scale_max: Maximum scale.
      horizontal_flip: Mirror half of the views left to right.
      vertical_flip: Mirror half of the views top to bottom.
      rot90: Rotate by 0, 90, 180 or 270 degrees, with equal probability.
      photometric: 0..1, strength of the changes in brightness, contrast, saturation and hue.
      min_visible: 0..1; an object of which a smaller fraction of the box is on the canvas is no object there, because
        it teaches more about borders than about animals, and no background either.
      mosaic: 0..1, probability that a view becomes a mosaic.
      mosaic_steps: Number of steps with mosaics; later steps have none.
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
    """Draw one random view of an image.

    Args:
      encoded: string scalar, the encoded image.
      boxes: float32 [n, 4], relative to the image.
      labels: int32 [n], `parsing.REGION` for an area in which no object is known.
      canvas: (H, W) of the result.
      settings: The ranges to draw from.
      seed: int64 [2]; equal seeds give equal views.

    Returns:
      uint8 [H, W, 3], boxes float32 [k, 4] in canvas pixels, clipped to the canvas, and labels [k]: objects, then areas
      in which no object is known. k <= n, because boxes off the canvas are dropped. What is left of an object that is
      mostly cut off is such an area.
    """
    draw = tf.random.stateless_uniform([5], seed)  # scale, crop (y, x), horizontal flip, vertical flip
    zoom = settings.scale_min + draw[0] * (settings.scale_max - settings.scale_min)
    if settings.rot90:  # the image rather than the canvas, whose shape is fixed
        image, boxes = _rotate(encoded, boxes, canvas, zoom, fold_seed(seed, _TURN))
    else:
        image = preprocess.decode_image_bytes(encoded, canvas, zoom)
    pixels, placement = preprocess.letterbox(image, canvas, zoom=zoom, offset=draw[1:3])
    if settings.photometric:
        pixels = _recolour_visible(pixels, placement, settings.photometric, fold_seed(seed, _COLOUR))
    boxes = boxes * tf.tile(placement.size, [2]) - tf.tile(placement.origin, [2])  # in canvas pixels from here on
    # The order matters: boxes are cut at the canvas before flips, which mirror at its borders.
    boxes, labels = _clip(boxes, labels, canvas, settings.min_visible)
    if settings.horizontal_flip:
        pixels, boxes = _flip(pixels, boxes, canvas, axis=1, when=draw[3] < 0.5)
    if settings.vertical_flip:
        pixels, boxes = _flip(pixels, boxes, canvas, axis=0, when=draw[4] < 0.5)
    return pixels, boxes, labels


def fold_seed(seed: Tensor, purpose: int) -> Tensor:
    """Derive a seed int64 [2] for draws of their own, distinct for each purpose."""
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(purpose, tf.int64))


def _rotate(
    encoded: Tensor, boxes: Tensor, canvas: tuple[int, int], zoom: Tensor, seed: Tensor
) -> tuple[preprocess.DecodedImage, Tensor]:
    """Decode an image and rotates it, and its relative boxes [n, 4], by random quarter turns anticlockwise."""
    quarters = tf.random.stateless_uniform([], seed, 0, 4, tf.int32)
    swaps_sides = quarters % 2 == 1
    # The reduction is chosen for the canvas that the image will meet after the turn.
    upright = preprocess.decode_image_bytes(encoded, tf.where(swaps_sides, canvas[::-1], canvas), zoom)
    image = upright._replace(
        pixels=tf.image.rot90(upright.pixels, quarters),
        size=tf.where(swaps_sides, upright.size[::-1], upright.size),
    )
    ymin, xmin, ymax, xmax = tf.unstack(boxes, num=4, axis=1)
    # Relative boxes after 0, 1, 2 and 3 quarter turns anticlockwise; the draw selects one.
    by_quarters = (
        [ymin, xmin, ymax, xmax],
        [1 - xmax, ymin, 1 - xmin, ymax],
        [1 - ymax, 1 - xmax, 1 - ymin, 1 - xmin],
        [xmin, 1 - ymax, xmax, 1 - ymin],
    )
    return image, tf.stack([tf.stack(edges, axis=1) for edges in by_quarters])[quarters]


def _recolour_visible(pixels: Tensor, placement: preprocess.Placement, strength: float, seed: Tensor) -> Tensor:
    """Recolour the part of a canvas that shows the image; the padding keeps the mean colour."""
    height, width = tf.unstack(tf.cast(placement.size - placement.origin, tf.int32))
    return preprocess.pad(recolour(pixels[:height, :width], strength, seed), tuple(pixels.shape[:2]))


def recolour(image: Tensor, strength: float, seed: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of a uint8 [h, w, 3] image at random.

    At strength 1, brightness changes by up to a quarter of its range, contrast and saturation by a factor between one
    half and two, and hue by up to a tenth of the circle. Lower strengths scale these limits; 0 changes nothing.
    """
    # One draw for all four, each in -1..1 times the strength.
    light, contrast, saturation, hue = tf.unstack(strength * tf.random.stateless_uniform([4], seed, -1.0, 1.0))
    values = tf.cast(image, tf.float32) / 255.0 + 0.25 * light
    values = tf.clip_by_value(tf.image.adjust_contrast(values, 2.0**contrast), 0.0, 1.0)
    values = tf.image.adjust_hue(tf.image.adjust_saturation(values, 2.0**saturation), 0.1 * hue)
    return tf.cast(tf.clip_by_value(tf.round(values * 255.0), 0.0, 255.0), tf.uint8)


def _clip(boxes: Tensor, labels: Tensor, canvas: tuple[int, int], min_visible: float) -> tuple[Tensor, Tensor]:
    """Clip boxes [n, 4] to the canvas, and drop those off it; return those of objects first.

    An object of which too little is left becomes an area in which no object is known, as in tiles.
    """
    limit = tf.constant([*canvas, *canvas], tf.float32)
    clipped = tf.clip_by_value(boxes, 0.0, limit)
    labels = tf.where(_area(clipped) >= min_visible * _area(boxes), labels, REGION)
    is_seen = _area(clipped) > 0  # a box without an area is dropped even if min_visible is 0
    # Areas come last, so that padding to too few boxes leaves out the fewest objects.
    parts = (is_seen & (labels != REGION), is_seen & (labels == REGION))
    return (
        tf.concat([tf.boolean_mask(clipped, part) for part in parts], axis=0),
        tf.concat([tf.boolean_mask(labels, part) for part in parts], axis=0),
    )


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _flip(pixels: Tensor, boxes: Tensor, canvas: tuple[int, int], *, axis: int, when: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror pixels and boxes along an axis (0 rows, 1 columns) if the bool scalar ``when`` is true."""

    def mirrored() -> tuple[Tensor, Tensor]:
        # The upper edge becomes the lower one: min stays below max.
        low, high = canvas[axis] - boxes[:, axis + 2], canvas[axis] - boxes[:, axis]
        columns = tf.unstack(boxes, num=4, axis=1)
        columns[axis], columns[axis + 2] = low, high
        return tf.reverse(pixels, [axis]), tf.stack(columns, axis=1)

    return tf.cond(when, mirrored, lambda: (pixels, boxes))


# --- Mosaics (Bochkovskiy et al. 2020, arXiv 2004.10934, section 3.3; here of whole views) ---

MOSAIC_IMAGES = 4


def apply_mosaics(batch: Batch, settings: Augmentation, seed: int, step: Tensor) -> Batch:
    """Replace random views of a batch by mosaics, depending only on (seed, step).

    Args:
      batch: See `trainer.data.records.training_batches`.
      settings: Probability of a mosaic, and number of steps with mosaics.
      seed: Of the run.
      step: int64 scalar.
    """

    def mixed() -> Batch:
        draw = tf.random.stateless_uniform(  # [B]
            tf.shape(batch["labels"])[:1], fold_seed(tf.stack([tf.constant(seed, tf.int64), step]), _MOSAIC)
        )
        return _choose(draw < settings.mosaic, make_mosaics(batch), batch)

    return tf.cond(step < settings.mosaic_steps, mixed, lambda: batch)


def make_mosaics(batch: Batch) -> Batch:
    """Make one mosaic of every view: itself at the top left, then the three that follow it in the batch, row by row.

    The four are shown completely, so that no box is cut. If they have more than M boxes, the first M stay, objects
    before areas in which no object is known, and boxes_truncated counts the others together with those that the four
    views had lost before. A class is exhaustive in a mosaic if it is in all four.
    """
    capacity = batch["labels"].shape[1]  # M
    height, width = batch["image"].shape[1:3]
    boxes, labels = _join_boxes(batch["boxes"], batch["labels"], (height // 2, width // 2))
    excess = tf.maximum(tf.math.count_nonzero(labels, axis=1, dtype=tf.int32) - capacity, 0)
    truncated = tf.add_n([excess, *_neighbours(batch["boxes_truncated"])])
    boxes, labels = _first_boxes(boxes, labels, capacity)
    mosaics = {"image": _join_images(batch["image"]), "boxes": boxes, "labels": labels, "boxes_truncated": truncated}
    if "not_exhaustive" in batch:
        mosaics["not_exhaustive"] = functools.reduce(tf.maximum, _neighbours(batch["not_exhaustive"]))
    return mosaics


def _neighbours(values: Tensor) -> list[Tensor]:
    """Return for each of the four tiles the rows that it takes of a batch, [B, ...] each."""
    return [tf.roll(values, -tile, axis=0) for tile in range(MOSAIC_IMAGES)]


def _join_images(images: Tensor) -> Tensor:
    """Join uint8 [B, H, W, 3] to mosaics of the same shape; H and W are even."""
    height, width = images.shape[1:3]
    # By areas: with a factor of exactly two, each pixel is the mean of four.
    halves = tf.cast(tf.round(tf.image.resize(images, (height // 2, width // 2), method="area")), tf.uint8)
    one, two, three, four = _neighbours(halves)
    return tf.concat([tf.concat([one, two], axis=2), tf.concat([three, four], axis=2)], axis=1)


def _join_boxes(boxes: Tensor, labels: Tensor, middle: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Join boxes to [B, 4 M, 4] and labels to [B, 4 M]; middle is the pixel (y, x) where the four tiles meet."""
    row, column = middle
    origins = [(0, 0), (0, column), (row, 0), (row, column)]
    moved = [
        part / 2 + tf.constant([*origin, *origin], tf.float32)
        for part, origin in zip(_neighbours(boxes), origins, strict=True)
    ]
    return tf.concat(moved, axis=1), tf.concat(_neighbours(labels), axis=1)


def _first_boxes(boxes: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return count boxes [B, count, 4] and their labels: the first objects, then areas, then padding of 0."""
    # A stable sort moves each kind to its place, in its order, with static shapes.
    kind = tf.where(labels == 0, 2, tf.cast(labels == REGION, tf.int32))
    order = tf.argsort(kind, axis=1, stable=True)[:, :count]
    labels = tf.gather(labels, order, batch_dims=1)
    boxes = tf.gather(boxes, order, batch_dims=1)
    return tf.where(labels[..., None] != 0, boxes, 0.0), labels


def _choose(which: Tensor, chosen: Batch, others: Batch) -> Batch:
    """Take each row from one batch where which, bool [B], is true, and from the other elsewhere."""
    rows = {name: tf.reshape(which, [-1] + [1] * (value.shape.rank - 1)) for name, value in others.items()}
    return {name: tf.where(rows[name], chosen[name], others[name]) for name in others}
