"""Plan: join images with annotations, check labels, number and place every image. Pure functions over small rows.

An annotation belongs to the image whose file name without folder and extension equals the annotation file's own.
Every image becomes exactly one PlannedImage or one Reject of kind image.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from beam_jobs.folder import shard_name
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import ANNOTATION, IMAGE, AnnotationFile, Candidate, ImageFile, LabelledImage, PlannedImage, Reject
from detection import ids
from detection.errors import LabelError, UsageError
from detection.labels import LabelMap
from detection.splits import Splits

_File = TypeVar("_File", ImageFile, AnnotationFile)
Key = bytes
Joined = tuple[Key, Mapping[str, Iterable]]
ShardKey = tuple[str, str]


def match_key(uri: str) -> Key:
    """What an image and its annotation have in common: the stem; bytes, since a name need not be valid UTF-8."""
    return PurePosixPath(uri).stem.encode("utf-8", "surrogateescape")


def count_images(group: Joined) -> int:
    """Distinct image files of a group that came together by match_key: {"images": …, "annotations": …}."""
    return len({image.uri for image in group[1]["images"]})


def join_images(group: Joined) -> Iterator[Candidate | Reject]:
    """One row for every distinct image of a group, and one for every annotation where there is no image."""
    images = _distinct(group[1]["images"])
    annotations = _distinct(group[1]["annotations"])
    if not images:
        yield from map(_without_image, annotations)
    elif not annotations:
        yield from map(_without_annotation, images)
    elif len(images) > 1 or len(annotations) > 1:
        yield from _ambiguous(images, annotations)
    else:
        yield _pair(images[0], annotations[0])


def _distinct(rows: Iterable[_File]) -> list[_File]:
    """Two patterns may match one file: it stays once, under the smallest name, whatever the order of arrival."""
    by_uri = {row.uri: row for row in sorted(rows, key=lambda row: (row.uri, getattr(row, "name", "")), reverse=True)}
    return [by_uri[uri] for uri in sorted(by_uri)]


def _without_image(file: AnnotationFile) -> Reject:
    detail = f"{file.uri}: no image has this name"
    return Reject(kind=ANNOTATION, name=file.uri, reason="annotation_without_image", detail=detail, source=file.uri)


def _without_annotation(image: ImageFile) -> Reject:
    return _reject(image, "image_without_annotation", f"{image.name}: no annotation file has this name")


def _ambiguous(images: list[ImageFile], annotations: list[AnnotationFile]) -> Iterator[Reject]:
    times = Counter(image.name for image in images)
    all_files = ", ".join([*(image.uri for image in images), *(file.uri for file in annotations)])
    for image in images:
        if times[image.name] > 1:
            same = ", ".join(other.uri for other in images if other.name == image.name)
            yield _reject(image, "duplicate_image_name", f"{image.name}: more than one image has this name: {same}")
        else:
            detail = f"{image.name}: expected one image and one annotation of this name, found {all_files}"
            yield _reject(image, "ambiguous_match", detail)


def _pair(image: ImageFile, file: AnnotationFile) -> Candidate | Reject:
    if file.annotation is None:
        return _reject(image, file.reason, file.detail, source=file.uri)
    return Candidate(image=image, annotation=file.annotation)


def _reject(image: ImageFile, reason: str, detail: str, source: str | None = None) -> Reject:
    return Reject(kind=IMAGE, name=image.name, reason=reason, detail=detail, source=source or image.uri)


def label_names(candidate: Candidate) -> Iterator[str]:
    """The label of every object."""
    for item in candidate.annotation.objects:
        yield item.label


def make_labels(names: Iterable[str], given: LabelMap | None) -> LabelMap | None:
    """The user's label map, or one of all names; None where there is neither."""
    distinct = set(names)
    return given or (LabelMap.from_names(distinct) if distinct else None)


def label_image(candidate: Candidate, labels: LabelMap | None) -> LabelledImage | Reject:
    """Looks up every label; an unknown one rejects the image: trained on, that animal would become background."""
    image, annotation = candidate.image, candidate.annotation
    if labels is None:
        return _reject(image, "no_labels", f"{image.name}: no annotation has an object, and no --labels names classes")
    try:
        label_ids = tuple(labels.id_of(item.label) for item in annotation.objects)
    except LabelError as error:
        detail = f"{image.name}: {error.detail}; in {annotation.source}"
        return _reject(image, error.reason, detail, source=annotation.source)
    return LabelledImage(image=image, annotation=annotation, label_ids=label_ids)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each hash bucket starts.

    Attributes:
      images: number of images in all buckets.
      images_of: the same by split.
      first_id: number of images in the buckets before, by bucket.
      first_rank: the same within a split, by (bucket, split).
    """

    images: int
    images_of: dict[str, int]
    first_id: dict[int, int]
    first_rank: dict[tuple[int, str], int]


def place_of(row: LabelledImage, splits: Splits) -> tuple[int, str]:
    """(hash bucket, split) of an image."""
    return ids.bucket_of(row.image.name), splits.split_of(row.image.name)


def key_by_bucket(row: LabelledImage) -> tuple[int, LabelledImage]:
    """(hash bucket, image)."""
    return ids.bucket_of(row.image.name), row


def lay_out(counts: Mapping[tuple[int, str], int]) -> Layout:
    """Lays the buckets end to end, given the number of images by (bucket, split)."""
    first_id: dict[int, int] = {}
    first_rank: dict[tuple[int, str], int] = {}
    images_of: Counter[str] = Counter()
    for bucket, places in itertools.groupby(sorted(counts), key=lambda place: place[0]):
        first_id[bucket] = images_of.total()
        for place in places:
            first_rank[place] = images_of[place[1]]
            images_of[place[1]] += counts[place]
    return Layout(images=images_of.total(), images_of=dict(images_of), first_id=first_id, first_rank=first_rank)


def number_bucket(
    bucket: tuple[int, Iterable[LabelledImage]], layout: Layout, options: PrepareOptions
) -> Iterator[tuple[ShardKey, PlannedImage] | Reject]:
    """Gives each image of a bucket its id and its shard (split, file name), in the order of the names' hashes.

    Ids are 1..N over the whole data set; a shard holds an unbroken run of its split, so that shards differ by one
    image at most.
    """
    number, images = bucket
    try:
        ids.check_count(layout.images)
    except UsageError as error:
        yield from (_reject(item.image, "too_many_images", str(error)) for item in images)
        return
    ordered = sorted(images, key=lambda item: ids.name_hash(item.image.name))
    seen: Counter[str] = Counter()
    for source_id, item in enumerate(ordered, start=layout.first_id[number] + 1):
        split = options.splits.split_of(item.image.name)
        rank = layout.first_rank[number, split] + seen[split]
        seen[split] += 1
        name = shard_of(split, rank, layout.images_of[split], options.shards_of(split))
        yield (split, name), PlannedImage(source_id=source_id, content=item)


def shard_of(split: str, rank: int, images: int, limit: int) -> str:
    """The shard's file name for the rank-th of so many images; no more shards than images."""
    count = min(images, limit)
    return shard_name(split, rank * count // images, count)
