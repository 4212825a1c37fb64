"""Exports one shard on one worker: writes its images and texts, and returns what is known of them.

Begin with `export_shard`. Data set and names are read once per process (`load_plan`): the names of a million images
would be too much for the graph of the job.
"""

import functools
import hashlib
import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, cast

from beam_jobs.export.formats import coco_entries, count_content, yolo_classes, yolo_texts
from beam_jobs.export.layout import TEXTS, image_path
from beam_jobs.export.names import complete_name, label_path, plan_names
from beam_jobs.export.options import COCO, COPY, DatasetExportOptions
from beam_jobs.output_folder import ID_MAP
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.examples import DetectionExample, decode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo
from retinanet_odm.dataset.source_ids import ID_WRITTEN, parse_id_map
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.prefetch import map_ahead
from retinanet_odm.storage.tfrecord import FrameError, read_frames

_AHEAD = 16  # images in memory at once, per shard, beside those of a block
_BLOCK = 8  # images whose texts are made at once
# Writing to a disk keeps a core busy, writing to a bucket is waiting; see beam_jobs.shards, which reads likewise.
_LOCAL_WRITERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="write-image")
_REMOTE_WRITERS = ThreadPoolExecutor(_AHEAD, thread_name_prefix="write-remote-image")
_LOADING = threading.Lock()


class ExportedImage(NamedTuple):
    """A row of the export's id_map.csv.

    Attributes:
      source_id: its number in the data set.
      name: of its file.
      before: its name in the data set.
      not_exhaustive: ids of the classes that are not exhaustive in it.
    """

    source_id: int
    name: str
    before: str
    not_exhaustive: tuple[int, ...]


@dataclass(kw_only=True)
class ExportedShard:
    """What came of a shard: its split and name, counts by the keys of export.json, its images, and entries of COCO."""

    split: str
    name: str
    counts: Counter[str] = field(default_factory=Counter)
    images: list[ExportedImage] = field(default_factory=list)
    coco_images: list[str] = field(default_factory=list)
    coco_annotations: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """The data set, the names of its images by source id (see `names`), and YOLO's numbers of the classes."""

    manifest: DatasetManifest
    names: dict[int, str]
    classes: dict[int, int]


def load_plan(options: DatasetExportOptions, fingerprint: str) -> ExportPlan:
    """Read the data set, once per process.

    Raises:
      UsageError: it has another fingerprint, its files contradict each other, or one cannot be read.
    """
    with _LOADING:  # the threads of a process wait for the first one
        return _load_plan(options, fingerprint)


@functools.lru_cache(maxsize=1)
def _load_plan(options: DatasetExportOptions, fingerprint: str) -> ExportPlan:
    manifest = manifest_of_dataset(options.dataset)
    if manifest.fingerprint != fingerprint:
        raise UsageError(f"{options.dataset}: the data set was changed while the job ran: run it again")
    path = files.join(options.dataset, ID_MAP)
    try:
        rows = parse_id_map(files.read_written_text(path), source=path).rows
    except files.FileError as error:
        raise UsageError(f"DATASET: {error}: prepare it again") from error
    written = [row for row in rows if row.status == ID_WRITTEN]
    expected = sum(split.examples for split in manifest.splits.values())
    if len(written) != expected:
        raise UsageError(f"{path}: expected {expected} written images as in dataset.json, found {len(written)}")
    return ExportPlan(
        manifest=manifest, names=plan_names(written, options.format), classes=yolo_classes(manifest.labels)
    )


def manifest_of_dataset(dataset: str) -> DatasetManifest:
    """Read the manifest of a data set.

    Raises:
      ContractError: it is not of this program, or of another version.
      UsageError: there is none.
    """
    path = files.join(dataset, DatasetManifest.FILE)
    if not files.is_file(path):
        raise UsageError(f"DATASET: expected a prepared data set, found no {path}")
    return DatasetManifest.from_json(files.read_text(path, flag="DATASET"), source=path)


def export_shard(split: str, shard: ShardInfo, options: DatasetExportOptions, fingerprint: str) -> ExportedShard:
    """Write the images of a shard, and the texts of YOLO.

    Raises:
      UsageError: the shard is not the one that dataset.json lists, or a file cannot be written.
    """
    plan = load_plan(options, fingerprint)
    path = files.join(options.dataset, shard.name)
    result = ExportedShard(split=split, name=shard.name)
    write = functools.partial(_write_image, split=split, plan=plan, options=options)
    pool = _REMOTE_WRITERS if "://" in options.output else _LOCAL_WRITERS
    examples = _with_texts(_examples(path, shard), plan, options.format)
    for image, counts, entries in map_ahead(write, examples, pool, ahead=_AHEAD):
        PROGRESS.add(failed=False)
        result.images.append(image)
        result.counts.update(counts)
        if entries:
            result.coco_images.append(entries[0])
            result.coco_annotations += entries[1]
    return result


def _with_texts(
    examples: Iterator[DetectionExample], plan: ExportPlan, form: str
) -> Iterator[tuple[DetectionExample, str]]:
    """Yield the examples with their texts of YOLO, "" for COCO."""
    while block := list(itertools.islice(examples, _BLOCK)):
        texts = itertools.repeat("") if form == COCO else yolo_texts(block, plan.classes)
        yield from zip(block, texts, strict=False)


def _write_image(
    content: tuple[DetectionExample, str], split: str, plan: ExportPlan, options: DatasetExportOptions
) -> tuple[ExportedImage, Counter[str], tuple[str, list[str]] | None]:
    """Write an image and its text; return its row, its counts, and its entries of COCO."""
    example, text = content
    planned = plan.names.get(example.source_id)
    if planned is None:
        raise UsageError(f"DATASET: {ID_MAP} has no image of the id {example.source_id} ({example.filename})")
    name = complete_name(planned, example.format, options.format)
    if options.images == COPY:
        with files.write_atomic(files.join(options.output, image_path(options.format, split, name))) as file:
            file.write(example.encoded)
    not_exhaustive = tuple(label_id for label_id, _ in example.not_exhaustive)
    row = ExportedImage(example.source_id, name, example.filename, not_exhaustive)
    if options.format == COCO:
        return row, count_content(example), coco_entries(example, name, plan.manifest, options.license)
    files.write_text(files.join(options.output, TEXTS, split, label_path(name)), text)
    return row, count_content(example), None


def _examples(path: str, shard: ShardInfo) -> Iterator[DetectionExample]:
    """Yield the examples of a shard, whose digest is compared at the end."""
    count = 0
    try:
        with files.open_binary(path) as file:
            digested = _DigestedFile(file)
            for _, data in read_frames(cast(BinaryIO, digested)):
                yield decode_example(data)
                count += 1
    except (FrameError, DataError) as error:
        raise UsageError(f"DATASET: {path}: {error}") from error
    if count != shard.examples or digested.sha256.hexdigest() != shard.sha256:
        raise UsageError(f"DATASET: {path} is not the file that dataset.json lists: copy or prepare the data set again")


class _DigestedFile:
    """A file that is read from its beginning to its end, with the digest of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data
