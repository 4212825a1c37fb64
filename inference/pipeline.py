"""The graph of the scoring job.

    sources ─▶ ListImages ─┬─ chunks ─▶ ReadImages ─┬─ images ─▶ DetectObjects ─▶ rows ─┐
                           │                        └─ unreadable ─▶ failed rows ───────┴▶ CountRows, SaveRows ─┐
                           ├─ kept: where earlier rows lie ─────────────────────────────────────────▶ WriteRows ◀┘
                           └─ listed: numbers of images ─────────────────────────────────────▶ CommitRun ◀┘

Names and offsets are shuffled after ListImages and before WriteRows; image bytes and rows never are. While the model
runs, SaveRows writes part files, whose rows a later run keeps, and WriteRows merges them. CommitRun writes summary.json
when the rows are as many as the images listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import apache_beam as beam

from detection.images import ImageRule
from inference.handler import DetectorHandler
from inference.progress import CountRows
from inference.sinks import Commit
from inference.sources import Source
from inference.thresholds import Thresholds
from inference.transforms import (
    CHUNKS,
    IMAGES,
    KEPT,
    LISTED,
    UNREADABLE,
    CommitRun,
    DetectObjects,
    ListImages,
    ReadImages,
    SaveRows,
    WriteRows,
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the graph is built from.

    Attributes:
      run: resume.run_key.
      rule: how photographs are checked before the model sees them.
      total: images to score that the launcher counted, for the progress line.
      processes: that share them on this machine.
      labels: names by id.
      thresholds: the scores from which detections are kept.
    """

    sources: tuple[Source, ...]
    run: str
    rule: ImageRule
    total: int
    processes: int
    handler: DetectorHandler
    labels: Mapping[int, str]
    thresholds: Thresholds
    num_shards: int
    commit: Commit


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Adds the scoring job to a pipeline."""
    listed = pipeline | "List images" >> ListImages(job.sources, job.commit.output, job.run, job.num_shards)
    read = listed[CHUNKS] | "Read images" >> ReadImages(job.run, job.rule)
    # Counted and saved before they are joined: runners may hold rows back at the join until all are there. One DoFn
    # object for both, so that each process has one progress line.
    count, save = CountRows(job.total, job.processes), SaveRows(job.commit.output, job.num_shards)
    scored = read[IMAGES] | "Detect objects" >> DetectObjects(job.handler, job.labels, job.thresholds)
    _ = (
        (
            scored | "Count scored" >> beam.ParDo(count) | "Save scored" >> beam.ParDo(save),
            read[UNREADABLE] | "Count unreadable" >> beam.ParDo(count) | "Save unreadable" >> beam.ParDo(save),
            listed[KEPT],
        )
        | "Join extents" >> beam.Flatten()
        | "Write rows" >> WriteRows(job.commit.output, job.num_shards)
        | "Commit the run" >> CommitRun(job.commit, listed[LISTED])
    )
