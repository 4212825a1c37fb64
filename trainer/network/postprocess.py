"""Raw predictions to detections: top-k and decoding on the device, non-maximum suppression on the host.

Begin with `top_candidates`, which also keeps everything outside of the image away from suppression; then `suppress`.
`suppress_xla` does the same for programs that have no combined_non_max_suppression: those of XLA and TFLite.

Shapes: B images, A anchors, K classes, N candidates, M = max_detections. Boxes are (ymin, xmin, ymax, xmax).
"""

import math
from typing import NamedTuple

import tensorflow as tf
from keras import ops

from trainer.network.targets import decode_boxes
from trainer.typing import Tensor

# Candidates of an image that enter suppression, over all levels and classes (RetinaNet, section 4.1, "Inference": 1000
# of each level).
MAX_CANDIDATES = 1000
# A box is a candidate only if clipping it to its image leaves this share of its area: one of twice the height and width
# of what it shows is no detection of that. AP on BCCD and on crops of it is the same with any share from 0 to 0.75.
MIN_KEPT_AREA = 0.25
# … and so many pixels of the image in height and in width.
_MIN_SIDE = 1.0
# A logit whose sigmoid is 0 in float32, which no threshold admits. Finite, because TFLite and ONNX compute with it too.
_NO_CANDIDATE = -1e4


class Candidates(NamedTuple):
    """The boxes with the highest scores of each image before suppression, by falling score.

    Attributes:
      boxes: float32 [B, N, 4] in canvas pixels.
      scores: float32 [B, N].
      classes: int32 [B, N], class ids 1..K.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class DetectionBatch(NamedTuple):
    """Detections of each image by falling score; rows from count on are zero.

    Attributes:
      boxes: float32 [B, M, 4].
      scores: float32 [B, M].
      classes: int32 [B, M], class ids 1..K.
      count: int32 [B].
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    count: Tensor


def top_candidates(outputs: dict[str, Tensor], anchors: Tensor, placed: Tensor, sizes: Tensor) -> Candidates:
    """Select and decode the MAX_CANDIDATES best (anchor, class) pairs of each image, of those that lie in the image.

    Where there are fewer, the rest has score 0.

    Args:
      outputs: Of the network: class_logits [B, A, K] and box_shifts [B, A, 4].
      anchors: float32 [A, 4].
      placed: float32 [B, 2], (height, width) of the image on the canvas.
      sizes: int32 [B, 2], (height, width) of the image.
    """
    logits, shifts = outputs["class_logits"], outputs["box_shifts"]
    anchor_count, num_classes = logits.shape[1], logits.shape[2]
    boxes, is_candidate = clip_to_image(decode_boxes(shifts, anchors), anchors, placed, sizes)
    # Before the selection, so that what lies in the padding takes no place. The comparison also rejects NaN.
    logits = ops.where(is_candidate[..., None] & (logits > _NO_CANDIDATE), logits, _NO_CANDIDATE)
    # Pairs of anchor and class compete: one box may be a candidate of several classes.
    flat = ops.reshape(logits, (-1, anchor_count * num_classes))
    best, index = ops.top_k(flat, k=min(MAX_CANDIDATES, anchor_count * num_classes))  # [B, N]
    anchor = index // num_classes  # [B, N], index into A
    return Candidates(
        boxes=ops.take_along_axis(boxes, anchor[..., None], axis=1),
        scores=ops.sigmoid(best),
        classes=ops.cast(index % num_classes + 1, "int32"),
    )


def clip_to_image(boxes: Tensor, anchors: Tensor, placed: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Clip decoded boxes to their image, and tells which of them may be detections.

    Not those of anchors whose centre lies in the padding or off the canvas, and not boxes that clipping leaves less
    than MIN_KEPT_AREA of their area, or less than one pixel of the image in height or width.

    Args:
      boxes: float32 [B, A, 4]; may hold infinities and NaN.
      anchors: float32 [A, 4].
      placed: float32 [B, 2], as in `top_candidates`.
      sizes: int32 [B, 2], as in `top_candidates`; 0 where there is no image.

    Returns:
      float32 [B, A, 4], zero where no detection; bool [B, A].
    """
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2  # [A, 2]
    clipped = ops.minimum(ops.maximum(boxes, 0.0), ops.tile(placed, (1, 2))[:, None, :])
    before, kept = boxes[..., 2:] - boxes[..., :2], clipped[..., 2:] - clipped[..., :2]  # [B, A, (height, width)]
    pixels = kept * (ops.cast(sizes, "float32") / placed)[:, None, :]
    # Each comparison is false for NaN.
    may_be = (
        ops.all(centres < placed[:, None, :], axis=-1)
        & ops.all(pixels >= _MIN_SIDE, axis=-1)
        & (kept[..., 0] * kept[..., 1] >= MIN_KEPT_AREA * before[..., 0] * before[..., 1])
    )
    return ops.where(may_be[..., None], clipped, 0.0), may_be


def suppress(
    candidates: Candidates, *, num_classes: int, score_threshold: float, nms_iou: float, max_detections: int
) -> DetectionBatch:
    """Apply greedy non-maximum suppression within each class."""
    scores = candidates.scores[..., None] * tf.one_hot(candidates.classes - 1, num_classes)  # [B, N, K]
    boxes, kept_scores, classes, count = tf.image.combined_non_max_suppression(
        candidates.boxes[:, :, None, :],
        scores,
        max_output_size_per_class=max_detections,
        max_total_size=max_detections,
        iou_threshold=nms_iou,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    real = tf.sequence_mask(count, max_detections)  # bool [B, M]
    return DetectionBatch(boxes, kept_scores, tf.where(real, tf.cast(classes, tf.int32) + 1, 0), count)


def suppress_xla(
    candidates: Candidates, *, num_classes: int, score_threshold: float, nms_iou: float, max_detections: int
) -> DetectionBatch:
    """Do the same as `suppress`, for a graph that XLA compiles, as for a TPU, or that TFLite runs.

    Overlaps are computed on boxes that are separated by class, with some rounding (`_separate_classes`); the returned
    boxes are the candidates' own. Candidates must have static shapes and fall by score. Of equal scores the first
    candidate is first; `suppress` promises no order.
    """
    separated = _separate_classes(candidates.boxes, candidates.classes, num_classes)
    # An operation for each image, which converters and XLA know. tf.image.non_max_suppression_padded takes all images
    # at once, but in a loop of small operations, which took a quarter of the time of an ONNX file.
    image_count, candidate_count = candidates.scores.shape
    places = min(max_detections, candidate_count)  # XLA's kernel does not accept more places than boxes
    kept = [
        tf.raw_ops.NonMaxSuppressionV4(
            boxes=separated[image],
            scores=candidates.scores[image],
            max_output_size=places,
            iou_threshold=nms_iou,
            score_threshold=score_threshold,
            pad_to_max_output_size=True,
        )
        for image in range(image_count)
    ]
    index = tf.pad(tf.stack([each.selected_indices for each in kept]), [[0, 0], [0, max_detections - places]])  # [B, M]
    count = tf.stack([each.valid_outputs for each in kept])  # [B]
    # Rows beyond the count repeat a candidate; the contract of DetectionBatch is zero.
    real = tf.sequence_mask(count, max_detections)
    boxes, scores, classes = (tf.gather(column, index, batch_dims=1) for column in candidates)
    boxes, scores = tf.where(real[..., None], boxes, 0.0), tf.where(real, scores, 0.0)
    return DetectionBatch(boxes, scores, tf.where(real, classes, 0), count)


def _separate_classes(boxes: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Move boxes [B, N, 4] of each class into a cell of their own in a square grid, so that no two classes overlap.

    A cell is as large as the extent of the image's boxes. Coordinates are positive, because the suppression takes a box
    without a positive one as removed. A grid instead of a row keeps float32's digits: with cells of E pixels and K
    classes an edge is rounded by about 2^-24 E (sqrt(K) + 3), for 1024 pixels and 80 classes 0.0007 pixels.
    """
    side = math.ceil(math.sqrt(num_classes))
    lowest = tf.reduce_min(boxes, axis=[1, 2], keepdims=True)  # [B, 1, 1]
    cell = tf.reduce_max(boxes, axis=[1, 2], keepdims=True) - lowest + 1.0  # [B, 1, 1]
    position = tf.stack([(classes - 1) // side, (classes - 1) % side], axis=-1)  # [B, N, (row, column)]
    return boxes - lowest + 1.0 + cell * tf.cast(tf.tile(position, [1, 1, 2]), boxes.dtype)


def to_image_pixels(boxes: Tensor, placed: Tensor, sizes: Tensor) -> Tensor:
    """Convert boxes [B, M, 4] from canvas pixels to pixels of each image, clipped to it.

    Args:
      boxes: float32 [B, M, 4].
      placed: float32 [B, 2], (height, width) of the image on the canvas.
      sizes: int32 [B, 2], (height, width) of the image.
    """
    sizes = tf.cast(sizes, tf.float32)
    scale = tf.tile(sizes / placed, [1, 2])[:, None, :]  # [B, 1, 4]
    return tf.clip_by_value(boxes * scale, 0.0, tf.tile(sizes, [1, 2])[:, None, :])
