"""The steps of the job: thin shells over the pure functions of plan, shards and commit."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_jobs import plan
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import AnnotationFile, ImageFile, PlannedImage, Reject, ShardResult
from beam_jobs.shards import write_shard
from beamio import files
from detection.errors import DataError
from detection.labels import LabelMap
from detection.voc import parse_voc

_REJECTS = "rejects"
_COUNTERS = "prepare"


@dataclass
class MatchImages(beam.PTransform):
    """Patterns → (match key, ImageFile)."""

    patterns: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            | "Take image patterns" >> beam.Create(self.patterns)
            | "List images" >> beam.FlatMap(match_images)
            | "Spread images" >> beam.Reshuffle()
            | "Key images" >> beam.Map(_key)
        )


def match_images(pattern: str) -> Iterator[ImageFile]:
    """The files that match a pattern, named by their path below its root."""
    root = files.root_of(pattern)
    for uri in files.iter_matches(pattern):
        yield ImageFile(uri=uri, name=files.name_below(root, uri))


@dataclass
class ReadAnnotations(beam.PTransform):
    """Patterns → (match key, AnnotationFile)."""

    patterns: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            | "Take annotation patterns" >> beam.Create(self.patterns)
            | "List annotations" >> beam.FlatMap(match_annotations)
            # Without it, the worker that lists the files would also read them all.
            | "Spread annotations" >> beam.Reshuffle()
            | "Read annotations" >> beam.Map(read_annotation)
            | "Key annotations" >> beam.Map(_key)
        )


def match_annotations(pattern: str) -> Iterator[AnnotationFile]:
    """The files that match a pattern, not read yet."""
    for uri in files.iter_matches(pattern):
        yield AnnotationFile(uri=uri)


def read_annotation(file: AnnotationFile) -> AnnotationFile:
    """The file with its content, or with the reason of why it cannot be understood."""
    try:
        return AnnotationFile(uri=file.uri, annotation=parse_voc(files.read_bytes(file.uri), source=file.uri))
    except DataError as error:
        return AnnotationFile(uri=file.uri, reason=error.reason, detail=error.detail)


def _key(file: Any) -> tuple[plan.Key, Any]:
    return plan.match_key(file.uri), file


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
    Metrics.counter(_COUNTERS, f"{reject.kind}_{reject.reason}").inc()


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


@dataclass
class NumberImages(beam.PTransform):
    """LabelledImages → (shard key, PlannedImage), or Reject; no machine ever sorts them all."""

    options: PrepareOptions

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        layout = (
            images
            | "Place images" >> beam.Map(plan.place_of, splits=self.options.splits)
            | "Count images by place" >> beam.combiners.Count.PerElement()
            | "Gather counts" >> beam.combiners.ToDict()
            | "Lay out buckets" >> beam.Map(plan.lay_out)
        )
        return (
            images
            | "Key by bucket" >> beam.Map(plan.key_by_bucket)
            | "Group by bucket" >> beam.GroupByKey()
            | "Number bucket"
            >> beam.FlatMap(plan.number_bucket, layout=beam.pvalue.AsSingleton(layout), options=self.options)
        )


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
    Metrics.counter(_COUNTERS, "examples").inc(result.info.examples)
    Metrics.counter(_COUNTERS, "boxes").inc(sum(result.boxes_per_class.values()))
    Metrics.counter(_COUNTERS, "boxes_clipped").inc(result.clipped)
    for reject in result.rejects:
        _count_reject(reject)
    return result
