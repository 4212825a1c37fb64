"""Raw predictions to detections: top-k and decoding on the device, non-maximum suppression on the host."""

from typing import Any, NamedTuple

import tensorflow as tf
from keras import ops

from trainer.targets import decode_boxes

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


class Detections(NamedTuple):
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
) -> Detections:
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
    return Detections(boxes, kept_scores, tf.where(real, tf.cast(classes, tf.int32) + 1, 0), count)


def to_photograph(boxes: Tensor, placed: Tensor, sizes: Tensor) -> Tensor:
    """Boxes [B, M, 4] from canvas pixels to pixels of each photograph, clipped to it.

    Args:
      boxes: float32 [B, M, 4], (ymin, xmin, ymax, xmax).
      placed: float32 [B, 2], (height, width) of the photograph on the canvas.
      sizes: int32 [B, 2], (height, width) of the photograph.
    """
    sizes = tf.cast(sizes, tf.float32)
    scale = tf.tile(sizes / placed, [1, 2])[:, None, :]
    return tf.clip_by_value(boxes * scale, 0.0, tf.tile(sizes, [1, 2])[:, None, :])
