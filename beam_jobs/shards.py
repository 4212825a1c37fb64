"""One shard: read its images a few ahead, check them, write the final TFRecord file in one stream."""

import collections
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from beam_jobs import receipts
from beam_jobs.numbering import ShardKey
from beam_jobs.options import PrepareOptions
from beam_jobs.progress import PROGRESS
from beam_jobs.records import Record, make_record
from beam_jobs.rows import PlannedImage, ShardResult
from beam_jobs.tally import Tally
from beamio import files
from beamio.ahead import prefetch
from beamio.sources import read_image
from beamio.tfrecords import frame_record
from detection.errors import DataError
from detection.examples import encode_example
from detection.images import normalise_image
from detection.manifests import ShardInfo

# Images in memory at once, per shard.
_READ_AHEAD = 16


def make_shard(key: ShardKey, planned: Iterable[PlannedImage], options: PrepareOptions) -> ShardResult:
    """Writes the images of one shard, or only looks at them, as options.writes says.

    With options.resume, a shard that an earlier run made of the very same input stays as it is.
    """
    split, name = key
    ordered = sorted(planned, key=lambda row: row.source_id)
    if not options.writes:
        return look_at_shard(split, name, ordered, options)
    made_of = receipts.digest_plan(ordered, options.content)
    if options.resume and (known := receipts.find(options.output, name, made_of)):
        PROGRESS.skip(len(known.names))
        return known
    result = write_shard(split, name, ordered, options)
    receipts.save(options.output, made_of, result)
    return result


def write_shard(split: str, name: str, ordered: Sequence[PlannedImage], options: PrepareOptions) -> ShardResult:
    """Writes images in the order given; a bad image becomes a reject and takes no record."""
    tally = Tally(split)
    sha256 = files.write_pieces(files.join(options.output, name), _records(ordered, tally, options))
    return tally.result(ShardInfo(name=name, examples=tally.examples, sha256=sha256))


def look_at_shard(split: str, name: str, ordered: Sequence[PlannedImage], options: PrepareOptions) -> ShardResult:
    """What write_shard would tell, with nothing written."""
    tally = Tally(split)
    collections.deque(_records(ordered, tally, options), maxlen=0)
    return tally.result(ShardInfo(name=name, examples=tally.examples, sha256=""))


def _records(ordered: Sequence[PlannedImage], tally: Tally, options: PrepareOptions) -> Iterator[bytes]:
    load = functools.partial(_load, options=options)
    is_remote = any("://" in row.content.image.uri for row in ordered[:1])
    readers = _REMOTE_READERS if is_remote else _LOCAL_READERS
    for row, future in prefetch(ordered, load, ahead=_READ_AHEAD, readers=readers):
        try:
            loaded = future.result()
        except DataError as error:
            tally.reject(row, error)
            PROGRESS.add(rejected=True)
            continue
        tally.add(row, loaded.record, loaded.fingerprint)
        PROGRESS.add(rejected=False)
        yield loaded.framed


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A record, its image's perceptual hash, and its bytes in the shard; none where nothing is written."""

    record: Record
    fingerprint: int | None
    framed: bytes


def _load(planned: PlannedImage, options: PrepareOptions) -> _Ready:
    image = normalise_image(read_image(planned.content.image), name=planned.name, rule=options.content.pixels)
    record = make_record(planned, image, options.content.min_box)
    framed = frame_record(encode_example(record.example)) if options.writes else b""
    return _Ready(record=record, fingerprint=image.fingerprint, framed=framed)


# The threads of a process, which all its shards share; none starts before it has work. Decoding keeps a core busy, and
# more threads than cores only wait for each other; reading from an object store is mostly waiting.
_LOCAL_READERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="read-image")
_REMOTE_READERS = ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="read-remote-image")
