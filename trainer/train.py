"""The training loop: a custom one under tf.distribute, because Keras' fit cannot run several steps a call there."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from detection.manifests import DatasetManifest
from trainer import initialise, losses, preprocess, records, schedule
from trainer.augment import Augmentation
from trainer.checkpoints import Checkpoints
from trainer.config import TrainConfig
from trainer.network import Network
from trainer.rollback import Watch
from trainer.stop import Stopped, StopRequest
from trainer.strategy import check_batch
from trainer.targets import assign_targets, decode_boxes, encode_boxes

Tensor = Any
_LOGGER = logging.getLogger(__name__)
_MEANS = ("loss", "class_loss", "box_loss", "gradient_norm")  # what a loop tells the mean of


def train(config: TrainConfig, manifest: DatasetManifest, network: Network, strategy: tf.distribute.Strategy) -> int:
    """Trains to the last step, from the newest checkpoint if there is one; returns the number of steps done.

    With --ema_decay the network then has the averages for its weights.

    Raises:
      Stopped: SIGTERM came; a checkpoint has been saved.
      UsageError: it diverges, again and again.
    """
    check_batch("train_batch_size", config.train_batch_size, strategy)
    split = records.find_split(config.dataset, manifest, "train")
    total_steps = max(config.num_epochs * split.examples // config.train_batch_size, 1)
    with strategy.scope():
        optimizer, rate_factor = build_optimizer(config, network, total_steps=total_steps)
    checkpoints = Checkpoints(
        config.model_dir, network, optimizer, rate_factor=rate_factor, minutes=config.checkpoint_minutes
    )
    step = checkpoints.restore()
    if step:
        _LOGGER.info("resuming from step %d of %d", step, total_steps)
        if config.init_from or config.resnet_checkpoint:
            _LOGGER.info("note: --init_from and --resnet_checkpoint give first weights only, and are not read again")
    else:
        with strategy.scope():
            initialise.initialise(network.model, manifest.labels, config)
        checkpoints.save(0)  # where a run that diverges early goes back to
    training = _Training(
        config=config,
        split=split,
        total_steps=total_steps,
        batches_from=lambda first_step: iter(
            strategy.experimental_distribute_dataset(_batches(config, manifest, network, split, first_step=first_step))
        ),
        run_steps=make_loop(config, network, optimizer, strategy),
        optimizer=optimizer,
        rate_factor=rate_factor,
        checkpoints=checkpoints,
        watch=Watch(max_rollbacks=config.max_rollbacks),
        progress=_Progress(config, total_steps=total_steps, examples=split.examples),
    )
    if step < total_steps:
        training.run(step)
    with strategy.scope():
        optimizer.finalize_variable_values(network.model.trainable_variables)
    return max(step, total_steps)


@dataclass(frozen=True, kw_only=True)
class _Training:
    """A run in progress.

    Attributes:
      batches_from: the iterator of the batches from a step on.
      run_steps: of make_loop.
    """

    config: TrainConfig
    split: records.Split
    total_steps: int
    batches_from: Callable[[int], Iterator[Any]]
    run_steps: Any
    optimizer: keras.optimizers.Optimizer
    rate_factor: tf.Variable
    checkpoints: Checkpoints
    watch: Watch
    progress: "_Progress"

    def run(self, step: int) -> None:
        """Runs from a step to the last one, which is saved."""
        iterator = self.batches_from(step)
        self.progress.start(step)
        with StopRequest() as stop:
            while step < self.total_steps:
                count = min(self.config.steps_per_loop, self.total_steps - step)
                with records.whole_shards(self.split.paths):
                    values = {
                        name: float(value) for name, value in self.run_steps(iterator, tf.constant(count)).items()
                    }
                finite_steps = int(values.pop("finite_steps"))
                if self.watch.has_diverged(values["loss"]):
                    step = self._go_back(step, count, bad=step + min(finite_steps, count - 1), loss=values["loss"])
                    iterator = self.batches_from(step)
                    self.progress.start(step)
                    continue
                step += count
                self.progress.report(step, values, self.optimizer)
                if stop.requested:
                    self.checkpoints.save(step)
                    raise Stopped(f"stopped by SIGTERM at step {step} of {self.total_steps}, which is saved")
                self.checkpoints.save_when_due(step)
            self.checkpoints.save(step)

    def _go_back(self, step: int, count: int, *, bad: int, loss: float) -> int:
        """Restores the newest checkpoint, with half of the present learning rate; returns its step."""
        rate = float(self.rate_factor.numpy()) / 2
        source_ids = records.batch_source_ids(
            self.split, batch_size=self.config.train_batch_size, seed=self.config.seed, step=bad
        )
        self.watch.go_back(loss=loss, first=step + 1, last=step + count, source_ids=source_ids, rate=rate)
        restored = self.checkpoints.restore()
        self.rate_factor.assign(rate)
        return restored


def build_optimizer(
    config: TrainConfig, network: Network, *, total_steps: int
) -> tuple[keras.optimizers.Optimizer, tf.Variable]:
    """The optimizer of a run, and the factor of its learning rate; under a strategy's scope when one is active."""
    rates = schedule.ScaledSchedule(_rates(config, total_steps))
    optimizer = schedule.make_optimizer(
        config.optimizer, schedule=rates, weight_decay=config.weight_decay, ema_decay=config.ema_decay
    )
    optimizer.build(network.model.trainable_variables)
    return optimizer, rates.factor


def _rates(config: TrainConfig, total_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    peak, warmup_steps = config.learning_rate, config.warmup_steps
    if config.lr_schedule == "cosine":
        return schedule.cosine_schedule(peak=peak, warmup_steps=warmup_steps, total_steps=total_steps)
    drops = [round(share * total_steps) for share in config.lr_drop_values()]
    return schedule.StepSchedule(peak=peak, warmup_steps=warmup_steps, drops=drops)


def restore(config: TrainConfig, network: Network, strategy: tf.distribute.Strategy) -> int:
    """Gives a network the newest checkpoint's weights, or their averages with --ema_decay; returns its step, else 0."""
    if not config.ema_decay:
        return Checkpoints(config.model_dir, network).restore()
    with strategy.scope():
        optimizer, rate_factor = build_optimizer(config, network, total_steps=1)
        step = Checkpoints(config.model_dir, network, optimizer, rate_factor=rate_factor).restore()
        optimizer.finalize_variable_values(network.model.trainable_variables)
    return step


def _batches(
    config: TrainConfig, manifest: DatasetManifest, network: Network, split: records.Split, *, first_step: int
) -> tf.data.Dataset:
    return records.training_batches(
        split,
        canvas=network.canvas,
        batch_size=config.train_batch_size,
        max_instances=config.boxes_per_image(manifest.max_boxes_per_image),
        augmentation=Augmentation(
            scale_min=config.scale_min,
            scale_max=config.scale_max,
            horizontal_flip=config.horizontal_flip,
            vertical_flip=config.vertical_flip,
            rot90=config.rot90,
            photometric=config.photometric,
            min_visible=config.min_visible,
            mosaic=config.mosaic,
            mosaic_steps=(config.num_epochs - config.mosaic_close_epochs) * split.examples // config.train_batch_size,
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
    """A function of (iterator, count) that runs count steps on the device and returns their mean losses.

    Beside these, ``finite_steps``: how many steps there were before the first whose loss is not finite; and
    ``left_out``: how many boxes all of them had beyond max_instances.
    """

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
    norm = tf.linalg.global_norm(gradients)
    if config.clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, config.clip_norm, use_norm=norm)
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

    def __init__(self, config: TrainConfig, *, total_steps: int, examples: int) -> None:
        self._batch_size = config.train_batch_size
        self._examples = examples
        self._total_steps = total_steps
        self._max_instances = config.max_instances
        self._graph_built = False
        self._writer = tf.summary.create_file_writer(f"{config.model_dir.rstrip('/')}/tensorboard")

    def start(self, step: int) -> None:
        """Begins to measure speed, at a step that has been done."""
        self._first_step = self._last_step = step
        self._start = self._last_time = time.monotonic()

    def report(self, step: int, values: dict[str, float], optimizer: keras.optimizers.Optimizer) -> None:
        now = time.monotonic()
        speed = (step - self._last_step) * self._batch_size / (now - self._last_time)
        left = (now - self._start) / (step - self._first_step) * (self._total_steps - step)
        if not self._graph_built:  # the first loop built it: no measure of the others
            self._graph_built = True
            self._first_step, self._start = step, now
        self._last_step, self._last_time = step, now
        if values["left_out"]:
            _LOGGER.warning(
                "warning: %d boxes beyond --max_instances=%d of an image were left out, and are trained as background",
                values["left_out"],
                self._max_instances,
            )
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
