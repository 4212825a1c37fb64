"""Manifests of data sets that a run makes of another."""

import dataclasses
from pathlib import Path

from retinanet_odm.dataset.manifest import ShardInfo
from tests.trainer.conftest import make_example
from trainer.data import records
from trainer.data.derived_datasets import SplitCounts, derive_manifest


def test_what_is_not_known_is_counted_and_raises_the_schema_version(dataset: Path) -> None:
    manifest = records.read_dataset_manifest(str(dataset))
    partial = dataclasses.replace(
        make_example(2), not_exhaustive=((2, "dark"),), ignored_regions=((0.0, 0.0, 0.5, 0.5),)
    )
    versions = []
    for examples in ([make_example(1)], [make_example(1), partial]):
        counts = SplitCounts()
        for example in examples:
            counts.add(example)
        split = counts.to_split((ShardInfo(name="s", examples=len(examples), sha256=""),))
        derived = derive_manifest(manifest, {"train": split}, counts.most_boxes + counts.most_regions)
        versions.append((derived.schema_version, derived.images_in, derived.max_boxes_per_image))
    assert versions == [(1, 1, 1), (2, 2, 3)]
    assert (split.boxes, split.not_exhaustive, split.ignored_regions) == (3, {"dark": 1}, 1)
