"""The result of a shard, which sums up its images: all that a worker returns.

A new counter of a shard is one field of `ShardResult`, and one line in `ShardResult.add`.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from beam_jobs.records import ExampleRecord
from beam_jobs.rows import COCO_SPLIT, PlannedImage, Reject, reject_image, remark_on, remark_on_image
from retinanet_odm.annotations.geometry import SIZE_SCALED, SIZE_TURNED, SIZE_TURNED_AND_SCALED
from retinanet_odm.dataset.coco import annotation_entries, image_entry
from retinanet_odm.dataset.manifest import ShardInfo
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import ImageRemark
from retinanet_odm.pickling import PackableRows, growing_rows

# How the boxes of an image were adapted, by the fit of its annotation.
_ADAPTATIONS = {
    SIZE_TURNED: (SIZE_TURNED,),
    SIZE_SCALED: (SIZE_SCALED,),
    SIZE_TURNED_AND_SCALED: (SIZE_TURNED, SIZE_SCALED),
}


class ImageOutcome(NamedTuple):
    """The outcome of one planned image.

    Attributes:
      source_id: its number in the data set.
      name: its name.
      sha256: hex SHA-256 of the image bytes in the record; "" for a rejected image.
      perceptual_hash: None if no pixel was decoded.
    """

    source_id: int
    name: str
    sha256: str = ""
    perceptual_hash: int | None = None

    @property
    def is_written(self) -> bool:
        """Whether the image became an example."""
        return bool(self.sha256)


@dataclass(kw_only=True)
class ShardResult:
    """The outcome of one shard, filled in while its images are read; then its longest rows may be packed.

    Attributes:
      split: the split of the shard.
      name: its file name.
      sha256: hex SHA-256 of the file; "" if nothing was written.
      images: the outcome of every planned image, in the order of source ids.
      clipped: boxes that were cut at the border of their image.
      statistics: box and image sizes of the examples; set when all images are read.
      coco_images, coco_annotations: entries of val.json; empty for other splits.
      rejects: rejected images and dropped objects.
      remarks: remarks on images that were kept.
    """

    split: str
    name: str
    sha256: str = ""
    images: PackableRows[ImageOutcome] = field(default_factory=list)
    clipped: int = 0
    statistics: BoxStatistics = field(default_factory=BoxStatistics)
    coco_images: PackableRows[dict[str, Any]] = field(default_factory=list)
    coco_annotations: PackableRows[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    remarks: list[Reject] = field(default_factory=list)

    def add(
        self,
        planned: PlannedImage,
        record: ExampleRecord,
        perceptual_hash: int | None,
        remarks: Iterable[ImageRemark] = (),
    ) -> None:
        """Add an image that became an example, with the remarks on its pixels."""
        example = record.example
        growing_rows(self.images).append(ImageOutcome(planned.source_id, planned.name, example.sha256, perceptual_hash))
        self.clipped += record.clipped
        self.rejects += record.dropped
        # Nothing was rejected, but a person should look: boxes were turned, scaled, or read with an assumption.
        for adaptation in _ADAPTATIONS.get(record.fit, ()):
            self.remarks.append(_adapted(planned, adaptation))
        for remark in planned.content.annotation.remarks:
            found = remark_on(planned, remark.reason, f"{planned.name}: {remark.detail}", value=remark.value)
            self.remarks.append(dataclasses.replace(found, line=remark.line))
        for code, detail in remarks:
            self.remarks.append(remark_on_image(planned, code, f"{planned.name}: {detail}"))
        # Only this split: the entries of a large training split would fill the memory of the commit.
        if self.split == COCO_SPLIT:
            growing_rows(self.coco_images).append(image_entry(example))
            growing_rows(self.coco_annotations).extend(annotation_entries(example))

    def reject(self, planned: PlannedImage, error: DataError) -> None:
        """Add an image that cannot be used."""
        growing_rows(self.images).append(ImageOutcome(planned.source_id, planned.name))
        self.rejects.append(reject_image(planned.content.image, error.reason, error.detail, line=error.line))

    @property
    def examples(self) -> int:
        """The number of images that became examples."""
        return self.statistics.images

    @property
    def boxes_per_class(self) -> Counter[str]:
        """Boxes by class name."""
        return Counter({name: counts.boxes for name, counts in self.statistics.classes.items()})

    @property
    def info(self) -> ShardInfo:
        """The entry of the shard in dataset.json."""
        return ShardInfo(name=self.name, examples=self.examples, sha256=self.sha256)

    def to_json(self) -> dict[str, Any]:
        """Return a value for json.dumps. A field of plain JSON values needs no line here nor in `from_json`."""
        return {
            **vars(self),
            "statistics": self.statistics.to_json(),
            "rejects": [reject.to_json() for reject in self.rejects],
            "remarks": [remark.to_json() for remark in self.remarks],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read a result from what `to_json` returned."""
        parsed = {
            # JSON has no named tuples: they were written as lists.
            "images": [ImageOutcome(*row) for row in value["images"]],
            "statistics": BoxStatistics.from_json(value["statistics"]),
            "rejects": [Reject(**row) for row in value["rejects"]],
            "remarks": [Reject(**row) for row in value["remarks"]],
        }
        return cls(**{**value, **parsed})


def sum_boxes(shards: Iterable[ShardResult]) -> Counter[str]:
    """Add up the boxes of some shards by class name."""
    boxes: Counter[str] = Counter()
    for shard in shards:
        boxes.update(shard.boxes_per_class)
    return boxes


def sum_statistics(shards: Iterable[ShardResult]) -> BoxStatistics:
    """Add up the statistics of some shards."""
    return functools.reduce(BoxStatistics.merge, (shard.statistics for shard in shards), BoxStatistics())


def _adapted(planned: PlannedImage, adaptation: str) -> Reject:
    size = f"{planned.content.annotation.width}x{planned.content.annotation.height}"
    detail = f"{planned.name}: boxes were drawn on {size} pixels: they are {adaptation} to fit the image"
    return remark_on(planned, f"size_{adaptation}", detail, value=size)
