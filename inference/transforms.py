"""The steps of the scoring job as Beam transforms: thin shells over the verbs of the rooms below.

They stand in the order in which images and rows pass through them; inference.pipeline connects them.
"""

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

from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.image_sources.listing import ImageSource
from inference.model.handler import DetectorHandler
from inference.model.loading import CheckedModel
from inference.model.outcome import Failure, ModelOutput
from inference.request import Commit, PendingWork, find_pending_work
from inference.rows import part_files
from inference.rows.earlier_rows import keep_earlier_rows
from inference.rows.part_files import RowSpans, SaveInterval, SpansOfShard, WrittenShard
from inference.rows.rows import SerializedRow, ShotFacts, failed_row, make_row, row_keys, with_key
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import EncodedImage, ImageRule
from retinanet_odm.predictions.rows import OK, PredictionRow
from retinanet_odm.storage.prefetch import start_ahead

# Output tags of ListImages.
CHUNKS, NUM_IMAGES, KEPT_ROWS = "chunks", "num_images", "kept_rows"
# Output tags of ReadImages.
READ_IMAGES, UNREADABLE = "images", "unreadable"

# What goes around the model with an image: its name, the key of its row, and ShotFacts: its EXIF time or "", and the
# orientation. Names travel as bytes, because Beam's coder of text refuses names that are not UTF-8.
ImageKey: TypeAlias = tuple[bytes, str, str, int]
_ReadItem: TypeAlias = tuple[ImageKey, EncodedImage] | TaggedOutput[Literal["unreadable"], PredictionRow]
_READING_THREADS = 64


@dataclass(eq=False)
class ListImages(beam.PTransform):
    """[] → chunks of images to score, num_images (of all sources) and kept_rows (spans of earlier rows, by shard)."""

    sources: tuple[ImageSource, ...]
    output: str
    run_key: str
    num_shards: int
    pending: PendingWork
    add: bool = False

    def expand(self, pbegin: beam.pvalue.PBegin):  # type: ignore[no-untyped-def] # Beam accepts only a PCollection
        """List the images on one worker."""
        # The launcher has listed all sources; a worker in the same process finds its list here. Others list them again,
        # because the names of a million images do not fit into the description of a job.
        shared = Shared()
        shared.acquire(lambda: self.pending)
        return (
            pbegin
            | "Start" >> beam.Create([self.sources])
            | "List chunks"
            >> beam.FlatMap(_list_chunks, shared, self.output, self.run_key, self.num_shards, self.add).with_outputs(
                NUM_IMAGES, KEPT_ROWS, main=CHUNKS
            )
        )


def _list_chunks(
    sources: tuple[ImageSource, ...], shared: Shared, output: str, run_key: str, num_shards: int, add: bool
) -> Iterator[Chunk | TaggedOutput[Literal["num_images"], int] | TaggedOutput[Literal["kept_rows"], SpansOfShard]]:
    pending: PendingWork = shared.acquire(
        lambda: find_pending_work(listing.list_source_files(sources, output), output, run_key, add=add)
    )
    yield TaggedOutput(NUM_IMAGES, pending.images)
    yield from pending.chunks
    for spans in keep_earlier_rows(output, pending.choice, num_shards):
        yield TaggedOutput(KEPT_ROWS, spans)


@dataclass(eq=False)
class ReadImages(beam.PTransform):
    """Chunks → images (ImageKey, EncodedImage) and unreadable (failed rows). The reshuffle spreads names, not bytes."""

    run_key: str
    rule: ImageRule

    def expand(self, chunks: beam.PCollection[Chunk]):  # type: ignore[no-untyped-def] # Beam accepts only a PCollection
        """Spread the chunks over the workers and read them."""
        # Without the reshuffle, the worker that listed the images would read and score all of them.
        return (
            chunks
            | "Spread over workers" >> beam.Reshuffle()
            | "Read and turn upright"
            >> beam.ParDo(ReadAhead(self.run_key, self.rule)).with_outputs(UNREADABLE, main=READ_IMAGES)
        )


class ReadAhead(beam.DoFn):
    """Reads chunks as ReadImages does; threads read the next images while the model runs.

    Up to IMAGES images of up to CHUNKS chunks are read in advance: a chunk may hold 8 MB.
    """

    IMAGES, CHUNKS = 32, 8

    def __init__(self, run_key: str, rule: ImageRule) -> None:
        self._run_key, self._rule = run_key, rule

    def setup(self) -> None:
        """Create the pool of threads."""
        # The threads stay, because starting one takes as long as reading a file.
        self._pool = ThreadPoolExecutor(_READING_THREADS)

    def teardown(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def start_bundle(self) -> None:
        """Begin with no chunk."""
        self._started: deque[tuple[int, Iterator[_ReadItem]]] = deque()

    def process(self, chunk: Chunk) -> Iterator[_ReadItem]:
        """Start to read a chunk, and yield the images of earlier ones."""
        parts = [start_ahead(self._read(part), self._pool) for part in chunks.split_chunk(chunk)]
        self._started.append((len(chunk.names), itertools.chain.from_iterable(parts)))
        while self._is_enough():
            _, images = self._started.popleft()
            yield from images

    def _is_enough(self) -> bool:
        images = sum(count for count, _ in itertools.islice(self._started, 1, None))
        return images >= self.IMAGES or len(self._started) > self.CHUNKS

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput[Literal["unreadable"], WindowedValue]]:
        """Yield the images of the last chunks."""
        for _, images in self._started:
            yield from map(_in_window, images)

    def _read(self, chunk: Chunk) -> Iterator[_ReadItem]:
        keys = row_keys(self._run_key, chunk)
        for key, (name, image) in zip(keys, chunks.read_images(chunk, self._rule), strict=True):
            if isinstance(image, DataError):
                yield TaggedOutput(UNREADABLE, with_key(failed_row(name, image), key))
            else:
                shot = ShotFacts.of(name, image)
                time_text = shot.time.isoformat() if shot.time else ""
                yield (os.fsencode(name), key, time_text, shot.orientation), image


def _in_window(item: _ReadItem) -> WindowedValue | TaggedOutput[Literal["unreadable"], WindowedValue]:
    """Wrap an element as Beam requires it at the end of a bundle."""
    if isinstance(item, TaggedOutput):
        return TaggedOutput(UNREADABLE, GlobalWindows.windowed_value(item.value))
    return GlobalWindows.windowed_value(item)


@dataclass(eq=False)
class DetectObjects(beam.PTransform):
    """Images (ImageKey, EncodedImage) → rows, in batches on the model."""

    model: CheckedModel

    def expand(self, images: beam.PCollection[tuple[ImageKey, EncodedImage]]) -> beam.PCollection[PredictionRow]:
        """Run the model and make rows of its outputs."""
        labels, min_score = self.model.manifest.labels.name_by_id, self.model.manifest.score_threshold
        return (
            images
            | "Run the model" >> RunInference(KeyedModelHandler(DetectorHandler(self.model)))
            | "Make rows" >> beam.Map(_make_row, labels, min_score)
        )


def _make_row(
    keyed: tuple[ImageKey, ModelOutput | Failure], labels: Mapping[int, str], min_score: float
) -> PredictionRow:
    (name, key, taken, orientation), result = keyed
    shot = ShotFacts(time=datetime.fromisoformat(taken) if taken else None, orientation=orientation)
    return with_key(make_row(os.fsdecode(name), result, shot, labels=labels, min_score=min_score), key)


class CountRows(beam.DoFn):
    """Passes rows on, and counts them for Beam's metrics and for the progress."""

    def process(self, row: PredictionRow) -> Iterable[PredictionRow]:
        """Count a row."""
        PROGRESS.add(failed=row.status != OK)
        Metrics.counter("inference", row.status).inc()
        if row.reason:
            Metrics.counter("inference", f"failed_{row.reason}").inc()
        yield row


class SaveRows(beam.DoFn):
    """Rows → where they lie, by shard. Saves a part file from time to time, and at the end of a bundle.

    No step before this one may hold its elements back until all of them are there: nothing would be saved on the way.
    """

    def __init__(self, output: str, num_shards: int) -> None:
        self._output, self._num_shards = output, num_shards

    def setup(self) -> None:
        """Start the clock."""
        self._interval = SaveInterval(time.monotonic())

    def start_bundle(self) -> None:
        """Begin with no row."""
        self._rows: list[SerializedRow] = []
        self._bytes = 0

    def process(self, row: PredictionRow) -> Iterable[SpansOfShard]:
        """Add a row, and yield the spans of a part file if one was written."""
        serialized = SerializedRow.of(row)
        self._rows.append(serialized)
        self._bytes += len(serialized.text)
        if self._interval.is_due(time.monotonic()) or self._bytes >= part_files.PART_BYTES:
            yield from self._save()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Save the last rows."""
        yield from map(GlobalWindows.windowed_value, self._save())

    def _save(self) -> Iterator[SpansOfShard]:
        yield from part_files.save_part_file(self._output, self._rows, self._num_shards)
        self._rows, self._bytes = [], 0


@dataclass(eq=False)
class WriteRows(beam.PTransform):
    """Spans by shard → a WrittenShard for each shard 0..num_shards-1, also for one without rows."""

    output: str
    num_shards: int

    def expand(self, saved: beam.PCollection[SpansOfShard]) -> beam.PCollection[WrittenShard]:
        """Group the spans by shard and merge each shard on one worker."""
        shards: list[tuple[int, RowSpans | None]] = [(shard, None) for shard in range(self.num_shards)]
        return (
            (saved, saved.pipeline | "Every shard" >> beam.Create(shards))
            | "Join shards" >> beam.Flatten()
            | "Group by shard" >> beam.GroupByKey()
            | "Write shards" >> beam.Map(_write_shard, self.output, self.num_shards)
        )


def _write_shard(grouped: tuple[int, Iterable[RowSpans | None]], output: str, num_shards: int) -> WrittenShard:
    shard, spans = grouped
    # None stands for the shard itself, so that one without rows is written too.
    present = [item for item in spans if item is not None]
    return part_files.write_predictions_shard(output, shard, num_shards, present)


@dataclass(eq=False)
class CommitRun(beam.PTransform):
    """WrittenShards and the number of images → summary.json, when all shards are complete and the counts agree."""

    commit: Commit
    num_images: beam.PCollection[int]

    def expand(self, shards: beam.PCollection[WrittenShard]) -> beam.PCollection[None]:
        """Write summary.json when everything else is done."""
        listed, written = beam.pvalue.AsSingleton(self.num_images), beam.pvalue.AsList(shards)
        return (
            shards.pipeline
            | "Finish" >> beam.Create([None])
            | "Write the summary" >> beam.Map(_commit, self.commit, listed=listed, shards=written)
        )


def _commit(_: None, commit: Commit, listed: int, shards: Sequence[WrittenShard]) -> None:
    commit.finish(shards, listed=listed)
