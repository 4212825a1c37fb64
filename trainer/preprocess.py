"""The one way from encoded bytes to the network's input, used by training, evaluation and the exported model.

A photograph is decoded, resized with its aspect kept so that it just fits the canvas, placed at the top left and
padded with the mean colour; on the device the uint8 canvas is normalised.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from keras import ops

Tensor = Any

# Mean and standard deviation of RGB values over ImageNet, in 0..255, as every ResNet recipe has them.
MEAN_RGB = (123.675, 116.28, 103.53)
STDDEV_RGB = (58.395, 57.12, 57.375)
_PAD_RGB = tuple(round(value) for value in MEAN_RGB)


class Placement(NamedTuple):
    """Where a photograph lies on its canvas, in canvas pixels: its resized (height, width) and cut-off (top, left)."""

    size: Tensor  # float32 [2]
    origin: Tensor  # float32 [2]


def decode(encoded: Tensor) -> Tensor:
    """JPEG, PNG, BMP or GIF (first frame) bytes to RGB uint8 [height, width, 3]; EXIF orientation is ignored."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def letterbox(
    image: Tensor, canvas: tuple[int, int], *, zoom: Tensor | float = 1.0, offset: Tensor | tuple = (0.0, 0.0)
) -> tuple[Tensor, Placement]:
    """Resizes an image with its aspect kept and places it at the top left of a canvas.

    Args:
      image: uint8 [height, width, 3].
      canvas: (height, width) of the result.
      zoom: 1 fits the whole image; more cuts off what leaves the canvas, less leaves more padding.
      offset: which part of the overhang is cut off at top and left, 0..1 each; 0 keeps the top left corner.

    Returns:
      uint8 [*canvas, 3] and the placement: ``canvas_box = relative_box * size - origin``.
    """
    room = tf.constant(canvas, tf.float32)
    height_width = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min(room / height_width) * zoom
    size = tf.maximum(tf.round(height_width * scale), 1.0)
    origin = tf.floor(tf.maximum(size - room, 0.0) * offset)
    (height, width), (top, left) = (tf.unstack(tf.cast(pair, tf.int32)) for pair in (size, origin))
    rows = _resize_rows(image, height)[top : top + canvas[0]]
    columns = _resize_rows(tf.transpose(rows, (1, 0, 2)), width)[left : left + canvas[1]]
    visible = tf.cast(tf.round(tf.transpose(columns, (1, 0, 2))), tf.uint8)
    return pad(visible, canvas), Placement(size, origin)


def _resize_rows(image: Tensor, count: Tensor) -> Tensor:
    """Resizes [rows, columns, channels] along the rows alone, to float32 [count, columns, channels].

    TensorFlow does as much inside one resize, to the same bits, but pixel by pixel along the columns; here a row is one
    long vector, and rows then columns take a third of the time.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    lines = tf.reshape(image, [1, rows, 1, columns * channels])
    return tf.reshape(tf.image.resize(lines, [count, 1], antialias=True), [count, columns, channels])


def pad(image: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Fills up below and to the right with the mean colour, so that padding is about zero once normalised."""
    height, width = tf.unstack(tf.shape(image)[:2])
    colour = tf.constant(_PAD_RGB, tf.uint8)
    right = tf.broadcast_to(colour, [height, canvas[1] - width, 3])
    below = tf.broadcast_to(colour, [canvas[0] - height, canvas[1], 3])
    padded = tf.concat([tf.concat([image, right], axis=1), below], axis=0)
    padded.set_shape([*canvas, 3])
    return padded


def normalise(images: Tensor) -> Tensor:
    """uint8 canvases [B, H, W, 3] to float32 of about zero mean and unit variance; runs on the device."""
    return (ops.cast(images, "float32") - ops.convert_to_tensor(MEAN_RGB)) / ops.convert_to_tensor(STDDEV_RGB)


class DecodedBatch(NamedTuple):
    """A batch of N photographs of any sizes, ready for the network.

    Attributes:
      images: uint8 [N, H, W, 3], the mean colour where not decodable.
      placed: float32 [N, 2], (height, width) of the photograph on the canvas.
      sizes: int32 [N, 2], (height, width) of the photograph itself; 0 where not decodable.
      decoded: bool [N].
    """

    images: Tensor
    placed: Tensor
    sizes: Tensor
    decoded: Tensor


def load_batch(items: Tensor, canvas: tuple[int, int], read: Callable[[Tensor], Tensor]) -> DecodedBatch:
    """Reads and letterboxes a batch inside a graph; an item that cannot be read spoils no other one.

    A tf.data pipeline is the one construct in which a graph can catch an error.

    Args:
      items: [N, ...] of any type.
      read: one item to an image, uint8 [height, width, 3]; may fail.

    Returns:
      N rows; for N = 0 one that is not decoded, because TensorFlow's convolutions fail on an empty batch.
    """

    def load(item: Tensor) -> DecodedBatch:
        image = read(item)
        boxed, placement = letterbox(image, canvas)
        return DecodedBatch(boxed, placement.size, tf.shape(image)[:2], tf.constant(True))

    blank = pad(tf.zeros([0, 0, 3], tf.uint8), canvas)
    failed = DecodedBatch(blank, tf.ones([2]), tf.zeros([2], tf.int32), tf.constant(False))
    fallback = tf.data.Dataset.from_tensors(failed)

    def load_or_fail(item: Tensor) -> tf.data.Dataset:
        loaded = tf.data.Dataset.from_tensors(item).map(load).ignore_errors()
        return loaded.concatenate(fallback).take(1)

    count = tf.maximum(tf.shape(items, tf.int64)[0], 1)
    images = tf.data.Dataset.from_tensor_slices(items).interleave(
        load_or_fail, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return images.concatenate(fallback).take(count).batch(count).get_single_element()
