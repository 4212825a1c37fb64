"""The graph of the scoring job.

    sources ─▶ ListImages ─▶ chunks ─▶ ReadImages ─┬─ images ─▶ DetectObjects ─▶ rows ─┐
                               │                   └─ unreadable ─▶ failed rows ───────┴▶ CountRows ─▶ WriteRows ─┐
                               └─ count listed ──────────────────────────────────────────────────▶ CommitRun ◀────┘

Names and offsets are shuffled after ListImages, rows before WriteRows; image bytes never are. CommitRun writes
summary.json when the rows are as many as the images listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import apache_beam as beam

from inference.handler import DetectorHandler
from inference.sinks import Commit
from inference.sources import Source
from inference.thresholds import Thresholds
from inference.transforms import (
    IMAGES,
    UNREADABLE,
    CommitRun,
    CountRows,
    DetectObjects,
    ListImages,
    ReadImages,
    WriteRows,
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the graph is built from.

    Attributes:
      total: images that the launcher counted, for the progress line.
      labels: names by id.
      thresholds: the scores from which detections are kept.
    """

    sources: tuple[Source, ...]
    total: int
    handler: DetectorHandler
    labels: Mapping[int, str]
    thresholds: Thresholds
    num_shards: int
    commit: Commit


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Adds the scoring job to a pipeline."""
    chunks = pipeline | "List images" >> ListImages(job.sources)
    read = chunks | "Read images" >> ReadImages()
    # Counted before they are joined: runners may hold rows back at the join until all are there. One DoFn object for
    # both, so that each process has one progress line.
    count = CountRows(job.total)
    scored = read[IMAGES] | "Detect objects" >> DetectObjects(job.handler, job.labels, job.thresholds)
    _ = (
        (scored | "Count scored" >> beam.ParDo(count), read[UNREADABLE] | "Count unreadable" >> beam.ParDo(count))
        | "Join rows" >> beam.Flatten()
        | "Write rows" >> WriteRows(job.commit.output, job.num_shards)
        | "Commit the run" >> CommitRun(job.commit, chunks)
    )
