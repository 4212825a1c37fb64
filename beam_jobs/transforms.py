"""The steps of the job: thin shells over the pure functions of plan, shards and commit."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_jobs import numbering, plan
from beam_jobs.inputs import load_id_map, load_split_plan
from beam_jobs.options import PrepareOptions
from beam_jobs.progress import PROGRESS
from beam_jobs.rows import Candidate, PlannedImage, Reject, ShardResult, UnannotatedImage
from beam_jobs.shards import make_shard
from beam_jobs.sources import read_annotation
from beamio.rows import AnnotationFile
from beamio.sources import match_annotations, match_images, sources_of
from detection.labels import LabelMap

COUNTERS = "prepare"
REJECTS = "rejects"
KEPT = "kept"
_NAMED = 3  # broken annotation files in the detail of an image without annotation


def set_apart(verb: Callable[..., Any], **kwargs: Any) -> beam.ParDo:
    """A step that calls verb(row, **kwargs) for one row or an iterator of rows; its outputs are KEPT and REJECTS.

    Rejects are counted by kind and reason.
    """
    return beam.FlatMap(_tag_rejects, verb=verb, **kwargs).with_outputs(REJECTS, main=KEPT)


def _tag_rejects(row: Any, verb: Callable[..., Any], **kwargs: Any) -> Iterator[Any]:
    result = verb(row, **kwargs)
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
    """Patterns of photographs and of exports → (match key, ImageFile)."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            pbegin
            | "Take image patterns" >> beam.Create(sources_of(self.patterns, self.exports, flag="--images"))
            | "List images" >> beam.FlatMap(match_images)
            | "Key images" >> beam.Map(plan.image_key)
        )


@dataclass
class ReadAnnotations(beam.PTransform):
    """Patterns of annotation files and of exports → KEPT: AnnotationFile for every image in them; REJECTS."""

    patterns: tuple[str, ...]
    exports: tuple[str, ...]

    # No return annotation: Beam reads it as a type hint, and knows none for two collections.
    def expand(self, pbegin: beam.pvalue.PBegin):
        return (
            pbegin
            | "Take annotation patterns" >> beam.Create(sources_of(self.patterns, self.exports, flag="--annotations"))
            | "List annotations" >> beam.FlatMap(match_annotations)
            # A file that two patterns match is read once; and the worker that lists the files does not read them all.
            | "Group by file" >> beam.GroupByKey()
            | "Read annotations" >> set_apart(_read_group)
        )


def _read_group(group: tuple[bytes, Iterable[AnnotationFile]]) -> Iterator[AnnotationFile | Reject]:
    return read_annotation(min(group[1], key=lambda file: file.name))


class NameBroken(beam.PTransform):
    """Rejects → one list of a few annotation files that cannot be read, empty where all can."""

    def expand(self, rejects: beam.PCollection) -> beam.PCollection:
        return (
            rejects
            | "Take broken files" >> beam.FlatMap(plan.broken_source)
            | "Drop repeated files" >> beam.Distinct()
            | "Keep a few" >> beam.combiners.Top.Smallest(_NAMED)
        )


class CountIgnored(beam.PTransform):
    """AnnotationFiles → one dict: shapes that have no box by design, by kind."""

    def expand(self, annotations: beam.PCollection) -> beam.PCollection:
        return (
            annotations
            | "Take ignored shapes" >> beam.FlatMap(plan.ignored_shapes)
            | "Add up ignored shapes" >> beam.CombinePerKey(sum)
            | "Gather ignored shapes" >> beam.combiners.ToDict()
        )


class CountLabels(beam.PTransform):
    """Images with their annotations → one dict: boxes by name, as it is written."""

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        return (
            images
            | "Take label names" >> beam.FlatMap(plan.label_names)
            | "Count label names" >> beam.combiners.Count.PerElement()
            | "Gather label names" >> beam.combiners.ToDict()
        )


def make_labels(label_counts: dict[str, int], options: PrepareOptions) -> LabelMap | None:
    """See plan.make_labels; once for all images, of the names that were counted."""
    return plan.make_labels(label_counts, options)


def place_image(
    row: Candidate | UnannotatedImage, broken: Sequence[bytes], labels: LabelMap | None, options: PrepareOptions
) -> plan.Split | Reject:
    """What the policies say of an image; see plan.apply_policies and plan.place_image."""
    chosen = plan.apply_policies(row, options, broken)
    if isinstance(chosen, Reject):
        return chosen
    return plan.place_image(chosen, labels, load_split_plan(options))


@dataclass
class NumberImages(beam.PTransform):
    """(split, LabelledImage) → KEPT: (shard key, PlannedImage); REJECTS. No machine ever sorts them all."""

    options: PrepareOptions

    def expand(self, images: beam.PCollection):
        layout = (
            images
            | "Locate images" >> beam.Map(_place, options=self.options)
            | "Count images by place" >> beam.combiners.Count.PerElement()
            | "Gather counts" >> beam.combiners.ToDict()
            | "Lay out buckets" >> beam.Map(_lay_out, options=self.options)
        )
        return (
            images
            | "Key by bucket" >> beam.Map(numbering.key_by_bucket)
            | "Group by bucket" >> beam.GroupByKey()
            | "Number bucket" >> set_apart(_number, layout=beam.pvalue.AsSingleton(layout), options=self.options)
        )


def _place(row: plan.Split, options: PrepareOptions) -> numbering.Place:
    return numbering.place_of(row, load_id_map(options))


def _lay_out(counts: Mapping[numbering.Place, int], options: PrepareOptions) -> numbering.Layout:
    layout = numbering.lay_out(counts, load_id_map(options))
    PROGRESS.plan(sum(layout.images_of.values()))
    return layout


def _number(
    bucket: tuple[int, Iterable[plan.Split]], layout: numbering.Layout, options: PrepareOptions
) -> Iterator[tuple[numbering.ShardKey, PlannedImage] | Reject]:
    return numbering.number_bucket(bucket, layout, load_id_map(options), options)


@dataclass
class MakeShards(beam.PTransform):
    """(shard key, PlannedImage) → ShardResult, one shard at a time on a worker; the image bytes stay there."""

    options: PrepareOptions

    def expand(self, planned: beam.PCollection) -> beam.PCollection:
        verb = "Write" if self.options.writes else "Check"
        return (
            planned
            | "Group by shard" >> beam.GroupByKey()
            | f"{verb} shard" >> beam.Map(_make_and_count, options=self.options)
        )


def _make_and_count(shard: tuple[numbering.ShardKey, Iterable[PlannedImage]], options: PrepareOptions) -> ShardResult:
    key, planned = shard
    result = make_shard(key, planned, options)
    Metrics.counter(COUNTERS, "examples").inc(result.info.examples)
    Metrics.counter(COUNTERS, "boxes").inc(sum(result.boxes_per_class.values()))
    for reject in (*result.rejects, *result.remarks):
        _count_reject(reject)
    return result
