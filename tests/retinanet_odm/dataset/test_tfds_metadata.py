"""The files by which TensorFlow Datasets reads a data set; benchmarks/doors.py reads one with it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retinanet_odm.dataset.example_pb2 import Example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.dataset.tfds_metadata import format_features, format_info
from retinanet_odm.labels.label_map import LabelMap

GOLDEN = Path(__file__).parent / "golden" / "example.bin"


def _leaves(feature: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key in a record, and the class and type, of every feature."""
    if "sequence" in feature:
        feature = feature["sequence"]["feature"]
    if "featuresDict" in feature:
        for name, inner in feature["featuresDict"]["features"].items():
            yield from _leaves(inner, f"{path}/{name}" if path else name)
    else:
        yield path, feature["pythonClassName"].rpartition(".")[2] + feature.get("tensor", {}).get("dtype", "")


def test_every_key_of_a_record_is_a_feature_of_its_type() -> None:
    record = Example.FromString(GOLDEN.read_bytes())
    types = {"bytes_list": "Text", "int64_list": "Scalarint64", "float_list": "Scalarfloat32"}
    keys = {key: types[str(value.WhichOneof("kind"))] for key, value in record.features.feature.items()}
    assert dict(_leaves(json.loads(format_features()))) == {**keys, "image/encoded": "Image"}


def test_the_objects_are_one_sequence() -> None:
    image = json.loads(format_features())["featuresDict"]["features"]["image"]
    found = image["featuresDict"]["features"]["object"]
    assert found["pythonClassName"].endswith(".Sequence")
    assert found["sequence"]["length"] == "-1"


def test_the_splits_and_their_shards() -> None:
    shards = tuple(ShardInfo(name=f"train-0000{n}-of-00002.tfrecord", examples=n, sha256="ab") for n in range(2))
    splits = {
        "train": SplitInfo(examples=1, boxes=0, boxes_per_class={}, shards=shards),
        "val": SplitInfo(examples=0, boxes=0, boxes_per_class={}, shards=()),
    }
    manifest = DatasetManifest(
        labels=LabelMap.from_names(["crab"]),
        splits=splits,
        max_boxes_per_image=0,
        aspect_ratio_min=1,
        aspect_ratio_max=1,
        images_in=1,
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={},
        code_version="1",
    )
    template = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"
    found = json.loads(format_info(manifest))
    assert found["splits"] == [{"name": "train", "filepathTemplate": template, "shardLengths": ["0", "1"]}]
    assert found["fileFormat"] == "tfrecord"
