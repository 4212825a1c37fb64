"""The small rows that flow through the job, and the lines of rejected.jsonl. No row holds image bytes.

The way of an image: `Candidate` (an image and its annotation) or `UnannotatedImage` → `AssignedImage` (with label ids
and split) → `PlannedImage` (with source id). At each step a `Reject` may take its place; the makers are below.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.sources.listing import AnnotationFile, ImageFile

# The values are part of the file format.
# Kinds of lines in rejected.jsonl. Only those of kind IMAGE_REJECT count in images_in = examples + rejected.
IMAGE_REJECT = "image"
ANNOTATION_REJECT = "annotation"
OBJECT_REJECT = "object"
# The kind of a remark: nothing was rejected, but the user should look at it.
REMARK = "kept"

# The reason for a valid annotation that matches no image.
NO_MATCHING_IMAGE = "annotation_without_image"

# The split whose ground truth is also written as val.json, for the COCO tools.
COCO_SPLIT = "val"


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image and the one annotation that matches it. The pixels have not been read yet.

    Attributes:
      image, annotation: the pair.
      pairing: PAIRED_ACROSS_FOLDERS or PAIRED_BY_FILENAME of retinanet_odm.sources.row_names, or "".
      paired_with: the annotation, for messages.
    """

    image: ImageFile
    annotation: ImageAnnotation
    pairing: str = ""
    paired_with: str = ""


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class UnannotatedImage:
    """An image that no annotation matches. has_unique_name: no other image has its file name."""

    image: ImageFile
    has_unique_name: bool = False


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class LabelledImage(Candidate):
    """A candidate whose labels are all known.

    Attributes:
      label_ids: in the order of `annotation.objects`; 0 for an ignored area.
      not_exhaustive: (id, name) of the classes of which the image may show objects without a box.
    """

    label_ids: tuple[int, ...]
    not_exhaustive: tuple[tuple[int, str], ...] = ()


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class AssignedImage:
    """An image with its split, and the source id that it has in --id_map (None for a new image)."""

    split: str
    known_id: int | None
    content: LabelledImage

    @property
    def name(self) -> str:
        """The name of the image."""
        return self.content.image.name


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """An image with its source id, ready to be written."""

    source_id: int
    content: LabelledImage

    @property
    def name(self) -> str:
        """The name of the image."""
        return self.content.image.name


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """What is known of the data set before any image is read.

    Attributes:
      images_in: distinct image files found.
      labels: the label map. None if no image has an object and no label map was given.
      label_counts: boxes by label, as the annotations write it.
      ignored: shapes that have no box by design, by kind.
      pairings: number and first example of images by the way they were paired, if a person should look at them.
      passed_over: number of files by suffix that no flag reads.
    """

    images_in: int
    labels: LabelMap | None
    label_counts: Mapping[str, int]
    ignored: Mapping[str, int]
    pairings: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    passed_over: Mapping[str, int] = field(default_factory=dict)


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class Reject:
    """A line of rejected.jsonl, or a remark on an image that was kept.

    Attributes:
      kind: IMAGE_REJECT, ANNOTATION_REJECT, OBJECT_REJECT or REMARK.
      name: the name of the image, or of the annotation file if no image matches it.
      reason: short stable word; detail: one sentence for the user.
      source: the file at fault; line: line in that file, counted from 1, or None.
      label: label of the object at fault; value: the value found. Both "" if they do not apply.
    """

    kind: str
    name: str
    reason: str
    detail: str
    source: str
    line: int | None = None
    label: str = ""
    value: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the line of rejected.jsonl. The keys and their order are the file format."""
        return {
            "kind": self.kind,
            "name": self.name,
            "reason": self.reason,
            "detail": self.detail,
            "source": self.source,
            "line": self.line,
            "label": self.label,
            "value": self.value,
        }


def reject_image(
    image: ImageFile, reason: str, detail: str, *, source: str | None = None, line: int | None = None, label: str = ""
) -> Reject:
    """Reject an image. `source` is the file at fault if that is not the image itself."""
    source = source or image.uri
    return Reject(
        kind=IMAGE_REJECT, name=image.name, reason=reason, detail=detail, source=source, line=line, label=label
    )


def reject_annotation(file: AnnotationFile, reason: str, detail: str, line: int | None) -> Reject:
    """Reject an annotation that matches no image, or an annotation file that cannot be read completely."""
    # An annotation in a file of many is known by the name of its image.
    name = file.image_name or file.uri
    return Reject(kind=ANNOTATION_REJECT, name=name, reason=reason, detail=detail, source=file.uri, line=line)


def reject_object(planned: PlannedImage, item: ObjectAnnotation, reason: str, detail: str, value: str) -> Reject:
    """Drop one object of an image that is kept."""
    return Reject(
        kind=OBJECT_REJECT,
        name=planned.name,
        reason=reason,
        detail=detail,
        source=planned.content.annotation.source,
        line=item.line,
        label=item.label,
        value=value,
    )


def remark_on_image(planned: PlannedImage, reason: str, detail: str) -> Reject:
    """Make a remark on the pixels of an image that is kept."""
    return Reject(kind=REMARK, name=planned.name, reason=reason, detail=detail, source=planned.content.image.uri)


def remark_on(planned: PlannedImage, reason: str, detail: str, value: str) -> Reject:
    """Make a remark on an image that is kept with all its objects."""
    # The file to look at is the annotation: the image itself is in order.
    annotation = planned.content.annotation
    return Reject(
        kind=REMARK,
        name=planned.name,
        reason=reason,
        detail=detail,
        source=annotation.source,
        line=annotation.line,
        value=value,
    )


def count_reasons(rejects: Iterable[Reject], kind: str) -> dict[str, int]:
    """Count the rejects of one kind by reason, in alphabetical order."""
    return dict(sorted(Counter(reject.reason for reject in rejects if reject.kind == kind).items()))


def sort_rejects(rejects: Iterable[Reject]) -> list[Reject]:
    """Sort rejects by name, then by everything else, so that the order of arrival does not matter."""
    # All fields take part, because an image may have several rejects of one reason.
    return sorted(rejects, key=lambda reject: (reject.name, *map(str, reject.to_json().values())))


def format_rejects(rejects: Iterable[Reject]) -> str:
    """Return the text of rejected.jsonl, one JSON object per line."""
    return "".join(f"{json.dumps(reject.to_json(), ensure_ascii=False)}\n" for reject in rejects)


def parse_rejects(text: str) -> list[Reject]:
    """Read rejected.jsonl as this program wrote it; the inverse of `format_rejects`."""
    # Not splitlines: a file name may contain other characters that Unicode calls line breaks.
    return [Reject(**json.loads(line)) for line in text.split("\n") if line]
