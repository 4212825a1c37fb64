"""Makes one shard on one worker: reads its images, checks them and writes the records, or only checks them.

Begin with `start_shard`, and `_complete`, the second half of it. The bytes of images never leave this
module but into the shard.

Beside each shard lies its receipt, for --resume: what the shard was made of and what came out. A shard is kept only if
its input is exactly the same (names, ids, boxes, labels, flags, program version, and version of every image file) and
its file still has the digest that it was written with. A receipt is two lines of JSON: a seal and the ShardResult. The
seal is a digest of the plan and of the second line, so a receipt that is truncated, changed or belongs to another shard
is ignored, as if the shard had never been written.
"""

import collections
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from beam_jobs.options import PrepareOptions, RecordOptions
from beam_jobs.output_folder import receipt_name
from beam_jobs.plan import ShardKey
from beam_jobs.records import ExampleRecord, make_record
from beam_jobs.rows import PlannedImage
from beam_jobs.shard_results import ShardResult
from retinanet_odm import __version__
from retinanet_odm.annotations.types import ObjectAnnotation
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.example_keys import SCHEMA_VERSION
from retinanet_odm.dataset.examples import encode_in_pieces
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import ImageRemark, normalise_image
from retinanet_odm.sources.listing import ImageFile, read_image
from retinanet_odm.storage import files
from retinanet_odm.storage.prefetch import map_ahead
from retinanet_odm.storage.tfrecord import frame_pieces

_READ_AHEAD = 16  # images in memory at once, per shard

# The threads of a process, shared by all its shards; none starts before it has work. Decoding keeps a core busy, and
# more threads than cores would only wait for each other. Reading from an object store is mostly waiting.
_LOCAL_READERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="read-image")
_REMOTE_READERS = ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="read-remote-image")

RECEIPT_VERSION = 3  # raise it when ShardResult's JSON, or what it counts, changes: older receipts are then ignored


def start_shard(key: ShardKey, planned: Iterable[PlannedImage], options: PrepareOptions) -> Callable[[], ShardResult]:
    """Begin to read the images of a shard; return the function that writes or only checks them (`options.writes`).

    So the threads that read are busy while the shard before is completed. The records have the order of the ids. An
    image that cannot be used becomes a reject and takes no record. With `options.resume`, a shard that an earlier run
    made from exactly the same input is kept.
    """
    split, name = key
    # A group arrives in any order. Sorted, the same plan gives the same bytes, and so the same digest.
    ordered = sorted(planned, key=lambda row: row.source_id)
    plan_digest = digest_plan(ordered, options.content) if options.writes else ""
    # Before the first image is read: a kept shard costs only its receipt and the digest of its own file.
    if options.resume and (kept := find_receipt(options.output, name, plan_digest)):
        PROGRESS.skip(len(kept.images))
        return lambda: kept
    # The first image stands for all: where local and remote ones are mixed, only the speed suffers.
    is_remote = any("://" in row.content.image.uri for row in ordered[:1])
    readers = _REMOTE_READERS if is_remote else _LOCAL_READERS
    load = functools.partial(_load, options=options)
    loaded = map_ahead(load, ordered, readers, ahead=_READ_AHEAD, at_once=True)
    result = ShardResult(split=split, name=name)
    return functools.partial(_complete, result, _records(ordered, loaded, result), plan_digest, options)


def _complete(result: ShardResult, records: Iterator[bytes], plan_digest: str, options: PrepareOptions) -> ShardResult:
    if not options.writes:
        # Runs the generator to its end without keeping anything: the result is filled on the way.
        collections.deque(records, maxlen=0)
        return result
    result.sha256 = files.write_pieces(files.join(options.output, result.name), records)
    # The order matters: a receipt without its shard would be a promise that a killed run has not kept.
    save_receipt(options.output, plan_digest, result)
    return result


def _records(
    ordered: Sequence[PlannedImage], images: Iterator["_LoadedImage | DataError"], result: ShardResult
) -> Iterator[bytes]:
    """Yield the framed record of each usable image in pieces, and fill in the result on the way."""
    boxes: list[ImageBoxes] = []
    for row, loaded in zip(ordered, images, strict=True):
        PROGRESS.add(failed=isinstance(loaded, DataError))
        if isinstance(loaded, DataError):
            # Results come in the order of the plan, so rows of rejects and examples do too.
            result.reject(row, loaded)
            continue
        result.add(row, loaded.record, loaded.perceptual_hash, loaded.remarks)
        boxes.append(ImageBoxes.from_example(loaded.record.example))
        yield from loaded.framed
    result.statistics = BoxStatistics.from_images(boxes)  # all at once: image by image takes much longer


@dataclass(frozen=True, kw_only=True)
class _LoadedImage:
    """A record, what was found out about its image, and its pieces in the shard (none if nothing is written)."""

    record: ExampleRecord
    perceptual_hash: int | None
    remarks: tuple[ImageRemark, ...]
    framed: tuple[bytes, ...]


def _load(planned: PlannedImage, options: PrepareOptions) -> _LoadedImage | DataError:
    """Read an image and make its record. An error of the image is returned, so that the others go on."""
    try:
        image = normalise_image(read_image(planned.content.image), name=planned.name, rule=options.content.pixels)
        record = make_record(planned, image, options.content.min_box)
    except DataError as error:
        return error
    # Encoded in the thread as well, so that the writer only has to write.
    framed = frame_pieces(encode_in_pieces(record.example)) if options.writes else ()
    return _LoadedImage(record=record, perceptual_hash=image.perceptual_hash, remarks=image.remarks, framed=framed)


# --- Receipts, for --resume ---


def digest_plan(ordered: Iterable[PlannedImage], content: RecordOptions) -> str:
    """Return the hex SHA-256 of everything that decides the bytes of a shard; equal on any machine.

    The values are listed by hand below, so that classes and fields can be renamed freely. Add every new field that
    affects a record or a reject.
    """
    pixels = content.pixels
    flags = [pixels.verify, pixels.max_side, pixels.grayscale, pixels.perceptual_hash, content.min_box]
    digest = hashlib.sha256(_encode([RECEIPT_VERSION, __version__, SCHEMA_VERSION, flags]))
    for planned in ordered:
        digest.update(_encode(_planned_values(planned)))
    return digest.hexdigest()


def _planned_values(planned: PlannedImage) -> list[Any]:
    annotation = planned.content.annotation
    return [
        planned.source_id,
        _image_values(planned.content.image),
        [annotation.width, annotation.height, annotation.source, annotation.line, annotation.is_relative],
        [_object_values(item) for item in annotation.objects],
        [[remark.reason, remark.detail, remark.line, remark.value] for remark in annotation.remarks],
        planned.content.label_ids,
        # Only where there is something: receipts of earlier versions stay valid.
        *([planned.content.not_exhaustive] if planned.content.not_exhaustive else []),
    ]


def _image_values(image: ImageFile) -> list[Any]:
    # The matching is over: which annotations the image may have (export_uri) no longer matters.
    member = image.member
    # The place in an archive, with the checksum: a member has no version of its own.
    place = member and [
        member.name,
        member.offset,
        member.stored_size,
        member.size,
        member.method,
        member.encrypted,
        member.crc,
    ]
    return [image.uri, image.name, image.version, place]


def _object_values(item: ObjectAnnotation) -> list[Any]:
    flags = [item.difficult, item.truncated, item.occluded, item.is_crowd]
    return [item.label, item.box, *flags, item.line, *(["ignore"] if item.ignore else [])]


def _encode(values: list[Any]) -> bytes:
    # ASCII with escapes: a file name need not be valid UTF-8.
    return json.dumps(values).encode("ascii") + b"\n"


def save_receipt(output: str, plan_digest: str, result: ShardResult) -> None:
    """Write the receipt of a shard. Call it after the shard is written."""
    text = json.dumps(result.to_json(), ensure_ascii=False)
    files.write_text(files.join(output, receipt_name(result.name)), f"{_seal(plan_digest, text)}\n{text}\n")


def find_receipt(output: str, shard: str, plan_digest: str) -> ShardResult | None:
    """Return the result of an earlier run if its shard is complete and was made from the same plan."""
    path = files.join(output, receipt_name(shard))
    if not files.is_file(path):
        return None
    seal, _, text = files.read_written_text(path).removesuffix("\n").partition("\n")
    # The order matters: only a text whose seal is right is parsed, and the digest of the large shard is computed last.
    if seal != _seal(plan_digest, text):
        return None
    result = ShardResult.from_json(json.loads(text))
    return result if files.find_digest(files.join(output, shard)) == result.sha256 else None


def _seal(plan_digest: str, text: str) -> str:
    return json.dumps(hashlib.sha256(f"{plan_digest}\n{text}".encode("utf-8", "surrogateescape")).hexdigest())
