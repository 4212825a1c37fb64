"""The launcher of ``score``: everything that can be checked at once is checked before the job starts."""

import dataclasses
import logging
import time
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

import detection
from beamio import files
from detection.manifests import ModelManifest
from inference import sinks, sources
from inference.exports import choose_classes
from inference.handler import DetectorHandler
from inference.model_folder import find_model
from inference.options import ScoreOptions
from inference.pipeline import Job, build
from inference.signature_map import SignatureMap, find_signature_map
from inference.sinks import Commit
from inference.thresholds import Thresholds, choose_thresholds, describe_thresholds

logger = logging.getLogger(__name__)


def score(options: ScoreOptions, beam_options: PipelineOptions) -> None:
    """Scores every image and logs what came out.

    Raises:
      UsageError: the output folder is in use by something else, the model folder is not a whole export, lacks a
        class that was named or has no thresholds where they are asked for, or a source holds no image; nothing has
        been written then.
    """
    sinks.check_output(options.output)
    signature_map = find_signature_map(options.asking)
    manifest = find_model(options.model, signature_map)
    choose_classes(manifest.labels.name_by_id, options.exports.classes)
    found = sources.resolve(options.images)
    total = sources.count_images(found)
    logger.info("%d images to score by model %s", total, manifest.model_hash[:12])
    job = _job(options, manifest, signature_map, found, total)
    _clear(options.output)
    logging.getLogger().addFilter(_is_news)
    start = time.monotonic()
    with beam.Pipeline(options=beam_options) as pipeline:
        build(pipeline, job)
    if beam_options.view_as(StandardOptions).no_wait_until_finish:
        logger.info("submitted; %s/%s appears when every image has its row", options.output, sinks.SUMMARY)
    else:
        _report(sinks.read_summary(options.output), options.output, time.monotonic() - start)


def _is_news(record: logging.LogRecord) -> bool:
    """RunInference notes at every load that it cannot weigh the model, unless one more optional library is there."""
    return "Resource module is not available" not in record.getMessage()


def _job(
    options: ScoreOptions,
    manifest: ModelManifest,
    signature_map: SignatureMap | None,
    found: tuple[sources.Source, ...],
    total: int,
) -> Job:
    thresholds = choose_thresholds(options.threshold, manifest)
    return Job(
        sources=found,
        total=total,
        handler=DetectorHandler(
            folder=options.model,
            model_hash=manifest.model_hash,
            options=options.asking,
            nms_iou=manifest.nms_iou,
            signature_map=signature_map,
        ),
        labels=manifest.labels.name_by_id,
        thresholds=thresholds,
        num_shards=min(options.num_shards, total),
        commit=Commit(output=options.output, header=_header(options, manifest, thresholds), exports=options.exports),
    )


def _header(options: ScoreOptions, manifest: ModelManifest, thresholds: Thresholds) -> dict[str, Any]:
    return {
        "model_hash": manifest.model_hash,
        "labels": manifest.labels.to_json(),
        "thresholds": describe_thresholds(thresholds, manifest),
        "max_detections": manifest.max_detections or None,
        "tiling": options.asking.tiling and dataclasses.asdict(options.asking.tiling),
        "code_version": detection.__version__,
        "options": dataclasses.asdict(options),
    }


def _clear(output: str) -> None:
    """The commit mark goes first: a run that is killed leaves nothing that looks whole."""
    files.make_folder(output)
    files.delete([files.join(output, sinks.SUMMARY)])


def _report(summary: dict[str, Any], output: str, seconds: float) -> None:
    failed = summary["failed"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    labels = ", ".join(f"{label} {count}" for label, count in summary["detections"].items())
    logger.info("images: %d", summary["images"])
    logger.info("failed: %d%s", sum(failed.values()), f" ({reasons})" if reasons else "")
    logger.info("detections: %s", labels or "none")
    logger.info("speed: %.1f images/s (%.1f s, loading the model included)", summary["images"] / seconds, seconds)
    logger.info("rows: %s/predictions-*.jsonl", output)
    for entry in summary["exports"]:
        logger.info("%s: %s", entry["format"], files.join(output, entry["name"]))
