"""The Beam job of `score`: built from a request, run and timed. Imported only when there are images to score.

                                      ┌─ unreadable ─────────────────────┐
    List images ── chunks ── Read images ── images ── Detect objects ── Count, Save
         ├── spans of earlier rows ───────────────────────────────┐       │ spans of part files
         │                                                        └── Write rows ── prediction files
         └── number of images ──────────────────────────────────────────── Commit the run ── summary.json

Images are read where the model runs: before it only names and offsets travel, after it only where rows lie.
"""

import contextlib
import logging
import os
import time
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from inference.request import Commit, PendingWork, ScoreRequest
from inference.transforms import (
    CHUNKS,
    KEPT_ROWS,
    NUM_IMAGES,
    READ_IMAGES,
    UNREADABLE,
    CommitRun,
    CountRows,
    DetectObjects,
    ListImages,
    ReadImages,
    SaveRows,
    WriteRows,
)
from retinanet_odm.cli.progress import PROGRESS

_logger = logging.getLogger(__name__)

# Environment variables of TensorFlow: threads within an operation, and operations at the same time.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def run_job(request: ScoreRequest, pending: PendingWork, commit: Commit, beam_options: PipelineOptions) -> bool:
    """Run the job; return whether it has finished, or was only submitted."""
    logging.getLogger().addFilter(_is_relevant)
    start = time.monotonic()
    processes = _local_processes(beam_options)
    with PROGRESS.shown(failures="failed"), _cores_shared(processes), beam.Pipeline(options=beam_options) as pipeline:
        PROGRESS.plan(pending.missing)
        build_score(pipeline, request, pending, commit)
    if beam_options.view_as(StandardOptions).no_wait_until_finish:
        return False
    # Leaving the `with` of a pipeline runs it and waits for it.
    seconds = time.monotonic() - start
    _logger.info("speed: %.1f images/s (%.1f s, loading the model included)", pending.missing / seconds, seconds)
    return True


def build_score(pipeline: beam.Pipeline, request: ScoreRequest, pending: PendingWork, commit: Commit) -> None:
    """Add the job to a pipeline.

    Args:
      pipeline: to add it to.
      request: what to do.
      pending: what of it has not been done before.
      commit: the last step.
    """
    # In the order of the graph above.
    output, num_shards = request.options.output, request.num_shards(pending.images)
    listed = pipeline | "List images" >> ListImages(
        request.sources, output, request.run_key, num_shards, pending, request.options.add
    )
    read = listed[CHUNKS] | "Read images" >> ReadImages(request.run_key, request.image_rule)
    scored = read[READ_IMAGES] | "Detect objects" >> DetectObjects(request.model)
    # The order matters: rows are counted and saved before they are joined, because runners may hold elements back at a
    # join until all of them are there.
    count, save = CountRows(), SaveRows(output, num_shards)
    _ = (
        (
            scored | "Count scored" >> beam.ParDo(count) | "Save scored" >> beam.ParDo(save),
            read[UNREADABLE] | "Count unreadable" >> beam.ParDo(count) | "Save unreadable" >> beam.ParDo(save),
            listed[KEPT_ROWS],
        )
        | "Join spans" >> beam.Flatten()
        | "Write rows" >> WriteRows(output, num_shards)
        | "Commit the run" >> CommitRun(commit, listed[NUM_IMAGES])
    )


def _local_processes(beam_options: PipelineOptions) -> int:
    """Return the number of worker processes on this machine."""
    options = beam_options.view_as(DirectOptions)
    if options.direct_running_mode != "multi_processing":
        return 1
    return options.direct_num_workers or os.cpu_count() or 1


@contextlib.contextmanager
def _cores_shared(processes: int) -> Iterator[None]:
    """Give TensorFlow in local worker processes, which inherit the environment, an equal share of the cores.

    By default each would use all cores; together they would be slower by a tenth.
    """
    if processes == 1:
        yield
        return
    share = str(max(1, (os.cpu_count() or 1) // processes))
    # Only what the user has not set: an own number of threads is left alone.
    added = {name: share for name in _THREADS if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _is_relevant(record: logging.LogRecord) -> bool:
    """Drop a note of RunInference at every load: it cannot measure memory without one more optional library."""
    return "Resource module is not available" not in record.getMessage()
