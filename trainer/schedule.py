"""Learning rate and optimizer."""

from typing import Any

import keras

from trainer.network import part_of

Tensor = Any
_NO_DECAY = ("bias", "gamma", "beta")


class _SlowBackbone:
    """Makes a Keras optimizer move the backbone's variables by a fraction of the learning rate."""

    backbone_rate = 1.0
    _trainable_variables: list[keras.Variable]

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        # The variable given is TensorFlow's, or one replica's copy of it, which have no path.
        path = self._trainable_variables[self._get_variable_index(variable)].path  # type: ignore[attr-defined]
        rate = learning_rate * self.backbone_rate if part_of(path) == "backbone" else learning_rate
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


class _SlowSGD(_SlowBackbone, keras.optimizers.SGD):
    pass


class _SlowAdamW(_SlowBackbone, keras.optimizers.AdamW):
    pass


def cosine_schedule(*, peak: float, warmup_steps: int, total_steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from a tenth of the peak, then half a cosine down to zero at total_steps."""
    warmup_steps = min(warmup_steps, total_steps // 2)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        decay_steps=max(total_steps - warmup_steps, 1),
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


def make_optimizer(
    name: str,
    *,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    backbone_rate: float = 1.0,
) -> keras.optimizers.Optimizer:
    """AdamW with decoupled decay, or SGD with momentum 0.9, whose decay is a term of the loss (train.train_step).

    Args:
      backbone_rate: fraction of the learning rate by which the backbone learns; AdamW's decay keeps the full rate.
    """
    slow = backbone_rate != 1
    if name == "sgd":
        optimizer = (_SlowSGD if slow else keras.optimizers.SGD)(schedule, momentum=0.9)
    else:
        optimizer = (_SlowAdamW if slow else keras.optimizers.AdamW)(schedule, weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_names=list(_NO_DECAY))
    if slow:
        optimizer.backbone_rate = backbone_rate
    return optimizer


def decayed_variables(model: keras.Model) -> list[keras.Variable]:
    """Convolution kernels: biases and BatchNorm's parameters are not decayed."""
    return [variable for variable in model.trainable_variables if variable.name not in _NO_DECAY]
