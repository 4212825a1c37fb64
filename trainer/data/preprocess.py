"""The one way from encoded bytes to the network's input, used by training, evaluation and the exported model.

A photograph is decoded, resized with its aspect kept so that it just fits the canvas, placed at the top left and
padded with the mean colour; on the device the uint8 canvas is normalised. A JPEG of more than twice that size is
decoded at a half, a quarter or an eighth.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from keras import ops

Tensor = Any

# Mean and standard deviation of RGB values over ImageNet, in 0..255, as every ResNet recipe has them.
MEAN_RGB = (123.675, 116.28, 103.53)
STDDEV_RGB = (58.395, 57.12, 57.375)
_PAD_RGB = tuple(round(value) for value in MEAN_RGB)
_REDUCTIONS = (1.0, 2.0, 4.0, 8.0)  # in which libjpeg decodes


class DecodedImage(NamedTuple):
    """A decoded photograph, or a reduction of it.

    Attributes:
      pixels: uint8 [h, w, 3], size / reduction, rounded up.
      size: int32 [2], (height, width) of the photograph itself.
      reduction: float32 scalar, 1, 2, 4 or 8.
    """

    pixels: Tensor
    size: Tensor
    reduction: Tensor


# Makes a photograph for a canvas (height, width) of something that holds one.
Read = Callable[[Tensor, tuple[int, int]], DecodedImage]


class Placement(NamedTuple):
    """Where a photograph lies on its canvas, in canvas pixels: its resized (height, width) and cut-off (top, left)."""

    size: Tensor  # float32 [2]
    origin: Tensor  # float32 [2]


def decode_image_bytes(encoded: Tensor, canvas: tuple[int, int] | Tensor, zoom: Tensor | float = 1.0) -> DecodedImage:
    """Decodes JPEG, PNG, BMP or GIF (first frame) bytes to RGB; EXIF orientation is ignored.

    A JPEG is reduced while it is decoded, by averages over squares of its pixels as libjpeg makes them from fewer
    coefficients, as far as it stays no smaller than what letterbox makes of it: a large photograph costs far less.

    Args:
      encoded: bytes.
      canvas, zoom: of the letterbox that the photograph is for.
    """
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: _decode_jpeg(encoded, canvas, zoom),
        lambda: from_pixels(tf.io.decode_image(encoded, channels=3, expand_animations=False)),
    )


def from_pixels(pixels: Tensor) -> DecodedImage:
    """An image that is decoded already, uint8 [height, width, 3], as it is."""
    return DecodedImage(tf.ensure_shape(pixels, [None, None, 3]), tf.shape(pixels)[:2], tf.constant(1.0))


def _decode_jpeg(encoded: Tensor, canvas: tuple[int, int] | Tensor, zoom: Tensor | float) -> DecodedImage:
    size = tf.image.extract_jpeg_shape(encoded)[:2]
    scale = _fit(size, canvas) * zoom
    power = tf.reduce_sum(tf.cast(scale * _REDUCTIONS[1:] <= 1.0, tf.int32))
    # The ratio is an attribute of the operation, so there is one operation for each.
    reduced = [functools.partial(tf.io.decode_jpeg, encoded, channels=3, ratio=int(ratio)) for ratio in _REDUCTIONS]
    return DecodedImage(tf.switch_case(power, reduced), size, tf.gather(_REDUCTIONS, power))


def _fit(size: Tensor, canvas: tuple[int, int] | Tensor) -> Tensor:
    """The scale at which a photograph of a size, int32 [2], just fits the canvas."""
    return tf.reduce_min(tf.cast(canvas, tf.float32) / tf.cast(size, tf.float32))


def letterbox(
    photograph: DecodedImage,
    canvas: tuple[int, int],
    *,
    zoom: Tensor | float = 1.0,
    offset: Tensor | tuple = (0.0, 0.0),
) -> tuple[Tensor, Placement]:
    """Resizes a photograph with its aspect kept and places it at the top left of a canvas.

    Args:
      photograph: whole or reduced.
      canvas: (height, width) of the result.
      zoom: 1 fits the whole photograph; more cuts off what leaves the canvas, less leaves more padding.
      offset: which part of the overhang is cut off at top and left, 0..1 each; 0 keeps the top left corner.

    Returns:
      uint8 [*canvas, 3] and the placement: ``canvas_box = relative_box * size - origin``.
    """
    room = tf.constant(canvas, tf.float32)
    height_width = tf.cast(photograph.size, tf.float32)
    size = tf.maximum(tf.round(height_width * _fit(photograph.size, canvas) * zoom), 1.0)
    origin = tf.floor(tf.maximum(size - room, 0.0) * offset)
    seen = tf.cast(tf.minimum(size - origin, room), tf.int32)
    scale = size / height_width * photograph.reduction
    rows = _resize_rows(photograph.pixels, scale[0], origin[0], seen[0])
    columns = _resize_rows(tf.transpose(rows, (1, 0, 2)), scale[1], origin[1], seen[1])
    visible = tf.transpose(tf.cast(tf.round(columns), tf.uint8), (1, 0, 2))
    return pad(visible, canvas), Placement(size, origin)


def _resize_rows(image: Tensor, scale: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Resizes [rows, columns, channels] along the rows alone, to float32 [count, columns, channels] from row first on.

    TensorFlow does as much inside one resize, to the same bits, but pixel by pixel along the columns; here a row is one
    long vector, and rows then columns take a third of the time.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    resized = tf.raw_ops.ScaleAndTranslate(  # what tf.image.resize calls when it is to antialias
        images=tf.reshape(image, [1, rows, 1, columns * channels]),
        size=[count, 1],
        scale=[scale, 1.0],
        translation=[-first, 0.0],
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(resized, [count, columns, channels])


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


def load_batch(items: Tensor, canvas: tuple[int, int], read: Read) -> DecodedBatch:
    """Reads and letterboxes a batch inside a graph; an item that cannot be read spoils no other one.

    A tf.data pipeline is the one construct in which a graph can catch an error.

    Args:
      items: [N, ...] of any type.
      read: one item to a photograph for that canvas; may fail.

    Returns:
      N rows; for N = 0 one that is not decoded, because TensorFlow's convolutions fail on an empty batch.
    """

    def load(item: Tensor) -> DecodedBatch:
        photograph = read(item, canvas)
        boxed, placement = letterbox(photograph, canvas)
        return DecodedBatch(boxed, placement.size, photograph.size, tf.constant(True))

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
