"""The launcher of ``score``: everything that can be checked at once is checked before the job starts."""

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

import detection
from beamio import files
from detection.manifests import ModelManifest
from inference import resume, sinks, sources
from inference.exports import choose_classes
from inference.handler import DetectorHandler
from inference.model_folder import check_model
from inference.options import ScoreOptions
from inference.pipeline import Job, build
from inference.sinks import Commit

logger = logging.getLogger(__name__)


def score(options: ScoreOptions, beam_options: PipelineOptions) -> None:
    """Scores every image and logs what came out.

    Raises:
      UsageError: the output folder is in use by something else, the model folder is not a whole export or lacks a
        class that was named, or a source holds no image; nothing has been written then.
    """
    sinks.check_output(options.output)
    manifest = check_model(options.model)
    choose_classes(manifest.labels.name_by_id, options.exports.classes)
    threshold = effective_threshold(options.threshold, manifest)
    found = sources.resolve(options.images)
    run = resume.run_key(manifest, threshold)
    earlier = sinks.find_summary(options.output)
    damaged = sinks.damaged_shards(options.output, earlier) if earlier else []
    survey = resume.survey(found, options.output, run, without=damaged)
    _tell(survey, manifest)
    job = _job(options, manifest, threshold, found, run, survey)
    if earlier and not damaged and survey.is_done_by(earlier) and len(earlier["shards"]) == job.num_shards:
        job.commit.renew(earlier)
        _report(sinks.read_summary(options.output), options.output)
        return
    _clear(options.output, damaged)
    logging.getLogger().addFilter(_is_news)
    start = time.monotonic()
    with beam.Pipeline(options=beam_options) as pipeline:
        build(pipeline, job)
    if beam_options.view_as(StandardOptions).no_wait_until_finish:
        logger.info("submitted; %s/%s appears when every image has its row", options.output, sinks.SUMMARY)
    else:
        seconds = time.monotonic() - start
        logger.info("speed: %.1f images/s (%.1f s, loading the model included)", survey.missing / seconds, seconds)
        _report(sinks.read_summary(options.output), options.output)


def _tell(survey: resume.Survey, manifest: ModelManifest) -> None:
    logger.info("%d of %d images to score by model %s", survey.missing, survey.images, manifest.model_hash[:12])
    if survey.unused:
        logger.info(
            "%d earlier rows are not used and will be removed: their images have changed or are gone, or they are"
            " of another model, threshold or version of this program",
            survey.unused,
        )


def _is_news(record: logging.LogRecord) -> bool:
    """RunInference notes at every load that it cannot weigh the model, unless one more optional library is there."""
    return "Resource module is not available" not in record.getMessage()


def effective_threshold(threshold: float | None, manifest: ModelManifest) -> float:
    """The score from which detections are kept; the model itself gives none below its own threshold."""
    if threshold is None:
        return manifest.score_threshold
    if threshold < manifest.score_threshold:
        logger.warning(
            "--threshold=%g has no effect: the model gives no detection below its own threshold, %g",
            threshold,
            manifest.score_threshold,
        )
    return max(threshold, manifest.score_threshold)


def _job(
    options: ScoreOptions,
    manifest: ModelManifest,
    threshold: float,
    found: tuple[sources.Source, ...],
    run: str,
    survey: resume.Survey,
) -> Job:
    return Job(
        sources=found,
        run=run,
        total=survey.missing,
        handler=DetectorHandler(folder=options.model, model_hash=manifest.model_hash, batch_size=options.batch_size),
        labels=manifest.labels.name_by_id,
        threshold=threshold,
        num_shards=min(options.num_shards, survey.images),
        commit=Commit(output=options.output, header=_header(options, manifest, threshold), exports=options.exports),
    )


def _header(options: ScoreOptions, manifest: ModelManifest, threshold: float) -> dict[str, Any]:
    return {
        "model_hash": manifest.model_hash,
        "labels": manifest.labels.to_json(),
        "thresholds": {"score": threshold, "model_score": manifest.score_threshold, "nms_iou": manifest.nms_iou},
        "max_detections": manifest.max_detections,
        "code_version": detection.__version__,
        "options": dataclasses.asdict(options),
    }


def _clear(output: str, damaged: Sequence[str]) -> None:
    """The commit mark goes before anything else does: a run that is killed leaves nothing that looks whole.

    Damaged shards go before it, for without it nobody could tell.
    """
    files.make_folder(output)
    files.delete([files.join(output, name) for name in (*damaged, sinks.SUMMARY)])


def _report(summary: dict[str, Any], output: str) -> None:
    failed = summary["failed"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    labels = ", ".join(f"{label} {count}" for label, count in summary["detections"].items())
    logger.info("images: %d", summary["images"])
    logger.info("failed: %d%s", sum(failed.values()), f" ({reasons})" if reasons else "")
    logger.info("detections: %s", labels or "none")
    logger.info("rows: %s/predictions-*.jsonl", output)
    for entry in summary["exports"]:
        logger.info("%s: %s", entry["format"], files.join(output, entry["name"]))
