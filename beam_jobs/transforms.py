"""The Beam steps of the job: thin shells over the verbs of `partitions`, `plan` and `shards`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton, TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from beam_jobs import partitions, plan
from beam_jobs.batches import MAIN, KeyedRow, RowBatch, RowBatches, unpack_batches
from beam_jobs.named_files import load_id_map
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import Reject
from beam_jobs.shard_results import ShardResult
from beam_jobs.shards import start_shard
from beam_jobs.tally import Tally, add_tallies
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.pickling import PackedRows, growing_rows, pack_rows
from retinanet_odm.sources.listing import input_patterns

COUNTERS = "prepare"  # namespace of the job's metrics
REJECTS = "rejects"
COUNTS = "counts"


class _InBatches(beam.DoFn):
    """Calls a verb for each element and passes on what it yields, by kind.

    A KeyedRow waits for a batch, (key, RowBatch), of its own output; a Reject for one without key in REJECTS, and is
    counted by kind and reason. A Tally or BucketCounts goes to COUNTS, anything else to MAIN.
    """

    def __init__(self, verb: Callable[..., Iterator[Any]]) -> None:
        self._verb = verb

    def default_type_hints(self) -> None:
        """Return no types: of keyword arguments Beam makes a union, which with some hash seeds fails on a Counter."""

    def start_bundle(self) -> None:
        """Begin new batches: Beam expects all output of a bundle at its end."""
        self._batches = RowBatches()

    def process(self, element: Any, **kwargs: Any) -> Iterator[Any]:
        """Call the verb."""
        for item in self._verb(element, **kwargs):
            if isinstance(item, KeyedRow):
                yield from map(_tag_batch, self._batches.add(item))
            elif isinstance(item, Reject):
                _count_reject(item)
                yield from map(_tag_batch, self._batches.add(KeyedRow(None, item, REJECTS)))
            elif isinstance(item, (Tally, partitions.BucketCounts)):
                yield TaggedOutput(COUNTS, item)
            else:
                yield item

    def finish_bundle(self) -> Iterator[Any]:
        """Yield the batches that are left."""
        for item in self._batches.take():
            yield _tag_batch(item, GlobalWindows.windowed_value)


def _tag_batch(item: tuple[str, Any, RowBatch], wrap: Callable[[Any], Any] = lambda value: value) -> Any:
    output, key, batch = item
    value = wrap(batch if output == REJECTS else (key, batch))
    return value if output == MAIN else TaggedOutput(output, value)


def in_batches(verb: Callable[..., Iterator[Any]], *outputs: str, **kwargs: Any) -> beam.ParDo:
    """Map verb(element, **kwargs), see _InBatches; the outputs are MAIN and those named."""
    # Beam asks for the names of further outputs while the graph is built.
    return beam.ParDo(_InBatches(verb), **kwargs).with_outputs(*outputs, main=MAIN)


def _count_reject(reject: Reject) -> None:
    Metrics.counter(COUNTERS, f"{reject.kind}_{reject.reason}").inc()


@dataclass
class MatchImages(beam.PTransform):
    """Patterns of images and of exports → (partition, batch of ImageFile)."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            # Listed on a worker: the graph that the launcher submits holds only the patterns.
            | "Create image patterns" >> beam.Create(input_patterns(self.patterns, self.exports, flag="--images"))
            | "List images" >> in_batches(partitions.list_images)
        )[MAIN]


@dataclass
class ReadAnnotations(beam.PTransform):
    """Patterns of annotation files and of exports → MAIN: (partition, batch of AnnotationFile); REJECTS; COUNTS."""

    options: PrepareOptions

    # Beam reads the annotation as a type hint, and knows none for several collections.
    def expand(self, pbegin: beam.pvalue.PBegin):  # type: ignore[no-untyped-def]
        listed = (
            pbegin
            | "Create annotation patterns"
            >> beam.Create(input_patterns(self.options.annotations, self.options.exports, flag="--annotations"))
            | "List annotation files" >> in_batches(partitions.list_annotations)
        )
        return (
            listed[MAIN]
            | "Group by file" >> beam.GroupByKey()
            | "Read annotation files" >> in_batches(partitions.read_partition, REJECTS, COUNTS, options=self.options)
        )


@dataclass
class AddUpTallies(beam.PTransform):
    """Tallies → their sum, also of none."""

    def expand(self, tallies: beam.PCollection) -> beam.PCollection:
        return tallies | "Add up" >> beam.CombineGlobally(add_tallies)


@dataclass
class NumberImages(beam.PTransform):
    """(bucket, batch of AssignedImage) and BucketCounts → MAIN: (shard key, batch of PlannedImage); REJECTS.

    No machine ever sorts all images.
    """

    options: PrepareOptions

    def expand(self, inputs):  # type: ignore[no-untyped-def] # as above
        images, counts = inputs
        # The layout is small (a few numbers per hash bucket), so it fits into a side input of every worker.
        layout = (
            counts
            | "Count images by bucket" >> beam.CombineGlobally(_add_counts)
            | "Lay out buckets" >> beam.Map(_lay_out, options=self.options)
        )
        return images | "Number buckets" >> in_batches(
            partitions.number_partition, REJECTS, layout=AsSingleton(layout), options=self.options
        )


def _add_counts(counts: Iterable[partitions.BucketCounts]) -> partitions.BucketCounts:
    total = partitions.BucketCounts()
    for part in counts:
        total.update(part)
    return total


def _lay_out(counts: partitions.BucketCounts, options: PrepareOptions) -> plan.BucketLayout:
    layout = plan.lay_out(counts, load_id_map(options).last_id)
    # From now on images are read: the progress line starts here.
    PROGRESS.plan(sum(layout.images_of.values()))
    return layout


@dataclass
class MakeShards(beam.PTransform):
    """(shard key, batch of PlannedImage) → packed ShardResult; one worker per shard, and image bytes stay on it."""

    options: PrepareOptions

    def expand(self, planned: beam.PCollection) -> beam.PCollection:
        verb = "Write" if self.options.writes else "Check"
        # The only shuffle after the plan, and it moves rows, not images.
        return planned | "Group by shard" >> beam.GroupByKey() | f"{verb} shard" >> beam.ParDo(_MakeShard(self.options))


class _MakeShard(beam.DoFn):
    """Makes shards; the next one is begun before the one before is completed."""

    def __init__(self, options: PrepareOptions) -> None:
        self._options = options

    def start_bundle(self) -> None:
        """Begin without a shard."""
        self._complete: Callable[[], ShardResult] | None = None

    def process(self, group: tuple[plan.ShardKey, Iterable[RowBatch]]) -> Iterator[RowBatch]:
        """Begin a shard, and yield the packed result of the one before."""
        before, self._complete = self._complete, start_shard(group[0], unpack_batches(group[1]), self._options)
        if before:
            yield _count(before())

    def finish_bundle(self) -> Iterator[Any]:
        """Yield the packed result of the last one."""
        if self._complete:
            yield GlobalWindows.windowed_value(_count(self._complete()))


def _count(result: ShardResult) -> RowBatch:
    Metrics.counter(COUNTERS, "examples").inc(result.examples)
    Metrics.counter(COUNTERS, "boxes").inc(result.boxes_per_class.total())
    # The rejects of earlier steps are counted by _InBatches; these never pass it.
    for reject in (*result.rejects, *result.remarks):
        _count_reject(reject)
    # The commit holds all results at once, and only iterates over these, so it gets them packed.
    result.images = PackedRows(growing_rows(result.images))
    result.coco_images = PackedRows(growing_rows(result.coco_images))
    result.coco_annotations = PackedRows(growing_rows(result.coco_annotations))
    return pack_rows(result)
