"""What `score` would delete or overwrite: refused in one line, or planned. Begin with `plan_commit`.

Rows are never deleted, and files beside them never overwritten with something else, without --replace
(inference.rows.replacing has the rules of the files).
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from inference.request import Commit, PendingWork, ScoreRequest
from inference.rows import finished_run
from inference.rows.earlier_rows import find_lost_rows
from inference.rows.exports import export_entries
from inference.rows.journal import EarlierRun
from inference.rows.output_folder import DamagedShards
from inference.rows.replacing import (
    RowsChange,
    describe_lost,
    plan_derived_files,
    refuse_changed_shards,
    refuse_losses,
)
from retinanet_odm.errors import UsageError

_logger = logging.getLogger(__name__)

# What rows are of, by the setting that differs.
_OTHER_SETTINGS = {
    "model_hash": "another model",
    "labels": "other labels",
    "thresholds": "another threshold",
    "max_detections": "another max_detections",
    "tiling": "other tiles",
    "code_version": "another version of this program",
}

# Why rows would be deleted though no setting is known to differ, and what else could be done.
_OTHER_IMAGES = "of images that are not in --images or have changed"
_UNFINISHED = "of a run that has not finished, with other images or settings"
_REMEDIES = {_OTHER_IMAGES: "keep its rows with --add", _UNFINISHED: "finish it by its own command"}


def plan_commit(request: ScoreRequest, pending: PendingWork, earlier: EarlierRun, damaged: DamagedShards) -> Commit:
    """Return the last step of a run, after it was checked that nothing is lost that must not be; changes nothing.

    Raises:
      UsageError: a person has changed a file that would be deleted or overwritten; something else would be lost, and
        --replace was not given; or rows cannot be added.
    """
    options = request.options
    refuse_changed_shards(options.output, damaged.changed)
    other = describe_other_settings(earlier.summary, request.row_settings())
    if options.add:
        _check_add(request, pending, earlier, other)
    header = request.header(pending.passed_over, earlier.summary)
    # Without a summary nothing is listed that could have other settings.
    asked = (
        export_entries({**earlier.summary, **finished_run.as_stored(header)}, options.exports)
        if earlier.summary
        else ([{"name": name} for name in options.exports.file_names])
    )
    derived = plan_derived_files(options.output, earlier, asked, pending.change)
    unlisted = (f"{name} (not listed in summary.json)" for name in damaged.unlisted)
    # Without a summary it is not known of what model the rows are.
    why = f"of {other}" if other else _OTHER_IMAGES if earlier.summary else _UNFINISHED
    losses = [*_lost_rows(request, pending, damaged, why), *unlisted, *describe_lost(earlier, derived.lost)]
    remedy = "" if other or options.add or not pending.unused else _REMEDIES[why]
    refuse_losses(options.output, losses, replace=options.replace, remedy=remedy)
    # Told before it happens: Ctrl-C still keeps all of it.
    for loss in losses:
        _logger.info("--replace: %s", loss)
    return request.make_commit(header, derived)


def describe_other_settings(earlier: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return in which settings the rows of an earlier run differ, in words; "" if in none.

    Args:
      earlier: its summary, or empty.
      settings: of this run, as ScoreRequest.row_settings.
    """
    now, before = _of_rows(finished_run.as_stored(settings)), _of_rows(earlier)
    return " and ".join(words for name, words in _OTHER_SETTINGS.items() if before.get(name, now[name]) != now[name])


def _of_rows(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the thresholds of the classes: these change what counts, and no row."""
    thresholds = settings.get("thresholds")
    kept = {"thresholds": (thresholds["score"], thresholds["nms_iou"])} if thresholds else {}
    return {**settings, **kept}


def _lost_rows(request: ScoreRequest, pending: PendingWork, damaged: DamagedShards, why: str) -> Iterator[str]:
    """Yield the rows that would be deleted, in words."""
    if pending.change is RowsChange.OTHER:
        _, first = find_lost_rows(request.options.output, pending.choice, without=damaged.names)
        yield f"{pending.unused} rows {why} (first: {first})"


def _check_add(request: ScoreRequest, pending: PendingWork, earlier: EarlierRun, other: str) -> None:
    """Check that the rows of other images, which would stay, are complete, and of the same settings.

    Raises:
      UsageError: they are not.
    """
    output = request.options.output
    if not pending.others:
        return
    if not earlier.is_finished and earlier.adding != request.adding:
        raise UsageError(f"--add: {output} holds the rows of a run that has not finished: run its command again first")
    if other:
        raise UsageError(f"--add: the rows in {output} are of {other}: choose another folder")
