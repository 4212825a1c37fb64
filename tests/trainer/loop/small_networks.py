"""A network of a few layers with everything that a training step touches: it is traced and compiled in seconds."""

import random

import keras
import numpy as np

from trainer.config import TrainConfig
from trainer.network.batch_norm import BatchNorm
from trainer.network.build import Network

SIDE, STRIDE, CLASSES = 64, 16, 2


def make_small_network(config: TrainConfig) -> Network:
    """One anchor on each cell of 16 pixels; a BatchNorm, synchronised as the configuration says."""
    random.seed(config.run.seed)  # as build_network does; a global seed of TensorFlow would change other tests
    image = keras.Input((SIDE, SIDE, 3))
    features = keras.layers.Conv2D(8, 3, strides=STRIDE, name="c3")(image)
    norm = BatchNorm(name="c3_norm", synchronized=config.network.sync_batch_norm)
    features = keras.layers.Activation("relu")(norm(features))
    cells = SIDE // STRIDE
    outputs = {
        name: keras.layers.Reshape((cells * cells, depth))(keras.layers.Conv2D(depth, 1, name=name)(features))
        for name, depth in (("class_logits", CLASSES), ("box_shifts", 4))
    }
    corner = np.arange(cells, dtype=np.float32) * STRIDE
    top, left = np.meshgrid(corner, corner, indexing="ij")
    anchors = np.stack([top, left, top + 24, left + 24], axis=-1).reshape(-1, 4)
    return Network(
        model=keras.Model(image, outputs),
        canvas=(SIDE, SIDE),
        anchors=anchors,
        num_classes=CLASSES,
        identity={},
        origin={},
    )
