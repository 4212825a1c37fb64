"""Builds the network of a run from its configuration: model, anchors, frozen layers. Begin with `build_network`."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig, canvas_size
from trainer.network.anchors import make_anchors
from trainer.network.model import build_model

# A replica with fewer images has BatchNorm statistics too noisy to replace averages over a whole data set.
MIN_IMAGES_FOR_BATCH_NORM = 8

_PART = re.compile(r"(?P<pyramid>lateral\d|p\d)|(?P<class_head>class_)|(?P<box_head>box_)")
# Settings that give the weights their meaning; keys of network.json.
IDENTITY_SETTINGS = (
    "backbone",
    "conv_style",
    "pyramid_channels",
    "pyramid_norm",
    "p6_source",
    "head_depth",
    "head_norm",
    "anchor_scale",
    "num_scales",
    "aspect_ratios",
    "anchor_grid",
)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of a run.

    Attributes:
      model: From float32 [B, H, W, 3] to class_logits [B, A, K] and box_shifts [B, A, 4]; see `trainer.network.model`.
      canvas: (H, W) in pixels.
      anchors: float32 [A, 4] in canvas pixels.
      num_classes: K.
      identity: What gives the weights their meaning; checkpoints fit only networks of an equal identity.
      origin: What else checkpoints record of their training: the data set's fingerprint, what was frozen, and what the
        optimizer's variables depend on.
    """

    model: keras.Model
    canvas: tuple[int, int]
    anchors: npt.NDArray[np.float32]
    num_classes: int
    identity: dict[str, Any]
    origin: dict[str, str]


def build_network(config: TrainConfig, manifest: DatasetManifest, *, replicas: int | None = None) -> Network:
    """Build a network with fresh weights, drawn from the seed; under a strategy's scope if one is active.

    Args:
      config: Of the run.
      manifest: Of the data set.
      replicas: Number of replicas that share a batch in training; by default those of the active strategy.
    """
    settings = config.network
    random.seed(config.run.seed)  # Keras draws its initializers' seeds here; all other draws of a run are stateless
    # The order matters: Keras' layers take the policy when they are made.
    keras.config.set_dtype_policy(settings.precision)
    canvas = canvas_size(settings.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    ratios = settings.aspect_ratio_values()
    model = build_model(
        image_size=canvas,
        num_classes=manifest.num_classes,
        anchors_per_cell=settings.num_scales * len(ratios),
        backbone=settings.backbone,
        pyramid_channels=settings.pyramid_channels,
        head_depth=settings.head_depth,
        head_norm=settings.head_norm,
        conv_style=settings.conv_style,
        pyramid_norm=settings.pyramid_norm,
        p6_source=settings.p6_source,
    )
    # Before the optimizer is built: it makes variables for trainable weights only.
    freezes_norms = freezes_batch_norm(config, replicas or tf.distribute.get_strategy().num_replicas_in_sync)
    backbone = [layer for layer in model.layers if part_of(layer.name) == "backbone"]
    freeze_layers(backbone, part=config.weights.freeze, batch_norms=freezes_norms)
    for layer in model.layers:
        if _is_batch_norm(layer):
            layer.synchronized = settings.sync_batch_norm
    return Network(
        model=model,
        canvas=canvas,
        anchors=make_anchors(
            canvas,
            anchor_scale=settings.anchor_scale,
            num_scales=settings.num_scales,
            aspect_ratios=ratios,
            grid=settings.anchor_grid,
        ),
        num_classes=manifest.num_classes,
        identity={
            **{name: getattr(settings, name) for name in IDENTITY_SETTINGS},
            "canvas": list(canvas),
            "labels": manifest.labels.to_json(),
        },
        origin={
            "dataset_fingerprint": manifest.fingerprint,
            **({"tile": f"{config.data.tile}/{config.data.tile_overlap:g}"} if config.data.tile else {}),
            "freeze": config.weights.freeze,
            "optimizer": config.schedule.optimizer,
            "averages": "yes" if config.schedule.ema_decay else "no",
            "freeze_batch_norm": "yes" if freezes_norms else "no",
        },
    )


def part_of(layer: str) -> str:
    """Return the part of the network of a layer or variable, by its name.

    Example:
      >>> part_of("class_0"), part_of("lateral3"), part_of("c2_1_1_conv")
      ('class head', 'pyramid', 'backbone')
    """
    match = _PART.match(layer)
    return match.lastgroup.replace("_", " ") if match and match.lastgroup else "backbone"


# --- Frozen layers ---


def freezes_batch_norm(config: TrainConfig, replicas: int) -> bool:
    """Return whether --freeze_batch_norm freezes layers that would otherwise learn; ``auto`` depends on the batch."""
    if config.weights.freeze == "backbone":
        return False  # they are frozen with the whole backbone
    if config.weights.freeze_batch_norm != "auto":
        return config.weights.freeze_batch_norm == "yes"
    images = config.schedule.train_batch_size // replicas
    return bool(config.weights.given()) and images < MIN_IMAGES_FOR_BATCH_NORM


def freeze_layers(backbone: Sequence[keras.Layer], *, part: str, batch_norms: bool) -> None:
    """Freeze layers of a backbone.

    A frozen BatchNorm normalises by its averages in training too, and keeps them, its scale and its offset.

    Args:
      backbone: Its layers, from the image upwards.
      part: ``none``, ``stem`` or ``backbone``.
      batch_norms: Whether to freeze also all BatchNorms.
    """
    frozen = {"none": [], "stem": _stem(backbone), "backbone": backbone}[part]
    for layer in backbone:
        layer.trainable = not (layer in frozen or (batch_norms and _is_batch_norm(layer)))


def _stem(backbone: Sequence[keras.Layer]) -> list[keras.Layer]:
    """Return the first convolution with its BatchNorm; tensorflow/tpu's RetinaNet freezes the same."""
    # Only layers with weights count: the input, padding and rescaling have none.
    first, second = [layer for layer in backbone if layer.weights][:2]
    return [first, second] if _is_batch_norm(second) else [first]


def _is_batch_norm(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)
