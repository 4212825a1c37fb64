"""The steps of the job: thin shells over the pure functions of plan, shards and commit."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_jobs import plan
from beam_jobs.inputs import load_id_map, load_split_plan
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import AnnotationFile, LabelledImage, PlannedImage, Reject, ShardResult
from beam_jobs.shards import write_shard
from beam_jobs.sources import match_annotations, match_images, read_annotation, sources_of
from detection.labels import LabelMap

_REJECTS = "rejects"
COUNTERS = "prepare"
IGNORED = "ignored_"  # counters of shapes that have no box by design, by kind
_NAMED = 3  # broken annotation files in the detail of an image without annotation


@dataclass
class MatchImages(beam.PTransform):
    """Patterns of photographs and of exports → (match key, ImageFile)."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            | "Take image patterns" >> beam.Create(sources_of(self.patterns, self.exports, flag="--images"))
            | "List images" >> beam.FlatMap(match_images)
            | "Spread images" >> beam.Reshuffle()
            | "Key images" >> beam.Map(plan.image_key)
        )


@dataclass
class ReadAnnotations(beam.PTransform):
    """Patterns of annotation files and of exports → AnnotationFile for every image that a file tells of, or Reject."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            | "Take annotation patterns" >> beam.Create(sources_of(self.patterns, self.exports, flag="--annotations"))
            | "List annotations" >> beam.FlatMap(match_annotations)
            # A file that two patterns match is read once; and the worker that lists the files does not read them all.
            | "Group by file" >> beam.GroupByKey()
            | "Read annotations" >> beam.FlatMap(_read_group)
        )


def _read_group(group: tuple[bytes, Iterable[AnnotationFile]]) -> Iterator[AnnotationFile | Reject]:
    for row in read_annotation(min(group[1], key=lambda file: file.name)):
        if isinstance(row, AnnotationFile) and row.annotation is not None:
            for kind, count in row.annotation.ignored:
                Metrics.counter(COUNTERS, f"{IGNORED}{kind}").inc(count)
        yield row


class SetRejectsApart(beam.PTransform):
    """Rows, some of them Rejects → (rows, rejects); counts the rejects by kind and reason."""

    # No return annotation: Beam reads it as a type hint, and knows none for two collections.
    def expand(self, rows: beam.PCollection):
        parts = rows | "Tag rejects" >> beam.FlatMap(_tag_reject).with_outputs(_REJECTS, main="kept")
        return parts["kept"], parts[_REJECTS]


def _tag_reject(row: Any) -> Iterator[Any]:
    if isinstance(row, Reject):
        _count_reject(row)
        yield TaggedOutput(_REJECTS, row)
    else:
        yield row


def _count_reject(reject: Reject) -> None:
    Metrics.counter(COUNTERS, f"{reject.kind}_{reject.reason}").inc()


class NameBroken(beam.PTransform):
    """Rejects → one list of a few annotation files that cannot be read, empty where all can."""

    def expand(self, rejects: beam.PCollection) -> beam.PCollection:
        return (
            rejects
            | "Take broken files" >> beam.FlatMap(plan.broken_source)
            | "Drop repeated files" >> beam.Distinct()
            | "Keep a few" >> beam.combiners.Top.Smallest(_NAMED)
        )


@dataclass
class MakeLabels(beam.PTransform):
    """Candidates → one LabelMap: the given one, or one of all their names; None where there is neither."""

    given: LabelMap | None

    def expand(self, candidates: beam.PCollection) -> beam.PCollection:
        return (
            candidates
            | "Take label names" >> beam.FlatMap(plan.label_names)
            | "Drop repeated names" >> beam.Distinct()
            | "Gather names" >> beam.combiners.ToList()
            | "Make label map" >> beam.Map(plan.make_labels, given=self.given)
        )


def split_image(row: LabelledImage, options: PrepareOptions) -> plan.Split | Reject:
    """See plan.split_image."""
    return plan.split_image(row, load_split_plan(options))


@dataclass
class NumberImages(beam.PTransform):
    """(split, LabelledImage) → (shard key, PlannedImage), or Reject; no machine ever sorts them all."""

    options: PrepareOptions

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        layout = (
            images
            | "Place images" >> beam.Map(_place, options=self.options)
            | "Count images by place" >> beam.combiners.Count.PerElement()
            | "Gather counts" >> beam.combiners.ToDict()
            | "Lay out buckets" >> beam.Map(_lay_out, options=self.options)
        )
        return (
            images
            | "Key by bucket" >> beam.Map(plan.key_by_bucket)
            | "Group by bucket" >> beam.GroupByKey()
            | "Number bucket" >> beam.FlatMap(_number, layout=beam.pvalue.AsSingleton(layout), options=self.options)
        )


def _place(row: plan.Split, options: PrepareOptions) -> plan.Place:
    return plan.place_of(row, load_id_map(options))


def _lay_out(counts: Mapping[plan.Place, int], options: PrepareOptions) -> plan.Layout:
    return plan.lay_out(counts, load_id_map(options))


def _number(
    bucket: tuple[int, Iterable[plan.Split]], layout: plan.Layout, options: PrepareOptions
) -> Iterator[tuple[plan.ShardKey, PlannedImage] | Reject]:
    return plan.number_bucket(bucket, layout, load_id_map(options), options)


@dataclass
class WriteShards(beam.PTransform):
    """(shard key, PlannedImage) → ShardResult, one shard at a time on a worker; the image bytes stay there."""

    output: str

    def expand(self, planned: beam.PCollection) -> beam.PCollection:
        return (
            planned
            | "Group by shard" >> beam.GroupByKey()
            | "Write shard" >> beam.Map(_write_and_count, output=self.output)
        )


def _write_and_count(shard: tuple[plan.ShardKey, Iterable[PlannedImage]], output: str) -> ShardResult:
    key, planned = shard
    result = write_shard(key, planned, output)
    Metrics.counter(COUNTERS, "examples").inc(result.info.examples)
    Metrics.counter(COUNTERS, "boxes").inc(sum(result.boxes_per_class.values()))
    Metrics.counter(COUNTERS, "boxes_clipped").inc(result.clipped)
    for reject in result.rejects:
        _count_reject(reject)
    return result
