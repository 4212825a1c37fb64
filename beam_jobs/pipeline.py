"""The graph of `prepare` and `check`: plan, then write or look; no image byte crosses a shuffle.

image patterns ─ MatchImages ──────────┐                 ┌─ CountLabels
                                       ├─ CoGroupByKey ─ Join ─ Place images ─ NumberImages ─┐
annotation patterns ─ ReadAnnotations ─┘                                                     │
     (rejects of every step, counts of images, labels, ignored shapes) ─▶ Commit ◀─ MakeShards

Side inputs of Place images: the broken annotation files, the label map. It reads the list of splits itself,
NumberImages and Commit the id map of earlier builds, once a process.
"""

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from beam_jobs import plan
from beam_jobs.commit import commit
from beam_jobs.input_files import load_id_map
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import DatasetPlan, Reject, ShardResult
from beam_jobs.transforms import (
    MAIN,
    REJECTS,
    CountIgnored,
    CountLabels,
    MakeShards,
    MatchImages,
    NameBroken,
    NumberImages,
    ReadAnnotations,
    assign_labels_and_splits,
    make_labels_once,
    with_rejects,
)
from retinanet_odm.labels.label_map import LabelMap


def build_prepare(pipeline: beam.Pipeline, options: PrepareOptions) -> None:
    """Adds the whole job to a pipeline."""
    images = pipeline | "Match images" >> MatchImages(options.images, options.exports)
    read = pipeline | "Read annotations" >> ReadAnnotations(options.annotations, options.exports)
    keyed = read[MAIN] | "Key annotations" >> beam.Map(plan.annotation_key)
    groups = {"images": images, "annotations": keyed} | "Group by name" >> beam.CoGroupByKey()
    images_in = groups | "Count images" >> beam.Map(plan.count_images) | "Add up images" >> beam.CombineGlobally(sum)
    ignored = read[MAIN] | "Count ignored shapes" >> CountIgnored()
    joined = groups | "Join images and annotations" >> with_rejects(plan.join_images)
    unread = (read[REJECTS], joined[REJECTS]) | "Gather unread" >> beam.Flatten()
    broken = unread | "Name broken annotations" >> NameBroken()
    label_counts = joined[MAIN] | "Count labels" >> CountLabels()
    labels = label_counts | "Make label map" >> beam.Map(make_labels_once, options=options)
    placed = joined[MAIN] | "Place images" >> with_rejects(
        assign_labels_and_splits, broken=AsSingleton(broken), labels=AsSingleton(labels), options=options
    )
    numbered = placed[MAIN] | "Number images" >> NumberImages(options)
    shards = numbered[MAIN] | "Make shards" >> MakeShards(options)
    left_out = tuple(step[REJECTS] for step in (read, joined, placed, numbered))
    rejects = left_out | "Gather rejects" >> beam.Flatten()
    request = pipeline | "Take request" >> beam.Create([options])
    counts = (images_in, labels, label_counts, ignored)
    _ = request | "Commit" >> beam.Map(_commit, AsList(shards), AsList(rejects), *map(AsSingleton, counts))


def _commit(
    options: PrepareOptions,
    shards: list[ShardResult],
    rejects: list[Reject],
    images_in: int,
    labels: LabelMap | None,
    label_counts: dict[str, int],
    ignored: dict[str, int],
) -> None:
    planned = DatasetPlan(
        images_in=images_in,
        labels=labels,
        label_counts=label_counts,
        ignored=ignored,
        rejects=tuple(rejects),
    )
    commit(planned, shards, options, load_id_map(options))
