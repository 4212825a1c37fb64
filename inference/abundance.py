"""`abundance`: mean counts with intervals, from the predictions of all scored images and the labels of an audit.

Begin with `estimate`. The statistics are in retinanet_odm.evaluation.abundance; here the labels are held against the
audit that `audit` has drawn, and the results are written.
"""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from inference.abundance_options import AbundanceOptions
from inference.annotation_input import read_aliases, read_truth_files
from inference.audit_frame import AuditFrame, check_rows, gather_images, read_audit_frame
from inference.ground_truth import ANNOTATION_WITHOUT_IMAGE, IMAGE_WITHOUT_ANNOTATION, Comparison, compare
from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.exports import run_of
from inference.rows.journal import commit_summary, find_earlier, write_derived
from inference.rows.replacing import check_overwrite
from retinanet_odm.annotations.collector import OBJECTS_WITHOUT_BOX
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.evaluation.abundance import MAX_N, PER_IMAGE, SURVEY, estimate_abundance
from retinanet_odm.evaluation.audit_terms import IMAGE
from retinanet_odm.evaluation.audit_units import maxima_by_unit, sums_by_unit
from retinanet_odm.evaluation.matching import Floats
from retinanet_odm.evaluation.prediction_powered import MORE_LABELS
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import describe_nearest
from retinanet_odm.predictions.formats.encoding import csv_line, legible
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun, utf8
from retinanet_odm.reports.abundance_page import abundance_report
from retinanet_odm.sources.listing import AnnotationFile
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
_FLAG = "--audit"
ABUNDANCE_COLUMNS = (
    *("class", "statistic", "scope", "deployment", "period", "units", "images", "labels", "animals", "predicted"),
    *("mean", "low", "high", "labels_alone", "alone_low", "alone_high"),
    *("effective_labels", "half_width", "half_width_with_more", "weight", "note"),
)


def estimate(options: AbundanceOptions) -> dict[str, Any]:
    """Estimate the abundance of a finished run; write abundance.csv, abundance.html and abundance.json.

    Returns:
      The content of abundance.json.

    Raises:
      UsageError: the folder has no finished run or no audit; a class of the labels is unknown, an audited image has no
        labels, or labels are of other images; or earlier estimates may not be overwritten.
      ContractError: the rows or the files of the audit are not those of the summary.
    """
    output = options.output
    with lock_folder(output):
        summary = finished_run.finished_summary(output, command="abundance")
        design, frame_entry = _read_audit(output, summary)
        planned = [
            {"name": name, "format": "abundance", "frame": frame_entry["sha256"], **options.settings()}
            for name in output_folder.ABUNDANCE_FILES
        ]
        check_overwrite(output, find_earlier(output), planned, replace=options.replace)
        frame = read_audit_frame(output, frame_entry)
        check_rows(finished_run.iter_rows(output, summary), frame)
        truth = _read_truth(options, summary, frame, design["classes"])
        predicted = _predicted(finished_run.iter_rows(output, summary), _run(summary, design), design)
        _check_labelling(truth[list(frame.images)], predicted[list(frame.images)])
        content = {
            "schema_version": _SCHEMA_VERSION,
            **{name: design[name] for name in ("model_hash", "classes", "min_scores", "unit", "period")},
            **{name: design[name] for name in ("images", "failed_images", "units", "audited_units", "audited_images")},
            "more_labels": MORE_LABELS,
            "estimates": make_estimates(frame, predicted, truth, design),
        }
        entries = _write(options, content, planned)
        commit_summary(output, finished_run.add_exports(summary, entries))
        _logger.info("abundance: %s", files.join(output, output_folder.ABUNDANCE_PAGE))
        return content


def make_estimates(
    frame: AuditFrame, predicted: Floats, truth: Floats, design: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of abundance.csv.

    Args:
      frame: of the audit.
      predicted: [N, K] predicted counts of the scored images.
      truth: [N, K] labelled ones; what they are for images without audit does not matter.
      design: content of audit.json.
    """
    units, of_image = frame.units, frame.unit_of_image
    count = len(units.strata)
    statistics = {PER_IMAGE: sums_by_unit}
    if design["unit"] != IMAGE:  # MaxN of one image is its count
        statistics[f"{MAX_N} per {design['unit']}"] = maxima_by_unit
    return [
        row
        for statistic, gather in statistics.items()
        for row in estimate_abundance(
            units,
            gather(predicted, of_image, count=count),
            gather(truth, of_image, count=count)[units.audited],
            design["classes"],
            statistic=statistic,
        )
    ]


def format_survey(content: Mapping[str, Any]) -> str:
    """Return a line about the whole survey for each class and statistic."""
    return "\n".join(
        f"{row['class']}: {row['statistic']} {row['mean']:.4g}, 95 % interval {_describe_interval(row)};"
        f" predicted {row['predicted']:.4g}{_describe_worth(row)}"
        for row in content["estimates"]
        if row["scope"] == SURVEY
    )


def _describe_interval(row: Mapping[str, Any]) -> str:
    return f"unknown ({row['note']})" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"


def _describe_worth(row: Mapping[str, Any]) -> str:
    if row["effective_labels"] is None:
        return ""
    return f"; {row['labels']} labels, worth {row['effective_labels']} without predictions"


def _read_audit(output: str, summary: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the content of audit.json, and the entry of audit.csv in summary.json."""
    entries = {entry["name"]: entry for entry in summary.get("exports", ())}
    if output_folder.AUDIT not in entries:
        raise UsageError(f"abundance: {output} has no audit: run `python -m inference audit {output}` first")
    path, sha256 = files.join(output, output_folder.AUDIT), entries[output_folder.AUDIT]["sha256"]
    text = b"\n".join(finished_run.read_checked_lines(path, sha256, command="audit"))
    return json.loads(text), entries[output_folder.AUDIT_FRAME]


def _run(summary: Mapping[str, Any], design: Mapping[str, Any]) -> ScoringRun:
    """Return the run with the classes and minimum scores of the audit."""
    run = run_of(summary, ExportOptions(formats=("csv",), classes=tuple(design["classes"])))
    scores = {label_id: design["min_scores"][name] for label_id, name in run.classes.items()}
    return dataclasses.replace(run, thresholds=scores)


def _predicted(rows: Iterator[PredictionRow], run: ScoringRun, design: Mapping[str, Any]) -> Floats:
    rule = finished_run.deployment_rule({}, design["deployment"])
    return gather_images(rows, run, rule, period=design["period"], seed=design["seed"]).counts


def _read_truth(
    options: AbundanceOptions, summary: Mapping[str, Any], frame: AuditFrame, classes: Sequence[str]
) -> Floats:
    """Return the labelled counts [N, K] of the audited images, and 0 for all others."""
    labels = LabelMap.from_json(summary["labels"])
    aliases = read_aliases(options.label_aliases, labels)
    annotations = list(read_truth_files(options.audit, flag=_FLAG))
    _check_shapes(annotations)
    # All rows: an annotation of an image that is not audited must find that image, and not one of a like name.
    comparison = compare(finished_run.iter_rows(options.output, summary), annotations, labels, aliases=aliases)
    check_audit_labels(comparison, frame, labels, ignore_others=options.ignore_others)
    return _count_objects(comparison, frame, labels, classes)


def _check_shapes(annotations: Iterable[AnnotationFile | DataError]) -> None:
    """Log objects without a box, such as points, beside which their image has boxes."""
    found: Counter[str] = Counter()
    for file in annotations:
        if isinstance(file, AnnotationFile) and file.annotation:
            found.update({kind: count for kind, count in file.annotation.ignored if kind in OBJECTS_WITHOUT_BOX})
    for kind, count in sorted(found.items()):
        _logger.info("check: not counted: %d of the kind %r, which has no box", count, kind)


def _count_objects(comparison: Comparison, frame: AuditFrame, labels: LabelMap, classes: Sequence[str]) -> Floats:
    columns = {label_id: classes.index(name) for label_id, name in labels.items if name in classes}
    numbers = {image: number for number, image in frame.images.items()}
    of_image = {entry["id"]: numbers.get(legible(entry["file_name"])) for entry in comparison.truth["images"]}
    truth = np.zeros((len(frame.unit_of_image), len(classes)))
    for item in comparison.truth["annotations"]:
        number, column = of_image[item["image_id"]], columns.get(item["category_id"])
        if number is not None and column is not None:
            if item["iscrowd"]:
                raise UsageError(
                    f"{_FLAG}: {frame.images[number]} has a crowd of {classes[column]!r} (iscrowd), whose number is not"
                    " known: draw a box around each object"
                )
            truth[number, column] += 1
    return truth


def check_audit_labels(comparison: Comparison, frame: AuditFrame, labels: LabelMap, *, ignore_others: bool) -> None:
    """Refuse labels that are not those of the audited images, and of all of them.

    Raises:
      UsageError: a label is no class of the model, an image is not audited, or an audited one has no usable labels.
    """
    compared = {legible(entry["file_name"]) for entry in comparison.truth["images"]}
    audited = set(frame.images.values())
    if comparison.unknown:
        label, count = comparison.unknown.most_common(1)[0]
        nearest = describe_nearest(label, labels.name_by_id.values())
        hint = f"; did you mean {nearest}? (--label_aliases)" if nearest else " (--label_aliases)"
        raise UsageError(f"{_FLAG}: {count} {plural('box', count)} of {label!r}, which is no class of the model{hint}")
    others = len(compared - audited) + comparison.excluded.counts[ANNOTATION_WITHOUT_IMAGE]
    if others:
        # The detail of an annotation without an image begins with its name.
        first = min(compared - audited, default=comparison.excluded.first.get(ANNOTATION_WITHOUT_IMAGE, ""))
        found = f"{others} labelled {plural('image', others)} {plural('is', others)} not in the audit, such as {first}"
        if not ignore_others:
            raise UsageError(f"{_FLAG}: {found}: expected only images of audit.csv (--ignore_others skips the rest)")
        _logger.info("check: %s: ignored", found)
    _check_complete(comparison, sorted(audited - compared), len(audited))


def _check_labelling(truth: Floats, predicted: Floats) -> None:
    """Log labels that look like one of the task files of `audit`, which nobody has labelled."""
    if not truth.any():
        _logger.info("check: the labels have no object in any audited image: were the images labelled?")
    elif np.array_equal(truth, predicted):
        _logger.info("check: in all audited images, the labels are as many as the detections: were they corrected?")


def _check_complete(comparison: Comparison, missing: Sequence[str], audited: int) -> None:
    expected = (IMAGE_WITHOUT_ANNOTATION, ANNOTATION_WITHOUT_IMAGE)
    unusable = {reason: text for reason, text in comparison.excluded.first.items() if reason not in expected}
    if missing:
        why = "".join(f"; {reason}: {text}" for reason, text in list(unusable.items())[:1])
        have = plural("has", len(missing))
        raise UsageError(
            f"{_FLAG}: expected usable labels of all {audited} audited images; {len(missing)} {have} none, such as"
            f" {missing[0]} (one without objects needs an annotation without boxes){why}"
        )
    for reason, text in unusable.items():
        _logger.info("check: not counted: %d %s (%s)", comparison.excluded.counts[reason], reason, text)


def _write(
    options: AbundanceOptions, content: Mapping[str, Any], planned: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Write the files, and return their entries in summary.json: those that were planned, with digests."""
    about = (
        datetime.now(UTC).strftime("%Y-%m-%d"),
        f"rows of {options.output}, model {content['model_hash'][:12]}",
        f"labels {', '.join(options.audit)}",
    )
    lines = (csv_line(row[name] for name in ABUNDANCE_COLUMNS) for row in content["estimates"])
    contents: dict[str, Iterator[bytes]] = {
        output_folder.ABUNDANCE_TABLE: iter([csv_line(ABUNDANCE_COLUMNS), *lines]),
        output_folder.ABUNDANCE_PAGE: iter([utf8(abundance_report(content, about=about))]),
        output_folder.ABUNDANCE: iter([utf8(json.dumps(content, indent=2, ensure_ascii=False) + "\n")]),
    }
    return [
        {**entry, "sha256": write_derived(options.output, entry["name"], contents[entry["name"]])} for entry in planned
    ]
