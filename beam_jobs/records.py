"""One image and its annotation → one DetectionExample: boxes are held against the real pixels here."""

import hashlib
from dataclasses import dataclass

from beam_jobs.rows import OBJECT, PlannedImage, Reject
from detection import boxes as box_ops
from detection.annotations import ObjectAnnotation
from detection.errors import AnnotationError
from detection.examples import DetectionExample, ExampleObject
from detection.images import EncodedImage


@dataclass(frozen=True, kw_only=True)
class Record:
    """An example, the objects that were left out of it, and how many boxes were cut at the border."""

    example: DetectionExample
    dropped: tuple[Reject, ...]
    clipped: int


def make_record(planned: PlannedImage, image: EncodedImage) -> Record:
    """Builds the example of an image.

    Raises:
      AnnotationError: the annotator saw an image of another size.
    """
    _check_size(planned, image)
    objects: list[ExampleObject] = []
    dropped: list[Reject] = []
    clipped = 0
    annotation = planned.content.annotation
    for item, label_id in zip(annotation.objects, planned.content.label_ids, strict=True):
        pixels = box_ops.clip(box_ops.as_boxes([item.box]), image.height, image.width)
        relative = box_ops.to_relative(pixels, image.height, image.width)
        reason = _fault(item, relative, image)
        if reason:
            dropped.append(_reject(planned, item, reason, image))
            continue
        clipped += bool((pixels != box_ops.as_boxes([item.box])).any())
        objects.append(_object(item, label_id, pixels, relative))
    example = DetectionExample(
        encoded=image.data,
        format=image.format,
        height=image.height,
        width=image.width,
        filename=planned.name,
        source_id=planned.source_id,
        sha256=hashlib.sha256(image.data).hexdigest(),
        objects=tuple(objects),
    )
    return Record(example=example, dropped=tuple(dropped), clipped=clipped)


def _check_size(planned: PlannedImage, image: EncodedImage) -> None:
    annotation = planned.content.annotation
    for said, real in ((annotation.width, image.width), (annotation.height, image.height)):
        if said is not None and said != real:
            raise AnnotationError(
                "size_mismatch",
                f"{planned.name}: {annotation.source} is for an image of"
                f" {annotation.width}x{annotation.height} pixels, the image has {image.width}x{image.height}",
            )


def _fault(item: ObjectAnnotation, relative: box_ops.Boxes, image: EncodedImage) -> str:
    """Why a box cannot be used; "" for a good one. relative [1, 4] is what the borders leave of it."""
    ymin, xmin, ymax, xmax = item.box
    if ymin >= ymax or xmin >= xmax:
        return "zero_size_box"
    if ymax <= 0 or xmax <= 0 or ymin >= image.height or xmin >= image.width:
        return "box_outside_image"
    # A sliver thinner than one float32 step has no extent in the record.
    return "" if (relative[0, :2] < relative[0, 2:]).all() else "zero_size_box"


def _object(item: ObjectAnnotation, label_id: int, pixels: box_ops.Boxes, relative: box_ops.Boxes) -> ExampleObject:
    ymin, xmin, ymax, xmax = (float(edge) for edge in relative[0])
    return ExampleObject(
        label_id=label_id,
        label=item.label,
        box=(ymin, xmin, ymax, xmax),
        area=float(box_ops.area(pixels)[0]),
        difficult=item.difficult,
        truncated=item.truncated,
        occluded=item.occluded,
        is_crowd=item.is_crowd,
    )


def _reject(planned: PlannedImage, item: ObjectAnnotation, reason: str, image: EncodedImage) -> Reject:
    ymin, xmin, ymax, xmax = item.box
    detail = (
        f"{planned.name} ({image.width}x{image.height}): {item.label!r} at"
        f" xmin={xmin:g} ymin={ymin:g} xmax={xmax:g} ymax={ymax:g} in {planned.content.annotation.source}"
    )
    return Reject(
        kind=OBJECT, name=planned.name, reason=reason, detail=detail, source=planned.content.annotation.source
    )
