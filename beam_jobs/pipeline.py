"""The graph of `prepare`: plan, then write; no image byte crosses a shuffle.

image patterns ─ MatchImages ──────────┐
                                       ├─ CoGroupByKey ─ Join ─┬─ MakeLabels ─ (labels)
annotation patterns ─ ReadAnnotations ─┘                       │
                                                               └─ Look up labels ─ NumberImages ─ WriteShards ─┐
                   (rejects of every step, count of images) ──────────────────────────────────── Commit ◀────┘
"""

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from beam_jobs import plan
from beam_jobs.commit import commit_dataset
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import Reject, ShardResult
from beam_jobs.transforms import MakeLabels, MatchImages, NumberImages, ReadAnnotations, SetRejectsApart, WriteShards
from detection.labels import LabelMap


def build(pipeline: beam.Pipeline, options: PrepareOptions) -> None:
    """Adds the whole job to a pipeline."""
    images = pipeline | "Match images" >> MatchImages(options.images)
    annotations = pipeline | "Read annotations" >> ReadAnnotations(options.annotations)
    groups = {"images": images, "annotations": annotations} | "Group by name" >> beam.CoGroupByKey()
    images_in = groups | "Count images" >> beam.Map(plan.count_images) | "Add up images" >> beam.CombineGlobally(sum)
    joined = groups | "Join images and annotations" >> beam.FlatMap(plan.join_images)
    candidates, not_joined = joined | "Set unjoined apart" >> SetRejectsApart()
    labels = candidates | "Make label map" >> MakeLabels(options.labels)
    looked_up = candidates | "Look up labels" >> beam.Map(plan.label_image, labels=AsSingleton(labels))
    labelled, not_labelled = looked_up | "Set unlabelled apart" >> SetRejectsApart()
    numbered = labelled | "Number images" >> NumberImages(options)
    planned, not_numbered = numbered | "Set unnumbered apart" >> SetRejectsApart()
    shards = planned | "Write shards" >> WriteShards(options.output)
    rejects = (not_joined, not_labelled, not_numbered) | "Gather rejects" >> beam.Flatten()
    _ = (
        pipeline
        | "Start commit" >> beam.Create([options])
        | "Commit data set"
        >> beam.Map(_commit, AsList(shards), AsList(rejects), AsSingleton(images_in), AsSingleton(labels))
    )


def _commit(
    options: PrepareOptions,
    shards: list[ShardResult],
    rejects: list[Reject],
    images_in: int,
    labels: LabelMap | None,
) -> None:
    commit_dataset(shards, rejects, images_in, labels, options)
