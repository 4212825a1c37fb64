"""What a person drew on one photograph, whatever file format it came in."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from retinanet_odm.pickling import pickle_by_position

BoxCorners = tuple[float, float, float, float]


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ObjectAnnotation:
    """One labelled box in pixels of the annotated image: (ymin, xmin, ymax, xmax), continuous 0-based edges.

    line is that of the shape in its file, counted from 1; None where the file has no lines or they are not known. Equal
    boxes are equal wherever they stand.
    """

    label: str
    box: BoxCorners
    difficult: bool = False
    truncated: bool = False
    occluded: bool = False
    is_crowd: bool = False
    line: int | None = field(default=None, compare=False)


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class UnreadableObject:
    """An object that is in the annotation file but could not be understood; all three as of a DataError."""

    reason: str
    detail: str
    line: int | None = field(default=None, compare=False)


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ImageAnnotation:
    """The objects of one image.

    Attributes:
      filename: the image's name as the annotation file gives it; may hold sub-folders, may lack an extension. It comes
        from outside and is fit for comparing with names of images, never for opening a file.
      width, height: the size in pixels that the annotator's tool saw; None where the file does not say.
      source: where the annotation was read from, for messages.
      subset, task_id: CVAT's, where the file says them; names are unique only within a task.
      ignored: shapes that have no box by design, as sorted (kind, count): points, tags, skeletons, VOC's parts.
      unreadable: objects lost to a fault of the file. An image with any must be set apart: an animal without its box
        would be trained on as background.
      line: of the element that stands for the image, <image> or VOC's <annotation>; None where there is no such element
        (a video's frame) or it is not known.
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
    line: int | None = field(default=None, compare=False)


def apply_aliases(annotation: ImageAnnotation, aliases: Mapping[str, str]) -> ImageAnnotation:
    """The annotation with every alias replaced by the name it stands for."""
    objects = (dataclasses.replace(item, label=aliases.get(item.label, item.label)) for item in annotation.objects)
    return dataclasses.replace(annotation, objects=tuple(objects))
