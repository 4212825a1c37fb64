"""Adds up what became of a shard's images."""

import collections

from beam_jobs.records import Record
from beam_jobs.rows import COCO_SPLIT, IMAGE, KEPT, PlannedImage, Reject, ShardResult, Twin
from detection.errors import DataError
from detection.examples import DetectionExample
from detection.formats import coco
from detection.frames import SCALED, TURNED, TURNED_AND_SCALED
from detection.manifests import ShardInfo
from detection.statistics import BoxStatistics, ImageBoxes

# What was done to the boxes of an image, by how its annotation fits it.
_FITS = {TURNED: (TURNED,), SCALED: (SCALED,), TURNED_AND_SCALED: (TURNED, SCALED)}


class Tally:
    """The ShardResult in the making."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.examples = 0
        self._boxes_per_class: collections.Counter[str] = collections.Counter()
        self._max_boxes = 0
        self._aspect_ratios: tuple[float, float] | None = None
        self._clipped = 0
        self._names: list[tuple[int, str, bool]] = []
        self._twins: list[Twin] = []
        self._boxes: list[ImageBoxes] = []
        self._coco_images: list[dict] = []
        self._coco_annotations: list[dict] = []
        self._rejects: list[Reject] = []
        self._remarks: list[Reject] = []

    def reject(self, planned: PlannedImage, error: DataError) -> None:
        """An image that cannot be used."""
        name, source = planned.name, planned.content.image.uri
        self._names.append((planned.source_id, name, False))
        self._rejects.append(
            Reject(kind=IMAGE, name=name, reason=error.reason, detail=error.detail, source=source, line=error.line)
        )

    def add(self, planned: PlannedImage, record: Record, fingerprint: int | None) -> None:
        """An image that became an example; fingerprint: its perceptual hash."""
        example = record.example
        self.examples += 1
        self._names.append((example.source_id, example.filename, True))
        self._twins.append((example.sha256, fingerprint))
        self._boxes_per_class.update(item.label for item in example.objects)
        self._max_boxes = max(self._max_boxes, len(example.objects))
        self._clipped += record.clipped
        self._boxes.append(ImageBoxes.of(example))
        self._rejects.extend(record.dropped)
        self._remark(planned, record)
        self._add_aspect_ratio(example)
        if self.split == COCO_SPLIT:
            self._coco_images.append(coco.image_entry(example))
            self._coco_annotations.extend(coco.annotation_entries(example))

    def _remark(self, planned: PlannedImage, record: Record) -> None:
        annotation = planned.content.annotation
        said = f"{annotation.width}x{annotation.height}"
        for fit in _FITS.get(record.fit, ()):
            detail = f"{planned.name}: boxes were drawn on {said} pixels: they are {fit} to fit the photograph"
            self._remarks.append(_kept(planned, f"size_{fit}", detail, value=said))

    def _add_aspect_ratio(self, example: DetectionExample) -> None:
        ratio = example.width / example.height
        low, high = self._aspect_ratios or (ratio, ratio)
        self._aspect_ratios = min(low, ratio), max(high, ratio)

    def result(self, info: ShardInfo) -> ShardResult:
        """The sum of all."""
        return ShardResult(
            split=self.split,
            info=info,
            boxes_per_class=dict(self._boxes_per_class),
            max_boxes=self._max_boxes,
            aspect_ratios=self._aspect_ratios,
            clipped=self._clipped,
            names=tuple(self._names),
            twins=tuple(self._twins),
            statistics=BoxStatistics.of(self._boxes),
            coco_images=tuple(self._coco_images),
            coco_annotations=tuple(self._coco_annotations),
            rejects=tuple(self._rejects),
            remarks=tuple(self._remarks),
        )


def _kept(planned: PlannedImage, reason: str, detail: str, *, value: str) -> Reject:
    source = planned.content.annotation.source
    line = planned.content.annotation.line
    return Reject(kind=KEPT, name=planned.name, reason=reason, detail=detail, source=source, line=line, value=value)
