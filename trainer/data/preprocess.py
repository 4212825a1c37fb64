"""From encoded bytes to the network's input. Training, evaluation and the exported model all use this one way.

An image is decoded, resized with its aspect ratio kept so that it just fits the canvas, placed at the top left and
padded with the mean colour; on the device the uint8 canvas is normalised. A JPEG of more than twice that size is
decoded at a half, a quarter or an eighth. Begin with `decode_image_bytes`, then `letterbox`.

Shapes: an image has h × w pixels, the canvas H × W; N images in a batch. Sizes are (height, width).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from keras import ops

from trainer.typing import Tensor

# Mean and standard deviation of RGB values over ImageNet, in 0..255, as in torchvision and every ResNet recipe.
MEAN_RGB = (123.675, 116.28, 103.53)
STDDEV_RGB = (58.395, 57.12, 57.375)
_PAD_RGB = tuple(round(value) for value in MEAN_RGB)
_REDUCTIONS = (1.0, 2.0, 4.0, 8.0)  # at which libjpeg can decode


class DecodedImage(NamedTuple):
    """A decoded image, or a reduction of it.

    Attributes:
      pixels: uint8 [h', w', 3], where h' = h / reduction, rounded up.
      size: int32 [2], (h, w) of the image itself.
      reduction: float32 scalar, 1, 2, 4 or 8.
    """

    pixels: Tensor
    size: Tensor
    reduction: Tensor


# Decodes an item that holds an image, for a canvas of (H, W).
DecodeFunction = Callable[[Tensor, tuple[int, int]], DecodedImage]


class Placement(NamedTuple):
    """Where an image lies on its canvas, in canvas pixels.

    Attributes:
      size: float32 [2], the resized image.
      origin: float32 [2], (top, left) of the resized image that is cut off.
    """

    size: Tensor
    origin: Tensor


def decode_image_bytes(encoded: Tensor, canvas: tuple[int, int] | Tensor, zoom: Tensor | float = 1.0) -> DecodedImage:
    """Decode JPEG, PNG, BMP or GIF (first frame) bytes to RGB; ignores EXIF orientation.

    A JPEG is reduced while it is decoded, as long as it stays no smaller than `letterbox` makes it: libjpeg then
    averages squares of pixels, and computes fewer coefficients. This makes large images much faster.

    Args:
      encoded: string scalar.
      canvas: As in `letterbox`.
      zoom: As in `letterbox`.
    """
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: _decode_jpeg(encoded, canvas, zoom),
        lambda: from_pixels(decode_full_size(encoded)),
    )


def decode_full_size(encoded: Tensor) -> Tensor:
    """Decode JPEG, PNG, BMP or GIF (first frame) bytes to RGB uint8 [h, w, 3]; ignores EXIF orientation."""
    return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def from_pixels(pixels: Tensor) -> DecodedImage:
    """Wrap an image that is decoded already, uint8 [h, w, 3]."""
    return DecodedImage(tf.ensure_shape(pixels, [None, None, 3]), tf.shape(pixels)[:2], tf.constant(1.0))


def _decode_jpeg(encoded: Tensor, canvas: tuple[int, int] | Tensor, zoom: Tensor | float) -> DecodedImage:
    # From the header: the size must be known before a reduction can be chosen.
    size = tf.image.extract_jpeg_shape(encoded)[:2]
    scale = _fit_scale(size, canvas) * zoom
    power = tf.reduce_sum(tf.cast(scale * _REDUCTIONS[1:] <= 1.0, tf.int32))  # of the largest reduction that is allowed
    # The ratio is an attribute of the operation, so each ratio needs an operation of its own.
    reduced = [functools.partial(tf.io.decode_jpeg, encoded, channels=3, ratio=int(ratio)) for ratio in _REDUCTIONS]
    return DecodedImage(tf.switch_case(power, reduced), size, tf.gather(_REDUCTIONS, power))


def _fit_scale(size: Tensor, canvas: tuple[int, int] | Tensor) -> Tensor:
    """Return the scale at which an image of a size, int32 [2], just fits the canvas."""
    return tf.reduce_min(tf.cast(canvas, tf.float32) / tf.cast(size, tf.float32))


def letterbox(
    image: DecodedImage,
    canvas: tuple[int, int],
    *,
    zoom: Tensor | float = 1.0,
    offset: Tensor | tuple[float, float] = (0.0, 0.0),
) -> tuple[Tensor, Placement]:
    """Resize an image with its aspect ratio kept and places it at the top left of a canvas.

    Args:
      image: Of full size or reduced.
      canvas: (H, W) of the result.
      zoom: 1 fits the whole image; more crops what exceeds the canvas, less leaves more padding.
      offset: Fraction of the excess that is cropped at (top, left), 0..1; 0 keeps the top left corner.

    Returns:
      uint8 [H, W, 3], and the placement, with ``box_on_canvas = relative_box * size - origin``.
    """
    canvas_size = tf.constant(canvas, tf.float32)
    full_size = tf.cast(image.size, tf.float32)
    size = tf.maximum(tf.round(full_size * _fit_scale(image.size, canvas) * zoom), 1.0)
    origin = tf.floor(tf.maximum(size - canvas_size, 0.0) * offset)
    visible_size = tf.cast(tf.minimum(size - origin, canvas_size), tf.int32)
    # From the pixels that were decoded, which are fewer if the JPEG was reduced.
    scale = size / full_size * image.reduction
    # Rows, then columns, as rows of the transposed image; see _resize_rows.
    rows = _resize_rows(image.pixels, scale[0], origin[0], visible_size[0])  # [visible h, w', 3]
    columns = _resize_rows(tf.transpose(rows, (1, 0, 2)), scale[1], origin[1], visible_size[1])
    visible = tf.transpose(tf.cast(tf.round(columns), tf.uint8), (1, 0, 2))
    return pad(visible, canvas), Placement(size, origin)


def _resize_rows(image: Tensor, scale: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Resize [h, w, c] along the rows only, to float32 [count, w, c] from row ``first`` on.

    tf.image.resize does the same inside one operation, bit for bit, but pixel by pixel along the columns. Here a row is
    one long vector, and rows then columns take a third of the time.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    resized = tf.raw_ops.ScaleAndTranslate(  # the operation behind tf.image.resize with antialiasing
        images=tf.reshape(image, [1, rows, 1, columns * channels]),
        size=[count, 1],
        scale=[scale, 1.0],
        translation=[-first, 0.0],
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(resized, [count, columns, channels])


def pad(image: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Pad uint8 [h, w, 3] below and to the right to [H, W, 3] with the mean colour, which normalises to about zero."""
    height, width = tf.unstack(tf.shape(image)[:2])
    colour = tf.constant(_PAD_RGB, tf.uint8)
    right = tf.broadcast_to(colour, [height, canvas[1] - width, 3])
    below = tf.broadcast_to(colour, [canvas[0] - height, canvas[1], 3])
    padded = tf.concat([tf.concat([image, right], axis=1), below], axis=0)
    # TPUs, and batches, need the static shape that the dynamic sides above have lost.
    padded.set_shape([*canvas, 3])
    return padded


def find_placed(images: Tensor) -> Tensor:
    """Find the size of the images on canvases that `pad` has filled: up to the last row and column of another colour.

    Args:
      images: uint8 [N, H, W, 3].

    Returns:
      float32 [N, 2], (height, width); 0 where the whole canvas has the colour of the padding.
    """
    is_image = ops.any(ops.cast(images, "int32") != ops.convert_to_tensor(_PAD_RGB, "int32"), axis=-1)  # [N, H, W]
    ends = []
    for across in (2, 1):
        has_image = ops.any(is_image, axis=across)  # [N, H], then [N, W]
        positions = ops.arange(1, has_image.shape[1] + 1, dtype="float32")
        ends.append(ops.max(ops.where(has_image, positions, 0.0), axis=1))
    return ops.stack(ends, axis=-1)


def normalise(images: Tensor) -> Tensor:
    """Normalise uint8 canvases [N, H, W, 3] to float32 of about zero mean and unit variance; runs on the device."""
    return (ops.cast(images, "float32") - ops.convert_to_tensor(MEAN_RGB)) / ops.convert_to_tensor(STDDEV_RGB)


class DecodedBatch(NamedTuple):
    """N images of any sizes on canvases.

    Attributes:
      images: uint8 [N, H, W, 3], the mean colour where not decodable.
      placed: float32 [N, 2], size of the image on the canvas.
      sizes: int32 [N, 2], size of the image itself; 0 where not decodable.
      decoded: bool [N].
    """

    images: Tensor
    placed: Tensor
    sizes: Tensor
    decoded: Tensor


def load_batch(items: Tensor, canvas: tuple[int, int], read: DecodeFunction) -> DecodedBatch:
    """Read and letterbox a batch inside a graph; an item that cannot be read does not affect the others.

    Only a tf.data pipeline can catch an error inside a graph, so each item goes through one.

    Args:
      items: [N, ...] of any type.
      canvas: (H, W).
      read: Decodes one item; may fail.

    Returns:
      N rows; for N = 0 one row that is not decoded, because TensorFlow's convolutions fail on an empty batch.
    """

    def load(item: Tensor) -> DecodedBatch:
        image = read(item, canvas)
        boxed, placement = letterbox(image, canvas)
        return DecodedBatch(boxed, placement.size, image.size, tf.constant(True))

    blank = pad(tf.zeros([0, 0, 3], tf.uint8), canvas)
    failed = DecodedBatch(blank, tf.ones([2]), tf.zeros([2], tf.int32), tf.constant(False))
    fallback = tf.data.Dataset.from_tensors(failed)

    def load_or_fail(item: Tensor) -> tf.data.Dataset:
        # One element, or none if reading fails; the fallback then takes its place.
        loaded = tf.data.Dataset.from_tensors(item).map(load).ignore_errors()
        return loaded.concatenate(fallback).take(1)

    count = tf.maximum(tf.shape(items, tf.int64)[0], 1)
    images = tf.data.Dataset.from_tensor_slices(items).interleave(
        load_or_fail, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return images.concatenate(fallback).take(count).batch(count).get_single_element()
