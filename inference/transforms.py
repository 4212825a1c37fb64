"""The steps of the scoring job as Beam transforms: thin shells over the verbs of the rooms below."""

import dataclasses
import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from inference.image_sources import chunks
from inference.image_sources.chunks import Chunk
from inference.image_sources.listing import ImageSource
from inference.model.handler import DetectorHandler
from inference.model.outcome import Failure, ModelOutput
from inference.model.thresholds import ScoreThresholds
from inference.rows import output_folder, part_files, resume
from inference.rows.output_folder import Commit, WrittenShard
from inference.rows.part_files import RowSpans
from inference.rows.resume import ListedChunk
from inference.rows.rows import SerializedRow, failed_row, make_row
from retinanet_odm.cli.progress import ProgressReporter
from retinanet_odm.dataset.frame_names import parse_frame_name
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import EncodedImage, ImageRule
from retinanet_odm.predictions.rows import OK, PredictionRow
from retinanet_odm.storage.prefetch import THREADS, start_ahead


class CountRows(beam.DoFn):
    """Passes rows on; counts them for Beam's metrics and for the progress line, one per process."""

    def __init__(self, total: int, processes: int) -> None:
        self._total, self._processes = total, processes
        self._shared = Shared()

    def setup(self) -> None:
        self._progress = self._shared.acquire(
            lambda: ProgressReporter(self._total, processes=self._processes, failures="failed")
        )

    def process(self, row: PredictionRow) -> Iterable[PredictionRow]:
        self._progress.add(failed=row.status != OK)
        self._progress.log_when_due()
        Metrics.counter("inference", row.status).inc()
        if row.reason:
            Metrics.counter("inference", f"failed_{row.reason}").inc()
        yield row


# What goes around the model with an image: its name, the key of its row, the time of EXIF or "", and the orientation
# that its row tells.
ImageKey = tuple[bytes, str, str, int]

# Of which shard, and where rows of it lie.
OfShard = tuple[int, RowSpans]
_Read: TypeAlias = tuple[ImageKey, EncodedImage] | TaggedOutput[Literal["unreadable"], PredictionRow]

# Output tags of ListImages.
CHUNKS, LISTED, KEPT = "chunks", "listed", "kept"

# Output tags of ReadImages.
IMAGES, UNREADABLE = "images", "unreadable"
_SIDES_SWAPPED = 5  # from this EXIF orientation on


@dataclass(eq=False)
class ListImages(beam.PTransform):
    """[] → chunks to score, listed (numbers of images, whether to score or not) and kept (extents of earlier rows).

    The plan is made on a worker: a list of a million names does not fit into a job's description.
    """

    sources: tuple[ImageSource, ...]
    output: str
    run: str
    num_shards: int

    def expand(self, pbegin: beam.pvalue.PBegin):  # Beam warns of a return type that is no PCollection
        return (
            pbegin
            | "Start" >> beam.Create([self.sources])
            | "Plan chunks"
            >> beam.FlatMap(_planned, self.output, self.run, self.num_shards).with_outputs(LISTED, KEPT, main=CHUNKS)
        )


def _planned(
    found: tuple[ImageSource, ...], output: str, run: str, num_shards: int
) -> Iterator[Chunk | TaggedOutput[Literal["listed"], int] | TaggedOutput[Literal["kept"], OfShard]]:
    for item in resume.list_pending_chunks(found, output, run, num_shards):
        if not isinstance(item, ListedChunk):
            yield TaggedOutput(KEPT, item)
            continue
        yield TaggedOutput(LISTED, item.images)
        if item.missing is not None:
            yield item.missing


@dataclass(eq=False)
class ReadImages(beam.PTransform):
    """Chunks → images (ImageKey, EncodedImage) and unreadable (failed rows). The reshuffle spreads names, never bytes.

    Names travel as bytes: Beam's coder of text refuses those that are not UTF-8.
    """

    run: str
    rule: ImageRule

    def expand(self, chunks: beam.PCollection[Chunk]):  # Beam warns of a return type that is no PCollection
        return (
            chunks
            | "Spread over workers" >> beam.Reshuffle()
            | "Read and turn upright"
            >> beam.ParDo(ReadAhead(self.run, self.rule)).with_outputs(UNREADABLE, main=IMAGES)
        )


class ReadAhead(beam.DoFn):
    """As ReadImages. What the model is given next is read while it runs: so many images, of so many chunks."""

    IMAGES, CHUNKS = 32, 8

    def __init__(self, run: str, rule: ImageRule) -> None:
        self._run, self._rule = run, rule

    def setup(self) -> None:
        # Two pools: a chunk waits for its images. Threads stay, because to start one takes as long as to read a file.
        self._chunks, self._images = ThreadPoolExecutor(self.CHUNKS), ThreadPoolExecutor(self.CHUNKS * THREADS)

    def teardown(self) -> None:
        for pool in (self._chunks, self._images):
            pool.shutdown(wait=False, cancel_futures=True)

    def start_bundle(self) -> None:
        self._begun: deque[tuple[int, Iterator[_Read]]] = deque()

    def process(self, chunk: Chunk) -> Iterator[_Read]:
        images = _tagged(chunk, self._run, self._rule, self._images)
        self._begun.append((len(chunk.names), start_ahead(images, self._chunks)))
        while self._is_enough():
            _, images = self._begun.popleft()
            yield from images

    def _is_enough(self) -> bool:
        images = sum(count for count, _ in itertools.islice(self._begun, 1, None))
        return images >= self.IMAGES or len(self._begun) > self.CHUNKS

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput[Literal["unreadable"], WindowedValue]]:
        for _, images in self._begun:
            yield from map(_in_window, images)


def _in_window(item: _Read) -> WindowedValue | TaggedOutput[Literal["unreadable"], WindowedValue]:
    """What Beam takes at the end of a bundle."""
    if isinstance(item, TaggedOutput):
        return TaggedOutput(UNREADABLE, GlobalWindows.windowed_value(item.value))
    return GlobalWindows.windowed_value(item)


def _tagged(chunk: Chunk, run: str, rule: ImageRule, pool: ThreadPoolExecutor) -> Iterator[_Read]:
    keys = dict(zip(chunk.names, resume.row_keys(run, chunk), strict=True))
    for name, image in chunks.read_upright(chunk, rule, pool):
        if isinstance(image, DataError):
            yield TaggedOutput(UNREADABLE, resume.with_key(failed_row(name, image), keys[name]))
        else:
            orientation = image.orientation if image.orientation >= _SIDES_SWAPPED else 1
            yield (os.fsencode(name), keys[name], _time_of(name, image), orientation), image


def _time_of(name: str, image: EncodedImage) -> str:
    """When an image was taken, where its name does not tell; "" where nothing does."""
    return "" if image.capture_time is None or parse_frame_name(name) else image.capture_time.isoformat()


@dataclass(eq=False)
class DetectObjects(beam.PTransform):
    """Images (ImageKey, EncodedImage) → rows, in batches on the model."""

    handler: DetectorHandler
    labels: Mapping[int, str]
    thresholds: ScoreThresholds

    def expand(self, images: beam.PCollection[tuple[ImageKey, EncodedImage]]) -> beam.PCollection[PredictionRow]:
        return (
            images
            | "Run the model" >> RunInference(KeyedModelHandler(self.handler))
            | "Make rows" >> beam.Map(_row, self.labels, self.thresholds)
        )


def _row(
    answered: tuple[ImageKey, ModelOutput | Failure], labels: Mapping[int, str], thresholds: ScoreThresholds
) -> PredictionRow:
    (name, key, taken, orientation), outcome = answered
    row = resume.with_key(make_row(os.fsdecode(name), outcome, labels=labels, thresholds=thresholds), key)
    return dataclasses.replace(row, time=datetime.fromisoformat(taken) if taken else None, orientation=orientation)


class SaveRows(beam.DoFn):
    """Rows → where they lie, by shard, saved every now and then; the life cycle says when they are the last.

    No step before this one may hold its elements back until all are there: then nothing would be saved on the way.
    """

    def __init__(self, output: str, num_shards: int) -> None:
        self._output, self._num_shards = output, num_shards

    def setup(self) -> None:
        self._pace = resume.SaveInterval(time.monotonic())

    def start_bundle(self) -> None:
        self._lines: list[SerializedRow] = []
        self._bytes = 0

    def process(self, row: PredictionRow) -> Iterable[OfShard]:
        line = SerializedRow.of(row)
        self._lines.append(line)
        self._bytes += len(line.text)
        if self._pace.is_due(time.monotonic()) or self._bytes >= part_files.PART_BYTES:
            yield from self._save()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from map(GlobalWindows.windowed_value, self._save())

    def _save(self) -> Iterator[OfShard]:
        yield from part_files.save_part_file(self._output, self._lines, self._num_shards)
        self._lines, self._bytes = [], 0


@dataclass(eq=False)
class WriteRows(beam.PTransform):
    """Extents by shard → one ShardPart per prediction file, merged from them; every shard of 0..num_shards-1."""

    output: str
    num_shards: int

    def expand(self, saved: beam.PCollection[OfShard]) -> beam.PCollection[WrittenShard]:
        shards: list[tuple[int, RowSpans | None]] = [(shard, None) for shard in range(self.num_shards)]
        return (
            (saved, saved.pipeline | "Every shard" >> beam.Create(shards))
            | "Join shards" >> beam.Flatten()
            | "Group by shard" >> beam.GroupByKey()
            | "Write shards" >> beam.Map(_write_shard, self.output, self.num_shards)
        )


def _write_shard(grouped: tuple[int, Iterable[RowSpans | None]], output: str, num_shards: int) -> WrittenShard:
    shard, extents = grouped
    return output_folder.write_predictions_shard(
        output, shard, num_shards, [extent for extent in extents if extent is not None]
    )


@dataclass(eq=False)
class CommitRun(beam.PTransform):
    """ShardParts and the images that were listed → summary.json, once all shards are whole and the counts agree."""

    commit: Commit
    listed: beam.PCollection[int]

    def expand(self, parts: beam.PCollection[WrittenShard]) -> beam.PCollection[None]:
        listed = self.listed | "Count listed" >> beam.CombineGlobally(sum)
        return (
            parts.pipeline
            | "Finish" >> beam.Create([None])
            | "Write the summary"
            >> beam.Map(_commit, self.commit, listed=beam.pvalue.AsSingleton(listed), parts=beam.pvalue.AsList(parts))
        )


def _commit(_: None, commit: Commit, listed: int, parts: Sequence[WrittenShard]) -> None:
    commit.finish(parts, listed=listed)
