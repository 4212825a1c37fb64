"""One training step on a replica (`train_step`), and loops of steps under tf.distribute (`make_loop`).

This is a custom loop, because Keras' fit cannot run several steps per call under tf.distribute.

Shapes: B images of a replica's batch, of H × W pixels; A anchors, K classes, M boxes of an image, padding included.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from trainer.config import TrainConfig
from trainer.config.sections import LossConfig
from trainer.data import preprocess
from trainer.loop import schedule
from trainer.network import losses
from trainer.network.build import Network
from trainer.network.targets import Targets, assign_targets, decode_boxes, encode_boxes
from trainer.typing import Tensor

METRICS = ("loss", "class_loss", "box_loss", "gradient_norm")  # of a step; a loop returns their means


def make_loop(
    config: TrainConfig,
    network: Network,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
) -> Any:
    """Make a function of (iterator, count) that runs count steps on the devices.

    The function returns float32 scalars: the mean of each of loss, class_loss, box_loss and gradient_norm;
    finite_steps, the number of steps before the first whose loss is not finite; and boxes_truncated, the number of
    boxes beyond max_instances in all steps.
    """

    @tf.autograph.experimental.do_not_convert  # there is no control flow to convert, and the search takes seconds
    def replica_step(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        truncated = ops.sum(ops.cast(batch["boxes_truncated"], "float32"))
        return {**train_step(batch, config, network, optimizer), "boxes_truncated": truncated}

    @tf.function
    def run_steps(iterator: Any, count: Tensor) -> dict[str, Tensor]:
        # All steps of a loop stay on the devices; the host sees their sums once.
        sums = {name: tf.constant(0.0) for name in (*METRICS, "boxes_truncated")}
        finite_steps = tf.constant(0.0)
        for _ in tf.range(count):
            values = strategy.run(replica_step, args=(next(iterator),))
            reduced = {name: strategy.reduce("SUM", value, axis=None) for name, value in values.items()}
            sums = {name: sums[name] + reduced[name] for name in sums}
            # A sum that is not finite stays so: nothing is added from the first such step on.
            finite_steps += tf.cast(tf.math.is_finite(sums["loss"]), tf.float32)
        means = {name: sums[name] / tf.cast(count, tf.float32) for name in METRICS}
        return {**means, "boxes_truncated": sums["boxes_truncated"], "finite_steps": finite_steps}

    return run_steps


def train_step(
    batch: dict[str, Tensor], config: TrainConfig, network: Network, optimizer: keras.optimizers.Optimizer
) -> dict[str, Tensor]:
    """Run one step on one replica.

    Args:
      batch: Of `trainer.data.records.training_batches`, this replica's part.
      config: Its sections loss and schedule are used.
      network: Its variables change.
      optimizer: Built for these variables.

    Returns:
      The replica's share of loss, class_loss, box_loss and gradient_norm; the sum over replicas is that of the batch.
    """
    replicas = tf.distribute.get_replica_context()
    anchors = ops.convert_to_tensor(network.anchors)  # [A, 4]
    targets = assign_targets(
        batch["boxes"],
        batch["labels"],
        anchors,
        positive_iou=config.loss.positive_iou,
        negative_iou=config.loss.negative_iou,
    )
    # Number of positives of the whole batch, at least 1: replicas with few objects then weigh no more than others.
    positives = ops.maximum(replicas.all_reduce("SUM", ops.sum(targets.positive)), 1.0)
    images = preprocess.normalise(batch["image"])  # [B, H, W, 3]
    variables = network.model.trainable_variables
    # The forward pass: each replica divides by the positives of all, so that the sum over replicas is the loss of the
    # batch.
    with tf.GradientTape() as tape:
        outputs = network.model(images, training=True)  # class_logits [B, A, K], box_shifts [B, A, 4]
        class_losses = _class_losses(outputs["class_logits"], targets, config.loss, batch.get("not_exhaustive"))
        class_loss = ops.sum(class_losses) / positives
        box_loss = ops.sum(_box_losses(outputs["box_shifts"], targets, anchors, config.loss)) / positives
        loss = class_loss + config.loss.box_loss_weight * box_loss
        if config.schedule.optimizer == "sgd" and config.schedule.weight_decay:  # AdamW decays by itself
            decay = sum(ops.sum(ops.square(variable)) for variable in schedule.decayed_variables(network.model))
            loss = loss + config.schedule.weight_decay / 2 * decay / replicas.num_replicas_in_sync
    # Summed before clipping, which must see the gradient of the whole batch.
    gradients = replicas.all_reduce("SUM", tape.gradient(loss, variables))
    # Before clipping, for the curve in TensorBoard: it shows how often clipping acts.
    norm = tf.linalg.global_norm(gradients)
    if config.schedule.clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, config.schedule.clip_norm, use_norm=norm)
    # The optimizer sums over replicas again.
    optimizer.apply([gradient / replicas.num_replicas_in_sync for gradient in gradients], variables)
    return {
        "loss": loss,
        "class_loss": class_loss,
        "box_loss": box_loss,
        "gradient_norm": norm / replicas.num_replicas_in_sync,
    }


def _class_losses(
    logits: Tensor, targets: Targets, settings: LossConfig, not_exhaustive: Tensor | None = None
) -> Tensor:
    """Compute the focal loss [B, A, K], zero where ignored.

    Where a class is not exhaustive, not_exhaustive [B, K] is 1: of that class, only the anchors of its objects count,
    because all others may show objects without a box.
    """
    one_hot = ops.one_hot(targets.labels - 1, logits.shape[-1])  # [B, A, K]; background, -1, becomes all zeros
    focal = losses.focal_loss(logits, one_hot, alpha=settings.focal_alpha, gamma=settings.focal_gamma)
    counted = targets.counted[..., None]
    if not_exhaustive is not None:  # without, the graph is that of complete labels
        counted = counted * (1 - not_exhaustive[:, None, :] * (1 - one_hot))
    return focal * counted


def _box_losses(shifts: Tensor, targets: Targets, anchors: Tensor, settings: LossConfig) -> Tensor:
    """Compute the box loss [B, A], zero where not positive."""
    if settings.box_loss == "giou":
        values = losses.giou_loss(decode_boxes(shifts, anchors), targets.boxes)
    else:
        values = losses.huber_loss(shifts, encode_boxes(targets.boxes, anchors))
    # where, not a product: the target of an unmatched anchor may be degenerate and its loss not finite.
    return ops.where(targets.positive > 0, values, 0.0)
