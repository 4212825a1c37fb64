"""What the annotation of one image says, whatever file format it was read from.

Every reader of this room returns `ImageAnnotation`; the rest of the library knows no file format.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from retinanet_odm.pickling import pickle_by_position

BoxCorners = tuple[float, float, float, float]  # (ymin, xmin, ymax, xmax) edges in pixels, unless stated otherwise


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ObjectAnnotation:
    """One labelled box in pixels of the annotated image: (ymin, xmin, ymax, xmax), continuous 0-based edges.

    In fractions of the image, if `ImageAnnotation.is_relative`.

    With ignore, it is no object: its box is an area in which nobody has looked for objects, of whatever class.

    line is the line of the shape in its file, counted from 1; None if the format has no lines or it is not known.
    Comparison ignores it: equal boxes are equal wherever they stand.
    """

    # The readers have stripped the blanks around it; spelling is left to label aliases.
    label: str
    box: BoxCorners
    difficult: bool = False
    truncated: bool = False
    occluded: bool = False
    is_crowd: bool = False
    ignore: bool = False
    line: int | None = field(default=None, compare=False)


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class UnreadableObject:
    """An object of the annotation file that could not be read; the fields are those of a DataError."""

    reason: str
    detail: str
    line: int | None = field(default=None, compare=False)


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class Remark:
    """What a person should know about an image that is kept: how the file was understood where it was not clear.

    value is the observed value, for example a count.
    """

    reason: str
    detail: str
    line: int | None = field(default=None, compare=False)
    value: str = ""


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ImageAnnotation:
    """The objects of one image.

    Attributes:
      filename: the image's name as the annotation file gives it. It may contain folders and may lack an extension. It
        is untrusted input: compare it with the names of images, but never open a file by it.
      width, height: the size in pixels that the annotation tool saw; None if the file does not give it.
      source: the annotation file, for messages.
      subset, task_id: CVAT's, if the file gives them; names are unique only within a task.
      ignored: shapes that have no box by design, as sorted (kind, count): points, skeletons and empty masks, of which
        an image has none or boxes too; tags, and parts of Pascal VOC.
      unreadable: objects that could not be read. Reject an image that has any: without its box, an object would be
        learned as background.
      remarks: how the file was understood where it was not clear; the image is kept.
      is_relative: the boxes are fractions of the width and height of the upright image instead of pixels.
      line: of the element of the image, <image> or Pascal VOC's <annotation>; None if there is no such element (a
        frame of a video) or it is not known.
    """

    filename: str
    width: int | None
    height: int | None
    objects: tuple[ObjectAnnotation, ...]
    source: str
    subset: str | None = None
    task_id: str | None = None
    ignored: tuple[tuple[str, int], ...] = ()
    unreadable: tuple[UnreadableObject, ...] = ()
    remarks: tuple[Remark, ...] = ()
    is_relative: bool = False
    line: int | None = field(default=None, compare=False)


def ignore_labels(annotation: ImageAnnotation, labels: Collection[str]) -> ImageAnnotation:
    """Turn the objects with one of these labels, as the annotation file has them, into ignored areas."""
    if not any(item.label in labels for item in annotation.objects):
        return annotation
    objects = (dataclasses.replace(item, ignore=True) if item.label in labels else item for item in annotation.objects)
    return dataclasses.replace(annotation, objects=tuple(objects))


def apply_aliases(annotation: ImageAnnotation, aliases: Mapping[str, str]) -> ImageAnnotation:
    """Replace every label that is an alias by the name it stands for."""
    if not aliases:
        return annotation
    # A copy: annotations are frozen, and rows of a job may be shared between steps.
    objects = (dataclasses.replace(item, label=aliases.get(item.label, item.label)) for item in annotation.objects)
    return dataclasses.replace(annotation, objects=tuple(objects))
