"""One image and its annotation → one DetectionExample: boxes are held against the real pixels here."""

import hashlib
from dataclasses import dataclass

from beam_jobs.rows import OBJECT_REJECT, PlannedImage, Reject
from retinanet_odm import boxes as box_ops
from retinanet_odm.annotations.geometry import ImagePlacement, box_fault, find_placement
from retinanet_odm.annotations.types import ObjectAnnotation
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.errors import AnnotationError
from retinanet_odm.imaging.images import EncodedImage


@dataclass(frozen=True, kw_only=True)
class ExampleRecord:
    """What became of an image and its annotation.

    Attributes:
      example: as it is stored; the areas of its boxes are in pixels of the stored image.
      dropped: the objects that were left out of it.
      clipped: how many boxes were cut at the border.
      fit: as in retinanet_odm.annotations.geometry; SIZE_EQUAL too where the annotation gives no size.
    """

    example: DetectionExample
    dropped: tuple[Reject, ...]
    clipped: int
    fit: str


def make_record(
    planned: PlannedImage, image: EncodedImage, min_box: tuple[float, float] | None = None
) -> ExampleRecord:
    """Builds the example of an image.

    Args:
      planned: its annotation may also be for the photograph before its EXIF turn, or for a smaller or larger copy.
      image: the photograph.
      min_box: (width, height) in pixels of the upright photograph at full size. A box that is both narrower and lower,
        cut at the border, is left out.

    Raises:
      AnnotationError: the annotator saw an image of another shape.
    """
    frame = _frame(planned, image)
    width, height = image.full_size
    objects: list[ExampleObject] = []
    dropped: list[Reject] = []
    clipped = 0
    for item, label_id in zip(planned.content.annotation.objects, planned.content.label_ids, strict=True):
        placed = frame.to_image(item.box)
        pixels = box_ops.clip(box_ops.as_boxes([placed]), height, width)
        reason = box_fault(placed, pixels, image.full_size) or _below(pixels, min_box)
        if reason:
            dropped.append(_reject(planned, item, reason, image))
            continue
        clipped += bool((pixels != box_ops.as_boxes([placed])).any())
        objects.append(_object(item, label_id, pixels, image))
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
    return ExampleRecord(example=example, dropped=tuple(dropped), clipped=clipped, fit=frame.fit)


def _frame(planned: PlannedImage, image: EncodedImage) -> ImagePlacement:
    annotation, real = planned.content.annotation, image.full_size
    frame = find_placement(annotation.width, annotation.height, image_size=real, orientation=image.orientation)
    if frame is None:
        raise AnnotationError(
            "size_mismatch",
            f"{planned.name}: {annotation.source} is for an image of {annotation.width}x{annotation.height} pixels, the"
            f" image has {real[0]}x{real[1]}",
        )
    return frame


def _below(pixels: box_ops.Boxes, least: tuple[float, float] | None) -> str:
    height, width = pixels[0, 2:] - pixels[0, :2]
    return "box_below_minimum" if least and width < least[0] and height < least[1] else ""


def _object(item: ObjectAnnotation, label_id: int, pixels: box_ops.Boxes, image: EncodedImage) -> ExampleObject:
    """The object of a clipped box [1, 4] in pixels of the photograph at full size."""
    width, height = image.full_size
    ymin, xmin, ymax, xmax = (float(edge) for edge in box_ops.to_relative(pixels, height, width)[0])
    return ExampleObject(
        label_id=label_id,
        label=item.label,
        box=(ymin, xmin, ymax, xmax),
        area=float(box_ops.area(pixels)[0]) * (image.width * image.height) / (width * height),
        difficult=item.difficult,
        truncated=item.truncated,
        occluded=item.occluded,
        is_crowd=item.is_crowd,
    )


def _reject(planned: PlannedImage, item: ObjectAnnotation, reason: str, image: EncodedImage) -> Reject:
    source = planned.content.annotation.source
    width, height = image.full_size
    ymin, xmin, ymax, xmax = item.box
    value = f"xmin={xmin:g} ymin={ymin:g} xmax={xmax:g} ymax={ymax:g}"
    return Reject(
        kind=OBJECT_REJECT,
        name=planned.name,
        reason=reason,
        detail=f"{planned.name} ({width}x{height}): {item.label!r} at {value} in {source}",
        source=source,
        line=item.line,
        label=item.label,
        value=value,
    )
