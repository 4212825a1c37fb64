"""``features.json`` and ``dataset_info.json``, by which TensorFlow Datasets reads a data set as it lies.

``tfds.builder_from_directory(DATASET)`` takes them for its own (tensorflow_datasets 4.9, core/proto/feature.proto and
dataset_info.proto). The nested features are the keys of the records, split at their slashes; those of the objects are
lists of one length.
"""

import json
from collections.abc import Mapping
from typing import Any

from retinanet_odm.dataset import examples
from retinanet_odm.dataset.manifest import DatasetManifest

FEATURES_FILE, INFO_FILE = "features.json", "dataset_info.json"
_MODULE = "tensorflow_datasets.core.features."
_OBJECT = ("image", "object")
_TEXT = {"pythonClassName": f"{_MODULE}text_feature.Text", "text": {}}
_IMAGE = {
    "pythonClassName": f"{_MODULE}image_feature.Image",
    "image": {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}},
}
# TFDS' template for the names of our shards.
_TEMPLATE = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"


def format_features() -> str:
    """Return the text of features.json: the same for all data sets of this version."""
    # Nested dictionaries, of which the inner ones are named by the parts of the keys.
    tree: dict[str, Any] = {}
    for kind, keys in examples.KINDS.items():
        for key in keys:
            *folders, name = key.split("/")
            place = tree
            for folder in folders:
                place = place.setdefault(folder, {})
            place[name] = _IMAGE if key == examples.ENCODED else _feature(kind)
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
    if path != _OBJECT:
        return found
    return {
        "pythonClassName": f"{_MODULE}sequence_feature.Sequence",
        "sequence": {"feature": found, "length": "-1"},
    }


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
