"""Data sets that a run makes of the records of another: tiles, and some of the images for a learning curve."""

import dataclasses
from collections import Counter

from retinanet_odm.dataset.example_keys import PARTIAL_SCHEMA_VERSION, SCHEMA_VERSION
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo


@dataclasses.dataclass
class SplitCounts:
    """What dataset.json says of the examples of a split.

    Attributes:
      examples: Their number.
      boxes: Boxes by class name.
      not_exhaustive: Examples by the name of a class that is not exhaustive in them.
      regions: Ignored regions.
      most_boxes, most_regions: Of an example.
    """

    examples: int = 0
    boxes: Counter[str] = dataclasses.field(default_factory=Counter)
    not_exhaustive: Counter[str] = dataclasses.field(default_factory=Counter)
    regions: int = 0
    most_boxes: int = 0
    most_regions: int = 0

    def add(self, example: DetectionExample) -> None:
        """Count an example that was written."""
        self.examples += 1
        self.boxes.update(item.label for item in example.objects)
        self.not_exhaustive.update(label for _, label in example.not_exhaustive)
        self.regions += len(example.ignored_regions)
        self.most_boxes = max(self.most_boxes, len(example.objects))
        self.most_regions = max(self.most_regions, len(example.ignored_regions))

    def to_split(self, shards: tuple[ShardInfo, ...]) -> SplitInfo:
        """Return the entry of the split, whose examples are in these shards."""
        return SplitInfo(
            examples=self.examples,
            boxes=self.boxes.total(),
            boxes_per_class=dict(sorted(self.boxes.items())),
            shards=shards,
            not_exhaustive=dict(sorted(self.not_exhaustive.items())),
            ignored_regions=self.regions,
        )


def derive_manifest(manifest: DatasetManifest, splits: dict[str, SplitInfo], largest: int) -> DatasetManifest:
    """Return the manifest of a data set that was made of another.

    Args:
      manifest: Of the other one.
      splits: Of the new one.
      largest: Its max_boxes_per_image.
    """
    # Tiles of a data set in which all is known may have ignored regions: what is left of cut objects.
    is_partial = manifest.is_partial or any(split.is_partial for split in splits.values())
    return dataclasses.replace(
        manifest,
        schema_version=PARTIAL_SCHEMA_VERSION if is_partial else SCHEMA_VERSION,
        splits=splits,
        max_boxes_per_image=largest,
        images_in=sum(split.examples for split in splits.values()),
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        files={},
        fingerprint="",
    )
