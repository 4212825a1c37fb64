"""The graph of `prepare` and `check`: plan first, then write (or only check). No image byte crosses a shuffle.

    Match images ─────┬─ Join images and ─┬─────────────── Assign labels ─── Number ── Make ──── Commit
                      │  annotations      │                and splits        images    shards
    Read annotations ─┘      └─ Join by ──┘                    ▲
                               <filename>       Add up tallies ┴ Make label map

Rows cross a shuffle in batches (`batches`). The first steps also yield tallies: what must be known of all images before
labels can be assigned. Commit also takes the rejects of every step, the tallies and the label map. It writes
dataset.json last.
"""

from collections.abc import Iterable, Mapping

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from beam_jobs import partitions, plan
from beam_jobs.batches import MAIN, RowBatch, unpack_batches
from beam_jobs.commit import commit
from beam_jobs.options import PrepareOptions
from beam_jobs.partitions import OPEN
from beam_jobs.tally import Tally
from beam_jobs.transforms import (
    COUNTS,
    REJECTS,
    AddUpTallies,
    MakeShards,
    MatchImages,
    NumberImages,
    ReadAnnotations,
    in_batches,
)
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.pickling import unpack_rows


def build_prepare(pipeline: beam.Pipeline, options: PrepareOptions, passed_over: Mapping[str, int]) -> None:
    """Add the complete job to a pipeline; passed_over is the number of files by suffix that it does not read."""
    # Read and join: image and annotation rows meet under the stem of their file names.
    images = pipeline | "Match images" >> MatchImages(options.images, options.exports)
    read = pipeline | "Read annotations" >> ReadAnnotations(options)
    by_name = (
        (images, read[MAIN])
        | "Collect names" >> beam.Flatten()
        | "Group by name" >> beam.GroupByKey()
        | "Join images and annotations" >> in_batches(partitions.join_partition, OPEN, REJECTS, COUNTS)
    )
    by_filename = (
        by_name[OPEN]
        | "Group by <filename>" >> beam.GroupByKey()
        | "Join by <filename>" >> in_batches(partitions.join_open_partition, REJECTS, COUNTS)
    )

    # Plan: label map, labels and splits, then source ids and shards. Every row is small; no image has been opened yet.
    tallies = (read[COUNTS], by_name[COUNTS], by_filename[COUNTS]) | "Collect tallies" >> beam.Flatten()
    found = tallies | "Add up tallies" >> AddUpTallies()
    # Classes are numbered only when the labels of all images are known, so assigning waits for these side inputs.
    labels = found | "Make label map" >> beam.Map(_make_label_map, options=options)
    assigned = (
        (by_name[MAIN], by_filename[MAIN])
        | "Collect images" >> beam.Flatten()
        | "Group by bucket" >> beam.GroupByKey()
        | "Assign labels and splits"
        >> in_batches(
            partitions.assign_partition,
            REJECTS,
            COUNTS,
            options=options,
            labels=AsSingleton(labels),
            found=AsSingleton(found),
        )
    )
    # Ids and shards need the number of images in each hash bucket: see beam_jobs.plan.
    numbered = (assigned[MAIN], assigned[COUNTS]) | "Number images" >> NumberImages(options)

    # Write or check: one element per shard. From here on a worker reads pixels, and keeps them to itself.
    shards = numbered[MAIN] | "Make shards" >> MakeShards(options)

    # Commit: waits for all shards and every count, because all of them are side inputs.
    # The rejects of shards are not here: each ShardResult holds its own, so that a receipt keeps them for --resume.
    steps = (read, by_name, by_filename, assigned, numbered)
    rejects = tuple(step[REJECTS] for step in steps) | "Collect rejects" >> beam.Flatten()
    _ = (
        pipeline
        # One element, so that `commit` is called once. Only a failed call is repeated.
        | "Create request" >> beam.Create([options])
        | "Commit"
        >> beam.Map(
            _commit,
            shards=AsList(shards),
            rejects=AsList(rejects),
            found=AsSingleton(found),
            labels=AsSingleton(labels),
            passed_over=passed_over,
        )
    )


def _make_label_map(found: Tally, options: PrepareOptions) -> LabelMap | None:
    return plan.make_label_map(found.label_counts, options)


def _commit(
    options: PrepareOptions,
    shards: Iterable[RowBatch],
    rejects: Iterable[RowBatch],
    found: Tally,
    labels: LabelMap | None,
    passed_over: Mapping[str, int],
) -> None:
    commit(
        options,
        map(unpack_rows, shards),
        unpack_batches(rejects),
        images_in=found.images_in,
        labels=labels,
        label_counts=found.label_counts,
        ignored=found.ignored,
        pairings=found.pairings,
        passed_over=passed_over,
    )
