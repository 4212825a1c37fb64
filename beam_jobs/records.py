"""What comes of an image: its record. Begin with `make_record`, which checks boxes against the real pixels."""

import hashlib
from dataclasses import dataclass

from beam_jobs.rows import PlannedImage, Reject, reject_object
from retinanet_odm import boxes as box_ops
from retinanet_odm.annotations.geometry import ImagePlacement, find_placement, place_box
from retinanet_odm.annotations.types import BoxCorners, ObjectAnnotation
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.errors import AnnotationError
from retinanet_odm.imaging.images import EncodedImage

_BELOW_MINIMUM = "box_below_minimum"


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
    regions: list[BoxCorners] = []
    dropped: list[Reject] = []
    clipped = 0
    for item, label_id in zip(planned.content.annotation.objects, planned.content.label_ids, strict=True):
        pixels, fault, is_clipped = place_box(item.box, placement)
        if reason := fault or ("" if item.ignore else _below(pixels, min_box)):
            # An object that cannot be used is dropped and reported; the others of the image stay.
            dropped.append(_drop(planned, item, reason, image))
            continue
        clipped += is_clipped
        if item.ignore:
            region = _relative(pixels, image)
            # An area has no class: COCO files list it once for each class.
            regions += [] if region in regions else [region]
        else:
            objects.append(_object(item, label_id, pixels, image))
    # Boxes below the minimum are dropped by request, also if they are all that an image has.
    faulty = [reject for reject in dropped if reject.reason != _BELOW_MINIMUM]
    # Otherwise the image would be written as a true negative, and its objects learned as background.
    if faulty and not objects:
        detail = f"no box can be used; the first: {faulty[0].reason}, {faulty[0].detail}"
        raise AnnotationError("no_usable_box", f"{planned.name}: {detail}", faulty[0].line)
    example = _example(planned, image, tuple(objects), tuple(regions))
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
    return ExampleObject(
        label_id=label_id,
        label=item.label,
        box=_relative(pixels, image),
        # In pixels of the stored image, which --max_side may have made smaller.
        area=float(box_ops.area(pixels)[0]) * (image.width * image.height) / (width * height),
        difficult=item.difficult,
        truncated=item.truncated,
        occluded=item.occluded,
        is_crowd=item.is_crowd,
    )


def _relative(pixels: box_ops.Boxes, image: EncodedImage) -> BoxCorners:
    width, height = image.full_size
    ymin, xmin, ymax, xmax = (float(edge) for edge in box_ops.to_relative(pixels, height, width)[0])
    return ymin, xmin, ymax, xmax


def _example(
    planned: PlannedImage,
    image: EncodedImage,
    objects: tuple[ExampleObject, ...],
    ignored_regions: tuple[BoxCorners, ...],
) -> DetectionExample:
    return DetectionExample(
        encoded=image.data,
        format=image.format,
        height=image.height,
        width=image.width,
        filename=planned.name,
        source_id=planned.source_id,
        sha256=hashlib.sha256(image.data).hexdigest(),
        objects=objects,
        not_exhaustive=planned.content.not_exhaustive,
        ignored_regions=ignored_regions,
    )
