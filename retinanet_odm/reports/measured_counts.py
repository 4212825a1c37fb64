"""How far the counts of a run may be from the truth: what the evaluation of its model has measured.

Begin with `why_not_measured`. An evaluation says something about the counts of a run only if they were made alike: from
the same scores, without tiles, with all detections.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from retinanet_odm.predictions.rows import ScoringRun, row_threshold
from retinanet_odm.reports.evaluation_verdict import describe_ratio, describe_ratios
from retinanet_odm.reports.rendering import Cell, Titled

_FROM_DIFFERENT_SCORES = "detections count from other scores than in the evaluation of the model"


def why_not_measured(run: ScoringRun) -> str:
    """Return why nothing is known about the error of the counts; "" if something is."""
    if not run.facts.get("evaluation"):
        return "the model has no evaluation"
    if run.facts["evaluation"].get("count_ratio") is None:  # of an earlier version, or without objects
        return "the evaluation of the model has not measured it"
    if run.facts["evaluation"].get("tile"):
        return "the evaluation of the model is of single tiles, not of images"
    if run.facts.get("tiles"):
        return "the images were scored in tiles, and the model was evaluated without"
    if run.facts.get("without_repeats"):
        return "repeated detections are left out, and the model was evaluated with them"
    return "" if any(has_same_threshold(run, label_id) for label_id in run.classes) else _FROM_DIFFERENT_SCORES


def why_not_measured_together(run: ScoringRun) -> str:
    """Return why nothing is known about the error of the counts of all classes together; "" if something is."""
    if not all(has_same_threshold(run, label_id) for label_id in run.classes):
        return "not every class counts from the score at which the model was evaluated"
    is_complete = set(run.facts["evaluation"]["per_class"]) <= set(run.classes.values())
    return "" if is_complete else "the evaluation of the model has counted more classes"


def has_same_threshold(run: ScoringRun, label_id: int) -> bool:
    """Return whether a class counts from the score at which the model was evaluated."""
    threshold = _of_class(run, label_id).get("threshold")
    # The graph itself drops what is below rows_from.
    return threshold is not None and row_threshold(max(threshold, run.rows_from)) == row_threshold(
        run.thresholds[label_id]
    )


def ratio_cell(ratio: float, interval: Sequence[float] | None) -> Cell:
    """Return in words how far a count is from the truth, with its interval if there is one."""
    return Titled(describe_ratio(ratio), describe_ratios(interval)) if interval else describe_ratio(ratio)


def count_error_cell(run: ScoringRun, label_id: int) -> Cell:
    """Return how far the counts of a class were from the truth, with the interval; None where it is not known."""
    values = _of_class(run, label_id)
    ratio = values.get("count_ratio")
    if ratio is None or not has_same_threshold(run, label_id):
        return None
    return ratio_cell(ratio, values.get("interval"))


def measured_error(run: ScoringRun) -> str:
    """Return the error of the counts of all classes in words; "" where it is not known for all of them."""
    evaluation: Mapping[str, Any] = run.facts.get("evaluation", {})
    ratio = evaluation.get("count_ratio")
    if ratio is None or why_not_measured(run) or why_not_measured_together(run):
        return ""
    interval = evaluation.get("interval", {}).get("count_ratio")
    return describe_ratio(ratio) + (f" (95 % interval: {describe_ratios(interval)})" if interval else "")


def _of_class(run: ScoringRun, label_id: int) -> Mapping[str, Any]:
    classes: Mapping[str, Mapping[str, Any]] = run.facts.get("evaluation", {}).get("per_class", {})
    return classes.get(run.classes[label_id], {})
