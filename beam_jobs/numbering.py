"""Number: every image gets its source id and its shard, by the hash of its name. Pure functions over small rows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from beam_jobs.options import PrepareOptions
from beam_jobs.output_folder import dataset_shard_name
from beam_jobs.plan import SplitName, reject_image
from beam_jobs.rows import PlannedImage, Reject
from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.source_ids import IdMap, assign_bucket, first_new_ids
from retinanet_odm.errors import UsageError

ShardKey = tuple[str, str]  # split, file name


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each hash bucket starts.

    Attributes:
      new_images: number of images in all buckets that have no id yet.
      images_of: number of images by split.
      first_id: of the first new image, by bucket.
      first_rank: number of the split's images in the buckets before, by (bucket, split).
    """

    new_images: int
    images_of: dict[str, int]
    first_id: dict[int, int]
    first_rank: dict[tuple[int, str], int]


BucketKey = tuple[int, str, bool]


def bucket_key(row: SplitName, id_map: IdMap) -> BucketKey:
    """(hash bucket, split, whether it has no id yet) of an image."""
    name = row[1].image.name
    return source_ids.bucket_of(name), row[0], name not in id_map.id_of


def key_by_bucket(row: SplitName) -> tuple[int, SplitName]:
    """(hash bucket, image with its split)."""
    return source_ids.bucket_of(row[1].image.name), row


def lay_out(counts: Mapping[BucketKey, int], id_map: IdMap) -> Layout:
    """Lays the buckets end to end, given the number of images by place."""
    new_images: Counter[int] = Counter()
    first_rank: dict[tuple[int, str], int] = {}
    images_of: Counter[str] = Counter()
    for bucket, split, is_new in sorted(counts):
        count = counts[bucket, split, is_new]
        first_rank.setdefault((bucket, split), images_of[split])
        images_of[split] += count
        new_images[bucket] += count if is_new else 0
    return Layout(
        new_images=new_images.total(),
        images_of=dict(images_of),
        first_id=first_new_ids(new_images, id_map.last_id),
        first_rank=first_rank,
    )


def number_bucket(
    bucket: tuple[int, Iterable[SplitName]], layout: Layout, id_map: IdMap, options: PrepareOptions
) -> Iterator[tuple[ShardKey, PlannedImage] | Reject]:
    """Gives each image of a bucket its id and its shard (split, file name), in the order of the names' hashes.

    An image of the id map keeps its id; new ones follow, unbroken, over the whole data set. A shard holds an unbroken
    run of its split in hash order, so that shards differ by one image at most.
    """
    number, images = bucket
    try:
        source_ids.check_image_count(layout.new_images, id_map.last_id)
    except UsageError as error:
        yield from (reject_image(item.image, "too_many_images", str(error)) for _, item in images)
        return
    ordered = sorted(images, key=lambda row: source_ids.name_hash(row[1].image.name))
    id_of = assign_bucket((item.image.name for _, item in ordered), id_map.id_of, layout.first_id[number])
    seen: Counter[str] = Counter()
    for split, item in ordered:
        rank = layout.first_rank[number, split] + seen[split]
        seen[split] += 1
        name = shard_of(split, rank, layout.images_of[split], options.shards_of(split))
        yield (split, name), PlannedImage(source_id=id_of[item.image.name], content=item)


def shard_of(split: str, rank: int, images: int, limit: int) -> str:
    """The shard's file name for the rank-th of so many images; no more shards than images."""
    count = min(images, limit)
    return dataset_shard_name(split, rank * count // images, count)
