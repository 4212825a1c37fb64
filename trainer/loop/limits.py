"""What ends a run before its last step: --max_hours and --patience. Begin with `TrainingState`.

A run that is stopped and started again continues from the state that its newest checkpoint holds: the time that was
spent up to it, and the evaluations that brought no better AP.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from trainer.config import TrainConfig

MAX_HOURS, PATIENCE = "max_hours", "patience"  # values of ended_by: the names of the settings
Knots = tuple[tuple[float, float], ...]  # see trainer.loop.schedule.plan_pace


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The course of a run, as its checkpoints hold it beside the weights.

    Attributes:
      seconds: Spent on steps and evaluations, over all starts.
      planned_steps: By --num_epochs.
      knots: The pace of a run with --max_hours (`trainer.loop.schedule.Pace`); empty without.
      best_ap: The highest AP of all evaluations; an evaluation without a value counts as 0.
      evaluations_without_better: Number of evaluations since that one.
      ended_by: The setting that ended the run before its last step; "" if none has.
      limit: The value of that setting.
    """

    seconds: float = 0.0
    planned_steps: int = 0
    knots: Knots = ()
    best_ap: float | None = None
    evaluations_without_better: int = 0
    ended_by: str = ""
    limit: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned; checkpoints of earlier versions hold nothing, which is a fresh state."""
        knots = tuple((float(step), float(position)) for step, position in values.get("knots", ()))
        return cls(**{**values, "knots": knots})

    def after_evaluation(self, ap: float | None) -> Self:
        """Return the state after an evaluation in training."""
        value = ap or 0.0
        # Strictly better: an AP that stays at 0 is no progress.
        if self.best_ap is None or value > self.best_ap:
            return dataclasses.replace(self, best_ap=value, evaluations_without_better=0)
        return dataclasses.replace(self, evaluations_without_better=self.evaluations_without_better + 1)

    def reason(self) -> str:
        """Return in words what ended the run."""
        if self.ended_by == PATIENCE:
            times = f"{self.limit:g} evaluation{'' if self.limit == 1 else 's'}"
            return f"no better AP than {self.best_ap or 0:.3f} in {times} (--patience={self.limit:g})"
        if self.ended_by == MAX_HOURS:
            return f"the time was spent (--max_hours={self.limit:g})"
        return "the last step was reached"


def has_ended(state: TrainingState, config: TrainConfig) -> bool:
    """Return whether a limit has ended a run that the present settings do not continue: the limit still holds."""
    limits = {MAX_HOURS: config.schedule.max_hours, PATIENCE: config.evaluation.patience}
    # A larger limit, or none, continues the run.
    return bool(state.ended_by) and 0 < limits[state.ended_by] <= state.limit


def summarise_training(values: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Return what model.json says of the training of which the newest checkpoint holds this state and step.

    Returns:
      steps, planned_steps, hours, ended_by (``num_epochs``, ``patience`` or ``max_hours``) and reason; nothing for
      checkpoints of earlier versions.
    """
    if not values:
        return {}
    state = TrainingState.from_json(values)
    ended_by = state.ended_by or ("num_epochs" if step >= state.planned_steps else "")
    return {
        "steps": step,
        "planned_steps": state.planned_steps,
        "hours": round(state.seconds / 3600, 4),
        "ended_by": ended_by,
        "reason": state.reason() if ended_by else "stopped before its end",
    }


def fit_steps(
    *,
    step: int,
    planned_steps: int,
    seconds_left: float,
    seconds_per_step: float,
    evaluation_seconds: float,
    steps_between: float,
    evaluations_at_end: int,
) -> int:
    """Return the last step that can be reached in the time, from the present step to the planned one.

    Args:
      step: The present one.
      planned_steps: The last one without a limit.
      seconds_left: For steps and evaluations.
      seconds_per_step: Above 0.
      evaluation_seconds: Of one evaluation.
      steps_between: Steps from one evaluation to the next; 0 if there is none before the last step.
      evaluations_at_end: Number of evaluations after the last step.

    Example:
      >>> fit_steps(step=20, planned_steps=1000, seconds_left=100.0, seconds_per_step=0.5, evaluation_seconds=5.0,
      ...           steps_between=20, evaluations_at_end=2)
      140
    """
    # Evaluations on the way are spread over the steps: how many there will be depends on the result.
    per_step = seconds_per_step + (evaluation_seconds / steps_between if steps_between else 0.0)
    for_steps = seconds_left - evaluations_at_end * evaluation_seconds
    return min(step + max(int(for_steps / per_step), 0), planned_steps)


class StepClock:
    """Measures what a run spends: in total, by step, and by evaluation.

    Args:
      spent: Seconds of earlier starts of the run.
      now: Returns seconds; replaced in tests.
    """

    # Weight of what was measured before, for each loop of steps: the speed may change.
    _MEMORY = 0.9

    def __init__(self, spent: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begin = self._last = now()
        self._spent = spent
        self._loops = self._steps = self._seconds = 0.0
        self.evaluation_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds that the run has spent, over all starts."""
        return self._spent + self._now() - self._begin

    @property
    def has_begun(self) -> bool:
        """Whether a loop of steps has been recorded."""
        return self._loops > 0

    @property
    def seconds_per_step(self) -> float | None:
        """Seconds of a step, checkpoints included; None before the second loop of steps: the first builds the graph."""
        return self._seconds / self._steps if self._steps else None

    def restart(self) -> None:
        """Count the time since the last record to nothing that repeats."""
        self._last = self._now()

    def record_steps(self, count: int) -> None:
        """Record a loop of steps, which began at the last record."""
        passed, self._last = self._now() - self._last, self._now()
        if self.has_begun:
            self._steps = self._MEMORY * self._steps + count
            self._seconds = self._MEMORY * self._seconds + passed
        self._loops += 1

    def record_evaluation(self) -> None:
        """Record an evaluation, which began at the last record or restart."""
        # The latest one: the first also builds its graph.
        self.evaluation_seconds, self._last = self._now() - self._last, self._now()
