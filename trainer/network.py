"""The network of one run: the Keras model with the anchors and the canvas that belong to it."""

import random
import re
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from detection.manifests import DatasetManifest
from trainer import freezing
from trainer.anchors import make_anchors
from trainer.config import TrainConfig, canvas_size
from trainer.model import build_model

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
    random.seed(config.seed)  # Keras draws its initializers' seeds here; everything else of a run is stateless
    keras.config.set_dtype_policy(config.precision)
    canvas = canvas_size(config.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    ratios = config.aspect_ratio_values()
    anchors = make_anchors(canvas, anchor_scale=config.anchor_scale, num_scales=config.num_scales, aspect_ratios=ratios)
    model = build_model(
        image_size=canvas,
        num_classes=manifest.num_classes,
        anchors_per_cell=config.num_scales * len(ratios),
        backbone=config.backbone,
        pyramid_channels=config.pyramid_channels,
        head_depth=config.head_depth,
        head_norm=config.head_norm,
    )
    backbone = [layer for layer in model.layers if part_of(layer.name) == "backbone"]
    batch_norms = freezing.freezes_batch_norm(config, tf.distribute.get_strategy().num_replicas_in_sync)
    freezing.freeze(backbone, part=config.freeze, batch_norms=batch_norms)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = config.sync_batch_norm
    identity = {name: getattr(config, name) for name in _IDENTITY}
    return Network(
        model=model,
        canvas=canvas,
        anchors=anchors,
        num_classes=manifest.num_classes,
        identity={**identity, "canvas": list(canvas), "labels": manifest.labels.to_json()},
        origin={
            "dataset_fingerprint": manifest.fingerprint,
            "freeze": config.freeze,
            "optimizer": config.optimizer,
            "averages": "yes" if config.ema_decay else "no",
            "freeze_batch_norm": "yes" if batch_norms else "no",
        },
    )
