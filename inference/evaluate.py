"""`evaluate`: compares the rows of a finished run with annotations: COCO metrics, errors, and counts.

Begin with `evaluate`. Rows and annotations are paired in inference.comparison; the metrics are computed in
retinanet_odm.evaluation.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from inference.analysis_options import EvaluateOptions
from inference.comparison import read_comparison
from inference.ground_truth import Comparison
from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.exports import run_of
from inference.rows.journal import commit_summary, find_earlier, write_derived
from inference.rows.replacing import check_overwrite
from inference.rows.taxa import read_taxa
from inference.rows.thresholds import OperatingThresholds, thresholds_of_run
from retinanet_odm.dataset.frame_names import BY_NAME, DeploymentRule, describe_deployments
from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import SUMMARY_METRICS, all_metrics, describe_limit
from retinanet_odm.evaluation.rounding import format_metric
from retinanet_odm.evaluation.taxon_ranks import describe_taxa, with_taxa
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.rows import row_threshold, utf8
from retinanet_odm.reports.evaluation_page import evaluation_report, format_interval
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.wording import describe_min_scores

_logger = logging.getLogger(__name__)

_FILES = (output_folder.EVALUATION_PAGE, output_folder.EVALUATION)  # the JSON file last: it marks a complete evaluation
# Of evaluation.json; they have a section of their own on the page.
_EXCLUDED_KEYS = ("left_out", "doubtful_pairings", "unknown_labels")


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Compare the rows of a finished run with annotations; write evaluation.html and evaluation.json.

    Returns:
      The content of evaluation.json.

    Raises:
      ContractError: the file of --taxa is not what it should be, or lacks a class.
      UsageError: the folder has no finished run, its files are not those of its summary, there are no such annotations,
        none of them belongs to a scored image, a label to ignore is a class of the model, or an earlier evaluation may
        not be overwritten.
    """
    with lock_folder(options.output):
        summary = finished_run.finished_summary(options.output, command="evaluate")
        planned = [{"name": name, "format": "evaluation", **options.settings()} for name in _FILES]
        check_overwrite(options.output, find_earlier(options.output), planned, replace=options.replace)
        labels = LabelMap.from_json(summary["labels"])
        taxonomy = read_taxa(options.taxa, labels.name_by_id.values()) if options.taxa else None
        rule = finished_run.deployment_rule(summary, options.deployment)
        comparison = read_comparison(
            options.output,
            summary,
            annotations=options.annotations,
            label_aliases=options.label_aliases,
            exhaustive=options.exhaustive,
            ignore_labels=options.ignore_labels,
            rule=rule,
        )
        images = (entry["file_name"] for entry in comparison.truth["images"])
        _logger.info("%s", describe_deployments(set(map(rule.deployment_of, images))))
        thresholds = None if options.refit else thresholds_of_run(options.min_score, summary)
        for line in _describe_thresholds(thresholds, summary):
            _logger.info("%s", line)
        metrics = compute_metrics(
            comparison, summary, thresholds=thresholds, rule=rule, max_detections=options.max_detections
        )
        for line in describe_limit(metrics):
            _logger.info("%s", line)
        if taxonomy:
            run = run_of(summary, ExportOptions())
            metrics = with_taxa(metrics, comparison.truth, comparison.results, run=run, taxonomy=taxonomy)
            for line in describe_taxa(metrics["taxa"]):
                _logger.info("%s", line)
        entries = _write(options, metrics, planned)
        commit_summary(options.output, finished_run.add_exports(summary, entries))
        _logger.info("evaluation: %s", files.join(options.output, output_folder.EVALUATION_PAGE))
        return metrics


def compute_metrics(
    comparison: Comparison,
    summary: Mapping[str, Any],
    *,
    thresholds: OperatingThresholds | None,
    rule: DeploymentRule = BY_NAME,
    max_detections: int | None = None,
) -> dict[str, Any]:
    """Return the content of evaluation.json.

    Args:
      comparison: the images that were scored and annotated.
      summary: of the run.
      thresholds: minimum scores of the detections that count; None for the score of the best F1 of each class.
      rule: how deployments are found.
      max_detections: how many detections of one class in one image count for AP beside COCO's 100; None for all.
    """
    names = {category["id"]: category["name"] for category in comparison.truth["categories"]}
    # Rounded as in counts.csv, whose counts these are.
    given = None
    if thresholds is not None:
        given = {names[label_id]: row_threshold(score) for label_id, score in thresholds.by_id(names).items()}
    # pycocotools computes COCO's numbers, the analysis all others, both from the same lists.
    analysis = analyse(
        comparison.truth,
        comparison.results,
        thresholds=given,
        deployment=rule.text,
        max_detections=max_detections,
    )
    return {
        "images": comparison.images,
        "failed": comparison.failed,
        "rows_from_score": summary["thresholds"]["score"],
        "thresholds_from": "these images, by the best F1 (--refit)" if thresholds is None else thresholds.origin,
        "model_hash": summary["model_hash"],
        "code_version": summary["code_version"],
        "left_out": comparison.excluded.to_json(),
        "doubtful_pairings": comparison.pairings.to_json(),
        "unknown_labels": dict(comparison.unknown.most_common()),
        **all_metrics(comparison.truth, comparison.results, analysis),
    }


def _describe_thresholds(thresholds: OperatingThresholds | None, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line about the scores from which detections count, and one for a file that counts from others."""
    if thresholds is None:
        yield "counted from the score of the best F1 of each class on these images: on others, counts are worse"
        return
    yield f"counted from a score of {thresholds.describe()}"
    for entry in summary.get("exports", ()):
        scores = entry["min_scores"] if entry["format"] == "counts" and "min_scores" in entry else {}
        if any(scores[name] != thresholds.by_name.get(name, scores[name]) for name in scores):
            yield f"check: {entry['name']} counts from other scores: {describe_min_scores(scores)} (--min_score)"


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Return COCO's twelve metrics with 95 % intervals, and a line of metrics and counts for each class."""
    summary = [f"{name} {format_metric(metrics[name])}" for name in SUMMARY_METRICS]
    lines = ["  ".join(summary[start : start + 6]) for start in range(0, len(summary), 6)]
    for interval in metrics["intervals"]:
        if interval["AP50"]:
            lines.append(
                f"AP50 in 95 % of draws of {interval['units']} {interval['over']}: {format_interval(interval['AP50'])}"
            )
    # One line for each class; the other tables are on the page.
    counts = metrics["details"]["counts"]
    header = ("class", "true", "found", "count error", "count bias", "AP50", "AP", "threshold", "precision", "recall")
    keys = ("count_error", "count_bias", "AP50", "AP", "threshold", "precision", "recall")
    rows = [
        (name, str(counts[name]["true"]), str(counts[name]["found"]), *(format_metric(values[key]) for key in keys))
        for name, values in metrics["per_class"].items()
    ]
    return "\n".join([*lines, "", *_align_columns([header, *rows])])


def _align_columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield lines; the first column is aligned to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        yield "  ".join(
            [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        )


def _write(
    options: EvaluateOptions, metrics: Mapping[str, Any], planned: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Write the files, and return their entries in summary.json: those that were planned, with digests."""
    shown = {name: value for name, value in metrics.items() if name not in _EXCLUDED_KEYS}
    about = (
        datetime.now(UTC).strftime("%Y-%m-%d"),
        f"rows of {options.output}, model {metrics['model_hash'][:12]}",
        f"annotations {', '.join(options.annotations)}",
    )
    page = evaluation_report(shown, excluded=_excluded(metrics), about=about)
    text = json.dumps(metrics, indent=2, ensure_ascii=False) + "\n"
    contents = dict(zip(_FILES, (page, text), strict=True))
    entries = []
    for entry in planned:
        digest = write_derived(options.output, entry["name"], [utf8(contents[entry["name"]])])
        entries.append({**entry, "sha256": digest})
    return entries


def _excluded(metrics: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Return everything that the metrics exclude: reason, count, first case."""
    rows = [(reason, entry["count"], entry["first"]) for reason, entry in metrics["left_out"].items()]
    unknown = metrics["unknown_labels"].items()
    return [*rows, *((f"class {label!r}, unknown to the model", count, "") for label, count in unknown)]
