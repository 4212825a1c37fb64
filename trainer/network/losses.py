"""Focal loss and box losses, elementwise, in keras.ops. The caller sums and normalises.

Shapes: K classes; leading dimensions (...) are any, usually B images × A anchors. Boxes are (ymin, xmin, ymax, xmax).
"""

from keras import ops

from trainer.typing import Tensor


def focal_loss(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Compute the sigmoid focal loss ``-alpha_t (1 - p_t)^gamma log(p_t)`` (RetinaNet, equation 5).

    With gamma 0 and alpha 0.5 it is half the cross-entropy.

    Args:
      logits: float32 [..., K].
      targets: float32 [..., K], 1 for the object's class, 0 elsewhere.
      alpha: Weight of positives; negatives have 1 - alpha.
      gamma: Focusing exponent.

    Returns:
      float32 [..., K].
    """
    # log(p) and log(1 - p) from logits, without overflow for large ones.
    cross_entropy = ops.relu(logits) - logits * targets + ops.softplus(-ops.abs(logits))
    probability = ops.sigmoid(logits)
    miss = targets * (1 - probability) + (1 - targets) * probability  # 1 - p_t
    weight = targets * alpha + (1 - targets) * (1 - alpha)  # alpha_t
    return weight * ops.power(miss, gamma) * cross_entropy


def huber_loss(shifts: Tensor, targets: Tensor, *, delta: float = 0.1) -> Tensor:
    """Compute the Huber loss of encoded shifts [..., 4], summed over the four: [...].

    The default of delta is that of tensorflow/tpu's retinanet_model.py.
    """
    error = ops.abs(shifts - targets)
    quadratic = ops.minimum(error, delta)
    return ops.sum(0.5 * quadratic**2 + delta * (error - quadratic), axis=-1)


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """Compute ``1 - GIoU`` of decoded boxes [..., 4]: [...], in [0, 2].

    GIoU: Rezatofighi et al. 2019 (arXiv 1902.09630), algorithm 2.
    """
    ymin, xmin, ymax, xmax = (boxes[..., column] for column in range(4))
    t_ymin, t_xmin, t_ymax, t_xmax = (targets[..., column] for column in range(4))
    overlap = ops.maximum(ops.minimum(ymax, t_ymax) - ops.maximum(ymin, t_ymin), 0.0) * ops.maximum(
        ops.minimum(xmax, t_xmax) - ops.maximum(xmin, t_xmin), 0.0
    )
    union = (ymax - ymin) * (xmax - xmin) + (t_ymax - t_ymin) * (t_xmax - t_xmin) - overlap
    hull = (ops.maximum(ymax, t_ymax) - ops.minimum(ymin, t_ymin)) * (  # area of the smallest enclosing box
        ops.maximum(xmax, t_xmax) - ops.minimum(xmin, t_xmin)
    )
    # Boxes without area would divide by zero.
    union = ops.maximum(union, 1e-6)
    hull = ops.maximum(hull, 1e-6)
    return 1 - overlap / union + (hull - union) / hull
