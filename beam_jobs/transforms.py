"""The Beam steps of the job: thin shells over the verbs of `join`, `plan` and `shards`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton, TaggedOutput

from beam_jobs import join, plan
from beam_jobs.options import PrepareOptions, load_id_map
from beam_jobs.records import ShardResult
from beam_jobs.rows import PlannedImage, Reject
from beam_jobs.shards import make_shard
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.sources.listing import input_patterns, match_annotations, match_images

COUNTERS = "prepare"  # namespace of the job's metrics
REJECTS = "rejects"
MAIN = "main"
_MAX_UNREADABLE = 3  # unreadable annotation files named in the detail of an image without annotation


def with_rejects(verb: Callable[..., Any], **kwargs: Any) -> beam.ParDo:
    """Map verb(row, **kwargs), which returns one row or an iterator of rows, with rejects in an output of their own.

    The outputs are MAIN and REJECTS. Rejects are counted by kind and reason.
    """
    # Beam asks for the names of further outputs while the graph is built.
    return beam.FlatMap(_tag_rejects, verb=verb, **kwargs).with_outputs(REJECTS, main=MAIN)


def _tag_rejects(row: Any, verb: Callable[..., Any], **kwargs: Any) -> Iterator[Any]:
    result = verb(row, **kwargs)
    # Only an iterator holds several rows: a row may itself be a tuple.
    for item in result if isinstance(result, Iterator) else (result,):
        if isinstance(item, Reject):
            _count_reject(item)
            yield TaggedOutput(REJECTS, item)
        else:
            yield item


def _count_reject(reject: Reject) -> None:
    Metrics.counter(COUNTERS, f"{reject.kind}_{reject.reason}").inc()


@dataclass
class MatchImages(beam.PTransform):
    """Patterns of images and of exports → (match key, ImageFile)."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            # Listed on a worker: the graph that the launcher submits holds only the patterns.
            | "Create image patterns" >> beam.Create(input_patterns(self.patterns, self.exports, flag="--images"))
            | "List images" >> beam.FlatMap(match_images)
            | "Key images by name" >> beam.Map(join.image_key)
        )


@dataclass
class ReadAnnotations(beam.PTransform):
    """Patterns of annotation files and of exports → MAIN: an AnnotationFile for every image in them; REJECTS."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]
    min_score: float | None = None

    # Beam reads the annotation as a type hint, and knows none for two collections.
    def expand(self, pbegin: beam.pvalue.PBegin):  # type: ignore[no-untyped-def]
        return (
            pbegin
            | "Create annotation patterns"
            >> beam.Create(input_patterns(self.patterns, self.exports, flag="--annotations"))
            | "List annotation files" >> beam.FlatMap(match_annotations)
            # A file that two patterns match is read once; and the worker that lists the files does not read them all.
            | "Group by file" >> beam.GroupByKey()
            | "Read annotation files" >> with_rejects(plan.read_annotation_group, min_score=self.min_score)
        )


class JoinByFilename(beam.PTransform):
    """Rows that are open after the join by names → MAIN: Candidate or UnannotatedImage; REJECTS."""

    def expand(self, rows: beam.PCollection):  # type: ignore[no-untyped-def] # as above
        return (
            rows
            | "Key open rows" >> beam.FlatMap(join.open_row_key)
            | "Group by <filename>" >> beam.GroupByKey()
            | "Join open rows" >> with_rejects(join.join_by_filename)
        )


class CollectUnreadableFiles(beam.PTransform):
    """Rejects → one list of a few annotation files that cannot be read completely; empty if all can."""

    def expand(self, rejects: beam.PCollection) -> beam.PCollection:
        return (
            rejects
            | "Extract unreadable files" >> beam.FlatMap(plan.unreadable_file)
            # A file with several faults has a reject for each.
            | "Drop repeated files" >> beam.Distinct()
            # An empty collection also gives one element, [], so that it can be a singleton side input.
            | "Keep a few" >> beam.combiners.Top.Smallest(_MAX_UNREADABLE)
        )


@dataclass
class SumByKey(beam.PTransform):
    """Rows → one dict with the sums of the (key, number) pairs that `pairs` yields for each row."""

    pairs: Callable[[Any], Iterator[tuple[Any, int]]]

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return (
            rows
            | "Extract counts" >> beam.FlatMap(self.pairs)
            | "Add up counts" >> beam.CombinePerKey(sum)
            # A dict also of no rows: a singleton side input must have exactly one element.
            | "Collect counts" >> beam.combiners.ToDict()
        )


@dataclass
class CountExamples(beam.PTransform):
    """Rows → one dict with the (count, first example) of each key that `pairs` yields for the rows."""

    pairs: Callable[[Any], Iterator[tuple[str, tuple[int, str]]]]

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return (
            rows
            | "Extract examples" >> beam.FlatMap(self.pairs)
            | "Add up examples" >> beam.CombinePerKey(join.add_examples)
            | "Collect examples" >> beam.combiners.ToDict()
        )


@dataclass
class NumberImages(beam.PTransform):
    """AssignedImage → MAIN: (shard key, PlannedImage); REJECTS. No machine ever sorts all images."""

    options: PrepareOptions

    def expand(self, images: beam.PCollection):  # type: ignore[no-untyped-def] # as above
        # The layout is small (a few numbers per hash bucket), so it fits into a side input of every worker.
        layout = (
            images
            | "Count images by bucket" >> SumByKey(plan.bucket_counts)
            | "Lay out buckets" >> beam.Map(_lay_out, options=self.options)
        )
        return (
            images
            | "Group by bucket" >> beam.GroupBy(plan.image_bucket)
            | "Number buckets" >> with_rejects(plan.number_bucket, layout=AsSingleton(layout), options=self.options)
        )


def _lay_out(counts: dict[plan.BucketKey, int], options: PrepareOptions) -> plan.BucketLayout:
    layout = plan.lay_out(counts, load_id_map(options).last_id)
    # From now on images are read: the progress line starts here.
    PROGRESS.plan(sum(layout.images_of.values()))
    return layout


@dataclass
class MakeShards(beam.PTransform):
    """(shard key, PlannedImage) → ShardResult, one worker per shard; the image bytes stay on that worker."""

    options: PrepareOptions

    def expand(self, planned: beam.PCollection) -> beam.PCollection:
        verb = "Write" if self.options.writes else "Check"
        # The only shuffle after the plan, and it moves rows, not images.
        return (
            planned
            | "Group by shard" >> beam.GroupByKey()
            | f"{verb} shard" >> beam.Map(_make_and_count, options=self.options)
        )


def _make_and_count(group: tuple[plan.ShardKey, Iterable[PlannedImage]], options: PrepareOptions) -> ShardResult:
    result = make_shard(*group, options)
    Metrics.counter(COUNTERS, "examples").inc(result.examples)
    Metrics.counter(COUNTERS, "boxes").inc(result.boxes_per_class.total())
    # The rejects of earlier steps are counted where they are tagged; these never pass `with_rejects`.
    for reject in (*result.rejects, *result.remarks):
        _count_reject(reject)
    return result
