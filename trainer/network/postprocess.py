"""Raw predictions to detections: top-k and decoding on the device, non-maximum suppression on the host.

suppress_xla is the same for programs that have no combined_non_max_suppression: XLA's and TFLite's.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

from trainer.network.targets import decode_boxes

Tensor = Any

# Candidates an image that go into suppression, over all levels and classes (RetinaNet takes 1000 a level).
MAX_CANDIDATES = 1000


class Candidates(NamedTuple):
    """The best-scoring boxes of each image before suppression; B images, N candidates by falling score.

    Attributes:
      boxes: float32 [B, N, 4], (ymin, xmin, ymax, xmax) in canvas pixels.
      scores: float32 [B, N].
      classes: int32 [B, N], class ids 1..K.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class DetectionBatch(NamedTuple):
    """Detections of each image by falling score; M is max_detections, rows from count on are zero.

    Attributes:
      boxes: float32 [B, M, 4], (ymin, xmin, ymax, xmax).
      scores: float32 [B, M].
      classes: int32 [B, M], class ids 1..K.
      count: int32 [B].
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    count: Tensor


def top_candidates(outputs: dict[str, Tensor], anchors: Tensor) -> Candidates:
    """The MAX_CANDIDATES best (anchor, class) pairs of each image, decoded."""
    logits, shifts = outputs["class_logits"], outputs["box_shifts"]
    anchor_count, num_classes = logits.shape[1], logits.shape[2]
    flat = ops.reshape(logits, (-1, anchor_count * num_classes))
    best, index = ops.top_k(flat, k=min(MAX_CANDIDATES, anchor_count * num_classes))
    anchor = index // num_classes
    chosen = ops.take_along_axis(shifts, anchor[..., None], axis=1)
    return Candidates(
        boxes=decode_boxes(chosen, ops.take(anchors, anchor, axis=0)),
        scores=ops.sigmoid(best),
        classes=ops.cast(index % num_classes + 1, "int32"),
    )


def suppress(
    candidates: Candidates, *, num_classes: int, score_threshold: float, nms_iou: float, max_detections: int
) -> DetectionBatch:
    """Greedy non-maximum suppression within each class."""
    scores = candidates.scores[..., None] * tf.one_hot(candidates.classes - 1, num_classes)
    boxes, kept_scores, classes, count = tf.image.combined_non_max_suppression(
        candidates.boxes[:, :, None, :],
        scores,
        max_output_size_per_class=max_detections,
        max_total_size=max_detections,
        iou_threshold=nms_iou,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    real = tf.sequence_mask(count, max_detections)
    return DetectionBatch(boxes, kept_scores, tf.where(real, tf.cast(classes, tf.int32) + 1, 0), count)


def suppress_xla(
    candidates: Candidates, *, num_classes: int, score_threshold: float, nms_iou: float, max_detections: int
) -> DetectionBatch:
    """As suppress, for a graph that XLA compiles, as a TPU's must be, or TFLite runs.

    Overlaps are found among boxes moved apart by class (_apart), with what rounding that costs; the boxes returned are
    the candidates' own. Candidates must come by falling score and in static shapes; of equal scores the first goes
    first, where suppress promises no order.
    """
    index, count = tf.image.non_max_suppression_padded(
        _apart(candidates.boxes, candidates.classes, num_classes),
        candidates.scores,
        max_detections,
        # That function suppresses from the threshold on, suppress only above it.
        iou_threshold=float(np.nextafter(np.float32(nms_iou), np.float32(2))),
        score_threshold=score_threshold,
        pad_to_max_output_size=True,
        sorted_input=True,
        canonicalized_coordinates=True,
    )
    real = tf.sequence_mask(count, max_detections)
    boxes, scores, classes = (tf.gather(column, index, batch_dims=1) for column in candidates)
    boxes, scores = tf.where(real[..., None], boxes, 0.0), tf.where(real, scores, 0.0)
    return DetectionBatch(boxes, scores, tf.where(real, classes, 0), count)


def _apart(boxes: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Boxes [B, N, 4] with each class in a cell of its own in a square grid, so that no two classes overlap.

    A cell is as large as the extent of the image's boxes. Coordinates are positive, because the suppression takes a box
    without a positive one as removed. A grid instead of a row keeps float32's digits: with cells of E pixels and K
    classes an edge is rounded by about 2^-24 E (sqrt(K) + 3), for 1024 pixels and 80 classes 0.0007 pixels.
    """
    side = math.ceil(math.sqrt(num_classes))
    lowest = tf.reduce_min(boxes, axis=[1, 2], keepdims=True)
    cell = tf.reduce_max(boxes, axis=[1, 2], keepdims=True) - lowest + 1.0
    place = tf.stack([(classes - 1) // side, (classes - 1) % side], axis=-1)
    return boxes - lowest + 1.0 + cell * tf.cast(tf.tile(place, [1, 1, 2]), boxes.dtype)


def to_image_pixels(boxes: Tensor, placed: Tensor, sizes: Tensor) -> Tensor:
    """Boxes [B, M, 4] from canvas pixels to pixels of each photograph, clipped to it.

    Args:
      boxes: float32 [B, M, 4], (ymin, xmin, ymax, xmax).
      placed: float32 [B, 2], (height, width) of the photograph on the canvas.
      sizes: int32 [B, 2], (height, width) of the photograph.
    """
    sizes = tf.cast(sizes, tf.float32)
    scale = tf.tile(sizes / placed, [1, 2])[:, None, :]
    return tf.clip_by_value(boxes * scale, 0.0, tf.tile(sizes, [1, 2])[:, None, :])
