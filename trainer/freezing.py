"""Which weights of a backbone stay as they are: --freeze and --freeze_batch_norm."""

from collections.abc import Sequence

import keras

from trainer.config import TrainConfig

FEW_IMAGES = 8  # of one replica: their statistics are too noisy to replace averages over a whole data set


def freeze(backbone: Sequence[keras.Layer], *, part: str, batch_norms: bool) -> None:
    """Freezes layers of a backbone, given from the image upwards.

    A frozen BatchNorm also normalises by its averages in training, and leaves them, its scale and its offset.

    Args:
      part: ``none``, ``stem`` or ``backbone``.
      batch_norms: also all BatchNorms.
    """
    frozen = {"none": [], "stem": stem(backbone), "backbone": backbone}[part]
    for layer in backbone:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not (layer in frozen or (batch_norms and is_norm))


def stem(backbone: Sequence[keras.Layer]) -> list[keras.Layer]:
    """The first convolution with its BatchNorm, which is what tensorflow/tpu's RetinaNet freezes."""
    first, second = [layer for layer in backbone if layer.weights][:2]
    return [first, second] if isinstance(second, keras.layers.BatchNormalization) else [first]


def freezes_batch_norm(config: TrainConfig, replicas: int) -> bool:
    """Whether --freeze_batch_norm keeps averages that would else move; ``auto`` looks at images of one replica."""
    if config.freeze == "backbone":
        return False  # they are frozen with all the rest
    if config.freeze_batch_norm != "auto":
        return config.freeze_batch_norm == "yes"
    return config.has_first_weights() and config.train_batch_size // replicas < FEW_IMAGES
