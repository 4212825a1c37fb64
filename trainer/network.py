"""The network of one run: the Keras model with the anchors and the canvas that belong to it."""

import random
from dataclasses import dataclass

import keras
import numpy as np

from detection.manifests import DatasetManifest
from trainer.anchors import make_anchors
from trainer.config import TrainConfig, canvas_size
from trainer.model import build_model


@dataclass(frozen=True, kw_only=True)
class Network:
    """Model, canvas (height, width) in pixels, anchors float32 [A, 4] in canvas pixels and number of classes."""

    model: keras.Model
    canvas: tuple[int, int]
    anchors: np.ndarray
    num_classes: int


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
    )
    return Network(model=model, canvas=canvas, anchors=anchors, num_classes=manifest.num_classes)
