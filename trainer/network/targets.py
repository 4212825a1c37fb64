"""What each anchor should predict: matching and box coding, in keras.ops, on the device, with static shapes.

Begin with `assign_targets`. Shapes: B images, A anchors, M boxes of an image, padding included. Boxes are
(ymin, xmin, ymax, xmax) in canvas pixels.
"""

from typing import NamedTuple

from keras import ops

from trainer.data.parsing import REGION
from trainer.typing import Tensor

# exp of this is the largest factor by which a box may outgrow its anchor: log(1000 / 16), as in Detectron's
# bbox_transform.
_MAX_LOG_SCALE = 4.135166556742356
_MIN_COVERED = 0.5


class Targets(NamedTuple):
    """Training targets of a batch.

    Attributes:
      labels: int32 [B, A], class ids 1..K, 0 for background and ignored anchors.
      boxes: float32 [B, A, 4], the matched box of each anchor; any box where not positive.
      positive: float32 [B, A], 1 where the anchor is matched to an object.
      counted: float32 [B, A], 1 where the class loss counts: at positives and negatives, not in the band between, and
        not where no object is known.
    """

    labels: Tensor
    boxes: Tensor
    positive: Tensor
    counted: Tensor


def common_areas(a: Tensor, b: Tensor) -> Tensor:
    """Compute the common areas [..., N, M] of boxes a [..., N, 4] and b [..., M, 4]."""
    a_ymin, a_xmin, a_ymax, a_xmax = (a[..., :, None, column] for column in range(4))  # [..., N, 1]
    b_ymin, b_xmin, b_ymax, b_xmax = (b[..., None, :, column] for column in range(4))  # [..., 1, M]
    height = ops.maximum(ops.minimum(a_ymax, b_ymax) - ops.maximum(a_ymin, b_ymin), 0.0)
    width = ops.maximum(ops.minimum(a_xmax, b_xmax) - ops.maximum(a_xmin, b_xmin), 0.0)
    return height * width


def pairwise_iou(a: Tensor, b: Tensor, common: Tensor) -> Tensor:
    """Compute IoU [..., N, M] of boxes a [..., N, 4] and b [..., M, 4] from their `common_areas`; 0 without area."""
    union = _area(a)[..., :, None] + _area(b)[..., None, :] - common
    return common / ops.maximum(union, 1e-6)


def _area(boxes: Tensor) -> Tensor:
    ymin, xmin, ymax, xmax = (boxes[..., column] for column in range(4))
    return (ymax - ymin) * (xmax - xmin)


def inside_regions(common: Tensor, labels: Tensor, anchors: Tensor) -> Tensor:
    """Return bool [B, A]: whether at least half of an anchor lies in one area in which no object is known.

    Half of the area is the rule by which COCO's evaluation ignores detections on a crowd (cocoeval.py, at IoU 0.5).

    Args:
      common: float32 [B, A, M], `common_areas` of anchors and boxes.
      labels: int32 [B, M], `parsing.REGION` for such areas.
      anchors: float32 [A, 4].
    """
    covered = common >= _MIN_COVERED * _area(anchors)[None, :, None]  # [B, A, M]
    return ops.any(covered & (labels == REGION)[:, None, :], axis=-1)


def assign_targets(
    boxes: Tensor, labels: Tensor, anchors: Tensor, *, positive_iou: float, negative_iou: float
) -> Targets:
    """Match anchors to objects (RetinaNet, section 4, "Anchors").

    An anchor is positive for the object with the highest IoU if that is at least positive_iou, negative if it is below
    negative_iou, and ignored between. In addition, the best anchors of each object are positive for it, however small
    the IoU (Faster R-CNN, section 3.1.2). An object remains without a target only if another object has a higher IoU
    with its best anchor, or if it hardly overlaps any.

    An anchor in an area in which no object is known is ignored, too, unless it is positive for an object that has a box
    there all the same.

    Args:
      boxes: float32 [B, M, 4], ground truth, padded.
      labels: int32 [B, M], class ids 1..K; 0 marks padding, `parsing.REGION` areas in which no object is known.
      anchors: float32 [A, 4].
      positive_iou: Minimum IoU of positives.
      negative_iou: IoU below which anchors are negative.
    """
    valid = ops.cast(labels > 0, "float32")[:, None, :]  # [B, 1, M]
    common = common_areas(anchors[None], boxes)  # [B, A, M], computed once for objects and regions
    overlap = pairwise_iou(anchors[None], boxes, common) * valid  # [B, A, M]
    best = ops.max(overlap, axis=-1)  # [B, A]
    # The best anchors of each object. The small minimum keeps padding, and boxes off the canvas, from matching all.
    is_best = (overlap >= ops.max(overlap, axis=1, keepdims=True)) & (overlap > 1e-4)  # [B, A, M]
    forced = ops.any(is_best, axis=-1)  # [B, A]
    # An anchor that is the best of some object goes to that object, even if it overlaps another one more.
    index = ops.where(forced, ops.argmax(ops.where(is_best, overlap, -1.0), axis=-1), ops.argmax(overlap, axis=-1))
    positive = forced | (best >= positive_iou)
    counted = positive | ((best < negative_iou) & ~inside_regions(common, labels, anchors))
    matched_labels = ops.take_along_axis(labels, index, axis=1)  # [B, A]
    return Targets(
        labels=ops.where(positive, matched_labels, 0),
        boxes=ops.take_along_axis(boxes, index[..., None], axis=1),
        positive=ops.cast(positive, "float32"),
        counted=ops.cast(counted, "float32"),
    )


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encode boxes [..., 4] as shifts [..., 4], (ty, tx, th, tw), of anchors [..., 4] (Faster R-CNN, equation 2)."""
    y, x, height, width = _centre_size(boxes)
    anchor_y, anchor_x, anchor_height, anchor_width = _centre_size(anchors)
    return ops.stack(
        [
            (y - anchor_y) / anchor_height,
            (x - anchor_x) / anchor_width,
            ops.log(ops.maximum(height, 1e-3) / anchor_height),
            ops.log(ops.maximum(width, 1e-3) / anchor_width),
        ],
        axis=-1,
    )


def decode_boxes(shifts: Tensor, anchors: Tensor) -> Tensor:
    """Decode shifts [..., 4] to boxes [..., 4]: the inverse of encode_boxes, with sizes limited to 62.5 anchors."""
    anchor_y, anchor_x, anchor_height, anchor_width = _centre_size(anchors)
    y = shifts[..., 0] * anchor_height + anchor_y
    x = shifts[..., 1] * anchor_width + anchor_x
    half_height = ops.exp(ops.minimum(shifts[..., 2], _MAX_LOG_SCALE)) * anchor_height / 2
    half_width = ops.exp(ops.minimum(shifts[..., 3], _MAX_LOG_SCALE)) * anchor_width / 2
    return ops.stack([y - half_height, x - half_width, y + half_height, x + half_width], axis=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (y, x) of the centre, height and width, [...] each."""
    ymin, xmin, ymax, xmax = (boxes[..., column] for column in range(4))
    return (ymin + ymax) / 2, (xmin + xmax) / 2, ymax - ymin, xmax - xmin
