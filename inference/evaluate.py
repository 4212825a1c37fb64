"""`evaluate`: compares the rows of a finished run with annotations: COCO metrics, errors, and counts.

Begin with `evaluate`. Rows and annotations are paired in inference.ground_truth; the metrics are computed in
retinanet_odm.evaluation.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from inference.analysis_options import EvaluateOptions
from inference.annotation_input import read_aliases, read_truth_files
from inference.ground_truth import Comparison, compare
from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.exports import run_of
from inference.rows.journal import commit_summary, find_earlier, write_derived
from inference.rows.replacing import check_overwrite
from inference.rows.taxa import read_taxa
from inference.rows.thresholds import OperatingThresholds, thresholds_of_run
from retinanet_odm.dataset.exhaustive import ExhaustiveClasses, parse_exhaustive
from retinanet_odm.dataset.frame_names import BY_NAME, DeploymentRule, describe_deployments
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import SUMMARY_METRICS, all_metrics, describe_limit
from retinanet_odm.evaluation.exhaustive_images import exhaustive_table
from retinanet_odm.evaluation.rounding import format_metric
from retinanet_odm.evaluation.taxon_ranks import describe_taxa, with_taxa
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import describe_nearest
from retinanet_odm.predictions.rows import row_threshold, utf8
from retinanet_odm.reports.evaluation_page import evaluation_report, format_interval
from retinanet_odm.sources.listing import AnnotationFile
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.wording import describe_min_scores, plural

_logger = logging.getLogger(__name__)

_FLAG = "--annotations"
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
        _check_ignore_labels(options.ignore_labels, labels)
        aliases = read_aliases(options.label_aliases, labels)
        taxonomy = read_taxa(options.taxa, labels.name_by_id.values()) if options.taxa else None
        # A stream: `compare` keeps only rows that may have an annotation.
        rows = finished_run.iter_rows(options.output, summary)
        rule = finished_run.deployment_rule(summary, options.deployment)
        exhaustive = _read_exhaustive(options.exhaustive, aliases, rule) if options.exhaustive else None
        annotations = list(read_truth_files(options.annotations, flag=_FLAG, ignored=options.ignore_labels))
        comparison = compare(rows, annotations, labels, aliases=aliases, exhaustive=exhaustive)
        # Before any check: if nothing is left to compare, these lines explain why.
        for line in (
            *describe_comparison(comparison, labels),
            *describe_ignore_labels(options.ignore_labels, annotations, labels),
        ):
            _logger.info("%s", line)
        if not comparison.images:
            raise UsageError(f"{_FLAG}: expected annotations of scored images, found none")
        for line in describe_exhaustive(comparison, exhaustive):
            _logger.info("%s", line)
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


def describe_comparison(comparison: Comparison, labels: LabelMap) -> Iterator[str]:
    """Yield lines about the scope of the metrics: how many images were compared, and what was not."""
    failed = f"; {comparison.failed} of them failed: their objects count as missed" if comparison.failed else ""
    yield f"{comparison.images} scored images are annotated{failed}"
    for reason, entry in comparison.pairings.to_json().items():
        yield f"check: {entry['count']} {reason} ({entry['first']})"
    for reason, entry in comparison.excluded.to_json().items():
        yield f"not compared: {entry['count']} {reason} ({entry['first']})"
    for label, count in comparison.unknown.most_common():
        # If the label is another spelling of a class, an alias settles it.
        nearest = describe_nearest(label, labels.name_by_id.values())
        hint = f"; did you mean {nearest}? (--label_aliases)" if nearest else ""
        yield f"not compared: {count} {plural('box', count)} of {label!r}, which is no class of the model{hint}"


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


def _check_ignore_labels(ignored: Sequence[str], labels: LabelMap) -> None:
    # Otherwise no object of the class would count, and every detection on one would be left out.
    if classes := sorted(set(ignored).intersection(labels.name_by_id.values())):
        raise UsageError(f"--ignore_label: {classes[0]!r} is a class of the model: expected labels of areas only")


def describe_ignore_labels(
    ignored: Sequence[str], annotations: Iterable[AnnotationFile | DataError], labels: LabelMap
) -> Iterator[str]:
    """Yield a line about each label of --ignore_label that no box has: often a typing error."""
    read = (found.annotation for found in annotations if isinstance(found, AnnotationFile) and found.annotation)
    seen = {item.label for annotation in read for item in annotation.objects}
    for label in ignored:
        if label not in seen:
            nearest = describe_nearest(label, seen.difference(labels.name_by_id.values()))
            hint = f"; did you mean {nearest}?" if nearest else ""
            yield f"check: --ignore_label: no box of the annotations is labelled {label!r}{hint}"


def _read_exhaustive(path: str, aliases: Mapping[str, str], rule: DeploymentRule) -> ExhaustiveClasses:
    # Without the labels of the model: the file may name classes that it does not know.
    text = files.read_text(path, flag="--exhaustive")
    try:
        return parse_exhaustive(text, source=path, aliases=aliases, deployments=rule)
    except ContractError as error:
        raise UsageError(f"--exhaustive: {error}") from error


def describe_exhaustive(comparison: Comparison, exhaustive: ExhaustiveClasses | None) -> Iterator[str]:
    """Yield lines about the rows of --exhaustive without an image, and about classes that do not count everywhere.

    Raises:
      UsageError: no image has a row, so that the file would have no effect.
    """
    if not exhaustive:
        return
    images = [entry["file_name"] for entry in comparison.truth["images"]]
    if all(exhaustive.row_of(image) is None for image in images):
        kind = "deployment" if exhaustive.by_deployment else "image"
        raise UsageError(f"--exhaustive: expected {kind}s that are compared, such as {images[0]}; found none of them")
    if unused := exhaustive.unused_rows(images):
        rows = f"{len(unused)} {plural('row', len(unused))}"
        yield f"check: {rows} of --exhaustive without a compared image, such as {unused[0]!r}"
    categories = comparison.truth["categories"]
    known = exhaustive_table(comparison.truth["images"], [category["id"] for category in categories]).sum(axis=0)
    for category, count in zip(categories, known.tolist(), strict=True):
        if count < len(images):
            yield f"{category['name']}: exhaustive in {count} of {len(images)} images, and counted only there"


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
