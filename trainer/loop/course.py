"""The course of a run to its last step, which --max_hours and --patience may bring forward. Begin with `Course`."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.config import TrainConfig
from trainer.data import records
from trainer.loop.limits import MAX_HOURS, PATIENCE, StepClock, TrainingState, fit_steps, has_ended
from trainer.loop.plan import count_steps, evaluation_steps
from trainer.loop.schedule import Pace, fit_warmup, plan_pace
from trainer.strategy import any_host, is_chief, of_chief

_LOGGER = logging.getLogger(__name__)
_MIN_CHANGE = 0.02  # of the steps that are left: smaller differences of the measured speed change nothing


class Course:
    """Knows the last step of a run and when it evaluates, and changes both if the time or the patience is spent.

    Made under the scope of the strategy. Of several hosts, the chief's clock and metrics decide.

    Args:
      config: Of the run.
      split: The training split.
      strategy: The devices.
      evaluated: Number of images of an evaluation in training; 0 if there is none.

    Attributes:
      planned_steps: The last step by --num_epochs.
      total_steps: The last step.
      pace: At which the run goes through its schedule of the learning rate; None without --max_hours.
      clock: Must be restarted when steps or an evaluation begin after a pause.
    """

    def __init__(
        self, config: TrainConfig, split: records.RecordSplit, strategy: tf.distribute.Strategy, evaluated: int
    ) -> None:
        self._config, self._split, self._strategy, self._evaluated = config, split, strategy, evaluated
        self.planned_steps = self.total_steps = count_steps(config, split)
        self.pace = Pace() if config.schedule.max_hours else None
        self.clock = StepClock(0.0)
        self._state = TrainingState()
        self._is_announced = False

    def resume(self, step: int, stored: Mapping[str, Any]) -> None:
        """Continue the course that a checkpoint holds (`TrainingState.to_json`); empty for a fresh or an old run."""
        self._state = state = TrainingState.from_json(stored)
        self.clock = StepClock(state.seconds)
        if has_ended(state, self._config):
            self.total_steps = min(step, self.planned_steps)
            _LOGGER.info("this run has ended at step %d and is not trained further: %s", step, state.reason())
            return
        # A run that had spent its time and gets more continues where the schedule of that length is at this step.
        if self.pace and state.knots and state.planned_steps == self.planned_steps and state.ended_by != MAX_HOURS:
            self.pace.set_knots(state.knots)
            self.total_steps = round(state.knots[-1][0])
        self._state = dataclasses.replace(state, ended_by="", limit=0.0)
        if step:
            self._fit(step)  # the time may have been spent already

    @property
    def evaluation_steps(self) -> frozenset[int]:
        """Steps after which the network is evaluated."""
        return evaluation_steps(self._config, self._split, self.total_steps) if self._evaluated else frozenset()

    def count_next(self, step: int) -> int:
        """Return the number of steps to run before looking at their loss: up to an evaluation or the last step."""
        # The first loop builds the graph, so its speed says nothing: with a limit of time, it is one step.
        largest = 1 if self.pace and not self.clock.has_begun else self._config.run.steps_per_loop
        next_pause = min(pause for pause in {*self.evaluation_steps, self.total_steps} if pause > step)
        return min(largest, next_pause - step)

    def record_steps(self, step: int, count: int) -> bool:
        """Record that so many steps have ended with this one; return whether the last step is another one now."""
        self.clock.record_steps(count)
        return self._fit(step)

    def record_evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Record an evaluation after a step; the run ends with it if the patience is spent."""
        self.clock.record_evaluation()
        if self._state.ended_by:  # a run that had ended, and was started again
            return
        self._state = self._state.after_evaluation(metrics["AP"])
        patience = self._config.evaluation.patience
        is_spent = bool(patience) and self._state.evaluations_without_better >= patience
        if any_host(self._strategy, is_chief(self._strategy) and is_spent) and step < self.total_steps:
            self._state = dataclasses.replace(self._state, ended_by=PATIENCE, limit=patience)
            self.total_steps = step

    def state_at(self, step: int) -> TrainingState:
        """Return what a checkpoint of this step holds of the course."""
        changes: dict[str, Any] = {"seconds": self.clock.seconds, "planned_steps": self.planned_steps}
        if self.pace:
            changes["knots"] = self.pace.knots
        if step == self.total_steps < self.planned_steps and not self._state.ended_by:
            changes |= {"ended_by": MAX_HOURS, "limit": self._config.schedule.max_hours}
        return dataclasses.replace(self._state, **changes)

    def _fit(self, step: int) -> bool:
        """Fit the last step to the time that is left; return whether it has changed."""
        if not self.pace or step >= self.total_steps:
            return False
        fitted = round(of_chief(self._strategy, self._reachable(step)))
        change = abs(fitted - self.total_steps)
        if not change or (fitted > step and change <= _MIN_CHANGE * (self.total_steps - step)):
            return False
        schedule = self._config.schedule
        knots = plan_pace(
            step=step,
            position=float(self.pace(step)),
            warmup_steps=fit_warmup(schedule.warmup_steps, self.planned_steps),
            planned_steps=self.planned_steps,
            total_steps=fitted,
        )
        self.pace.set_knots(knots)
        self.total_steps = fitted
        if not self._is_announced:
            self._is_announced = True
            _LOGGER.info(
                "--max_hours=%g allows about %d of %d steps: the learning rate falls to its end by then",
                schedule.max_hours,
                fitted,
                self.planned_steps,
            )
        return True

    def _reachable(self, step: int) -> int:
        """Return the last step that can be reached in the time by this host's clock."""
        seconds_left = 3600 * self._config.schedule.max_hours - self.clock.seconds
        seconds_per_step = self.clock.seconds_per_step
        if seconds_left <= 0:
            return step
        if seconds_per_step is None:
            return self.total_steps
        steps_per_epoch = self._split.examples / self._config.schedule.train_batch_size
        # Before the first evaluation, an image of one is taken to cost as much as one of a step.
        guess = self._evaluated / self._config.schedule.train_batch_size * seconds_per_step
        evaluation_seconds = guess if self.clock.evaluation_seconds is None else self.clock.evaluation_seconds
        return fit_steps(
            step=step,
            planned_steps=self.planned_steps,
            seconds_left=seconds_left,
            seconds_per_step=seconds_per_step,
            evaluation_seconds=evaluation_seconds,
            steps_between=self._config.evaluation.eval_every_epochs * steps_per_epoch if self._evaluated else 0.0,
            evaluations_at_end=2 if self._evaluated else 0,  # of the last step, and of the best weights in full
        )
