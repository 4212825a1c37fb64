"""Trainings on some of the images of a data set: their names, their records, and what a second run must not mix.

Used by trainer.learning_curve and trainer.folds. Each of their trainings has a folder: a model folder like any other,
with the records of its images in ``dataset``.
"""

import contextlib
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo
from retinanet_odm.dataset.splits import TRAIN_SPLIT
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from trainer.config import TrainConfig
from trainer.data import records
from trainer.data.derived_datasets import SplitCounts, derive_manifest
from trainer.weights.checkpoints import stored_identity

Train = Callable[[TrainConfig], None]  # carries out a run of a mode

# Settings that change no weight and no result, or that each training has of its own.
_OWN = ("mode", "model_dir", "dataset", "local_copy", "curve_images", "folds", "checkpoint_minutes", "ignore_memory")


def image_digests(config: TrainConfig, manifest: DatasetManifest) -> dict[str, bytes]:
    """Return the SHA-256 of each training image by its name, in the order of the records."""
    split = records.find_split(config.data.dataset, manifest, TRAIN_SPLIT)
    with records.reading_shards(split.paths):
        examples = map(decode_example, tf.data.TFRecordDataset(split.paths).as_numpy_iterator())
        return {example.filename: hashlib.sha256(example.encoded).digest() for example in examples}


def write_subset(
    config: TrainConfig, manifest: DatasetManifest, folder: str, splits: Mapping[str, Collection[str]]
) -> DatasetManifest:
    """Write the records of some training images as a data set; return its manifest, which is written last.

    Args:
      config: With the folder of the data set.
      manifest: Of the data set.
      folder: Of the new one.
      splits: Names of images by new split.
    """
    files.make_folder(folder, flag="--model_dir")
    split = records.find_split(config.data.dataset, manifest, TRAIN_SPLIT)
    split_of = {name: part for part, names in splits.items() for name in names}
    counts = {part: SplitCounts() for part in splits}
    shards = {part: f"{part}-00000-of-00001.tfrecord" for part in splits}
    with records.reading_shards(split.paths), contextlib.ExitStack() as stack:
        writers = {
            part: stack.enter_context(tf.io.TFRecordWriter(f"{folder}/{shard}")) for part, shard in shards.items()
        }
        for record in tf.data.TFRecordDataset(split.paths).as_numpy_iterator():
            example = decode_example(record)
            if part := split_of.get(example.filename):
                writers[part].write(record)
                counts[part].add(example)
    written = {
        part: counts[part].to_split(
            (
                ShardInfo(
                    name=shard, examples=counts[part].examples, sha256=files.find_digest(f"{folder}/{shard}") or ""
                ),
            )
        )
        for part, shard in shards.items()
    }
    subset = derive_manifest(manifest, written, manifest.max_boxes_per_image)
    files.write_text(f"{folder}/{DatasetManifest.FILE}", subset.to_json())
    return subset


def check_checkpoints(folder: str, subset: DatasetManifest) -> None:
    """Refuse a folder whose checkpoints are of a training on other images.

    Raises:
      UsageError: They are.
    """
    found = stored_identity(f"{folder}/checkpoints").get("dataset_fingerprint")
    if found not in (None, subset.fingerprint):
        raise UsageError(
            f"--model_dir: {folder} holds a training on other images (fingerprint {found:.12}, now"
            f" {subset.fingerprint:.12}): use a new folder"
        )


def describe_request(
    config: TrainConfig, manifest: DatasetManifest, names: Sequence[str], *, without: Collection[str] = ()
) -> dict[str, Any]:
    """Return what decides the results of a training on these images.

    Args:
      config: Of all trainings.
      manifest: Of the data set.
      names: Of the images.
      without: Settings that follow from other entries of the request.
    """
    settings = {name: value for name, value in config.to_json().items() if name not in (*_OWN, *without)}
    return {
        "dataset_fingerprint": manifest.fingerprint,
        "images": hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest(),
        "settings": settings,
    }
