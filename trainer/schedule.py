"""Learning rate and optimizer."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

_NO_DECAY = ("bias", "gamma", "beta")


def cosine_schedule(*, peak: float, warmup_steps: int, total_steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from a tenth of the peak, then half a cosine down to zero at total_steps."""
    warmup_steps = min(warmup_steps, total_steps // 2)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        decay_steps=max(total_steps - warmup_steps, 1),
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from a tenth of the peak, then a tenth of the rate from each drop on.

    As tensorflow/tpu's learning_rate_schedule (retinanet_model.py) has it, with any number of drops.
    """

    def __init__(self, *, peak: float, warmup_steps: int, drops: Sequence[int]) -> None:
        self._peak, self._warmup_steps, self._drops = peak, warmup_steps, tuple(drops)

    def __call__(self, step: Any) -> Any:
        """The rate at a step."""
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(0.1 + 0.9 * step / max(self._warmup_steps, 1), 1.0) if self._warmup_steps else 1.0
        passed = sum(tf.cast(step >= drop, tf.float32) for drop in self._drops)
        return self._peak * warm * tf.pow(0.1, passed)


class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor that can be changed between steps, and that a checkpoint can hold.

    Attributes:
      factor: float32 variable, 1 at first.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._schedule = schedule
        self.factor = tf.Variable(1.0, trainable=False)

    def __call__(self, step: Any) -> Any:
        """The rate at a step."""
        return self._schedule(step) * self.factor


def make_optimizer(
    name: str,
    *,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    ema_decay: float = 0.0,
) -> keras.optimizers.Optimizer:
    """AdamW with decoupled decay, or SGD with momentum 0.9, whose decay is a term of the loss (train.train_step).

    With an ema_decay above 0 it also keeps the moving average of every variable that it changes, which
    finalize_variable_values puts in the place of the variables.
    """
    averages = {"use_ema": True, "ema_momentum": ema_decay} if ema_decay else {}
    if name == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9, **averages)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, **averages)
    optimizer.exclude_from_weight_decay(var_names=list(_NO_DECAY))
    return optimizer


def decayed_variables(model: keras.Model) -> list[keras.Variable]:
    """Convolution kernels: biases and BatchNorm's parameters are not decayed."""
    return [variable for variable in model.trainable_variables if variable.name not in _NO_DECAY]
