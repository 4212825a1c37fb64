"""Learning rate and optimizer. Begin with `build_optimizer`."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.config.sections import ScheduleConfig
from trainer.network.build import part_of
from trainer.typing import Tensor

_NO_DECAY = ("bias", "gamma", "beta")  # names of variables


def build_optimizer(
    settings: ScheduleConfig, model: keras.Model, *, total_steps: int, pace: "Pace | None" = None
) -> tuple[keras.optimizers.Optimizer, tf.Variable]:
    """Build the optimizer of a run, and the factor of its learning rate; under a strategy's scope if one is active.

    Args:
      settings: Of the run.
      model: Whose variables are trained.
      total_steps: Over which the schedule extends.
      pace: At which the run goes through the schedule; None for one step at a time.
    """
    planned = _make_schedule(settings, total_steps)
    # The factor is what a roll back halves: see trainer.loop.train.TrainingRun._roll_back.
    rates = ScaledSchedule(PacedSchedule(planned, pace) if pace else planned)
    optimizer = make_optimizer(
        settings.optimizer,
        schedule=rates,
        weight_decay=settings.weight_decay,
        ema_decay=settings.ema_decay,
        backbone_rate=settings.backbone_rate,
    )
    # Built here, under the strategy's scope: its variables exist before a checkpoint is restored.
    optimizer.build(model.trainable_variables)
    return optimizer, rates.factor


def fit_warmup(warmup_steps: int, total_steps: int) -> int:
    """Return the steps of warm-up of a run: half of it, if it has fewer steps than asked for.

    Example:
      >>> fit_warmup(100, total_steps=5000), fit_warmup(100, total_steps=60)
      (100, 30)
    """
    return warmup_steps if total_steps >= warmup_steps else total_steps // 2


def describe_short_run(settings: ScheduleConfig, *, total_steps: int, examples: int) -> str:
    """Return what is wrong with a run that has fewer steps than its warm-up, and the flag to give; "" for others.

    Args:
      settings: of the run.
      total_steps: of the run.
      examples: images of the training split.
    """
    warmup_steps = settings.warmup_steps
    if total_steps >= warmup_steps:
        return ""
    # Ten times the warm-up, so that it is a small part of the run.
    epochs = -(-10 * warmup_steps * settings.train_batch_size // examples)
    return (
        f"{total_steps} steps are fewer than the {warmup_steps} of the warm-up, which is shortened to"
        f" {fit_warmup(warmup_steps, total_steps)}: so few teach little; train with --num_epochs={epochs}"
    )


def _make_schedule(settings: ScheduleConfig, total_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    peak, warmup_steps = settings.learning_rate, fit_warmup(settings.warmup_steps, total_steps)
    if settings.lr_schedule == "cosine":
        return cosine_schedule(peak=peak, warmup_steps=warmup_steps, total_steps=total_steps)
    # Fractions of the run: a longer run drops later.
    drops = [round(share * total_steps) for share in settings.lr_drop_values()]
    return StepSchedule(peak=peak, warmup_steps=warmup_steps, drops=drops)


# --- Learning rate ---


def cosine_schedule(*, peak: float, warmup_steps: int, total_steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Make a linear warm-up from a tenth of the peak, then half a cosine down to zero at total_steps.

    The cosine: Loshchilov and Hutter 2016 (arXiv 1608.03983), equation 5, without restarts.
    """
    # A short run would otherwise end within its warm-up.
    warmup_steps = min(warmup_steps, total_steps // 2)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        decay_steps=max(total_steps - warmup_steps, 1),
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up from a tenth of the peak, then a factor of 0.1 at each drop.

    As learning_rate_schedule in tensorflow/tpu's retinanet_model.py, with any number of drops.
    """

    def __init__(self, *, peak: float, warmup_steps: int, drops: Sequence[int]) -> None:
        self._peak, self._warmup_steps, self._drops = peak, warmup_steps, tuple(drops)

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step."""
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(0.1 + 0.9 * step / max(self._warmup_steps, 1), 1.0) if self._warmup_steps else 1.0
        passed = sum(tf.cast(step >= drop, tf.float32) for drop in self._drops)
        return self._peak * warm * tf.pow(0.1, passed)


class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor that can change between steps and is saved in checkpoints.

    Attributes:
      factor: float32 variable, initially 1.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._schedule = schedule
        self.factor = tf.Variable(1.0, trainable=False)

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step."""
        return self._schedule(step) * self.factor


class Pace:
    """Maps the steps of a run to positions in its schedule: a run with less time goes through the schedule faster.

    A position is a step of the schedule. The map is linear between three knots, which `aim` sets; at first, each step
    is its own position.
    """

    def __init__(self) -> None:
        self._knots = tf.Variable([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], trainable=False)  # [3, (step, position)]

    def __call__(self, step: Any) -> Any:
        """Return the position of a step: float32, 0 or more."""
        step = tf.cast(step, tf.float32)
        first, second, third = tf.unstack(tf.convert_to_tensor(self._knots))
        start, end = tf.unstack(tf.where(step < second[0], (first, second), (second, third)))
        slope = tf.math.divide_no_nan(end[1] - start[1], end[0] - start[0])
        return tf.maximum(start[1] + slope * (step - start[0]), 0.0)

    @property
    def knots(self) -> tuple[tuple[float, float], ...]:
        """The three (step, position) between which the map is linear."""
        return tuple((float(step), float(position)) for step, position in self._knots.numpy())

    def set_knots(self, knots: Sequence[tuple[float, float]]) -> None:
        """Set the map, for example to that of a checkpoint."""
        self._knots.assign(knots)


def plan_pace(
    *, step: int, position: float, warmup_steps: int, planned_steps: int, total_steps: int
) -> tuple[tuple[float, float], ...]:
    """Return knots of a `Pace` that reaches the end of the schedule at another last step, without a jump of the rate.

    The warm-up keeps its length, but takes at most half of the steps that are left.

    Args:
      step: The present one.
      position: Of the present step.
      warmup_steps: Of the schedule.
      planned_steps: The end of the schedule.
      total_steps: The last step of the run.

    Example:
      >>> plan_pace(step=40, position=40, warmup_steps=100, planned_steps=1000, total_steps=400)
      ((40, 40), (100, 100), (400, 1000))
      >>> plan_pace(step=200, position=400.0, warmup_steps=100, planned_steps=1000, total_steps=300)
      ((199, 399.0), (200, 400.0), (300, 1000))
    """
    end = (total_steps, planned_steps)
    if position < warmup_steps:
        return (step, position), (step + min(warmup_steps - position, (total_steps - step) / 2), warmup_steps), end
    return (step - 1, position - 1), (step, position), end


class PacedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that a run goes through at a pace of its own."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, pace: Pace) -> None:
        self._schedule, self._pace = schedule, pace

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step of the run."""
        return self._schedule(self._pace(step))


# --- Optimizer ---


class _SlowBackbone:
    """Mix-in of a Keras optimizer that changes the backbone's variables by a fraction of the learning rate."""

    backbone_rate = 1.0
    _trainable_variables: list[keras.Variable]

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        # The argument is TensorFlow's variable, or the copy of a replica, which have no path; Keras' variable has one.
        path = self._trainable_variables[self._get_variable_index(variable)].path  # type: ignore[attr-defined]
        rate = learning_rate * self.backbone_rate if part_of(path) == "backbone" else learning_rate
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


class _SlowSGD(_SlowBackbone, keras.optimizers.SGD):
    pass


class _SlowAdamW(_SlowBackbone, keras.optimizers.AdamW):
    pass


def make_optimizer(
    name: str,
    *,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    ema_decay: float = 0.0,
    backbone_rate: float = 1.0,
) -> keras.optimizers.Optimizer:
    """Make AdamW with decoupled decay, or SGD with momentum 0.9, whose decay is a term of the loss.

    `trainer.loop.steps.train_step` adds that term. AdamW: Loshchilov and Hutter 2017 (arXiv 1711.05101), algorithm 2.

    Args:
      name: ``adamw`` or ``sgd``.
      schedule: Of the learning rate.
      weight_decay: Of AdamW.
      ema_decay: Above 0, the optimizer also keeps the moving average of every variable that it changes;
        finalize_variable_values then copies the averages to the variables.
      backbone_rate: Fraction of the learning rate for the backbone; AdamW's decay keeps the full rate.
    """
    averages = {"use_ema": True, "ema_momentum": ema_decay} if ema_decay else {}
    slow = backbone_rate != 1
    if name == "sgd":
        optimizer = (_SlowSGD if slow else keras.optimizers.SGD)(schedule, momentum=0.9, **averages)
    else:
        optimizer = (_SlowAdamW if slow else keras.optimizers.AdamW)(schedule, weight_decay=weight_decay, **averages)
        optimizer.exclude_from_weight_decay(var_names=list(_NO_DECAY))
    if slow:
        optimizer.backbone_rate = backbone_rate
    return optimizer


def decayed_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the convolution kernels; biases and the parameters of norms are not decayed."""
    return [variable for variable in model.trainable_variables if variable.name not in _NO_DECAY]
