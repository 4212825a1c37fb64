"""Focal loss and box losses, elementwise, in keras.ops; summing and normalising is the caller's."""

from typing import Any

from keras import ops

Tensor = Any


def focal_loss(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Sigmoid focal loss (RetinaNet, equation 5): ``-alpha_t (1 - p_t)^gamma log(p_t)``.

    Args:
      logits: float32 [..., K].
      targets: float32 [..., K], 1 for the object's class, else 0.

    Returns:
      [..., K]. With gamma 0 and alpha 0.5 it is half the cross-entropy.
    """
    # log(p) and log(1 - p) from logits, without overflow for large ones.
    cross_entropy = ops.relu(logits) - logits * targets + ops.softplus(-ops.abs(logits))
    probability = ops.sigmoid(logits)
    miss = targets * (1 - probability) + (1 - targets) * probability  # 1 - p_t
    weight = targets * alpha + (1 - targets) * (1 - alpha)
    return weight * ops.power(miss, gamma) * cross_entropy


def huber_loss(shifts: Tensor, targets: Tensor, *, delta: float = 0.1) -> Tensor:
    """Huber loss of encoded shifts [..., 4], summed over the four: [...]. Delta as in tensorflow/tpu."""
    error = ops.abs(shifts - targets)
    quadratic = ops.minimum(error, delta)
    return ops.sum(0.5 * quadratic**2 + delta * (error - quadratic), axis=-1)


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """``1 - GIoU`` (Rezatofighi et al. 2019, arXiv 1902.09630) of decoded boxes [..., 4]: [...], in [0, 2]."""
    ymin, xmin, ymax, xmax = (boxes[..., column] for column in range(4))
    t_ymin, t_xmin, t_ymax, t_xmax = (targets[..., column] for column in range(4))
    overlap = ops.maximum(ops.minimum(ymax, t_ymax) - ops.maximum(ymin, t_ymin), 0.0) * ops.maximum(
        ops.minimum(xmax, t_xmax) - ops.maximum(xmin, t_xmin), 0.0
    )
    union = (ymax - ymin) * (xmax - xmin) + (t_ymax - t_ymin) * (t_xmax - t_xmin) - overlap
    hull = (ops.maximum(ymax, t_ymax) - ops.minimum(ymin, t_ymin)) * (
        ops.maximum(xmax, t_xmax) - ops.minimum(xmin, t_xmin)
    )
    union = ops.maximum(union, 1e-6)
    hull = ops.maximum(hull, 1e-6)
    return 1 - overlap / union + (hull - union) / hull
