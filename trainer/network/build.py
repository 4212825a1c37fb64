"""Which weights of a backbone stay as they are: --freeze and --freeze_batch_norm."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig, canvas_size
from trainer.network.anchors import make_anchors
from trainer.network.model import build_model

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
    if config.weights.freeze == "backbone":
        return False  # they are frozen with all the rest
    if config.weights.freeze_batch_norm != "auto":
        return config.weights.freeze_batch_norm == "yes"
    return bool(config.weights.given()) and config.schedule.train_batch_size // replicas < FEW_IMAGES


_PART = re.compile(r"(?P<pyramid>lateral\d|p\d)|(?P<class_head>class_)|(?P<box_head>box_)")
_IDENTITY = (
    "backbone",
    "pyramid_channels",
    "head_depth",
    "head_norm",
    "anchor_scale",
    "num_scales",
    "aspect_ratios",
)


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network.

    Attributes:
      canvas: (height, width) in pixels.
      anchors: float32 [A, 4] in canvas pixels.
      identity: everything that gives the weights their meaning; checkpoints go with equal ones only.
      origin: what else checkpoints should tell of their training: the data set's fingerprint, what was frozen, whose
        numbers the optimizer keeps.
    """

    model: keras.Model
    canvas: tuple[int, int]
    anchors: np.ndarray
    num_classes: int
    identity: dict[str, Any]
    origin: dict[str, str]


def part_of(layer: str) -> str:
    """The part of the network, by a layer's name: ``backbone``, ``pyramid``, ``class head`` or ``box head``."""
    match = _PART.match(layer)
    return match.lastgroup.replace("_", " ") if match and match.lastgroup else "backbone"


def build_network(config: TrainConfig, manifest: DatasetManifest) -> Network:
    """Builds with fresh weights, drawn from the seed; under a strategy's scope when one is active."""
    random.seed(config.run.seed)  # Keras draws its initializers' seeds here; everything else of a run is stateless
    keras.config.set_dtype_policy(config.network.precision)
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    ratios = config.network.aspect_ratio_values()
    anchors = make_anchors(
        canvas, anchor_scale=config.network.anchor_scale, num_scales=config.network.num_scales, aspect_ratios=ratios
    )
    model = build_model(
        image_size=canvas,
        num_classes=manifest.num_classes,
        anchors_per_cell=config.network.num_scales * len(ratios),
        backbone=config.network.backbone,
        pyramid_channels=config.network.pyramid_channels,
        head_depth=config.network.head_depth,
        head_norm=config.network.head_norm,
    )
    backbone = [layer for layer in model.layers if part_of(layer.name) == "backbone"]
    batch_norms = freezes_batch_norm(config, tf.distribute.get_strategy().num_replicas_in_sync)
    freeze(backbone, part=config.weights.freeze, batch_norms=batch_norms)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = config.network.sync_batch_norm
    identity = {name: getattr(config.network, name) for name in _IDENTITY}
    return Network(
        model=model,
        canvas=canvas,
        anchors=anchors,
        num_classes=manifest.num_classes,
        identity={**identity, "canvas": list(canvas), "labels": manifest.labels.to_json()},
        origin={
            "dataset_fingerprint": manifest.fingerprint,
            "freeze": config.weights.freeze,
            "optimizer": config.schedule.optimizer,
            "averages": "yes" if config.schedule.ema_decay else "no",
            "freeze_batch_norm": "yes" if batch_norms else "no",
        },
    )
