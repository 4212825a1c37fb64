"""`label_errors`: lists labels that are probably wrong, with pictures and proposals. No label changes.

Begin with `find_errors`. The errors are found in retinanet_odm.evaluation.label_errors; here are their input, the rows
of a run and annotations of its images, and the files that are written.
"""

import dataclasses
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from inference.comparison import read_comparison
from inference.ground_truth import Comparison
from inference.label_error_options import LabelErrorOptions
from inference.rows import finished_run, output_folder
from inference.rows.export_options import REPORT_FORMAT, ExportOptions
from inference.rows.exports import run_of
from inference.rows.journal import commit_summary, find_earlier, write_derived
from inference.rows.page_images import page_images
from inference.rows.replacing import check_overwrite
from retinanet_odm.evaluation.label_errors import DoubtfulLabel, LabelErrorKind, find_label_errors
from retinanet_odm.evaluation.matching import Floats, ScoredSplit
from retinanet_odm.predictions.formats import cvat
from retinanet_odm.predictions.formats.encoding import csv_line
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun, utf8
from retinanet_odm.reports.label_errors_page import label_errors_report
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder

_logger = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
_DIGITS, _BOX_DIGITS = 4, 2
_EDGES = ("xmin", "ymin", "xmax", "ymax")
LABEL_ERROR_COLUMNS = (
    *("rank", "image", "error", "probability", "label", *_EDGES),
    *("proposed_label", *(f"proposed_{edge}" for edge in _EDGES), "score", "iou", "reason"),
)


def find_errors(options: LabelErrorOptions) -> dict[str, Any]:
    """Look for errors of the labels; write label_errors.csv, .html and .json, and label_errors_cvat.xml.

    Returns:
      The content of label_errors.json.

    Raises:
      UsageError: the folder has no finished run, its files are not those of its summary, there are no annotations of
        scored images, or earlier files may not be overwritten.
    """
    output = options.output
    with lock_folder(output):
        summary = finished_run.finished_summary(output, command="label_errors")
        planned = [
            {"name": name, "format": "label_errors", **options.settings()} for name in output_folder.LABEL_ERROR_FILES
        ]
        check_overwrite(output, find_earlier(output), planned, replace=options.replace)
        comparison = read_comparison(
            output,
            summary,
            annotations=options.annotations,
            label_aliases=options.label_aliases,
            exhaustive=options.exhaustive,
            ignore_labels=options.ignore_labels,
            rule=finished_run.deployment_rule(summary, options.deployment),
        )
        split = ScoredSplit.from_coco(comparison.truth, comparison.results)
        errors = find_label_errors(split)
        listed = [error for error in errors if error.probability >= options.min_probability]
        content = _describe(options, summary, split, errors, listed)
        run = run_of(summary, ExportOptions())
        rows = [_table_row(rank, error, split) for rank, error in enumerate(listed, start=1)]
        about = (
            datetime.now(UTC).strftime("%Y-%m-%d"),
            f"rows of {output}, model {run.model}",
            f"labels {', '.join(options.annotations)}",
        )
        read_images = page_images(summary, ExportOptions(formats=(REPORT_FORMAT,), images=options.images))
        contents: dict[str, Iterable[bytes]] = {
            output_folder.LABEL_ERRORS_TABLE: _csv_lines(rows),
            output_folder.LABEL_ERRORS_CVAT: _proposals(options, run, split, comparison, listed),
            output_folder.LABEL_ERRORS_PAGE: [
                utf8(label_errors_report(content, rows, split, read_images, about=about))
            ],
            output_folder.LABEL_ERRORS: [utf8(json.dumps(content, indent=2, ensure_ascii=False) + "\n")],
        }
        entries = [
            {**entry, "sha256": write_derived(output, entry["name"], contents[entry["name"]])} for entry in planned
        ]
        commit_summary(output, finished_run.add_exports(summary, entries))
        if not summary.get("model", {}).get("folds"):
            _logger.info("check: the model must not have been trained on these labels: it repeats what it has learned")
        _logger.info("label errors: %s", files.join(output, output_folder.LABEL_ERRORS_PAGE))
        return content


def format_expected(content: Mapping[str, Any]) -> str:
    """Return a line for each kind of error: how many are listed, and how many to expect."""
    lines = [f"{content['boxes']} boxes in {content['images']} images"]
    for kind in LabelErrorKind:
        found = [row for row in content["errors"] if row["error"] == kind]
        listed, expected = (sum(row[name] for row in found) for name in ("listed", "expected"))
        lines.append(f"{kind}: {listed} listed, about {expected:.0f} expected")
    return "\n".join(lines)


def _describe(
    options: LabelErrorOptions,
    summary: Mapping[str, Any],
    split: ScoredSplit,
    errors: Sequence[DoubtfulLabel],
    listed: Sequence[DoubtfulLabel],
) -> dict[str, Any]:
    """Return the content of label_errors.json."""
    expected: defaultdict[tuple[str, str], float] = defaultdict(float)
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for error in errors:
        expected[error.kind, _class_of(error, split)] += error.probability
    for error in listed:
        counts[error.kind, _class_of(error, split)] += 1
    return {
        "schema_version": _SCHEMA_VERSION,
        "model_hash": summary["model_hash"],
        "code_version": summary["code_version"],
        "min_probability": options.min_probability,
        "images": len(split.images),
        "boxes": int((~split.truth.is_crowd).sum()),
        "listed": len(listed),
        "errors": [
            {"error": kind, "class": name, "listed": counts[kind, name], "expected": round(expected[kind, name], 2)}
            for kind in LabelErrorKind
            for name in split.classes
            if (kind, name) in expected
        ],
    }


def _class_of(error: DoubtfulLabel, split: ScoredSplit) -> str:
    """Return the class of the label, or the one that a missing label should have."""
    row = split.truth.label[error.item] if error.item >= 0 else split.detections.label[error.detection]
    return split.classes[int(row)]


def _table_row(rank: int, error: DoubtfulLabel, split: ScoredSplit) -> dict[str, Any]:
    """Return the row of an error in label_errors.csv."""
    detections, truth = split.detections, split.truth
    has_label = error.item >= 0
    proposed, score = split.classes[detections.label[error.detection]], float(detections.score[error.detection])
    label = split.classes[truth.label[error.item]] if has_label else None
    box = _corners(truth.box[error.item]) if has_label else (None,) * 4
    # A wrong class keeps its box, which a person has drawn.
    new_box = box if error.kind is LabelErrorKind.WRONG_CLASS else _corners(detections.box[error.detection])
    reason = {
        LabelErrorKind.MISSING: f"{proposed} found with score {score:.2f}, and no box is near",
        LabelErrorKind.WRONG_CLASS: f"labelled {label}, found as {proposed} with score {score:.2f}",
        LabelErrorKind.LOOSE: f"{proposed} found with score {score:.2f}, but with an IoU of only {error.iou:.2f}",
    }[error.kind]
    values = (
        *(rank, split.images[error.image], str(error.kind), round(error.probability, _DIGITS), label, *box),
        *(proposed, *new_box, round(score, _DIGITS), round(error.iou, _DIGITS) if has_label else None, reason),
    )
    return dict(zip(LABEL_ERROR_COLUMNS, values, strict=True))


def _corners(box: Floats) -> tuple[float, float, float, float]:
    x, y, width, height = box.tolist()
    xmin, ymin, xmax, ymax = (round(edge, _BOX_DIGITS) for edge in (x, y, x + width, y + height))
    return xmin, ymin, xmax, ymax


def _csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield csv_line(LABEL_ERROR_COLUMNS)
    yield from (csv_line(row[name] for name in LABEL_ERROR_COLUMNS) for row in rows)


def _proposals(
    options: LabelErrorOptions,
    run: ScoringRun,
    split: ScoredSplit,
    comparison: Comparison,
    listed: Sequence[DoubtfulLabel],
) -> Iterator[bytes]:
    """Yield label_errors_cvat.xml: the images with errors, and the proposed boxes with their probability as score."""
    found: defaultdict[int, list[Detection]] = defaultdict(list)
    for rank, error in enumerate(listed, start=1):
        row, label = _table_row(rank, error, split), split.detections.label[error.detection]
        xmin, ymin, xmax, ymax = (row[f"proposed_{edge}"] for edge in _EDGES)
        found[error.image].append(
            Detection(
                label=split.classes[label],
                label_id=split.class_ids[label],
                score=row["probability"],
                box=(xmin, ymin, xmax, ymax),
            )
        )
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in comparison.truth["images"]}
    rows = (
        PredictionRow(image=split.images[image], width=width, height=height, detections=tuple(found[image]))
        for image in sorted(found)
        for width, height in [sizes[split.image_ids[image]]]
    )
    lowest = dict.fromkeys(run.classes, options.min_probability)
    yield from cvat.to_cvat(rows, dataclasses.replace(run, min_scores=lowest))
