"""The graph of `prepare`: plan, then write; no image byte crosses a shuffle.

image patterns ─ MatchImages ──────────┐
                                       ├─ CoGroupByKey ─ Join ─ Apply policies ─┬─ MakeLabels ─ (labels)
annotation patterns ─ ReadAnnotations ─┘                                        │
      ┌──────────────────────────────────── Look up labels ─ Split ◀────────────┘
      └─ NumberImages ─ WriteShards ─ Commit ◀─ (rejects of every step, count of images)

Side inputs: the broken annotation files to Apply policies, the labels to Look up labels. Split reads the list of
splits, NumberImages and Commit read the id map of earlier builds themselves, once a process.
"""

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from beam_jobs import plan
from beam_jobs.commit import commit_dataset
from beam_jobs.inputs import load_id_map
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import Reject, ShardResult
from beam_jobs.transforms import (
    MakeLabels,
    MatchImages,
    NameBroken,
    NumberImages,
    ReadAnnotations,
    SetRejectsApart,
    WriteShards,
    split_image,
)
from detection.labels import LabelMap


def build(pipeline: beam.Pipeline, options: PrepareOptions) -> None:
    """Adds the whole job to a pipeline."""
    images = pipeline | "Match images" >> MatchImages(options.images, options.exports)
    read = pipeline | "Read annotations" >> ReadAnnotations(options.annotations, options.exports)
    annotations, not_read = read | "Set unread apart" >> SetRejectsApart()
    keyed = annotations | "Key annotations" >> beam.Map(plan.annotation_key)
    groups = {"images": images, "annotations": keyed} | "Group by name" >> beam.CoGroupByKey()
    images_in = groups | "Count images" >> beam.Map(plan.count_images) | "Add up images" >> beam.CombineGlobally(sum)
    joined = groups | "Join images and annotations" >> beam.FlatMap(plan.join_images)
    matched, not_joined = joined | "Set unjoined apart" >> SetRejectsApart()
    broken = (not_read, not_joined) | "Gather unread" >> beam.Flatten() | "Name broken annotations" >> NameBroken()
    chosen = matched | "Apply policies" >> beam.Map(plan.apply_policies, options=options, broken=AsSingleton(broken))
    candidates, not_chosen = chosen | "Set unchosen apart" >> SetRejectsApart()
    labels = candidates | "Make label map" >> MakeLabels(options.labels)
    looked_up = candidates | "Look up labels" >> beam.Map(plan.label_image, labels=AsSingleton(labels))
    labelled, not_labelled = looked_up | "Set unlabelled apart" >> SetRejectsApart()
    split = labelled | "Split images" >> beam.Map(split_image, options=options)
    in_split, not_split = split | "Set unsplit apart" >> SetRejectsApart()
    numbered = in_split | "Number images" >> NumberImages(options)
    planned, not_numbered = numbered | "Set unnumbered apart" >> SetRejectsApart()
    shards = planned | "Write shards" >> WriteShards(options.output)
    left_out = (not_read, not_joined, not_chosen, not_labelled, not_split, not_numbered)
    rejects = left_out | "Gather rejects" >> beam.Flatten()
    request = pipeline | "Take request" >> beam.Create([options])
    _ = request | "Commit data set" >> beam.Map(
        _commit, AsList(shards), AsList(rejects), AsSingleton(images_in), AsSingleton(labels)
    )


def _commit(
    options: PrepareOptions,
    shards: list[ShardResult],
    rejects: list[Reject],
    images_in: int,
    labels: LabelMap | None,
) -> None:
    commit_dataset(shards, rejects, images_in, labels, options, load_id_map(options))
