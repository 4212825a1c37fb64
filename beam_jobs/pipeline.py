"""The graph of `prepare` and `check`: plan first, then write (or only check). No image byte crosses a shuffle.

    Match images ────────── Group by name ── Join images and ─┬───── Assign labels ─── Number ── Make ──── Commit
                             │                annotations      │       and splits        images    shards
    Read annotations ───────┘                   └─ Join by ────┤        ▲    ▲
          │                                         <filename> ├─ Count labels ─ Make label map
          └─ Count ignored shapes                              └─ Collect unreadable annotation files

Commit also takes the rejects of every step, the number of images, the label map, the labels, the ignored shapes and the
doubtful pairings. It writes dataset.json last.
"""

from collections.abc import Mapping

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from beam_jobs import join, plan
from beam_jobs.commit import commit
from beam_jobs.options import PrepareOptions
from beam_jobs.transforms import (
    MAIN,
    REJECTS,
    CollectUnreadableFiles,
    CountExamples,
    JoinByFilename,
    MakeShards,
    MatchImages,
    NumberImages,
    ReadAnnotations,
    SumByKey,
    with_rejects,
)


def build_prepare(pipeline: beam.Pipeline, options: PrepareOptions, passed_over: Mapping[str, int]) -> None:
    """Add the complete job to a pipeline; passed_over is the number of files by suffix that it does not read."""
    # Read and join: image and annotation rows meet under the stem of their file names.
    images = pipeline | "Match images" >> MatchImages(options.images, options.exports)
    read = pipeline | "Read annotations" >> ReadAnnotations(options.annotations, options.exports, options.min_score)
    keyed = read[MAIN] | "Key annotations by name" >> beam.Map(join.annotation_key)
    groups = {"images": images, "annotations": keyed} | "Group by name" >> beam.CoGroupByKey()
    by_name = groups | "Join images and annotations" >> with_rejects(join.join_images)
    by_filename = by_name[MAIN] | "Join by <filename>" >> JoinByFilename()
    paired = by_name[MAIN] | "Keep pairs" >> beam.Filter(join.is_pair)
    joined = (paired, by_filename[MAIN]) | "Collect images" >> beam.Flatten()

    # Plan: label map, labels and splits, then source ids and shards. Every row is small; no image has been opened yet.
    label_counts = joined | "Count labels" >> SumByKey(plan.label_counts)
    # Classes are numbered only when the labels of all images are known, so assigning waits for this side input.
    labels = label_counts | "Make label map" >> beam.Map(plan.make_label_map, options=options)
    # Annotations that match no image are rejected by the join, and may be unreadable files, too.
    faults = (read[REJECTS], by_name[REJECTS], by_filename[REJECTS]) | "Collect annotation rejects" >> beam.Flatten()
    unreadable = faults | "Collect unreadable annotation files" >> CollectUnreadableFiles()
    assigned = joined | "Assign labels and splits" >> with_rejects(
        plan.assign_labels_and_splits, options=options, labels=AsSingleton(labels), unreadable=AsSingleton(unreadable)
    )
    # Ids and shards need the number of images in each hash bucket: see beam_jobs.plan.
    numbered = assigned[MAIN] | "Number images" >> NumberImages(options)

    # Write or check: one element per shard. From here on a worker reads pixels, and keeps them to itself.
    shards = numbered[MAIN] | "Make shards" >> MakeShards(options)

    # Commit: waits for all shards and every count, because all of them are side inputs.
    images_in = groups | "Count images" >> beam.Map(join.count_images) | "Add up images" >> beam.CombineGlobally(sum)
    ignored = read[MAIN] | "Count ignored shapes" >> SumByKey(plan.ignored_shapes)
    pairings = joined | "Count doubtful pairings" >> CountExamples(join.describe_pairing)
    # The rejects of shards are not here: each ShardResult holds its own, so that a receipt keeps them for --resume.
    steps = (read, by_name, by_filename, assigned, numbered)
    rejects = tuple(step[REJECTS] for step in steps) | "Collect rejects" >> beam.Flatten()
    _ = (
        pipeline
        # One element, so that `commit` is called once. Only a failed call is repeated.
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
            pairings=AsSingleton(pairings),
            passed_over=passed_over,
        )
    )
