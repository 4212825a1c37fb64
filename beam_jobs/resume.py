"""Receipts for --resume: what each shard was made of and what came out, stored beside the shards.

A shard is kept only if its input is exactly the same (names, ids, boxes, labels, flags, program version, and version of
every image file) and its file still has the digest that it was written with.

A receipt is two lines of JSON: a seal and the ShardResult. The seal is a digest of the plan and of the second line, so
a receipt that is truncated, changed or belongs to another shard is ignored, as if the shard had never been written.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from beam_jobs.options import RecordOptions
from beam_jobs.output_folder import receipt_name
from beam_jobs.rows import PlannedImage
from beam_jobs.shard_result import ShardResult
from retinanet_odm import __version__
from retinanet_odm.annotations.types import ObjectAnnotation
from retinanet_odm.dataset.examples import SCHEMA_VERSION
from retinanet_odm.sources.listing import ImageFile
from retinanet_odm.storage import files

RECEIPT_VERSION = 2  # raise it when the JSON of a ShardResult changes: older receipts are then ignored


def digest_plan(ordered: Iterable[PlannedImage], content: RecordOptions) -> str:
    """Returns the hex SHA-256 of everything that decides the bytes of a shard; equal on any machine.

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
        [annotation.width, annotation.height, annotation.source, annotation.line],
        [_object_values(item) for item in annotation.objects],
        [[remark.reason, remark.detail, remark.line, remark.value] for remark in annotation.remarks],
        planned.content.label_ids,
    ]


def _image_values(image: ImageFile) -> list[Any]:
    # The matching is over: which annotations the image may have (export_uri) no longer matters.
    member = image.member
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
    return [item.label, item.box, item.difficult, item.truncated, item.occluded, item.is_crowd, item.line]


def _encode(values: list[Any]) -> bytes:
    # ASCII with escapes: a file name need not be valid UTF-8.
    return json.dumps(values).encode("ascii") + b"\n"


def save_receipt(output: str, plan_digest: str, result: ShardResult) -> None:
    """Writes the receipt of a shard. Call it after the shard is written."""
    text = json.dumps(result.to_json(), ensure_ascii=False)
    files.write_text(files.join(output, receipt_name(result.name)), f"{_seal(plan_digest, text)}\n{text}\n")


def find_receipt(output: str, shard: str, plan_digest: str) -> ShardResult | None:
    """Returns the result of an earlier run if its shard is complete and was made from the same plan."""
    path = files.join(output, receipt_name(shard))
    if not files.is_file(path):
        return None
    seal, _, text = files.read_written_text(path).removesuffix("\n").partition("\n")
    if seal != _seal(plan_digest, text):
        return None
    result = ShardResult.from_json(json.loads(text))
    return result if files.find_digest(files.join(output, shard)) == result.sha256 else None


def _seal(plan_digest: str, text: str) -> str:
    return json.dumps(hashlib.sha256(f"{plan_digest}\n{text}".encode("utf-8", "surrogateescape")).hexdigest())
