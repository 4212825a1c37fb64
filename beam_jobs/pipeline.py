"""The graph of `prepare` and `check`: plan first, then write (or only check). No image byte crosses a shuffle.

    Match images ────────── Group by name ── Join images and ─────── Assign labels ─── Number ── Make ──── Commit
                             │                annotations              and splits        images    shards
    Read annotations ───────┘                    │                      ▲    ▲
          │                                      ├─ Count labels ─ Make label map
          └─ Count ignored shapes                └─ Collect unreadable annotation files

Commit also takes the rejects of every step, the number of images, the label map, the labels and the ignored shapes. It
writes dataset.json last.
"""

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from beam_jobs import plan
from beam_jobs.commit import commit
from beam_jobs.options import PrepareOptions
from beam_jobs.transforms import (
    MAIN,
    REJECTS,
    CollectUnreadableFiles,
    MakeShards,
    MatchImages,
    NumberImages,
    ReadAnnotations,
    SumByKey,
    with_rejects,
)


def build_prepare(pipeline: beam.Pipeline, options: PrepareOptions) -> None:
    """Adds the complete job to a pipeline."""
    # Read and join: image and annotation rows meet under the stem of their file names.
    images = pipeline | "Match images" >> MatchImages(options.images, options.exports)
    read = pipeline | "Read annotations" >> ReadAnnotations(options.annotations, options.exports)
    keyed = read[MAIN] | "Key annotations by name" >> beam.Map(plan.annotation_key)
    groups = {"images": images, "annotations": keyed} | "Group by name" >> beam.CoGroupByKey()
    joined = groups | "Join images and annotations" >> with_rejects(plan.join_images)

    # Plan: label map, labels and splits, then source ids and shards. Every row is small; no image has been opened yet.
    label_counts = joined[MAIN] | "Count labels" >> SumByKey(plan.label_counts)
    labels = label_counts | "Make label map" >> beam.Map(plan.make_label_map, options=options)
    # Annotations that match no image are rejected by the join, and may be unreadable files, too.
    faults = (read[REJECTS], joined[REJECTS]) | "Collect annotation rejects" >> beam.Flatten()
    unreadable = faults | "Collect unreadable annotation files" >> CollectUnreadableFiles()
    assigned = joined[MAIN] | "Assign labels and splits" >> with_rejects(
        plan.assign_labels_and_splits, options=options, labels=AsSingleton(labels), unreadable=AsSingleton(unreadable)
    )
    numbered = assigned[MAIN] | "Number images" >> NumberImages(options)

    # Write or check: one element per shard. From here on a worker reads pixels, and keeps them to itself.
    shards = numbered[MAIN] | "Make shards" >> MakeShards(options)

    # Commit: waits for all shards and every count, because all of them are side inputs.
    images_in = groups | "Count images" >> beam.Map(plan.count_images) | "Add up images" >> beam.CombineGlobally(sum)
    ignored = read[MAIN] | "Count ignored shapes" >> SumByKey(plan.ignored_shapes)
    steps = (read, joined, assigned, numbered)
    rejects = tuple(step[REJECTS] for step in steps) | "Collect rejects" >> beam.Flatten()
    _ = (
        pipeline
        | "Create request" >> beam.Create([options])
        | "Commit"
        >> beam.Map(
            commit,
            shards=AsList(shards),
            rejects=AsList(rejects),
            images_in=AsSingleton(images_in),
            labels=AsSingleton(labels),
            label_counts=AsSingleton(label_counts),
            ignored=AsSingleton(ignored),
        )
    )
