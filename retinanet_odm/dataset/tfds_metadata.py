"""``features.json`` and ``dataset_info.json``, by which TensorFlow Datasets reads a data set as it lies.

``tfds.builder_from_directory(DATASET)`` takes them for its own (tensorflow_datasets 4.9, core/proto/feature.proto and
dataset_info.proto). The nested features are the keys of the records, split at their slashes; those of the objects,
of the classes that are not exhaustive and of the ignored regions are lists of one length each.
"""

import json
from collections.abc import Mapping
from typing import Any

from retinanet_odm.dataset import example_keys
from retinanet_odm.dataset.manifest import DatasetManifest

FEATURES_FILE, INFO_FILE = "features.json", "dataset_info.json"
_MODULE = "tensorflow_datasets.core.features."
_LISTS = (("image", "object"), ("image", "not_exhaustive"), ("image", "ignored"))
_TEXT = {"pythonClassName": f"{_MODULE}text_feature.Text", "text": {}}
_IMAGE = {
    "pythonClassName": f"{_MODULE}image_feature.Image",
    "image": {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}},
}
# TFDS' template for the names of our shards.
_TEMPLATE = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"


def format_features(*, is_partial: bool = False) -> str:
    """Return the text of features.json: the same for all data sets of a schema version.

    Args:
      is_partial: whether records may have the keys of partial labels.
    """
    # Nested dictionaries, of which the inner ones are named by the parts of the keys.
    tree: dict[str, Any] = {}
    for kind, keys in example_keys.KINDS.items():
        for key in (*keys, *(example_keys.PARTIAL_KINDS[kind] if is_partial else ())):
            *folders, name = key.split("/")
            place = tree
            for folder in folders:
                place = place.setdefault(folder, {})
            place[name] = _IMAGE if key == example_keys.ENCODED else _feature(kind)
    return _dump(_nested(tree))


def format_info(manifest: DatasetManifest) -> str:
    """Return the text of dataset_info.json; splits without examples are not listed, since TFDS cannot read them."""
    splits = [
        {
            "name": name,
            "filepathTemplate": _TEMPLATE,
            "shardLengths": [str(shard.examples) for shard in split.shards],
        }
        for name, split in manifest.splits.items()
        if split.examples
    ]
    return _dump({"fileFormat": "tfrecord", "splits": splits, "version": f"{manifest.schema_version}.0.0"})


def _feature(kind: str) -> dict[str, Any]:
    """Return the feature of one value; kind is the field of tf.train.Feature that holds it."""
    if kind == "bytes_list":
        return _TEXT
    dtype = {"int64_list": "int64", "float_list": "float32"}[kind]
    tensor = {"dtype": dtype, "encoding": "none", "shape": {}}
    return {"pythonClassName": f"{_MODULE}scalar.Scalar", "tensor": tensor}


def _nested(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    features = {
        name: value if "pythonClassName" in value else _nested(value, (*path, name)) for name, value in tree.items()
    }
    found = {"pythonClassName": f"{_MODULE}features_dict.FeaturesDict", "featuresDict": {"features": features}}
    if path not in _LISTS:
        return found
    return {
        "pythonClassName": f"{_MODULE}sequence_feature.Sequence",
        "sequence": {"feature": found, "length": "-1"},
    }


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
