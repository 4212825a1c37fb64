"""Measures the features of training images, with which scoring compares images. Begin with `measure_reference`.

Shapes: N images of a split, B in a batch, D features.
"""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.splits import TEST_SPLIT, TRAIN_SPLIT
from retinanet_odm.novelty import MIN_TRAINING_IMAGES, FeatureRows, Reference, make_reference
from trainer.config import TrainConfig
from trainer.data import preprocess, records
from trainer.network.build import Network
from trainer.network.features import MAPS, pool_features, with_maps
from trainer.strategy import run_batches

_LOGGER = logging.getLogger(__name__)


def measure_reference(
    config: TrainConfig, manifest: DatasetManifest, network: Network, devices: tf.distribute.Strategy
) -> Reference | None:
    """Measure the features of images of the training split, and of images that were held out.

    Of each split the first images are taken, at most --reference_images: shards are in the order of a hash, so these
    are a sample that is always the same.

    Args:
      config: Of the run.
      manifest: Of the data set.
      network: With the weights to export.
      devices: Of the network.

    Returns:
      None if none was asked for, or if the data set has too few training images.

    Raises:
      ContractError: A shard is missing or damaged.
    """
    training = manifest.splits.get(TRAIN_SPLIT)
    if training is None or min(config.evaluation.reference_images, training.examples) < MIN_TRAINING_IMAGES:
        return None
    compute = _feature_function(network)
    splits = (TRAIN_SPLIT, *held_out_splits(config, manifest))
    measured = [_measure_split(name, compute, config, manifest, network, devices) for name in splits]
    _LOGGER.info("the export keeps features of %d training images, to compare images with", len(measured[0]))
    return make_reference(measured[0], np.concatenate([measured[0][:0], *measured[1:]]))


def held_out_splits(config: TrainConfig, manifest: DatasetManifest) -> tuple[str, ...]:
    """Return the split that was evaluated, unless the model was trained on it; empty if it has no images."""
    # Never the test split, from which nothing is exported.
    names = {config.evaluation.eval_split} - {TRAIN_SPLIT, TEST_SPLIT}
    return tuple(name for name in names if name in manifest.splits and manifest.splits[name].examples)


def _feature_function(network: Network) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make a function from a batch to its features [B, D] and source ids [B], for a replica."""
    model = with_maps(network.model)

    @tf.function
    def compute(batch: dict[str, Any]) -> dict[str, Any]:
        maps = model(preprocess.normalise(batch["image"]), training=False)[MAPS]
        features = pool_features(maps, batch["placed"], network.canvas)
        return {"features": features, "source_id": batch["source_id"]}

    return compute


def _measure_split(
    name: str,
    compute: Callable[[dict[str, Any]], dict[str, Any]],
    config: TrainConfig,
    manifest: DatasetManifest,
    network: Network,
    devices: tf.distribute.Strategy,
) -> FeatureRows:
    """Return the features [N, D] of the first images of a split."""
    split = records.find_split(config.data.dataset, manifest, name)
    split = dataclasses.replace(split, examples=min(split.examples, config.evaluation.reference_images))
    replicas = devices.num_replicas_in_sync
    # Divided evenly among the replicas, whatever the flag says: the training is over, and must not fail here.
    batch_size = max(config.evaluation.eval_batch_size // replicas, 1) * replicas
    batches = records.evaluation_batches(split, canvas=network.canvas, batch_size=batch_size)
    found = []
    with records.reading_shards(split.paths):
        for values in run_batches(devices, compute, batches):
            is_image = values["source_id"].numpy() != 0  # 0 marks the filler of the last batch
            found.append(values["features"].numpy()[is_image])
    return np.concatenate(found)
