"""One shard: read its images a few ahead, check them, write the final TFRecord file in one stream."""

import collections
import hashlib
import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import google_crc32c

from beam_jobs.plan import ShardKey
from beam_jobs.records import Record, make_record
from beam_jobs.rows import COCO_SPLIT, IMAGE, PlannedImage, Reject, ShardResult
from beam_jobs.sources import read_image
from beamio import files
from detection.errors import DataError
from detection.examples import DetectionExample, encode_example
from detection.formats import coco
from detection.images import normalise_image
from detection.manifests import ShardInfo

logger = logging.getLogger(__name__)

# Enough to hide the latency of an object store, few enough to hold in memory at once.
_READ_AHEAD = 8

_Item = TypeVar("_Item")
_Loaded = TypeVar("_Loaded")


def write_shard(key: ShardKey, planned: Iterable[PlannedImage], output: str) -> ShardResult:
    """Writes the images of one shard, in the order of their ids; a bad image becomes a reject and takes no record."""
    split, name = key
    tally = _Tally(split)
    digest = hashlib.sha256()
    ordered = sorted(planned, key=lambda row: row.source_id)
    with files.write_atomic(files.join(output, name)) as file:
        for row, future in prefetch(ordered, _load, ahead=_READ_AHEAD):
            try:
                record = future.result()
            except DataError as error:
                tally.reject(row, error)
                continue
            data = frame_record(encode_example(record.example))
            digest.update(data)
            file.write(data)
            tally.add(record)
    result = tally.result(ShardInfo(name=name, examples=tally.examples, sha256=digest.hexdigest()))
    logger.info("%s: %d images, %d rejected", name, result.info.examples, len(ordered) - result.info.examples)
    return result


def _load(planned: PlannedImage) -> Record:
    image = normalise_image(read_image(planned.content.image), name=planned.name)
    return make_record(planned, image)


def prefetch(
    items: Iterable[_Item], load: Callable[[_Item], _Loaded], *, ahead: int
) -> Iterator[tuple[_Item, Future[_Loaded]]]:
    """Each item and its loaded value, in order, while threads load at most so many items ahead."""
    waiting: collections.deque[tuple[_Item, Future[_Loaded]]] = collections.deque()
    with ThreadPoolExecutor(ahead) as pool:
        for item in items:
            waiting.append((item, pool.submit(load, item)))
            if len(waiting) > ahead:
                yield waiting.popleft()
        yield from waiting


def frame_record(data: bytes) -> bytes:
    """One TFRecord: length, masked CRC-32C of the length, data, masked CRC-32C of the data; little-endian.

    The format is stated in tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
    """
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


class _Tally:
    """Adds up what became of a shard's images."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.examples = 0
        self.boxes_per_class: collections.Counter[str] = collections.Counter()
        self.max_boxes = 0
        self.aspect_ratios: tuple[float, float] | None = None
        self.clipped = 0
        self.names: list[tuple[int, str, bool]] = []
        self.coco_images: list[dict] = []
        self.coco_annotations: list[dict] = []
        self.rejects: list[Reject] = []

    def reject(self, planned: PlannedImage, error: DataError) -> None:
        name = planned.name
        self.names.append((planned.source_id, name, False))
        self.rejects.append(
            Reject(kind=IMAGE, name=name, reason=error.reason, detail=error.detail, source=planned.content.image.uri)
        )

    def add(self, record: Record) -> None:
        example = record.example
        self.examples += 1
        self.names.append((example.source_id, example.filename, True))
        self.boxes_per_class.update(item.label for item in example.objects)
        self.max_boxes = max(self.max_boxes, len(example.objects))
        self.clipped += record.clipped
        self.rejects.extend(record.dropped)
        self._add_aspect_ratio(example)
        if self.split == COCO_SPLIT:
            self.coco_images.append(coco.image_entry(example))
            self.coco_annotations.extend(coco.annotation_entries(example))

    def _add_aspect_ratio(self, example: DetectionExample) -> None:
        ratio = example.width / example.height
        low, high = self.aspect_ratios or (ratio, ratio)
        self.aspect_ratios = min(low, ratio), max(high, ratio)

    def result(self, info: ShardInfo) -> ShardResult:
        return ShardResult(
            split=self.split,
            info=info,
            boxes_per_class=dict(self.boxes_per_class),
            max_boxes=self.max_boxes,
            aspect_ratios=self.aspect_ratios,
            clipped=self.clipped,
            names=tuple(self.names),
            coco_images=tuple(self.coco_images),
            coco_annotations=tuple(self.coco_annotations),
            rejects=tuple(self.rejects),
        )
