"""What a shard was made of and what came out: kept beside the shards, so that a run can go on where another ended.

A shard is only kept when its input is the very same: names, ids, boxes, labels, flags, program version, and size and
time of change of every photograph; and when its file is there with the digest that it was written with.

A receipt is two lines of JSON: a seal, the digest of what the shard was made of and of the second line, and what came
out. So a receipt that is cut off, changed or of another shard is none, as if the shard had never been written.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from beam_jobs.options import RecordOptions
from beam_jobs.output_folder import receipt_name
from beam_jobs.rows import PlannedImage, Reject, ShardResult
from retinanet_odm import __version__
from retinanet_odm.dataset.examples import SCHEMA_VERSION
from retinanet_odm.dataset.manifest import ShardInfo
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.storage import files


def digest_plan(ordered: Iterable[PlannedImage], content: RecordOptions) -> str:
    """Hex SHA-256 of everything that decides the bytes of a shard; equal for equal input, on any machine."""
    digest = hashlib.sha256(repr((__version__, SCHEMA_VERSION, content)).encode())
    for row in ordered:
        digest.update(repr(row).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def save_receipt(output: str, made_of: str, result: ShardResult) -> None:
    """Writes the receipt of a shard, after the shard."""
    text = json.dumps(_to_json(result), ensure_ascii=False)
    files.write_text(files.join(output, receipt_name(result.info.name)), f"{_seal(made_of, text)}\n{text}\n")


def _seal(made_of: str, text: str) -> str:
    return json.dumps(hashlib.sha256(f"{made_of}\n{text}".encode("utf-8", "surrogateescape")).hexdigest())


def find_receipt(output: str, shard: str, made_of: str) -> ShardResult | None:
    """What came out of an earlier run, where the shard is still there, whole, and was made of the same."""
    path = files.join(output, receipt_name(shard))
    if not files.is_file(path):
        return None
    seal, _, text = files.read_written_text(path).removesuffix("\n").partition("\n")
    if seal != _seal(made_of, text):
        return None
    result = _from_json(json.loads(text))
    return result if files.find_digest(files.join(output, shard)) == result.info.sha256 else None


def _to_json(result: ShardResult) -> dict[str, Any]:
    value = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    value["info"] = dataclasses.asdict(result.info)
    value["statistics"] = result.statistics.to_json()
    for name in ("rejects", "remarks"):
        value[name] = [dataclasses.asdict(row) for row in value[name]]
    return value


def _from_json(value: dict[str, Any]) -> ShardResult:
    ratios = value["aspect_ratios"]
    return ShardResult(
        **{
            **value,
            "info": ShardInfo(**value["info"]),
            "aspect_ratios": ratios and tuple(ratios),
            "names": tuple(map(tuple, value["names"])),
            "twins": tuple(map(tuple, value["twins"])),
            "statistics": BoxStatistics.from_json(value["statistics"]),
            "coco_images": tuple(value["coco_images"]),
            "coco_annotations": tuple(value["coco_annotations"]),
            "rejects": tuple(_rejects(value["rejects"])),
            "remarks": tuple(_rejects(value["remarks"])),
        }
    )


def _rejects(rows: list[dict[str, Any]]) -> Iterator[Reject]:
    return (Reject(**row) for row in rows)
