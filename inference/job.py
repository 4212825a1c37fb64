"""The Beam job of ``score``: made from a request, run and timed. Imported only when there is something to score."""

import logging
import time

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from inference.handler import DetectorHandler
from inference.pipeline import Job, build
from inference.request import Request
from inference.resume import Survey

logger = logging.getLogger(__name__)


def run_job(request: Request, survey: Survey, beam_options: PipelineOptions) -> bool:
    """Runs the job; returns whether it has ended, or is only submitted."""
    logging.getLogger().addFilter(_is_news)
    start = time.monotonic()
    with beam.Pipeline(options=beam_options) as pipeline:
        build(pipeline, _job(request, survey))
    if beam_options.view_as(StandardOptions).no_wait_until_finish:
        return False
    seconds = time.monotonic() - start
    logger.info("speed: %.1f images/s (%.1f s, loading the model included)", survey.missing / seconds, seconds)
    return True


def _job(request: Request, survey: Survey) -> Job:
    options, manifest = request.options, request.manifest
    return Job(
        sources=request.sources,
        run=request.run_key,
        total=survey.missing,
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


def _is_news(record: logging.LogRecord) -> bool:
    """RunInference notes at every load that it cannot weigh the model, unless one more optional library is there."""
    return "Resource module is not available" not in record.getMessage()
