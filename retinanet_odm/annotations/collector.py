"""Collects what the annotation of one image holds, and applies the policies that all formats share.

Begin with `ObjectCollector`. Every reader of this room adds what it finds and asks for the `ImageAnnotation` at the
end, so that the same fault has the same consequence in each format:

  An image without objects is a training example in which nothing is to be found. So an image gets no objects only if
  its annotation holds nothing that looks like an object:
    - A box with swapped corners is read, and a remark counts it.
    - An object that cannot be read is listed in `unreadable`, and its image must be rejected.
    - Points, skeletons and empty masks have no box. They are counted beside the image's boxes; an image that has
      nothing else is rejected.
    - If all boxes of an image lie within 0 to 1, they are not pixels but fractions of its size: it is rejected.
      Likewise, if a format has fractions and a box is not within 0 to 1.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable

from retinanet_odm.annotations.geometry import enclosing_box
from retinanet_odm.annotations.types import (
    BoxCorners,
    ImageAnnotation,
    ObjectAnnotation,
    Remark,
    UnreadableObject,
)
from retinanet_odm.errors import AnnotationError

# Kinds of ImageAnnotation.ignored that are objects, but have no box. The others are tags of the image and parts of
# objects that have a box.
POINTS = "points"
SKELETON = "skeleton"
EMPTY_MASK = "empty mask"
BRUSH = "brush mask"
_BELOW_SCORE = "prediction below --min_score"  # no object: the user does not accept it
OBJECTS_WITHOUT_BOX = frozenset((POINTS, SKELETON, EMPTY_MASK, BRUSH))

# Coordinates of boxes in fractions of the image lie within 0 to 1, or a little beyond where a box leaves the image.
_RELATIVE = (-0.5, 1.5)
_MIN_SIDE = 4  # pixels; in a smaller image, boxes in pixels have such coordinates too


class ObjectCollector:
    """Collects the objects of one image, in file order."""

    def __init__(self) -> None:
        self._objects: list[ObjectAnnotation] = []
        self._swapped: list[ObjectAnnotation] = []
        self._ignored: Counter[str] = Counter()
        self._unreadable: list[UnreadableObject] = []
        self._remarks: list[Remark] = []

    def add(self, item: ObjectAnnotation) -> None:
        """Add an object; swapped corners are put in order."""
        # Drawn from another corner: the four edges are right, only their order is not.
        ymin, xmin, ymax, xmax = item.box
        if ymin > ymax or xmin > xmax:
            item = dataclasses.replace(item, box=enclosing_box(((xmin, ymin), (xmax, ymax))))
            self._swapped.append(item)
        self._objects.append(item)

    def add_predicted(self, item: ObjectAnnotation, score: float, min_score: float) -> None:
        """Add an object that a model has found; one with a score below the minimum is only counted."""
        if score < min_score:
            self.ignore(_BELOW_SCORE)
        else:
            self.add(item)

    def ignore(self, kind: str, count: int = 1) -> None:
        """Count shapes that have no box by design; kind is one of OBJECTS_WITHOUT_BOX if they are objects."""
        if count:
            self._ignored[kind] += count

    def add_unreadable(self, error: AnnotationError, line: int | None = None) -> None:
        """Add a part of the annotation that could not be read, with its line in the file if the error has none."""
        line = line if error.line is None else error.line
        self._unreadable.append(UnreadableObject(reason=error.reason, detail=error.detail, line=line))

    def add_remark(self, remark: Remark) -> None:
        """Add what a person should know about an image that is kept."""
        self._remarks.append(remark)

    def annotation(
        self,
        filename: str,
        size: tuple[int | None, int | None],
        source: str,
        *,
        subset: str | None = None,
        task_id: str | None = None,
        line: int | None = None,
        is_relative: bool = False,
    ) -> ImageAnnotation:
        """Return everything collected, as the annotation of an image with this name and (width, height).

        is_relative: the boxes are fractions of the size.
        """
        width, height = size
        return ImageAnnotation(
            filename=filename,
            width=width,
            height=height,
            objects=tuple(self._objects),
            source=source,
            subset=subset,
            task_id=task_id,
            ignored=tuple(sorted(self._ignored.items())),
            unreadable=(*self._unreadable, *self._faults_of_all(filename, size, source, line, is_relative)),
            remarks=(*self._remarks, *self._remark_on_swapped(source)),
            is_relative=is_relative,
            line=line,
        )

    def _faults_of_all(
        self, filename: str, size: tuple[int | None, int | None], source: str, line: int | None, is_relative: bool
    ) -> Iterable[UnreadableObject]:
        """Yield what is wrong with the objects taken together, though each of them could be read."""
        without_box = [
            f"{count} {kind}" for kind, count in sorted(self._ignored.items()) if kind in OBJECTS_WITHOUT_BOX
        ]
        # Without this, an image with points alone would become a true negative.
        if without_box and not self._objects:
            detail = f"{source}: {filename!r} has no box, but {', '.join(without_box)}"
            yield UnreadableObject(reason="object_without_box", detail=detail, line=line)
        if is_relative:
            absolute = [item for item in self._objects if not _are_fractions(item.box)]
            for item in absolute[:1]:
                detail = f"{source}: {filename!r}: expected fractions of the image, found {_edges(item.box)}"
                yield UnreadableObject(reason="coordinates_not_relative", detail=detail, line=item.line)
        elif are_relative([item.box for item in self._objects], size):
            detail = f"{source}: {filename!r}: {describe_relative(self._objects[0].box)}"
            yield UnreadableObject(reason="coordinates_relative", detail=detail, line=self._objects[0].line)

    def _remark_on_swapped(self, source: str) -> Iterable[Remark]:
        if self._swapped:
            first, count = self._swapped[0], len(self._swapped)
            detail = f"{source}: boxes whose corners were swapped and put in order: {count}; the first: {first.label!r}"
            yield Remark(reason="box_swapped", detail=detail, line=first.line, value=str(count))


def are_relative(boxes: Iterable[BoxCorners], size: tuple[int | None, int | None]) -> bool:
    """Return whether the boxes of an image look like fractions of its width and height instead of pixels.

    Args:
      boxes: as the file has them, possibly none.
      size: (width, height) of the image, as the file has it.

    Example:
      >>> are_relative([(0.2, 0.1, 0.5, 0.4)], (640, 480)), are_relative([(0.2, 0.1, 0.5, 40)], (640, 480))
      (True, False)
    """
    found = list(boxes)
    if max(side or _MIN_SIDE + 1 for side in size) <= _MIN_SIDE:
        return False
    # Boxes without extent, such as [0, 0, 0, 0], lie within 0 to 1 in any unit.
    has_extent = any(ymin < ymax and xmin < xmax for ymin, xmin, ymax, xmax in found)
    return has_extent and all(map(_are_fractions, found))


def _are_fractions(box: BoxCorners) -> bool:
    return all(_RELATIVE[0] <= edge <= _RELATIVE[1] for edge in box)


def _edges(box: BoxCorners) -> str:
    return f"{' '.join(f'{edge:g}' for edge in box)} (ymin xmin ymax xmax)"


def describe_relative(box: BoxCorners) -> str:
    """Return the message about boxes that are relative, with an example."""
    return (
        "expected boxes in pixels; all lie within 0 to 1, which looks like fractions of the image's width and height,"
        f" such as {_edges(box)}"
    )
