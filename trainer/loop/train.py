"""Trains a network on a data set, from the newest checkpoint to the last step, with evaluations on the way.

Begin with `TrainingRun.run`; one step is `trainer.loop.steps.train_step`.
"""

import logging
from typing import Any

import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig
from trainer.data import records
from trainer.evaluate import Evaluator
from trainer.loop import schedule
from trainer.loop.course import Course
from trainer.loop.limits import TrainingState
from trainer.loop.plan import batches_from
from trainer.loop.recovery import DivergenceMonitor, PreemptedError, PreemptionHandler
from trainer.loop.runtimes import make_runtime
from trainer.loop.tensorboard import TrainingProgress
from trainer.network.build import MIN_IMAGES_FOR_BATCH_NORM, Network
from trainer.strategy import any_host, check_batch, count_replicas, is_chief
from trainer.weights.checkpoints import Best, Checkpoints
from trainer.weights.initialise import load_initial_weights

_LOGGER = logging.getLogger(__name__)


class TrainingRun:
    """A training in progress.

    With an evaluator, the network is evaluated on the way, and the best weights are kept beside the checkpoints. With
    --ema_decay, evaluations use the moving averages of the weights, and so does the network in the end.

    Attributes:
      step: Number of steps done.
    """

    def __init__(
        self,
        config: TrainConfig,
        manifest: DatasetManifest,
        network: Network,
        strategy: tf.distribute.Strategy,
        evaluator: Evaluator | None = None,
    ) -> None:
        check_batch("train_batch_size", config.schedule.train_batch_size, count_replicas(strategy, config.run.runtime))
        self._config, self._manifest, self._network = config, manifest, network
        self._strategy, self._evaluator = strategy, evaluator
        self._split = records.find_split(config.data.dataset, manifest, "train")
        with strategy.scope():
            self._course = Course(config, self._split, strategy, evaluator.split.examples if evaluator else 0)
            steps = self._course.planned_steps
            self._optimizer, self._rate_factor = schedule.build_optimizer(
                config.schedule, network.model, total_steps=steps, pace=self._course.pace
            )
        _log_frozen_norms(config, network)
        examples = self._split.examples
        if warning := schedule.describe_short_run(config.schedule, total_steps=steps, examples=examples):
            _LOGGER.warning("warning: %s", warning)
        self._runtime = make_runtime(config, network, self._optimizer, strategy)
        self._monitor = DivergenceMonitor(max_rollbacks=config.run.max_rollbacks)
        self._checkpoints = Checkpoints(
            config.run.model_dir,
            network,
            self._optimizer,
            rate_factor=self._rate_factor,
            minutes=config.run.checkpoint_minutes,
            is_chief=is_chief(strategy),
        )
        self.step = self._restore_or_initialise()
        self._progress = TrainingProgress(
            config,
            labels=manifest.labels,
            total_steps=self.total_steps,
            examples=examples,
            is_chief=is_chief(strategy),
        )

    @property
    def total_steps(self) -> int:
        """The last step."""
        return self._course.total_steps

    def run(self) -> None:
        """Train to the last step, which is saved.

        Raises:
          PreemptedError: SIGTERM stopped it; a checkpoint was saved.
          ContractError: A shard is damaged, or TensorFlow cannot decode an image.
          UsageError: It diverges again and again.
        """
        if self.step <= self.total_steps:  # more, if --num_epochs was lowered
            batches = self._batches()
            self._iterator = self._runtime.distribute(batches)
            with records.reading_shards(self._split.paths):
                self._progress.show_batch(self.step, batches)
            self._start_clocks()
            with PreemptionHandler() as preemption:
                self._run_to_end(preemption)
            self._progress.close()
            self._runtime.fetch()
            self._record_end()
        with self._strategy.scope():
            # With --ema_decay, the averages replace the weights; without, nothing changes.
            self._optimizer.finalize_variable_values(self._network.model.trainable_variables)

    def _restore_or_initialise(self) -> int:
        """Restore the newest checkpoint, or set the initial weights and save them; return the step."""
        step = self._checkpoints.restore()
        self._course.resume(step, self._checkpoints.run_state)
        if step:
            _LOGGER.info("resuming from step %d of %d", step, self.total_steps)
            if self._config.weights.given():
                _LOGGER.info("note: initial weights (--init_from and the like) are not read again")
            return step
        if self._config.weights.given():
            with self._strategy.scope():
                load_initial_weights(self._network.model, self._manifest.labels, self._config)
        self._checkpoints.save(0)  # a run that diverges early returns to it
        return 0

    def _run_to_end(self, preemption: PreemptionHandler) -> None:
        while True:
            # The order matters: a run that ended between a step and its evaluation makes up for it when resumed.
            if self._evaluator and self.step in self._course.evaluation_steps:
                self._evaluate(self._evaluator)
            if self.step == self.total_steps:
                return
            self._run_loop(preemption)

    def _run_loop(self, preemption: PreemptionHandler) -> None:
        """Run some steps on the devices, then look at their loss."""
        count = self._course.count_next(self.step)
        with records.reading_shards(self._split.paths):
            # Waits for the devices, so an error in a shard is raised inside of the block.
            values = self._runtime.run(self._iterator, count)
        finite_steps = int(values.pop("finite_steps"))
        if self._monitor.has_diverged(values["loss"]):
            self._roll_back(count, bad_step=self.step + min(finite_steps, count - 1), loss=values["loss"])
            return
        self.step += count
        if self._course.record_steps(self.step, count):
            self._progress.total_steps = self.total_steps
            if self._config.data.mosaic:  # its last epochs are others now
                self._iterator = self._runtime.distribute(self._batches())
        self._progress.report(self.step, values, self._optimizer)
        self._save_if_due(is_preempted=any_host(self._strategy, preemption.requested))

    def _save_if_due(self, *, is_preempted: bool) -> None:
        # Every host asks at the same step: `any_host` is a sum over all of them.
        is_last = self.step == self.total_steps
        if is_preempted or is_last or any_host(self._strategy, self._checkpoints.is_due):
            self._save()
        if is_preempted:
            raise PreemptedError(f"stopped by SIGTERM at step {self.step} of {self.total_steps}, which is saved")

    def _save(self) -> None:
        self._runtime.fetch()
        self._checkpoints.save(self.step, self._course.state_at(self.step).to_json())

    def _record_end(self) -> None:
        """Save and log why the run ends before the last step of --num_epochs, if it does; at most once."""
        state, restored = self._course.state_at(self.step), TrainingState.from_json(self._checkpoints.run_state)
        if state.ended_by and (state.ended_by, state.limit) != (restored.ended_by, restored.limit):
            self._save()
            _LOGGER.info("ended at step %d of %d: %s", self.step, self._course.planned_steps, state.reason())

    def _start_clocks(self) -> None:
        self._course.clock.restart()
        self._progress.start_clock(self.step)

    def _roll_back(self, count: int, *, bad_step: int, loss: float) -> None:
        """Restore the newest checkpoint, with half of the present learning rate."""
        rate = float(self._rate_factor.numpy()) / 2
        # The images of the step that went wrong, for the user to look at.
        source_ids = records.batch_source_ids(
            self._split,
            batch_size=self._config.schedule.train_batch_size,
            seed=self._config.run.seed,
            step=bad_step,
        )
        self._monitor.record_rollback(
            loss=loss, first=self.step + 1, last=self.step + count, source_ids=source_ids, rate=rate
        )
        self.step = self._checkpoints.restore()
        self._rate_factor.assign(rate)  # after the checkpoint, which holds the old one
        self._runtime.load()
        # The batches go back too, to the step of the checkpoint.
        self._iterator = self._runtime.distribute(self._batches())
        self._start_clocks()

    # --- Evaluation on the way ---

    def _evaluate(self, evaluator: Evaluator) -> None:
        """Evaluate the network, or its moving averages, and keep the weights if they are the best."""
        self._course.clock.restart()
        self._runtime.fetch()
        variables = self._network.model.trainable_variables
        # A copy: with --ema_decay, finalize_variable_values below overwrites the weights by their averages.
        trained = [variable.numpy() for variable in variables]
        with self._strategy.scope():
            self._optimizer.finalize_variable_values(variables)
            self._share_statistics()
        metrics, sheet = evaluator.brief()
        is_best = self._keep_if_best(metrics)
        with self._strategy.scope():
            for variable, value in zip(variables, trained, strict=True):
                variable.assign(value)
        self._progress.report_evaluation(self.step, metrics, sheet, is_best=is_best)
        self._progress.show_batch(self.step, self._batches())
        self._course.record_evaluation(self.step, metrics)
        self._start_clocks()

    def _share_statistics(self) -> None:
        """Set the averages of BatchNorm on every replica to the mean of all, which is what checkpoints hold."""
        if self._strategy.num_replicas_in_sync > 1:
            for variable in self._network.model.non_trainable_variables:
                variable.assign(variable.numpy())

    def _keep_if_best(self, metrics: dict[str, Any]) -> bool:
        """Save the weights if they are the best. The chief decides: hosts may differ in digits, and all must save."""
        chief = is_chief(self._strategy)
        split = self._config.evaluation.eval_split
        best = Best(self._config.run.model_dir, self._network, split=split, is_chief=chief)
        is_best = any_host(self._strategy, chief and best.is_beaten_by(metrics))
        if is_best:
            best.save(self.step, metrics)
        return is_best

    # --- Batches ---

    def _batches(self) -> tf.data.Dataset:
        skipped = self._course.planned_steps - self.total_steps
        return batches_from(
            self.step, self._config, self._manifest, self._split, self._network.canvas, skipped_steps=skipped
        )


def _log_frozen_norms(config: TrainConfig, network: Network) -> None:
    if config.weights.freeze_batch_norm == "auto" and network.origin["freeze_batch_norm"] == "yes":
        _LOGGER.info(
            "note: the backbone's BatchNorms are frozen, because a replica has fewer than %d images;"
            " --freeze_batch_norm=no lets them learn",
            MIN_IMAGES_FOR_BATCH_NORM,
        )
