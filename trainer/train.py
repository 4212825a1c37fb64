"""The training loop: a custom one under tf.distribute, because Keras' fit cannot run several steps a call there."""

import logging
import time
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from detection.manifests import DatasetManifest
from trainer import freezing, initialise, losses, preprocess, records, schedule
from trainer.augment import Augmentation
from trainer.checkpoints import Checkpoints
from trainer.config import TrainConfig
from trainer.network import Network
from trainer.stop import Stopped, StopRequest
from trainer.strategy import check_batch
from trainer.targets import assign_targets, decode_boxes, encode_boxes

Tensor = Any
_LOGGER = logging.getLogger(__name__)


def train(config: TrainConfig, manifest: DatasetManifest, network: Network, strategy: tf.distribute.Strategy) -> int:
    """Trains to the last step, from the newest checkpoint if there is one; returns the number of steps done.

    Raises:
      Stopped: SIGTERM came; a checkpoint has been saved.
    """
    check_batch("train_batch_size", config.train_batch_size, strategy)
    split = records.find_split(config.dataset, manifest, "train")
    total_steps = max(config.num_epochs * split.examples // config.train_batch_size, 1)
    with strategy.scope():
        optimizer = schedule.make_optimizer(
            config.optimizer,
            schedule=schedule.cosine_schedule(
                peak=config.learning_rate, warmup_steps=config.warmup_steps, total_steps=total_steps
            ),
            weight_decay=config.weight_decay,
            backbone_rate=config.backbone_rate,
        )
        optimizer.build(network.model.trainable_variables)
    if config.freeze_batch_norm == "auto" and network.origin["freeze_batch_norm"] == "yes":
        _LOGGER.info(
            "note: the backbone's BatchNorms stay as they are: a replica has fewer than %d images;"
            " --freeze_batch_norm=no lets them learn",
            freezing.FEW_IMAGES,
        )
    checkpoints = Checkpoints(config.model_dir, network, optimizer, minutes=config.checkpoint_minutes)
    step = checkpoints.restore()
    if step:
        _LOGGER.info("resuming from step %d of %d", step, total_steps)
        if config.init_from or config.resnet_checkpoint:
            _LOGGER.info("note: --init_from and --resnet_checkpoint give first weights only, and are not read again")
    else:
        with strategy.scope():
            initialise.initialise(network.model, manifest.labels, config)
    if step >= total_steps:
        return step
    batches = _batches(config, manifest, network, split, first_step=step)
    run_steps = make_loop(config, network, optimizer, strategy)
    iterator = iter(strategy.experimental_distribute_dataset(batches))
    progress = _Progress(config, first_step=step, total_steps=total_steps, examples=split.examples)
    with StopRequest() as stop:
        while step < total_steps:
            count = min(config.steps_per_loop, total_steps - step)
            with records.whole_shards(split.paths):
                values = run_steps(iterator, tf.constant(count))
            step += count
            progress.report(step, {name: float(value) for name, value in values.items()}, optimizer)
            if stop.requested:
                checkpoints.save(step)
                raise Stopped(f"stopped by SIGTERM at step {step} of {total_steps}, which is saved")
            checkpoints.save_when_due(step)
        checkpoints.save(step)
    return step


def _batches(
    config: TrainConfig, manifest: DatasetManifest, network: Network, split: records.Split, *, first_step: int
) -> tf.data.Dataset:
    return records.training_batches(
        split,
        canvas=network.canvas,
        batch_size=config.train_batch_size,
        max_instances=config.max_instances or max(manifest.max_boxes_per_image, 1),
        augmentation=Augmentation(
            scale_min=config.scale_min,
            scale_max=config.scale_max,
            horizontal_flip=config.horizontal_flip,
            vertical_flip=config.vertical_flip,
        ),
        seed=config.seed,
        first_step=first_step,
    )


def make_loop(
    config: TrainConfig,
    network: Network,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
) -> Any:
    """A function of (iterator, count) that runs count steps on the device and returns their mean losses."""

    def replica_step(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return train_step(batch, config, network, optimizer)

    @tf.function
    def run_steps(iterator: Any, count: Tensor) -> dict[str, Tensor]:
        sums = {name: tf.constant(0.0) for name in ("loss", "class_loss", "box_loss", "gradient_norm")}
        for _ in tf.range(count):
            values = strategy.run(replica_step, args=(next(iterator),))
            reduced = {name: strategy.reduce("SUM", value, axis=None) for name, value in values.items()}
            sums = {name: sums[name] + reduced[name] for name in sums}
        return {name: value / tf.cast(count, tf.float32) for name, value in sums.items()}

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
        positive_iou=config.positive_iou,
        negative_iou=config.negative_iou,
    )
    # The whole batch's number of positives, at least 1, so that replicas with few objects weigh no more than others.
    positives = ops.maximum(replicas.all_reduce("SUM", ops.sum(targets.positive)), 1.0)
    images = preprocess.normalise(batch["image"])
    variables = network.model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = network.model(images, training=True)
        class_loss = ops.sum(_class_losses(outputs["class_logits"], targets, config)) / positives
        box_loss = ops.sum(_box_losses(outputs["box_shifts"], targets, anchors, config)) / positives
        loss = class_loss + config.box_loss_weight * box_loss
        if config.optimizer == "sgd":
            decay = sum(ops.sum(ops.square(variable)) for variable in schedule.decayed_variables(network.model))
            loss = loss + config.weight_decay / 2 * decay / replicas.num_replicas_in_sync
    gradients = replicas.all_reduce("SUM", tape.gradient(loss, variables))
    gradients, norm = tf.clip_by_global_norm(gradients, config.clip_norm)
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
    focal = losses.focal_loss(logits, one_hot, alpha=config.focal_alpha, gamma=config.focal_gamma)
    return focal * targets.counted[..., None]


def _box_losses(shifts: Tensor, targets: Any, anchors: Tensor, config: TrainConfig) -> Tensor:
    """Box loss [B, A], zero where not positive."""
    if config.box_loss == "giou":
        values = losses.giou_loss(decode_boxes(shifts, anchors), targets.boxes)
    else:
        values = losses.huber_loss(shifts, encode_boxes(targets.boxes, anchors))
    # where, not a product: an unmatched anchor's target may be degenerate and its loss not finite.
    return ops.where(targets.positive > 0, values, 0.0)


class _Progress:
    """A line and a TensorBoard point per loop."""

    def __init__(self, config: TrainConfig, *, first_step: int, total_steps: int, examples: int) -> None:
        self._batch_size = config.train_batch_size
        self._examples = examples
        self._first_step = self._last_step = first_step
        self._total_steps = total_steps
        self._graph_built = False
        self._start = self._last_time = time.monotonic()
        self._writer = tf.summary.create_file_writer(f"{config.model_dir.rstrip('/')}/tensorboard")

    def report(self, step: int, values: dict[str, float], optimizer: keras.optimizers.Optimizer) -> None:
        now = time.monotonic()
        speed = (step - self._last_step) * self._batch_size / (now - self._last_time)
        left = (now - self._start) / (step - self._first_step) * (self._total_steps - step)
        if not self._graph_built:  # the first loop built it: no measure of the others
            self._graph_built = True
            self._first_step, self._start = step, now
        self._last_step, self._last_time = step, now
        _LOGGER.info(
            "step %d/%d  epoch %.1f  loss %.3f (class %.3f, box %.3f)  %.1f images/s  %d:%02d left",
            step,
            self._total_steps,
            step * self._batch_size / self._examples,
            values["loss"],
            values["class_loss"],
            values["box_loss"],
            speed,
            *divmod(round(left), 60),
        )
        scalars = {**values, "learning_rate": float(optimizer.learning_rate), "images_per_second": speed}
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
