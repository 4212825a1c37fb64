"""Plan: join images with annotations, check labels, number and place every image. Pure functions over small rows.

An annotation belongs to the image of the same path, file name or stem (see matching). Every image becomes exactly one
PlannedImage or one Reject of kind image.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beam_jobs.options import DROP, NEGATIVE, PrepareOptions
from beam_jobs.rows import ANNOTATION_REJECT, IMAGE_REJECT, NO_IMAGE, Candidate, LabelledImage, Reject, UnannotatedImage
from retinanet_odm.annotations.types import ImageAnnotation, apply_aliases
from retinanet_odm.dataset.splits import SplitError, SplitPlan
from retinanet_odm.errors import DataError, LabelError
from retinanet_odm.labels.checks import nearest_labels
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.matching import Key, PairingConflict, match_key, pair_files

Joined = tuple[Key, Mapping[str, Iterable]]
SplitName = tuple[str, LabelledImage]
_SHOWN = 20  # files that the detail of a reject names


def image_key(image: ImageFile) -> tuple[Key, ImageFile]:
    """(match key, image)."""
    return match_key(image.uri), image


def annotation_key(file: AnnotationFile) -> tuple[Key, AnnotationFile]:
    """(match key, annotation)."""
    return match_key(file.image_name or file.uri), file


def count_images(group: Joined) -> int:
    """Distinct image files of a group that came together by match_key: {"images": …, "annotations": …}."""
    return len({image.uri for image in group[1]["images"]})


def join_images(group: Joined) -> Iterator[Candidate | UnannotatedImage | Reject]:
    """One row for every distinct image of a group, and one for every annotation that no image claims."""
    images = _distinct(group[1]["images"])
    annotations = sorted(group[1]["annotations"], key=_order)
    times = Counter(image.name for image in images)
    found = pair_files(images, annotations)
    for row, image in enumerate(images):
        if times[image.name] > 1:
            yield _duplicate(image, images)
        elif row in found.conflict_of:
            yield _ambiguous(image, found.conflict_of[row])
        elif row in found.annotation_of:
            yield _pair(image, found.annotation_of[row])
        else:
            yield UnannotatedImage(image=image)
    yield from map(_unused, found.unused)


def _distinct(images: Iterable[ImageFile]) -> list[ImageFile]:
    """Two patterns may match one file: it stays once, under the smallest name, whatever the order of arrival."""
    by_uri = {row.uri: row for row in sorted(images, key=lambda row: (row.uri, row.name), reverse=True)}
    return [by_uri[uri] for uri in sorted(by_uri)]


def _order(file: AnnotationFile) -> tuple[str, ...]:
    content = file.annotation
    return file.uri, file.image_name, (content and content.subset) or "", (content and content.task_id) or ""


def _duplicate(image: ImageFile, images: Iterable[ImageFile]) -> Reject:
    same = _list_files(other.uri for other in images if other.name == image.name)
    return reject_image(image, "duplicate_image_name", f"{image.name}: more than one image has this name: {same}")


def _ambiguous(image: ImageFile, conflict: PairingConflict) -> Reject:
    claimants = itertools.chain((other.uri for other in conflict.images), map(_title, conflict.annotations))
    detail = f"{image.name}: expected one image and one annotation of this name, found {_list_files(claimants)}"
    return reject_image(image, "ambiguous_match", detail)


def _list_files(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _title(file: AnnotationFile) -> str:
    return f"{file.image_name} in {file.uri}" if file.image_name else file.uri


def _unused(file: AnnotationFile) -> Reject:
    if file.annotation is None:
        return broken_annotation(file, DataError(file.reason, file.detail, file.line))
    detail = f"{_title(file)}: no image has this name"
    name = file.image_name or file.uri
    line = file.annotation.line
    return Reject(kind=ANNOTATION_REJECT, name=name, reason=NO_IMAGE, detail=detail, source=file.uri, line=line)


def broken_annotation(file: AnnotationFile, error: DataError) -> Reject:
    """The line of an annotation file that cannot be read, or not to its end."""
    return Reject(
        kind=ANNOTATION_REJECT,
        name=file.uri,
        reason=error.reason,
        detail=error.detail,
        source=file.uri,
        line=error.line,
    )


def broken_source(reject: Reject) -> Iterator[bytes]:
    """The annotation file, in bytes, where the reject is of one that cannot be read, or not to its end."""
    if reject.kind == ANNOTATION_REJECT and reject.reason != NO_IMAGE:
        yield reject.source.encode("utf-8", "surrogateescape")


def _pair(image: ImageFile, file: AnnotationFile) -> Candidate | Reject:
    if file.annotation is None:
        return reject_image(image, file.reason, file.detail, source=file.uri, line=file.line)
    if file.annotation.unreadable:
        first = file.annotation.unreadable[0]
        return reject_image(image, first.reason, f"{image.name}: {first.detail}", source=file.uri, line=first.line)
    return Candidate(image=image, annotation=file.annotation)


def reject_image(
    image: ImageFile, reason: str, detail: str, *, source: str | None = None, line: int | None = None, label: str = ""
) -> Reject:
    """An image that is left out; source: the file at fault, where that is not the image."""
    source = source or image.uri
    return Reject(
        kind=IMAGE_REJECT, name=image.name, reason=reason, detail=detail, source=source, line=line, label=label
    )


def apply_policies(
    row: Candidate | UnannotatedImage, options: PrepareOptions, broken: Sequence[bytes]
) -> Candidate | Reject:
    """Decides on images without annotation or without objects, and puts names in the place of aliases.

    Args:
      row: an image.
      options: the request.
      broken: some annotation files that cannot be read (to their end): an image without annotation may be theirs.
    """
    candidate = row if isinstance(row, Candidate) else _without_annotation(row.image, options, broken)
    if isinstance(candidate, Reject):
        return candidate
    image, annotation = candidate.image, candidate.annotation
    if options.negatives == DROP and not annotation.objects:
        return reject_image(image, "no_objects", f"{image.name}: --negatives=drop: no object in {annotation.source}")
    return dataclasses.replace(candidate, annotation=apply_aliases(annotation, options.aliases))


def _without_annotation(image: ImageFile, options: PrepareOptions, broken: Sequence[bytes]) -> Candidate | Reject:
    # An animal whose annotation was lost would be trained on as background.
    if options.without_annotation == NEGATIVE and not broken:
        nothing = ImageAnnotation(filename=image.name, width=None, height=None, objects=(), source=image.uri)
        return Candidate(image=image, annotation=nothing)
    lost = f"; it may be in what cannot be read: {_list_files(map(_decode, broken))}" if broken else ""
    return reject_image(image, "image_without_annotation", f"{image.name}: no annotation has this name{lost}")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def ignored_shapes(file: AnnotationFile) -> Iterator[tuple[str, int]]:
    """Shapes of an image that have no box by design: (kind, count)."""
    if file.annotation is not None:
        yield from file.annotation.ignored


def label_names(row: Candidate | UnannotatedImage) -> Iterator[str]:
    """The label of every object, as the annotation has it."""
    if isinstance(row, Candidate):
        yield from (item.label for item in row.annotation.objects)


def make_labels(names: Iterable[str], options: PrepareOptions) -> LabelMap | None:
    """The user's label map, or one of all names that annotations have; None where there is neither."""
    distinct = {options.aliases.get(name, name) for name in names}
    return options.labels or (LabelMap.from_names(distinct) if distinct else None)


def place_image(candidate: Candidate, labels: LabelMap | None, split_plan: SplitPlan) -> "SplitName | Reject":
    """Looks up the labels of an image and its split."""
    row = label_image(candidate, labels)
    return row if isinstance(row, Reject) else split_image(row, split_plan)


def label_image(candidate: Candidate, labels: LabelMap | None) -> LabelledImage | Reject:
    """Looks up every label; an unknown one rejects the image: trained on, that animal would become background."""
    image, annotation = candidate.image, candidate.annotation
    if labels is None:
        return reject_image(
            image, "no_labels", f"{image.name}: no annotation has an object, and no --labels names classes"
        )
    try:
        label_ids = tuple(labels.id_of(item.label) for item in annotation.objects)
    except LabelError as error:
        unknown = next(item for item in annotation.objects if item.label not in labels.name_by_id.values())
        detail = f"{image.name}: {error.detail}{_meant(unknown.label, labels)}; in {annotation.source}"
        return reject_image(
            image, error.reason, detail, source=annotation.source, line=unknown.line, label=unknown.label
        )
    return LabelledImage(image=image, annotation=annotation, label_ids=label_ids)


def _meant(unknown: str, labels: LabelMap) -> str:
    """The nearest known names of a label."""
    names = " or ".join(map(repr, nearest_labels(unknown, labels.name_by_id.values())))
    return f", did you mean {names}?" if names else ""


def split_image(row: LabelledImage, split_plan: SplitPlan) -> SplitName | Reject:
    """(split, image)."""
    try:
        return split_plan.split_of(row.image.name), row
    except SplitError as error:
        return reject_image(row.image, error.reason, error.detail)
