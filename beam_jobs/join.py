"""Joins images with their annotations. Begin with `join_images`, then `join_by_filename`. Verbs over small rows.

Which annotation belongs to which image is decided by retinanet_odm.sources. Rows meet in groups of equal keys, first by
their own names, and what is left then by the <filename> in files of one image.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from beam_jobs.rows import (
    NO_MATCHING_IMAGE,
    Candidate,
    Reject,
    UnannotatedImage,
    reject_annotation,
    reject_image,
)
from retinanet_odm.sources.inner_names import has_unique_name, inside_key, pair_by_filename
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.matching import PairingConflict, pair_files
from retinanet_odm.sources.row_names import PAIRED_ACROSS_FOLDERS, PAIRED_BY_FILENAME, Key, match_key, name_inside

JoinedGroup = tuple[Key, Mapping[str, Iterable[Any]]]  # match key, {"images": ..., "annotations": ...}
# What is open after `join_images`: images without annotation, files of one image whose own name no image has.
OpenRow = UnannotatedImage | AnnotationFile
_MAX_NAMED = 20  # files named in the detail of a reject


# --- By the names of the files ---


def image_key(image: ImageFile) -> Key:
    """Return the match key of an image."""
    # By the URI, which ends with the same file name as the image's name.
    return match_key(image.uri)


def annotation_key(file: AnnotationFile) -> Key:
    """Return the match key of an annotation."""
    return match_key(file.image_name or file.uri)


def count_images(group: JoinedGroup) -> int:
    """Count the distinct image files of a group."""
    return len({image.uri for image in group[1]["images"]})


def join_images(group: JoinedGroup) -> Iterator[Candidate | OpenRow | Reject]:
    """Yield one row for every distinct image of a group, and one for every annotation that matches no image."""
    # Sorted on both sides: the result must not depend on the order in which Beam delivers the group.
    images = _distinct(group[1]["images"])
    annotations = sorted(group[1]["annotations"], key=_sort_key)
    times = Counter(image.name for image in images)
    found = pair_files(images, annotations)
    is_unique = has_unique_name(images)
    for row, image in enumerate(images):
        # The order matters: an image whose name is not unique gets no annotation, whatever was found for it.
        if times[image.name] > 1:
            yield _duplicate(image, images)
        elif row in found.conflict_of:
            yield _ambiguous(image, found.conflict_of[row])
        elif row in found.annotation_of:
            pairing = PAIRED_ACROSS_FOLDERS if row in found.across_folders else ""
            yield _pair(image, found.annotation_of[row], pairing)
        else:
            yield UnannotatedImage(image=image, has_unique_name=is_unique[row])
    # A file that has another <filename> gets a second chance in `join_by_filename`; all others are rejected here.
    for file in found.unused:
        yield _unused(file) if inside_key(file) is None else file


def _distinct(images: Iterable[ImageFile]) -> list[ImageFile]:
    """Keep a file that two patterns match once, under its smallest name, whatever the order of arrival."""
    by_uri = {row.uri: row for row in sorted(images, key=lambda row: (row.uri, row.name), reverse=True)}
    return [by_uri[uri] for uri in sorted(by_uri)]


def _sort_key(file: AnnotationFile) -> tuple[str, ...]:
    content = file.annotation
    # One file may list an image several times, in the subsets and tasks of a CVAT project.
    return file.uri, file.image_name, (content and content.subset) or "", (content and content.task_id) or ""


def _duplicate(image: ImageFile, images: Iterable[ImageFile]) -> Reject:
    same = enumerate_names(other.uri for other in images if other.name == image.name)
    return reject_image(image, "duplicate_image_name", f"{image.name}: more than one image has this name: {same}")


def _ambiguous(image: ImageFile, conflict: PairingConflict) -> Reject:
    claimants = itertools.chain((other.uri for other in conflict.images), map(_title, conflict.annotations))
    detail = f"{image.name}: expected one image and one annotation of this name, found {enumerate_names(claimants)}"
    return reject_image(image, "ambiguous_match", detail)


def _pair(image: ImageFile, file: AnnotationFile, pairing: str) -> Candidate | Reject:
    if file.annotation is None:
        return reject_image(image, file.reason, file.detail, source=file.uri, line=file.line)
    if file.annotation.unreadable:
        # Without its box, an unreadable object would be learned as background.
        first = file.annotation.unreadable[0]
        return reject_image(image, first.reason, f"{image.name}: {first.detail}", source=file.uri, line=first.line)
    return Candidate(
        image=image, annotation=file.annotation, pairing=pairing, paired_with=_title(file) if pairing else ""
    )


def _unused(file: AnnotationFile) -> Reject:
    if file.annotation is None:
        return reject_annotation(file, file.reason, file.detail, file.line)
    inside = name_inside(file)
    other = f", nor only one the name in its <filename>, {inside}" if inside_key(file) else ""
    detail = f"{_title(file)}: no image has this name{other}"
    return reject_annotation(file, NO_MATCHING_IMAGE, detail, file.annotation.line)


def enumerate_names(names: Iterable[str]) -> str:
    """Return the first of some names, and how many more there are.

    Example:
      >>> enumerate_names(["a.jpg", "b.jpg"])
      'a.jpg, b.jpg'
    """
    found = list(names)
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    return ", ".join(found[:_MAX_NAMED]) + more


def _title(file: AnnotationFile) -> str:
    return f"{file.image_name} in {file.uri}" if file.image_name else file.uri


# --- By the names inside ---


def open_row_key(row: Candidate | OpenRow) -> Iterator[tuple[Key, OpenRow]]:
    """Yield (match key, row) for a row that is open; the key of an annotation is that of its <filename>."""
    if isinstance(row, UnannotatedImage):
        yield image_key(row.image), row
    elif isinstance(row, AnnotationFile) and (key := inside_key(row)) is not None:
        yield key, row


def join_by_filename(group: tuple[Key, Iterable[OpenRow]]) -> Iterator[Candidate | UnannotatedImage | Reject]:
    """Yield one row for every image of a group of open rows, and one for every annotation that matches none."""
    rows = list(group[1])
    images = sorted((row for row in rows if isinstance(row, UnannotatedImage)), key=lambda row: row.image.uri)
    files = sorted((row for row in rows if isinstance(row, AnnotationFile)), key=_sort_key)
    unique = [row for row in images if row.has_unique_name]
    found = pair_by_filename([row.image for row in unique], files)
    # A <filename> has no folder, so it cannot choose between images of equal file names.
    yield from (row for row in images if not row.has_unique_name)
    for number, row in enumerate(unique):
        yield _pair(row.image, files[found[number]], PAIRED_BY_FILENAME) if number in found else row
    yield from (_unused(file) for number, file in enumerate(files) if number not in found.values())


def describe_pairing(row: Candidate | UnannotatedImage) -> Iterator[tuple[str, tuple[int, str]]]:
    """Yield (how, (1, example)) for an image whose pairing a person should look at."""
    if isinstance(row, Candidate) and row.pairing:
        yield row.pairing, (1, f"{row.image.name} with {row.paired_with}")
