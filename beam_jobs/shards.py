"""Makes one shard on one worker: reads its images, checks them and writes the records, or only checks them.

Begin with `make_shard`. The bytes of images never leave this module but into the shard.
"""

import collections
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from beam_jobs import resume
from beam_jobs.numbering import ShardKey
from beam_jobs.options import PrepareOptions
from beam_jobs.records import ExampleRecord, make_record
from beam_jobs.rows import PlannedImage
from beam_jobs.shard_result import ShardResult
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.examples import encode_example
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import normalise_image
from retinanet_odm.sources.listing import read_image
from retinanet_odm.storage import files
from retinanet_odm.storage.prefetch import map_ahead
from retinanet_odm.storage.tfrecord import frame_record

_READ_AHEAD = 16  # images in memory at once, per shard

# The threads of a process, shared by all its shards; none starts before it has work. Decoding keeps a core busy, and
# more threads than cores would only wait for each other. Reading from an object store is mostly waiting.
_LOCAL_READERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="read-image")
_REMOTE_READERS = ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="read-remote-image")


def make_shard(key: ShardKey, planned: Iterable[PlannedImage], options: PrepareOptions) -> ShardResult:
    """Writes the images of one shard in the order of their ids, or only checks them (`options.writes`).

    An image that cannot be used becomes a reject and takes no record. With `options.resume`, a shard that an earlier
    run made from exactly the same input is kept.
    """
    split, name = key
    ordered = sorted(planned, key=lambda row: row.source_id)
    result = ShardResult(split=split, name=name)
    records = _records(ordered, result, options)
    if not options.writes:
        collections.deque(records, maxlen=0)
        return result
    plan_digest = resume.digest_plan(ordered, options.content)
    if options.resume and (kept := resume.find_receipt(options.output, name, plan_digest)):
        PROGRESS.skip(len(kept.images))
        return kept
    result.sha256 = files.write_pieces(files.join(options.output, name), records)
    # The order matters: a receipt without its shard would be a promise that a killed run has not kept.
    resume.save_receipt(options.output, plan_digest, result)
    return result


def _records(ordered: Sequence[PlannedImage], result: ShardResult, options: PrepareOptions) -> Iterator[bytes]:
    """Yields the framed record of each usable image, and fills in the result on the way."""
    boxes: list[ImageBoxes] = []
    is_remote = any("://" in row.content.image.uri for row in ordered[:1])
    readers = _REMOTE_READERS if is_remote else _LOCAL_READERS
    load = functools.partial(_load, options=options)
    for row, loaded in zip(ordered, map_ahead(load, ordered, readers, ahead=_READ_AHEAD), strict=True):
        PROGRESS.add(failed=isinstance(loaded, DataError))
        if isinstance(loaded, DataError):
            result.reject(row, loaded)
            continue
        result.add(row, loaded.record, loaded.perceptual_hash)
        boxes.append(ImageBoxes.from_example(loaded.record.example))
        yield loaded.framed
    result.statistics = BoxStatistics.from_images(boxes)  # all at once: image by image takes much longer


@dataclass(frozen=True, kw_only=True)
class _LoadedImage:
    """A record, the perceptual hash of its image, and its bytes in the shard (empty if nothing is written)."""

    record: ExampleRecord
    perceptual_hash: int | None
    framed: bytes


def _load(planned: PlannedImage, options: PrepareOptions) -> _LoadedImage | DataError:
    """Reads an image and makes its record. An error of the image is returned, so that the others go on."""
    try:
        image = normalise_image(read_image(planned.content.image), name=planned.name, rule=options.content.pixels)
        record = make_record(planned, image, options.content.min_box)
    except DataError as error:
        return error
    framed = frame_record(encode_example(record.example)) if options.writes else b""
    return _LoadedImage(record=record, perceptual_hash=image.perceptual_hash, framed=framed)
