"""The launcher of ``score``: everything that can be checked at once is checked before the job starts."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from inference.image_sources import listing
from inference.model.loading import find_model
from inference.model.third_party import find_signature_map
from inference.model.thresholds import resolve_threshold_flag
from inference.options import ScoreOptions
from inference.request import ScoreRequest
from inference.rows import output_folder, resume
from inference.rows.exports import choose_classes
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.storage import files
from retinanet_odm.storage.lock import lock_folder

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_logger = logging.getLogger(__name__)


def score(options: ScoreOptions, make_beam_options: Callable[[], "PipelineOptions"]) -> None:
    """Scores every image that has no row yet, and logs what came out.

    Args:
      options: the request.
      make_beam_options: called when there is something to do.

    Raises:
      UsageError: the output folder is in use by something else, the model folder is not a whole export, lacks a
        class that was named or has no thresholds where they are asked for, or a source holds no image; nothing has
        been written then.
    """
    request = check_request(options)
    # From the first look at earlier rows on: another run would replace them meanwhile.
    with lock_folder(options.output):
        earlier = output_folder.find_summary(options.output)
        damaged = output_folder.damaged_shards(options.output, earlier) if earlier else []
        survey = resume.find_pending_work(request.sources, options.output, request.run_key, without=damaged)
        _tell(survey, request.manifest)
        if earlier and not damaged and _is_done_by(earlier, request, survey):
            request.commit.renew(earlier)
        elif not _run(request, survey, damaged, make_beam_options()):
            _logger.info(
                "submitted; %s/%s appears when every image has its row", options.output, output_folder.SUMMARY_FILE
            )
            return
        _report(output_folder.read_summary(options.output), options.output)


def check_request(options: ScoreOptions) -> ScoreRequest:
    """What was asked for, with what was found; changes nothing.

    Raises:
      UsageError: see score.
    """
    output_folder.check_predictions_folder(options.output)
    signature_map = find_signature_map(options.asking)
    manifest = find_model(options.model, signature_map)
    choose_classes(manifest.labels.name_by_id, options.exports.classes)
    return ScoreRequest(
        options=dataclasses.replace(options, asking=options.asking.fitted(manifest.image_size)),
        manifest=manifest,
        signature_map=signature_map,
        thresholds=resolve_threshold_flag(options.threshold, manifest),
        sources=listing.resolve(options.images),
    )


def _is_done_by(earlier: dict[str, Any], request: ScoreRequest, survey: resume.PendingWork) -> bool:
    return survey.is_done_by(earlier) and len(earlier["shards"]) == request.num_shards(survey.images)


def _run(
    request: ScoreRequest, survey: resume.PendingWork, damaged: Sequence[str], beam_options: "PipelineOptions"
) -> bool:
    output = request.options.output
    files.make_folder(output)
    # Beam takes seconds to import, and a run with nothing new must not wait for it.
    from inference.pipeline import run_job

    # The commit mark goes before anything else does: a run that is killed leaves nothing that looks whole. Damaged
    # shards go before it, for without it nobody could tell.
    files.delete([files.join(output, name) for name in (*damaged, output_folder.SUMMARY_FILE)])
    return run_job(request, survey, beam_options)


def _tell(survey: resume.PendingWork, manifest: ModelManifest) -> None:
    _logger.info("%d of %d images to score by model %s", survey.missing, survey.images, manifest.model_hash[:12])
    if survey.passed_over:
        _logger.info(
            "%d archives in folders are passed over, such as %s: name them, too, if they are to be scored",
            len(survey.passed_over),
            survey.passed_over[0],
        )
    if survey.unused:
        _logger.info(
            "%d earlier rows are not used and will be removed: their images have changed or are gone, or they are"
            " of another model, threshold or version of this program",
            survey.unused,
        )


def _report(summary: dict[str, Any], output: str) -> None:
    failed = summary["failed"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    labels = ", ".join(f"{label} {count}" for label, count in summary["detections"].items())
    _logger.info("images: %d", summary["images"])
    _logger.info("failed: %d%s", sum(failed.values()), f" ({reasons})" if reasons else "")
    _logger.info("detections: %s", labels or "none")
    _logger.info("rows: %s/predictions-*.jsonl", output)
    for entry in summary["exports"]:
        _logger.info("%s: %s", entry["format"], files.join(output, entry["name"]))
