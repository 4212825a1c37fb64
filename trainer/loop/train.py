"""Training a network on a data set: from the newest checkpoint to the last step, with evaluations on the way."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig
from trainer.data import records
from trainer.data.augmentation import Augmentation
from trainer.evaluate import Evaluator
from trainer.loop import schedule
from trainer.loop.recovery import DivergenceMonitor, PreemptedError, PreemptionHandler
from trainer.loop.steps import make_loop
from trainer.loop.tensorboard import TrainingProgress
from trainer.network import build
from trainer.network.build import Network
from trainer.strategy import any_host, check_batch, is_chief
from trainer.weights import initialise
from trainer.weights.checkpoints import Best, Checkpoints

_LOGGER = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    manifest: DatasetManifest,
    network: Network,
    strategy: tf.distribute.Strategy,
    evaluator: Evaluator | None = None,
) -> int:
    """Trains to the last step, from the newest checkpoint if there is one; returns the number of steps done.

    With an evaluator the network is evaluated on the way, and the best weights are kept beside the checkpoints. With
    --ema_decay the network has the averages for its weights in evaluations and in the end.

    Raises:
      Stopped: SIGTERM came; a checkpoint has been saved.
      UsageError: it diverges, again and again.
    """
    check_batch("train_batch_size", config.schedule.train_batch_size, strategy)
    split = records.find_split(config.data.dataset, manifest, "train")
    total_steps = max(config.schedule.num_epochs * split.examples // config.schedule.train_batch_size, 1)
    with strategy.scope():
        optimizer, rate_factor = schedule.build_optimizer(config.schedule, network.model, total_steps=total_steps)
    if config.weights.freeze_batch_norm == "auto" and network.origin["freeze_batch_norm"] == "yes":
        _LOGGER.info(
            "note: the backbone's BatchNorms stay as they are: a replica has fewer than %d images;"
            " --freeze_batch_norm=no lets them learn",
            build.FEW_IMAGES,
        )
    chief = is_chief(strategy)
    checkpoints = Checkpoints(
        config.run.model_dir,
        network,
        optimizer,
        rate_factor=rate_factor,
        minutes=config.run.checkpoint_minutes,
        is_chief=chief,
    )
    step = checkpoints.restore()
    if step:
        _LOGGER.info("resuming from step %d of %d", step, total_steps)
        if config.weights.given():
            _LOGGER.info("note: first weights (--init_from and the like) are not read again")
    else:
        with strategy.scope():
            initialise.initialise(network.model, manifest.labels, config)
        checkpoints.save(0)  # where a run that diverges early goes back to

    training = _Training(
        config=config,
        network=network,
        strategy=strategy,
        split=split,
        total_steps=total_steps,
        batches_from=lambda first_step: batches_from(first_step, config, manifest, split, network.canvas),
        run_steps=make_loop(config, network, optimizer, strategy),
        optimizer=optimizer,
        rate_factor=rate_factor,
        checkpoints=checkpoints,
        watch=DivergenceMonitor(max_rollbacks=config.run.max_rollbacks),
        progress=TrainingProgress(
            config, labels=manifest.labels, total_steps=total_steps, examples=split.examples, is_chief=chief
        ),
        evaluator=evaluator,
        evaluation_steps=evaluation_steps(config, split, total_steps) if evaluator else frozenset(),
    )
    if step <= total_steps:
        training.run(step)
    with strategy.scope():
        optimizer.finalize_variable_values(network.model.trainable_variables)
    return max(step, total_steps)


def evaluation_steps(config: TrainConfig, split: records.RecordSplit, total_steps: int) -> frozenset[int]:
    """The last step, and the first one after every so many epochs."""
    every = config.evaluation.eval_every_epochs
    ends = range(every, config.schedule.num_epochs, every) if every else ()
    return frozenset({total_steps, *(-(-epoch * split.examples // config.schedule.train_batch_size) for epoch in ends)})


@dataclass(frozen=True, kw_only=True)
class _Training:
    """A run in progress.

    Attributes:
      batches_from: the batches from a step on.
      run_steps: of make_loop.
      evaluation_steps: after which the network is evaluated; none without an evaluator.
    """

    config: TrainConfig
    network: Network
    strategy: tf.distribute.Strategy
    split: records.RecordSplit
    total_steps: int
    batches_from: Callable[[int], tf.data.Dataset]
    run_steps: Any
    optimizer: keras.optimizers.Optimizer
    rate_factor: tf.Variable
    checkpoints: Checkpoints
    watch: DivergenceMonitor
    progress: TrainingProgress
    evaluator: Evaluator | None
    evaluation_steps: frozenset[int]

    def run(self, step: int) -> None:
        """Runs from a step to the last one, which is saved."""
        batches = self.batches_from(step)
        iterator = self._iterator(batches)
        self.progress.show(step, batches)
        self.progress.start(step)
        with PreemptionHandler() as stop:
            while True:
                # First of all, so that a run that ended between a step and its evaluation makes up for it.
                if self.evaluator and step in self.evaluation_steps:
                    self._evaluate(self.evaluator, step)
                if step == self.total_steps:
                    break
                count = min(self.config.run.steps_per_loop, self._next_pause(step) - step)
                with records.whole_shards(self.split.paths):
                    values = {
                        name: float(value) for name, value in self.run_steps(iterator, tf.constant(count)).items()
                    }
                finite_steps = int(values.pop("finite_steps"))
                if self.watch.has_diverged(values["loss"]):
                    step = self._go_back(step, count, bad=step + min(finite_steps, count - 1), loss=values["loss"])
                    iterator = self._iterator(self.batches_from(step))
                    self.progress.start(step)
                    continue
                step += count
                self.progress.report(step, values, self.optimizer)
                self._save(step, is_stopped=stop.requested)

    def _iterator(self, batches: tf.data.Dataset) -> Iterator[Any]:
        return iter(self.strategy.experimental_distribute_dataset(batches))

    def _next_pause(self, step: int) -> int:
        return min(pause for pause in {*self.evaluation_steps, self.total_steps} if pause > step)

    def _save(self, step: int, *, is_stopped: bool) -> None:
        is_stopped = any_host(self.strategy, is_stopped)
        if is_stopped or step == self.total_steps or any_host(self.strategy, self.checkpoints.is_due):
            self.checkpoints.save(step)
        if is_stopped:
            raise PreemptedError(f"stopped by SIGTERM at step {step} of {self.total_steps}, which is saved")

    def _evaluate(self, evaluator: Evaluator, step: int) -> None:
        """Evaluates the network, or its averages, and keeps the weights where none were better."""
        variables = self.network.model.trainable_variables
        trained = [variable.numpy() for variable in variables]
        with self.strategy.scope():
            self.optimizer.finalize_variable_values(variables)
            self._share_statistics()
        metrics, sheet = evaluator.brief()
        is_best = self._keep_if_best(step, metrics)
        with self.strategy.scope():
            for variable, value in zip(variables, trained, strict=True):
                variable.assign(value)
        self.progress.evaluated(step, metrics, sheet, is_best=is_best)
        self.progress.show(step, self.batches_from(step))
        self.progress.start(step)

    def _share_statistics(self) -> None:
        """Gives every replica the mean of all replicas' BatchNorm averages, which is what checkpoints hold."""
        if self.strategy.num_replicas_in_sync > 1:
            for variable in self.network.model.non_trainable_variables:
                variable.assign(variable.numpy())

    def _keep_if_best(self, step: int, metrics: dict[str, Any]) -> bool:
        """The chief decides, since another host may find digits that differ, and all must save or none."""
        chief = is_chief(self.strategy)
        best = Best(self.config.run.model_dir, self.network, split=self.config.evaluation.eval_split, is_chief=chief)
        is_best = any_host(self.strategy, chief and best.is_beaten_by(metrics))
        if is_best:
            best.save(step, metrics)
        return is_best

    def _go_back(self, step: int, count: int, *, bad: int, loss: float) -> int:
        """Restores the newest checkpoint, with half of the present learning rate; returns its step."""
        rate = float(self.rate_factor.numpy()) / 2
        source_ids = records.batch_source_ids(
            self.split, batch_size=self.config.schedule.train_batch_size, seed=self.config.run.seed, step=bad
        )
        self.watch.go_back(loss=loss, first=step + 1, last=step + count, source_ids=source_ids, rate=rate)
        restored = self.checkpoints.restore()
        self.rate_factor.assign(rate)
        return restored


def batches_from(
    first_step: int, config: TrainConfig, manifest: DatasetManifest, split: records.RecordSplit, canvas: tuple[int, int]
) -> tf.data.Dataset:
    """The batches that a run of this configuration sees from a step on; see records.training_batches."""
    return records.training_batches(
        split,
        canvas=canvas,
        batch_size=config.schedule.train_batch_size,
        max_instances=config.data.boxes_per_image(manifest.max_boxes_per_image),
        augmentation=Augmentation(
            scale_min=config.data.scale_min,
            scale_max=config.data.scale_max,
            horizontal_flip=config.data.horizontal_flip,
            vertical_flip=config.data.vertical_flip,
            rot90=config.data.rot90,
            photometric=config.data.photometric,
            min_visible=config.data.min_visible,
            mosaic=config.data.mosaic,
            mosaic_steps=(config.schedule.num_epochs - config.data.mosaic_close_epochs)
            * split.examples
            // config.schedule.train_batch_size,
        ),
        seed=config.run.seed,
        first_step=first_step,
    )
