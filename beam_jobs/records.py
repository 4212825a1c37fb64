"""What comes of images: the record of one image, and the result of a shard, which sums up its images.

Begin with `make_record`, which checks boxes against the real pixels. `ShardResult` is all that a worker returns: a new
counter of a shard is one field of it, and one line in `ShardResult.add`.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from beam_jobs.rows import COCO_SPLIT, PlannedImage, Reject, reject_image, reject_object, remark_on, remark_on_image
from retinanet_odm import boxes as box_ops
from retinanet_odm.annotations.geometry import (
    SIZE_SCALED,
    SIZE_TURNED,
    SIZE_TURNED_AND_SCALED,
    ImagePlacement,
    find_placement,
    place_box,
)
from retinanet_odm.annotations.types import ObjectAnnotation
from retinanet_odm.dataset.coco import annotation_entries, image_entry
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.dataset.manifest import ShardInfo
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.errors import AnnotationError, DataError
from retinanet_odm.imaging.images import EncodedImage, ImageRemark
from retinanet_odm.pickling import PackableRows, growing_rows

_BELOW_MINIMUM = "box_below_minimum"
# How the boxes of an image were adapted, by the fit of its annotation.
_ADAPTATIONS = {
    SIZE_TURNED: (SIZE_TURNED,),
    SIZE_SCALED: (SIZE_SCALED,),
    SIZE_TURNED_AND_SCALED: (SIZE_TURNED, SIZE_SCALED),
}


# --- One image ---


@dataclass(frozen=True, kw_only=True)
class ExampleRecord:
    """The outcome of one image and its annotation.

    Attributes:
      example: the example as it is stored. The areas of its boxes are in pixels of the stored image.
      dropped: objects that are not in the example.
      clipped: number of boxes that were cut at the border.
      fit: how the annotation fits the image, see retinanet_odm.annotations.geometry. SIZE_EQUAL if it gives no size.
    """

    example: DetectionExample
    dropped: tuple[Reject, ...]
    clipped: int
    fit: str


def make_record(
    planned: PlannedImage, image: EncodedImage, min_box: tuple[float, float] | None = None
) -> ExampleRecord:
    """Make the example of an image.

    Args:
      planned: the image with its annotation, which may also be for the image before its EXIF turn, or for a smaller or
        larger copy.
      image: the image, upright.
      min_box: (width, height) in pixels of the upright image at full size. A box that is both narrower and lower, after
        it was cut at the border, is dropped.

    Raises:
      AnnotationError: the annotator saw an image of another shape, or the image has objects and none of their boxes
        can be used: without them it would look like an image without objects.
    """
    # The annotator may have seen the image before its EXIF turn, or a scaled copy: boxes are moved to the upright image
    # first.
    placement = _placement(planned, image)
    objects: list[ExampleObject] = []
    dropped: list[Reject] = []
    clipped = 0
    for item, label_id in zip(planned.content.annotation.objects, planned.content.label_ids, strict=True):
        pixels, fault, is_clipped = place_box(item.box, placement)
        if reason := fault or _below(pixels, min_box):
            # An object that cannot be used is dropped and reported; the others of the image stay.
            dropped.append(_drop(planned, item, reason, image))
            continue
        clipped += is_clipped
        objects.append(_object(item, label_id, pixels, image))
    # Boxes below the minimum are dropped by request, also if they are all that an image has.
    faulty = [reject for reject in dropped if reject.reason != _BELOW_MINIMUM]
    # Otherwise the image would be written as a true negative, and its objects learned as background.
    if faulty and not objects:
        detail = f"no box can be used; the first: {faulty[0].reason}, {faulty[0].detail}"
        raise AnnotationError("no_usable_box", f"{planned.name}: {detail}", faulty[0].line)
    example = _example(planned, image, tuple(objects))
    return ExampleRecord(example=example, dropped=tuple(dropped), clipped=clipped, fit=placement.fit)


def _placement(planned: PlannedImage, image: EncodedImage) -> ImagePlacement:
    annotation, real = planned.content.annotation, image.full_size
    placement = find_placement(
        annotation.width,
        annotation.height,
        image_size=real,
        orientation=image.orientation,
        is_relative=annotation.is_relative,
    )
    if placement is None:
        raise AnnotationError(
            "size_mismatch",
            f"{planned.name}: {annotation.source} is for an image of {annotation.width}x{annotation.height} pixels, the"
            f" image has {real[0]}x{real[1]}",
        )
    return placement


def _below(pixels: box_ops.Boxes, minimum: tuple[float, float] | None) -> str:
    # Both sides must be below: a thin box, such as that of a stick, is kept.
    height, width = pixels[0, 2:] - pixels[0, :2]
    return _BELOW_MINIMUM if minimum and width < minimum[0] and height < minimum[1] else ""


def _edge(value: float) -> str:
    """Return an edge with all its digits, so that a thin box does not look like one without extent."""
    return repr(value).removesuffix(".0")


def _drop(planned: PlannedImage, item: ObjectAnnotation, reason: str, image: EncodedImage) -> Reject:
    ymin, xmin, ymax, xmax = item.box
    value = f"xmin={_edge(xmin)} ymin={_edge(ymin)} xmax={_edge(xmax)} ymax={_edge(ymax)}"
    size = "{}x{}".format(*image.full_size)
    detail = f"{planned.name} ({size}): {item.label!r} at {value} in {planned.content.annotation.source}"
    return reject_object(planned, item, reason, detail, value)


def _object(item: ObjectAnnotation, label_id: int, pixels: box_ops.Boxes, image: EncodedImage) -> ExampleObject:
    """Make the object of a clipped box [1, 4], given in pixels of the image at full size."""
    width, height = image.full_size
    ymin, xmin, ymax, xmax = (float(edge) for edge in box_ops.to_relative(pixels, height, width)[0])
    return ExampleObject(
        label_id=label_id,
        label=item.label,
        box=(ymin, xmin, ymax, xmax),
        # In pixels of the stored image, which --max_side may have made smaller.
        area=float(box_ops.area(pixels)[0]) * (image.width * image.height) / (width * height),
        difficult=item.difficult,
        truncated=item.truncated,
        occluded=item.occluded,
        is_crowd=item.is_crowd,
    )


def _example(planned: PlannedImage, image: EncodedImage, objects: tuple[ExampleObject, ...]) -> DetectionExample:
    return DetectionExample(
        encoded=image.data,
        format=image.format,
        height=image.height,
        width=image.width,
        filename=planned.name,
        source_id=planned.source_id,
        sha256=hashlib.sha256(image.data).hexdigest(),
        objects=objects,
    )


# --- One shard ---


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


def _adapted(planned: PlannedImage, adaptation: str) -> Reject:
    size = f"{planned.content.annotation.width}x{planned.content.annotation.height}"
    detail = f"{planned.name}: boxes were drawn on {size} pixels: they are {adaptation} to fit the image"
    return remark_on(planned, f"size_{adaptation}", detail, value=size)
