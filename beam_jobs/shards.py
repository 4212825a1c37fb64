"""Adds up what became of a shard's images."""

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
from beam_jobs.rows import COCO_SPLIT, IMAGE_REJECT, REMARK, HashGroup, PlannedImage, Reject, ShardResult
from retinanet_odm.annotations.geometry import SIZE_SCALED, SIZE_TURNED, SIZE_TURNED_AND_SCALED
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.coco import annotation_entries, image_entry
from retinanet_odm.dataset.examples import DetectionExample, encode_example
from retinanet_odm.dataset.manifest import ShardInfo
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import normalise_image
from retinanet_odm.sources.listing import read_image
from retinanet_odm.storage import files
from retinanet_odm.storage.prefetch import map_ahead
from retinanet_odm.storage.tfrecord import frame_record

# What was done to the boxes of an image, by how its annotation fits it.
_FITS = {SIZE_TURNED: (SIZE_TURNED,), SIZE_SCALED: (SIZE_SCALED,), SIZE_TURNED_AND_SCALED: (SIZE_TURNED, SIZE_SCALED)}


class ShardResultBuilder:
    """The ShardResult in the making."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.examples = 0
        self._boxes_per_class: collections.Counter[str] = collections.Counter()
        self._max_boxes = 0
        self._aspect_ratios: tuple[float, float] | None = None
        self._clipped = 0
        self._names: list[tuple[int, str, bool]] = []
        self._twins: list[HashGroup] = []
        self._boxes: list[ImageBoxes] = []
        self._coco_images: list[dict] = []
        self._coco_annotations: list[dict] = []
        self._rejects: list[Reject] = []
        self._remarks: list[Reject] = []

    def reject(self, planned: PlannedImage, error: DataError) -> None:
        """An image that cannot be used."""
        name, source = planned.name, planned.content.image.uri
        self._names.append((planned.source_id, name, False))
        self._rejects.append(
            Reject(
                kind=IMAGE_REJECT, name=name, reason=error.reason, detail=error.detail, source=source, line=error.line
            )
        )

    def add(self, planned: PlannedImage, record: ExampleRecord, perceptual_hash: int | None) -> None:
        """An image that became an example; perceptual_hash: its perceptual hash."""
        example = record.example
        self.examples += 1
        self._names.append((example.source_id, example.filename, True))
        self._twins.append((example.sha256, perceptual_hash))
        self._boxes_per_class.update(item.label for item in example.objects)
        self._max_boxes = max(self._max_boxes, len(example.objects))
        self._clipped += record.clipped
        self._boxes.append(ImageBoxes.from_example(example))
        self._rejects.extend(record.dropped)
        self._remark(planned, record)
        self._add_aspect_ratio(example)
        if self.split == COCO_SPLIT:
            self._coco_images.append(image_entry(example))
            self._coco_annotations.extend(annotation_entries(example))

    def _remark(self, planned: PlannedImage, record: ExampleRecord) -> None:
        annotation = planned.content.annotation
        said = f"{annotation.width}x{annotation.height}"
        for fit in _FITS.get(record.fit, ()):
            detail = f"{planned.name}: boxes were drawn on {said} pixels: they are {fit} to fit the photograph"
            self._remarks.append(_kept(planned, f"size_{fit}", detail, value=said))

    def _add_aspect_ratio(self, example: DetectionExample) -> None:
        ratio = example.width / example.height
        low, high = self._aspect_ratios or (ratio, ratio)
        self._aspect_ratios = min(low, ratio), max(high, ratio)

    def result(self, info: ShardInfo) -> ShardResult:
        """The sum of all."""
        return ShardResult(
            split=self.split,
            info=info,
            boxes_per_class=dict(self._boxes_per_class),
            max_boxes=self._max_boxes,
            aspect_ratios=self._aspect_ratios,
            clipped=self._clipped,
            names=tuple(self._names),
            twins=tuple(self._twins),
            statistics=BoxStatistics.from_images(self._boxes),
            coco_images=tuple(self._coco_images),
            coco_annotations=tuple(self._coco_annotations),
            rejects=tuple(self._rejects),
            remarks=tuple(self._remarks),
        )


def _kept(planned: PlannedImage, reason: str, detail: str, *, value: str) -> Reject:
    source = planned.content.annotation.source
    line = planned.content.annotation.line
    return Reject(kind=REMARK, name=planned.name, reason=reason, detail=detail, source=source, line=line, value=value)


# Images in memory at once, per shard.
_READ_AHEAD = 16


def make_shard(key: ShardKey, planned: Iterable[PlannedImage], options: PrepareOptions) -> ShardResult:
    """Writes the images of one shard, or only looks at them, as options.writes says.

    With options.resume, a shard that an earlier run made of the very same input stays as it is.
    """
    split, name = key
    ordered = sorted(planned, key=lambda row: row.source_id)
    if not options.writes:
        return inspect_shard(split, name, ordered, options)
    made_of = resume.digest_plan(ordered, options.content)
    if options.resume and (known := resume.find_receipt(options.output, name, made_of)):
        PROGRESS.skip(len(known.names))
        return known
    result = write_dataset_shard(split, name, ordered, options)
    resume.save_receipt(options.output, made_of, result)
    return result


def write_dataset_shard(split: str, name: str, ordered: Sequence[PlannedImage], options: PrepareOptions) -> ShardResult:
    """Writes images in the order given; a bad image becomes a reject and takes no record."""
    tally = ShardResultBuilder(split)
    sha256 = files.write_pieces(files.join(options.output, name), _records(ordered, tally, options))
    return tally.result(ShardInfo(name=name, examples=tally.examples, sha256=sha256))


def inspect_shard(split: str, name: str, ordered: Sequence[PlannedImage], options: PrepareOptions) -> ShardResult:
    """What write_shard would tell, with nothing written."""
    tally = ShardResultBuilder(split)
    collections.deque(_records(ordered, tally, options), maxlen=0)
    return tally.result(ShardInfo(name=name, examples=tally.examples, sha256=""))


def _records(ordered: Sequence[PlannedImage], tally: ShardResultBuilder, options: PrepareOptions) -> Iterator[bytes]:
    load = functools.partial(_load_or_reject, options=options)
    is_remote = any("://" in row.content.image.uri for row in ordered[:1])
    readers = _REMOTE_READERS if is_remote else _LOCAL_READERS
    for row, loaded in zip(ordered, map_ahead(load, ordered, readers, ahead=_READ_AHEAD), strict=True):
        PROGRESS.add(failed=isinstance(loaded, DataError))
        if isinstance(loaded, DataError):
            tally.reject(row, loaded)
        else:
            tally.add(row, loaded.record, loaded.perceptual_hash)
            yield loaded.framed


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A record, its image's perceptual hash, and its bytes in the shard; none where nothing is written."""

    record: ExampleRecord
    perceptual_hash: int | None
    framed: bytes


def _load_or_reject(planned: PlannedImage, options: PrepareOptions) -> _Ready | DataError:
    try:
        return _load(planned, options)
    except DataError as error:
        return error


def _load(planned: PlannedImage, options: PrepareOptions) -> _Ready:
    image = normalise_image(read_image(planned.content.image), name=planned.name, rule=options.content.pixels)
    record = make_record(planned, image, options.content.min_box)
    framed = frame_record(encode_example(record.example)) if options.writes else b""
    return _Ready(record=record, perceptual_hash=image.perceptual_hash, framed=framed)


# The threads of a process, which all its shards share; none starts before it has work. Decoding keeps a core busy, and
# more threads than cores only wait for each other; reading from an object store is mostly waiting.
_LOCAL_READERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="read-image")
_REMOTE_READERS = ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="read-remote-image")
