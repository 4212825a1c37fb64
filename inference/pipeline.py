"""The Beam job of ``score``: made from a request, run and timed. Imported only when there is something to score."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from inference.image_sources.listing import ImageSource
from inference.model.handler import DetectorHandler
from inference.model.thresholds import ScoreThresholds
from inference.request import ScoreRequest
from inference.rows.output_folder import Commit
from inference.rows.resume import PendingWork
from inference.transforms import (
    CHUNKS,
    IMAGES,
    KEPT,
    LISTED,
    UNREADABLE,
    CommitRun,
    CountRows,
    DetectObjects,
    ListImages,
    ReadImages,
    SaveRows,
    WriteRows,
)
from retinanet_odm.imaging.images import VERIFY_FULL, VERIFY_HEADER, ImageRule

_logger = logging.getLogger(__name__)

# What TensorFlow reads when it starts: threads within an operation, and operations at once.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


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

    sources: tuple[ImageSource, ...]
    run: str
    rule: ImageRule
    total: int
    processes: int
    handler: DetectorHandler
    labels: Mapping[int, str]
    thresholds: ScoreThresholds
    num_shards: int
    commit: Commit


def run_job(request: ScoreRequest, survey: PendingWork, beam_options: PipelineOptions) -> bool:
    """Runs the job; returns whether it has ended, or is only submitted."""
    logging.getLogger().addFilter(_is_news)
    start = time.monotonic()
    processes = _local_processes(beam_options.view_as(DirectOptions))
    with _cores_shared(processes), beam.Pipeline(options=beam_options) as pipeline:
        build_score(pipeline, _job(request, survey, processes))
    if beam_options.view_as(StandardOptions).no_wait_until_finish:
        return False
    seconds = time.monotonic() - start
    _logger.info("speed: %.1f images/s (%.1f s, loading the model included)", survey.missing / seconds, seconds)
    return True


def _local_processes(options: DirectOptions) -> int:
    """How many share the work on this machine."""
    if options.direct_running_mode != "multi_processing":
        return 1
    return options.direct_num_workers or os.cpu_count() or 1


def _job(request: ScoreRequest, survey: PendingWork, processes: int) -> Job:
    options, manifest = request.options, request.manifest
    return Job(
        sources=request.sources,
        run=request.run_key,
        # A model of ours says which pictures it cannot decode; that of another program may take half a picture for one.
        rule=ImageRule(verify=VERIFY_HEADER if request.signature_map is None else VERIFY_FULL),
        total=survey.missing,
        processes=processes,
        handler=DetectorHandler(
            folder=options.model,
            model_hash=manifest.model_hash,
            options=options.asking,
            nms_iou=manifest.nms_iou,
            signature_map=request.signature_map,
        ),
        labels=manifest.labels.name_by_id,
        thresholds=request.thresholds,
        num_shards=request.num_shards(survey.images),
        commit=request.commit,
    )


@contextlib.contextmanager
def _cores_shared(processes: int) -> Iterator[None]:
    """Tells TensorFlow in local worker processes, which inherit it, how many of the cores are theirs.

    Each would take them all; together they would be slower by a tenth.
    """
    if processes == 1:
        yield
        return
    share = str(max(1, (os.cpu_count() or 1) // processes))
    added = {name: share for name in _THREADS if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _is_news(record: logging.LogRecord) -> bool:
    """RunInference notes at every load that it cannot weigh the model, unless one more optional library is there."""
    return "Resource module is not available" not in record.getMessage()


def build_score(pipeline: beam.Pipeline, job: Job) -> None:
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
