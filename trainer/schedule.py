"""Learning rate and optimizer."""

import keras

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


def make_optimizer(
    name: str, *, schedule: keras.optimizers.schedules.LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    """AdamW with decoupled decay, or SGD with momentum 0.9, whose decay is a term of the loss (train.train_step)."""
    if name == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=list(_NO_DECAY))
    return optimizer


def decayed_variables(model: keras.Model) -> list[keras.Variable]:
    """Convolution kernels: biases and BatchNorm's parameters are not decayed."""
    return [variable for variable in model.trainable_variables if variable.name not in _NO_DECAY]
