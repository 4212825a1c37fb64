"""One training step on a replica, and loops of them under tf.distribute.

A custom loop, because Keras' fit cannot run several steps a call there.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from trainer.config import TrainConfig
from trainer.data import preprocess
from trainer.loop import schedule
from trainer.network import losses
from trainer.network.build import Network
from trainer.network.targets import assign_targets, decode_boxes, encode_boxes

Tensor = Any
_MEANS = ("loss", "class_loss", "box_loss", "gradient_norm")  # what a loop tells the mean of


def make_loop(
    config: TrainConfig,
    network: Network,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
) -> Any:
    """A function of (iterator, count) that runs count steps on the device and returns their mean losses.

    Beside these, ``finite_steps``: how many steps there were before the first whose loss is not finite; and
    ``left_out``: how many boxes all of them had beyond max_instances.
    """

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and looking for it takes seconds
    def replica_step(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        left_out = ops.sum(ops.cast(batch["left_out"], "float32"))
        return {**train_step(batch, config, network, optimizer), "left_out": left_out}

    @tf.function
    def run_steps(iterator: Any, count: Tensor) -> dict[str, Tensor]:
        sums = {name: tf.constant(0.0) for name in (*_MEANS, "left_out")}
        finite_steps = tf.constant(0.0)
        for _ in tf.range(count):
            values = strategy.run(replica_step, args=(next(iterator),))
            reduced = {name: strategy.reduce("SUM", value, axis=None) for name, value in values.items()}
            sums = {name: sums[name] + reduced[name] for name in sums}
            # A sum that is not finite stays so: nothing is added from the first such step on.
            finite_steps += tf.cast(tf.math.is_finite(sums["loss"]), tf.float32)
        means = {name: sums[name] / tf.cast(count, tf.float32) for name in _MEANS}
        return {**means, "left_out": sums["left_out"], "finite_steps": finite_steps}

    return run_steps


def train_step(
    batch: dict[str, Tensor], config: TrainConfig, network: Network, optimizer: keras.optimizers.Optimizer
) -> dict[str, Tensor]:
    """One step on one replica; returns its share of the losses (their sum over replicas is the batch's)."""
    replicas = tf.distribute.get_replica_context()
    anchors = ops.convert_to_tensor(network.anchors)
    targets = assign_targets(
        batch["boxes"],
        batch["labels"],
        anchors,
        positive_iou=config.loss.positive_iou,
        negative_iou=config.loss.negative_iou,
    )
    # The whole batch's number of positives, at least 1, so that replicas with few objects weigh no more than others.
    positives = ops.maximum(replicas.all_reduce("SUM", ops.sum(targets.positive)), 1.0)
    images = preprocess.normalise(batch["image"])
    variables = network.model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = network.model(images, training=True)
        class_loss = ops.sum(_class_losses(outputs["class_logits"], targets, config)) / positives
        box_loss = ops.sum(_box_losses(outputs["box_shifts"], targets, anchors, config)) / positives
        loss = class_loss + config.loss.box_loss_weight * box_loss
        if config.schedule.optimizer == "sgd":
            decay = sum(ops.sum(ops.square(variable)) for variable in schedule.decayed_variables(network.model))
            loss = loss + config.schedule.weight_decay / 2 * decay / replicas.num_replicas_in_sync
    gradients = replicas.all_reduce("SUM", tape.gradient(loss, variables))
    norm = tf.linalg.global_norm(gradients)
    if config.schedule.clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, config.schedule.clip_norm, use_norm=norm)
    # The optimizer sums over replicas once more.
    optimizer.apply([gradient / replicas.num_replicas_in_sync for gradient in gradients], variables)
    return {
        "loss": loss,
        "class_loss": class_loss,
        "box_loss": box_loss,
        "gradient_norm": norm / replicas.num_replicas_in_sync,
    }


def _class_losses(logits: Tensor, targets: Any, config: TrainConfig) -> Tensor:
    """Focal loss [B, A, K], zero where ignored."""
    one_hot = ops.one_hot(targets.labels - 1, logits.shape[-1])  # background, -1, becomes all zeros
    focal = losses.focal_loss(logits, one_hot, alpha=config.loss.focal_alpha, gamma=config.loss.focal_gamma)
    return focal * targets.counted[..., None]


def _box_losses(shifts: Tensor, targets: Any, anchors: Tensor, config: TrainConfig) -> Tensor:
    """Box loss [B, A], zero where not positive."""
    if config.loss.box_loss == "giou":
        values = losses.giou_loss(decode_boxes(shifts, anchors), targets.boxes)
    else:
        values = losses.huber_loss(shifts, encode_boxes(targets.boxes, anchors))
    # where, not a product: an unmatched anchor's target may be degenerate and its loss not finite.
    return ops.where(targets.positive > 0, values, 0.0)
