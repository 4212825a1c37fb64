"""The plan: reads annotations, assigns labels and splits, then source ids and shards. Verbs over small rows.

Begin with `assign_labels_and_splits`; beam_jobs.join comes before it. Every image becomes exactly one PlannedImage or
one Reject of kind IMAGE_REJECT.

Images are numbered by the hashes of their names. They fall into hash buckets, and the buckets are laid end to end
(`lay_out`). Each bucket can then be numbered on its own machine (`number_bucket`): no machine sorts all images, and the
order of arrival does not matter.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_jobs.join import enumerate_names
from beam_jobs.named_files import load_exhaustive, load_id_map, load_split_plan
from beam_jobs.options import DROP, NEGATIVE, PrepareOptions
from beam_jobs.output_folder import dataset_shard_name
from beam_jobs.rows import (
    AssignedImage,
    Candidate,
    LabelledImage,
    PlannedImage,
    Reject,
    UnannotatedImage,
    reject_annotation,
    reject_image,
)
from retinanet_odm.annotations.types import ImageAnnotation, apply_aliases
from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.source_ids import assign_bucket, first_new_ids
from retinanet_odm.dataset.splits import SplitError
from retinanet_odm.errors import DataError, LabelError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import describe_nearest
from retinanet_odm.sources.listing import AnnotationFile, ImageFile, read_annotation

ShardKey = tuple[str, str]  # split, file name
BucketKey = tuple[int, str, bool]  # hash bucket, split, whether the image is new (has no id yet)


# --- Reading ---


def read_annotation_group(
    group: Iterable[AnnotationFile], min_score: float | None = None, ignored: Collection[str] = ()
) -> Iterator[AnnotationFile | Reject]:
    """Yield a row for every image of one annotation file, given the file under each name that patterns gave it.

    A fault after the first image is a reject: nobody knows which images are missing. A file without a readable image
    is one row with the reason. Predictions are accepted from min_score on; None accepts none. Objects with an ignored
    label become areas in which nobody has looked.
    """
    # Two patterns may give one file two names, below different roots. The smallest does not depend on the order of
    # arrival.
    file = min(group, key=lambda row: row.name)
    for row in read_annotation(file, min_score=min_score, ignored=ignored):
        yield reject_annotation(file, row.reason, row.detail, row.line) if isinstance(row, DataError) else row


# --- Policies, labels and splits ---


def make_label_map(counts: Mapping[str, int], options: PrepareOptions) -> LabelMap | None:
    """Return the user's label map, or one of all labels that were counted; None if there is neither."""
    # Aliases are applied here as in `_apply_policies`, or an alias would become a class of its own.
    distinct = {options.aliases.get(name, name) for name in counts}
    return options.labels or (LabelMap.from_names(distinct) if distinct else None)


def assign_labels_and_splits(
    row: Candidate | UnannotatedImage, options: PrepareOptions, labels: LabelMap | None, unreadable: Sequence[bytes]
) -> AssignedImage | Reject:
    """Decide everything about an image that needs no pixels: the policies, its label ids, its split, its old id.

    The id map, the list of splits and that of exhaustive classes are read from their files, once per process.

    Args:
      row: an image.
      options: the request.
      labels: the label map; None if no annotation has an object and no label map was given.
      unreadable: some annotation files that cannot be read completely: an unannotated image may belong to them.
    """
    # The order matters: --without_annotation may make a candidate, --negatives may drop it, and labels are looked up
    # after aliases have renamed them.
    candidate = _apply_policies(row, options, unreadable)
    if isinstance(candidate, Reject):
        return candidate
    labelled = label_image(candidate, labels)
    if isinstance(labelled, Reject):
        return labelled
    name = labelled.image.name
    exhaustive = load_exhaustive(options)
    if exhaustive and labels:
        labelled = dataclasses.replace(labelled, not_exhaustive=exhaustive.not_exhaustive_in(name, labels))
    try:
        split = load_split_plan(options).split_of(name)
    except SplitError as error:
        return reject_image(labelled.image, error.reason, error.detail)
    return AssignedImage(split=split, known_id=load_id_map(options).id_of.get(name), content=labelled)


def _apply_policies(
    row: Candidate | UnannotatedImage, options: PrepareOptions, unreadable: Sequence[bytes]
) -> Candidate | Reject:
    """Apply --without_annotation, --negatives and --label_aliases."""
    candidate = row if isinstance(row, Candidate) else _without_annotation(row.image, options, unreadable)
    if isinstance(candidate, Reject):
        return candidate
    image, annotation = candidate.image, candidate.annotation
    if options.negatives == DROP and all(item.ignore for item in annotation.objects):
        return reject_image(image, "no_objects", f"{image.name}: --negatives=drop: no object in {annotation.source}")
    return dataclasses.replace(candidate, annotation=apply_aliases(annotation, options.aliases))


def _without_annotation(image: ImageFile, options: PrepareOptions, unreadable: Sequence[bytes]) -> Candidate | Reject:
    # An object whose annotation was lost would be learned as background.
    if options.without_annotation == NEGATIVE and not unreadable:
        # A true negative: an annotation of the same form, without objects.
        nothing = ImageAnnotation(filename=image.name, width=None, height=None, objects=(), source=image.uri)
        return Candidate(image=image, annotation=nothing)
    files = enumerate_names(path.decode("utf-8", "surrogateescape") for path in unreadable)
    lost = f"; it may be in an unreadable file: {files}" if files else ""
    return reject_image(image, "image_without_annotation", f"{image.name}: no annotation has this name{lost}")


def label_image(candidate: Candidate, labels: LabelMap | None) -> LabelledImage | Reject:
    """Look up the id of every label; 0 for an ignored area, whose label is no class.

    An unknown label rejects the image: without its box, the object would be learned as background.
    """
    image, annotation = candidate.image, candidate.annotation
    # Images without objects need no class, but the manifest of a data set needs a label map.
    if labels is None:
        return reject_image(
            image, "no_labels", f"{image.name}: no annotation has an object, and no --labels names classes"
        )
    try:
        label_ids = tuple(0 if item.ignore else labels.id_of(item.label) for item in annotation.objects)
    except LabelError as error:
        # The error names the label; the object is needed for its line.
        names = labels.name_by_id.values()
        unknown = next(item for item in annotation.objects if not item.ignore and item.label not in names)
        detail = f"{image.name}: {error.detail}{_suggest(unknown.label, labels)}; in {annotation.source}"
        return reject_image(
            image, error.reason, detail, source=annotation.source, line=unknown.line, label=unknown.label
        )
    return LabelledImage(image=image, annotation=annotation, label_ids=label_ids)


def _suggest(unknown: str, labels: LabelMap) -> str:
    names = describe_nearest(unknown, labels.name_by_id.values())
    return f", did you mean {names}?" if names else ""


# --- Source ids and shards ---


@dataclass(frozen=True, kw_only=True)
class BucketLayout:
    """Where each hash bucket starts.

    Attributes:
      last_id: the largest id of --id_map; 0 without one.
      new_images: images in all buckets that have no id yet.
      images_of: images by split.
      first_id: id of the first new image, by bucket.
      first_rank: images of the split in all buckets before, by (bucket, split).
    """

    last_id: int
    new_images: int
    images_of: dict[str, int]
    first_id: dict[int, int]
    first_rank: dict[tuple[int, str], int]


def name_bucket(image: ImageFile) -> int:
    """Return the hash bucket of an image."""
    return source_ids.bucket_of(image.name)


def bucket_key(row: AssignedImage) -> BucketKey:
    """Return the key under which `lay_out` expects an image to be counted."""
    return name_bucket(row.content.image), row.split, row.known_id is None


def lay_out(counts: Mapping[BucketKey, int], last_id: int) -> BucketLayout:
    """Lay the buckets end to end, given the images in each and the largest id given so far.

    Example:
      >>> layout = lay_out({(0, "train", True): 2, (7, "train", True): 1, (7, "val", False): 1}, last_id=5)
      >>> layout.first_id, layout.first_rank[7, "train"], layout.images_of
      ({0: 6, 7: 8}, 2, {'train': 3, 'val': 1})
    """
    new_images: Counter[int] = Counter()
    first_rank: dict[tuple[int, str], int] = {}
    images_of: Counter[str] = Counter()
    # In the order of the buckets, which is the order of the hashes: each split is ranked by hash over the whole data
    # set.
    for bucket, split, is_new in sorted(counts):
        count = counts[bucket, split, is_new]
        # A bucket may have two entries for a split, known and new images; its first rank is that of the first of them.
        first_rank.setdefault((bucket, split), images_of[split])
        images_of[split] += count
        new_images[bucket] += count if is_new else 0
    return BucketLayout(
        last_id=last_id,
        new_images=new_images.total(),
        images_of=dict(images_of),
        first_id=first_new_ids(new_images, last_id),
        first_rank=first_rank,
    )


def number_bucket(
    group: tuple[int, Iterable[AssignedImage]], layout: BucketLayout, options: PrepareOptions
) -> Iterator[tuple[ShardKey, PlannedImage] | Reject]:
    """Give each image of a bucket its id and its shard, in the order of the hashes of their names.

    An image of --id_map keeps its id; new ids follow without gaps over the whole data set. A shard is a contiguous run
    of its split in hash order, so the sizes of shards differ by one image at most.
    """
    bucket, images = group
    # Checked for the whole data set, in every bucket alike: either all images are rejected, or none.
    try:
        source_ids.check_image_count(layout.new_images, layout.last_id)
    except UsageError as error:
        yield from (reject_image(row.content.image, "too_many_images", str(error)) for row in images)
        return
    ordered = sorted(images, key=lambda row: source_ids.name_hash(row.name))
    # Known ids are kept; the other images follow in this order from the first id of the bucket.
    known = {row.name: row.known_id for row in ordered if row.known_id is not None}
    id_of = assign_bucket((row.name for row in ordered), known, layout.first_id[bucket])
    seen: Counter[str] = Counter()
    for row in ordered:
        # The rank in the whole split: images before this bucket, and images of the split before this one in the bucket.
        rank = layout.first_rank[bucket, row.split] + seen[row.split]
        seen[row.split] += 1
        shard = shard_of(row.split, rank, layout.images_of[row.split], options.shards_of(row.split))
        yield (row.split, shard), PlannedImage(source_id=id_of[row.name], content=row.content)


def shard_of(split: str, rank: int, images: int, limit: int) -> str:
    """Return the file name of the shard for the image of this rank; a split has no more shards than images.

    Example:
      >>> shard_of("val", rank=5, images=10, limit=4)
      'val-00002-of-00004.tfrecord'
    """
    # Ranks 0..images-1 are cut into `count` runs of nearly equal length.
    count = min(images, limit)
    return dataset_shard_name(split, rank * count // images, count)
