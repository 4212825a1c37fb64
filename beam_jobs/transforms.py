"""What the launcher asks of zip files before the job starts, and the rows of an annotation file in the job's terms."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_jobs import numbering, plan
from beam_jobs.input_files import load_id_map, load_split_plan
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import Candidate, PlannedImage, Reject, ShardResult, UnannotatedImage
from beam_jobs.shards import make_shard
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.sources import listing
from retinanet_odm.sources.listing import (
    ANNOTATION_CONTENT,
    IMAGE_CONTENT,
    AnnotationFile,
    input_patterns,
    match_annotations,
    match_images,
)
from retinanet_odm.storage import files


def check_zips(options: PrepareOptions) -> None:
    """Looks into every zip file before the job starts.

    Raises:
      UsageError: one is broken, lacks what its flag promises, or is given as an export and otherwise too; or a file of
        --exports is none.
    """
    loose = listing.check_zip_files(_list(options.images), "--images", IMAGE_CONTENT)
    loose |= listing.check_zip_files(_list(options.annotations), "--annotations", ANNOTATION_CONTENT)
    given = _list(options.exports)
    exports = listing.check_zip_files(given, "--exports", IMAGE_CONTENT, ANNOTATION_CONTENT)
    if other := min(given - exports, default=None):
        raise UsageError(f"--exports: {other} is no zip file; give loose files by --images and --annotations")
    if twice := min(loose & exports, default=None):
        raise UsageError(f"--exports: {twice} is matched by --images or --annotations too: give it once")


def _list(patterns: Iterable[str]) -> set[str]:
    return {uri for pattern in patterns for uri in files.iter_matches(pattern)}


def read_annotation_or_reject(lone: AnnotationFile) -> Iterator[AnnotationFile | Reject]:
    """A row for every image of a file, as retinanet_odm.sources.listing reads it; a fault after the first of them is a reject."""
    for row in listing.read_annotation(lone):
        yield plan.broken_annotation(lone, row) if isinstance(row, DataError) else row


COUNTERS = "prepare"
REJECTS = "rejects"
MAIN = "kept"
_NAMED = 3  # broken annotation files in the detail of an image without annotation


def with_rejects(verb: Callable[..., Any], **kwargs: Any) -> beam.ParDo:
    """A step that calls verb(row, **kwargs) for one row or an iterator of rows; its outputs are KEPT and REJECTS.

    Rejects are counted by kind and reason.
    """
    return beam.FlatMap(_tag_rejects, verb=verb, **kwargs).with_outputs(REJECTS, main=MAIN)


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
            | "Take image patterns" >> beam.Create(input_patterns(self.patterns, self.exports, flag="--images"))
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
            | "Take annotation patterns"
            >> beam.Create(input_patterns(self.patterns, self.exports, flag="--annotations"))
            | "List annotations" >> beam.FlatMap(match_annotations)
            # A file that two patterns match is read once; and the worker that lists the files does not read them all.
            | "Group by file" >> beam.GroupByKey()
            | "Read annotations" >> with_rejects(_read_group)
        )


def _read_group(group: tuple[bytes, Iterable[AnnotationFile]]) -> Iterator[AnnotationFile | Reject]:
    return read_annotation_or_reject(min(group[1], key=lambda file: file.name))


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


def make_labels_once(label_counts: dict[str, int], options: PrepareOptions) -> LabelMap | None:
    """See plan.make_labels; once for all images, of the names that were counted."""
    return plan.make_labels(label_counts, options)


def assign_labels_and_splits(
    row: Candidate | UnannotatedImage, broken: Sequence[bytes], labels: LabelMap | None, options: PrepareOptions
) -> plan.SplitName | Reject:
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
            | "Number bucket" >> with_rejects(_number, layout=beam.pvalue.AsSingleton(layout), options=self.options)
        )


def _place(row: plan.SplitName, options: PrepareOptions) -> numbering.BucketKey:
    return numbering.bucket_key(row, load_id_map(options))


def _lay_out(counts: Mapping[numbering.BucketKey, int], options: PrepareOptions) -> numbering.Layout:
    layout = numbering.lay_out(counts, load_id_map(options))
    PROGRESS.plan(sum(layout.images_of.values()))
    return layout


def _number(
    bucket: tuple[int, Iterable[plan.SplitName]], layout: numbering.Layout, options: PrepareOptions
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
