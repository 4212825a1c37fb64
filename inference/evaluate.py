"""How good a scored archive is against annotations: COCO's numbers, and how well its animals are counted."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inference.analysis_options import EvaluateOptions
from inference.ground_truth import Compared, compare
from inference.rows import output_folder
from inference.rows.exports import read_run
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import SUMMARY_METRICS, all_metrics
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.checks import nearest_labels
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.formats.encoding import utf8
from retinanet_odm.reports.evaluation_page import evaluation_report, format_interval
from retinanet_odm.sources import listing
from retinanet_odm.sources.listing import AnnotationFile
from retinanet_odm.storage import files

_logger = logging.getLogger(__name__)

_FLAG = "--annotations"
_TOLD = ("left_out", "unknown_labels")  # in a section of their own


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Compares the rows of a finished run with annotations; writes evaluation.html and, last, evaluation.json.

    Returns:
      The content of evaluation.json.

    Raises:
      UsageError: the folder holds no finished run, its files are not those of its summary, there are no such
        annotations, or none of them belongs to a scored image.
    """
    summary = output_folder.finished_summary(options.output, command="evaluate")
    labels = LabelMap.from_json(summary["labels"])
    aliases = _read_aliases(options.label_aliases, labels) if options.label_aliases else {}
    rows = read_run(options.output, summary)
    compared = compare(rows, _read_annotations(options.annotations), labels, aliases=aliases)
    for line in remarks(compared, labels):
        _logger.info("%s", line)
    if not compared.images:
        raise UsageError(f"{_FLAG}: expected annotations of scored images, found none that belongs to one")
    found = evaluate_rows(compared, summary, min_score=options.min_score)
    _write(options.output, found)
    _logger.info("evaluation: %s", files.join(options.output, output_folder.EVALUATION_PAGE))
    return found


def evaluate_rows(compared: Compared, summary: Mapping[str, Any], *, min_score: float | None) -> dict[str, Any]:
    """The content of evaluation.json.

    Args:
      compared: what was scored and annotated.
      summary: of the run.
      min_score: detections count from this score on; None for the score of the best F1 of each class.
    """
    analysis = analyse(compared.truth, compared.results, threshold=min_score)
    return {
        "images": compared.images,
        "failed": compared.failed,
        "rows_from_score": summary["thresholds"]["score"],
        "thresholds_from": "these images, by the best F1" if min_score is None else "--min_score",
        "model_hash": summary["model_hash"],
        "code_version": summary["code_version"],
        "left_out": compared.left_out.to_json(),
        "unknown_labels": dict(compared.unknown.most_common()),
        **all_metrics(compared.truth, compared.results, analysis),
    }


def remarks(compared: Compared, labels: LabelMap) -> Iterator[str]:
    """What a person should know before believing the numbers, one line each."""
    failed = f"; {compared.failed} of them failed: their objects count as missed" if compared.failed else ""
    yield f"{compared.images} scored images are annotated{failed}"
    for reason, entry in compared.left_out.to_json().items():
        yield f"left out: {entry['count']} {reason} ({entry['first']})"
    for label, count in compared.unknown.most_common():
        meant = " or ".join(map(repr, nearest_labels(label, labels.name_by_id.values())))
        hint = f"; did you mean {meant}? (--label_aliases)" if meant else ""
        yield f"left out: {count} boxes of {label!r}, which the model does not know{hint}"


def format_metrics(found: Mapping[str, Any]) -> str:
    """COCO's twelve numbers and their 95 % interval, then a line for each class: how well it is found and counted."""
    summary = [f"{name} {_shown(found[name])}" for name in SUMMARY_METRICS]
    lines = ["  ".join(summary[start : start + 6]) for start in range(0, len(summary), 6)]
    for interval in found["intervals"]:
        if interval["AP50"]:
            lines.append(
                f"AP50 in 95 % of draws of {interval['units']} {interval['over']}: {format_interval(interval['AP50'])}"
            )
    counts = found["details"]["counts"]
    header = ("class", "true", "found", "count error", "count bias", "AP50", "AP", "threshold", "precision", "recall")
    keys = ("count_error", "count_bias", "AP50", "AP", "threshold", "precision", "recall")
    rows = [
        (name, str(counts[name]["true"]), str(counts[name]["found"]), *(_shown(values[key]) for key in keys))
        for name, values in found["per_class"].items()
    ]
    return "\n".join([*lines, "", *_aligned([header, *rows])])


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The first column to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        yield "  ".join(
            [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _read_annotations(patterns: Sequence[str]) -> Iterator[AnnotationFile | DataError]:
    """Every image of every file that a pattern matches; a file that two match is read once."""
    listing.check_input(patterns, flag=_FLAG)
    listing.check_zip_files(
        {uri for pattern in patterns for uri in files.iter_matches(pattern)}, _FLAG, listing.ANNOTATION_CONTENT
    )
    listed = (listing.match_annotations(source) for source in listing.input_patterns(patterns, (), flag=_FLAG))
    distinct = {uri: file for found in listed for uri, file in found}
    for file in distinct.values():
        yield from listing.read_annotation(file)


def _read_aliases(path: str, labels: LabelMap) -> dict[str, str]:
    return parse_aliases(files.read_text(path, flag="--label_aliases"), labels, source=path)


def _write(output: str, found: Mapping[str, Any]) -> None:
    page = evaluation_report(
        {name: value for name, value in found.items() if name not in _TOLD}, excluded=_excluded(found)
    )
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    for name, content in ((output_folder.EVALUATION_PAGE, page), (output_folder.EVALUATION, text)):
        with files.write_atomic(files.join(output, name)) as file:
            file.write(utf8(content))


def _excluded(found: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Returns what the numbers do not include: reason, count, first example."""
    rows = [(reason, entry["count"], entry["first"]) for reason, entry in found["left_out"].items()]
    unknown = found["unknown_labels"].items()
    return [*rows, *((f"class {label!r}, unknown to the model", count, "") for label, count in unknown)]
