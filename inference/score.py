"""`score`, on the launcher: checks everything that can be checked early, and starts a job if images have no row yet."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from inference.image_sources import listing
from inference.model.loading import find_model
from inference.options import ScoreOptions
from inference.planning import plan_commit
from inference.request import Commit, PendingWork, ScoreRequest, find_pending_work
from inference.rows import finished_run, output_folder
from inference.rows.exports import choose_classes, describe_export
from inference.rows.journal import EarlierRun, drop_journal, find_earlier, set_summary_aside
from inference.rows.output_folder import DamagedShards
from inference.rows.thresholds import choose_thresholds, thresholds_of_run
from retinanet_odm.beam.options import LOCAL_DEFAULTS
from retinanet_odm.dataset.frame_names import DeploymentRule, describe_deployments
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE
from retinanet_odm.predictions.unlike_training import NoveltySummary
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import describe_suffixes
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.xla import XLA, check_jax

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_logger = logging.getLogger(__name__)


def score(options: ScoreOptions, make_beam_options: Callable[[], "PipelineOptions"]) -> None:
    """Score every image that has no row yet, and log the results.

    Args:
      options: the request.
      make_beam_options: called if a job is needed.

    Raises:
      UsageError: the output folder is used by something else, the export is incomplete, lacks a class that was named or
        the thresholds that were asked for, a source has no image, or something of an earlier run would be lost. Nothing
        has been written then.
    """
    request = check_request(options)
    # The lock covers the first look at earlier rows: another run would replace them meanwhile.
    with lock_folder(options.output):
        earlier = find_earlier(options.output)
        # Only a summary has digests to compare with; a killed run has none.
        damaged = output_folder.damaged_shards(options.output, earlier.summary if earlier.is_finished else {})
        listed = listing.list_source_files(request.sources, options.output)
        rule = DeploymentRule(options.exports.deployment)
        pending = find_pending_work(
            listed, options.output, request.run_key, without=damaged.names, rule=rule, add=options.add
        )
        _log_pending(pending, request.model.manifest.model_hash)
        commit = plan_commit(request, pending, earlier, damaged)
        # Nothing to score: at most exports or options have changed, and no job is started.
        if earlier.is_finished and not damaged.names and _is_done_by(earlier.summary, request, pending):
            if not commit.renew(earlier.summary):
                drop_journal(options.output, earlier.summary)
        elif not _run(request, pending, earlier, damaged, commit, _check_runtime(options, make_beam_options())):
            _logger.info("submitted; %s/%s appears when every image has its row", options.output, SUMMARY_FILE)
            return
        _log_results(finished_run.read_summary(options.output), options.output)


def check_request(options: ScoreOptions) -> ScoreRequest:
    """Check a request; changes nothing.

    Raises:
      UsageError: as score.
    """
    output_folder.check_predictions_folder(options.output)
    finished_run.find_summary(options.output)  # a file of this name must be ours
    model = find_model(options.model, options.model_options)
    # Only for its error: a misspelt class would otherwise surface after the job, in its last step.
    choose_classes(model.manifest.labels.name_by_id, options.exports.classes)
    return ScoreRequest(
        options=dataclasses.replace(options, model_options=model.options),
        model=model,
        thresholds=choose_thresholds(options.exports.min_score, model.manifest),
        sources=listing.resolve_sources(options.images),
    )


def _check_runtime(options: ScoreOptions, beam_options: "PipelineOptions") -> "PipelineOptions":
    """Return the options of Beam; raise UsageError if this machine is the worker and lacks the runtime's packages."""
    if options.model_options.runtime == XLA and beam_options.get_all_options()["runner"] == LOCAL_DEFAULTS["runner"]:
        check_jax()
    return beam_options


def _is_done_by(earlier: Mapping[str, Any], request: ScoreRequest, pending: PendingWork) -> bool:
    return pending.is_done_by(earlier) and len(earlier["shards"]) == request.num_shards(pending.images)


def _run(
    request: ScoreRequest,
    pending: PendingWork,
    earlier: EarlierRun,
    damaged: DamagedShards,
    commit: Commit,
    beam_options: "PipelineOptions",
) -> bool:
    output = request.options.output
    files.make_folder(output)
    # Beam takes seconds to import; a run with nothing new must not wait for it.
    from inference.pipeline import run_job

    # The order matters. The commit mark goes before anything else changes, so that a killed run never looks complete.
    # Unlisted shards go before it, because only summary.json shows that they are not of its run.
    files.delete([files.join(output, name) for name in damaged.unlisted])
    set_summary_aside(output, earlier, adding=request.adding)
    return run_job(request, pending, commit, beam_options)


def _log_pending(pending: PendingWork, model_hash: str) -> None:
    _logger.info("%d of %d images to score by model %s", pending.missing, pending.images, model_hash[:12])
    _logger.info("%s", describe_deployments(pending.deployments))
    if pending.skipped_archives:
        _logger.info(
            "Skipped %d archives inside folders (for example %s). To score them, pass them to --images.",
            len(pending.skipped_archives),
            pending.skipped_archives[0],
        )


def _log_results(summary: dict[str, Any], output: str) -> None:
    # From the file, not from the job, which may have run on other machines.
    failed = summary["failed"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    labels = ", ".join(f"{label} {count}" for label, count in summary["counted"].items())
    _logger.info("images: %d", summary["images"])
    _logger.info("failed: %d%s", sum(failed.values()), f" ({reasons})" if reasons else "")
    if passed_over := summary.get("passed_over"):
        _logger.info("passed over, because they are no images or cannot be read: %s", describe_suffixes(passed_over))
    _logger.info("detections: %s", labels or "none")
    _logger.info("counted from a score of %s", thresholds_of_run(None, summary).describe())
    if "without_extent" in summary:
        _logger.info(
            "dropped: %d boxes of the model that are less than a pixel high or wide; if the model was exported by an"
            " earlier version, export it again",
            summary["without_extent"],
        )
    _logger.info("rows: %s/predictions-*.jsonl", output)
    for entry in summary["exports"]:
        _logger.info("%s: %s", describe_export(entry), files.join(output, entry["name"]))
    if "novelty" in summary:  # not of models without a reference
        _log_novelty(NoveltySummary.from_json(summary["novelty"]))


def _log_novelty(novelty: NoveltySummary) -> None:
    if novelty.is_alarming:
        # Last, because it decides whether the rest may be used.
        _logger.warning("warning: %s", novelty.describe())
    else:
        _logger.info("%s", novelty.describe())
