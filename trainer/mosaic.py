"""Mosaics: four views of a batch at half their scale, as one training image of the same size."""

from typing import Any

import tensorflow as tf

from trainer.augment import Augmentation, fold

Tensor = Any
Batch = dict[str, Tensor]

PICTURES = 4
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
            tf.shape(batch["labels"])[:1], fold(tf.stack([tf.constant(seed, tf.int64), step]), _MOSAIC)
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
    return [tf.roll(values, -picture, axis=0) for picture in range(PICTURES)]


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
