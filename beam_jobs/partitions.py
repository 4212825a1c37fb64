"""The verbs of `join` and `plan` over many rows at once: all rows of a partition, a bucket or a shard.

In comes (key, batches); out come KeyedRows for the next step, Rejects, and what is counted. Begin with `list_images`;
the functions are in the order of the steps.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from beam_jobs import join, plan
from beam_jobs.batches import KeyedRow, RowBatch, partition_of, unpack_batches
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import AssignedImage, Candidate, Reject, UnannotatedImage
from beam_jobs.tally import Tally, tallied
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.pickling import pack_rows
from retinanet_odm.sources.listing import AnnotationFile, ImageFile, InputPattern, match_annotations, match_images
from retinanet_odm.sources.row_names import Key

OPEN = "open"  # the output of rows that are still to be joined

Partition = tuple[Any, Iterable[RowBatch]]


class BucketCounts(Counter[plan.BucketKey]):
    """The images of some buckets, for `beam_jobs.plan.lay_out`."""


def list_images(source: InputPattern) -> Iterator[KeyedRow]:
    """Yield the images that match a pattern, by the partition of their match key."""
    for image in match_images(source):
        yield KeyedRow(partition_of(join.image_key(image)), image)


def list_annotations(source: InputPattern) -> Iterator[KeyedRow]:
    """Yield the annotation files that match a pattern, by the partition of their URI."""
    # So that a file that two patterns match is read once, and that the worker that lists the files does not read all.
    for uri, file in match_annotations(source):
        yield KeyedRow(partition_of(uri), file)


def read_partition(partition: Partition, options: PrepareOptions) -> Iterator[KeyedRow | Reject | Tally]:
    """Yield the annotation of every image in the files of a partition, by the partition of its match key."""
    tally = Tally()
    names: defaultdict[str, list[AnnotationFile]] = defaultdict(list)
    for file in unpack_batches(partition[1]):
        names[file.uri].append(file)
    for same in names.values():
        for row in plan.read_annotation_group(same, options.min_score, options.ignore_labels):
            if isinstance(row, Reject):
                tally.add(row)
                yield row
            else:
                tally.add_shapes(row)
                yield KeyedRow(partition_of(join.annotation_key(row)), row)
    yield tally


def join_partition(partition: Partition) -> Iterator[KeyedRow | Reject | Tally]:
    """Join the images and annotations of a partition by their names.

    Images with their annotation go to their hash bucket, rows that are still open to the output OPEN.
    """
    tally = Tally()
    groups: defaultdict[Key, dict[str, list[Any]]] = defaultdict(lambda: {"images": [], "annotations": []})
    for row in unpack_batches(partition[1]):
        if isinstance(row, ImageFile):
            groups[join.image_key(row)]["images"].append(row)
        else:
            groups[join.annotation_key(row)]["annotations"].append(row)
    tally.images_in = sum(map(join.count_images, groups.items()))
    rows = (row for group in groups.items() for row in join.join_images(group))
    yield from tallied(map(_route, rows), tally)


def _route(row: Candidate | join.OpenRow | Reject) -> KeyedRow | Reject:
    if isinstance(row, Reject):
        return row
    if isinstance(row, Candidate):
        return _in_bucket(row)
    ((key, _),) = join.open_row_key(row)
    return KeyedRow(partition_of(key), row, OPEN)


def _in_bucket(row: Candidate | UnannotatedImage) -> KeyedRow:
    return KeyedRow(plan.name_bucket(row.image), row)


def join_open_partition(partition: Partition) -> Iterator[KeyedRow | Reject | Tally]:
    """Join the open rows of a partition by the <filename> in files; images go to their hash bucket."""
    groups: defaultdict[Key, list[join.OpenRow]] = defaultdict(list)
    for row in unpack_batches(partition[1]):
        for key, _ in join.open_row_key(row):
            groups[key].append(row)
    joined = (row for group in groups.items() for row in join.join_by_filename(group))
    yield from tallied((row if isinstance(row, Reject) else _in_bucket(row) for row in joined), Tally())


def assign_partition(
    bucket: Partition, options: PrepareOptions, labels: LabelMap | None, found: Tally
) -> Iterator[Reject | BucketCounts | tuple[int, RowBatch]]:
    """Assign labels and splits to the images of a hash bucket; yield their number, and (bucket, all of them)."""
    rows: list[AssignedImage] = []
    for image in unpack_batches(bucket[1]):
        row = plan.assign_labels_and_splits(image, options, labels, found.unreadable)
        if isinstance(row, Reject):
            yield row
        else:
            rows.append(row)
    if rows:
        yield BucketCounts(map(plan.bucket_key, rows))
        # As one batch, because the images of a bucket are numbered together.
        yield bucket[0], pack_rows(rows)


def number_partition(
    bucket: tuple[int, RowBatch], layout: plan.BucketLayout, options: PrepareOptions
) -> Iterator[KeyedRow | Reject]:
    """Give the images of a hash bucket their ids and shards."""
    for row in plan.number_bucket((bucket[0], unpack_batches(bucket[1:])), layout, options):
        yield row if isinstance(row, Reject) else KeyedRow(*row)
