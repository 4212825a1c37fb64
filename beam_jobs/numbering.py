"""Numbering: every image gets its source id and its shard, by the hash of its name. Pure functions over small rows.

Images fall into hash buckets, and the buckets are laid end to end (`lay_out`). Each bucket can then be numbered on its
own machine (`number_bucket`): no machine sorts all images, and the order of arrival does not matter.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from beam_jobs.options import PrepareOptions
from beam_jobs.output_folder import dataset_shard_name
from beam_jobs.rows import AssignedImage, PlannedImage, Reject, reject_image
from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.source_ids import assign_bucket, first_new_ids
from retinanet_odm.errors import UsageError

ShardKey = tuple[str, str]  # split, file name
BucketKey = tuple[int, str, bool]  # hash bucket, split, whether the image is new (has no id yet)


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


def image_bucket(row: AssignedImage) -> int:
    """Returns the hash bucket of an image."""
    return source_ids.bucket_of(row.name)


def bucket_counts(row: AssignedImage) -> Iterator[tuple[BucketKey, int]]:
    """Yields what an image adds to the counts that `lay_out` takes."""
    yield (image_bucket(row), row.split, row.known_id is None), 1


def lay_out(counts: Mapping[BucketKey, int], last_id: int) -> BucketLayout:
    """Lays the buckets end to end, given the images in each and the largest id given so far.

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
    """Gives each image of a bucket its id and its shard, in the order of the hashes of their names.

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
    """Returns the file name of the shard for the image of this rank; a split has no more shards than images.

    Example:
      >>> shard_of("val", rank=5, images=10, limit=4)
      'val-00002-of-00004.tfrecord'
    """
    # Ranks 0..images-1 are cut into `count` runs of nearly equal length.
    count = min(images, limit)
    return dataset_shard_name(split, rank * count // images, count)
