"""Exports: the rows of a run in the formats of `--formats`, written by score's last step and by convert.

Begin with `write_exports`. The report also shows some of the images, which `page_images` finds.
"""

import dataclasses
import difflib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from inference.rows import finished_run
from inference.rows.export_options import (
    ALL_FILES,
    EXPORT_FILES,
    PUBLISHED_FILES,
    REPEAT_FLAGS,
    REPORT_FORMAT,
    ExportOptions,
)
from inference.rows.journal import write_derived
from inference.rows.page_images import page_images
from inference.rows.publication_files import read_publication
from inference.rows.repeat_marks import with_repeat_flags, without_repeats
from inference.rows.taxa import read_taxa
from inference.rows.thresholds import thresholds_of_run
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats import ALL_SCORES, EXPORTERS, PUBLISHERS, Exporter, Publisher
from retinanet_odm.predictions.publication import Publication
from retinanet_odm.predictions.roll_up import TaxonScores
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun
from retinanet_odm.predictions.uncertainty import to_label_csv
from retinanet_odm.predictions.unlike_training import NoveltySummary
from retinanet_odm.reports.predictions_page import predictions_report
from retinanet_odm.storage import files

_logger = logging.getLogger(__name__)


def write_exports(output: str, summary: Mapping[str, Any], options: ExportOptions) -> list[dict[str, Any]]:
    """Write the files of every format to the output folder. Each is streamed from the rows and written atomically.

    Args:
      output: the output folder, with its prediction files.
      summary: the content of summary.json, which need not be written yet.
      options: what to write.

    Returns:
      The entry of each file in summary.json, by name.

    Raises:
      ContractError: the prediction files are not those that the summary lists.
      UsageError: a class is not one of the model's, or the options name a place where nothing is found.
    """
    entries = []
    publishers = _publishers(output, summary, options)
    # Each file is a pass over the rows: they are read again, not kept in memory.
    for name, format_name in _files(options):
        run = run_of(summary, options, format_name)
        _check_repeat_flags(name, run, summary, options)
        rows = exported_rows(output, summary, options, run, format_name)
        exporter = publishers.get(name) or _exporter(name, summary, options)
        digest = write_derived(output, name, exporter(rows, run))
        entries.append(_entry(name, format_name, digest, run, options))
    return sorted(entries, key=lambda entry: str(entry["name"]))


def export_entries(summary: Mapping[str, Any], options: ExportOptions) -> list[dict[str, Any]]:
    """Return the entry of each file in summary.json as write_exports will, without its digest.

    Raises:
      UsageError: a class is not one of the model's.
    """
    return [
        _entry(name, format_name, None, run_of(summary, options, format_name), options)
        for name, format_name in _files(options)
    ]


def exports_exist(output: str, summary: Mapping[str, Any], options: ExportOptions) -> bool:
    """Return whether write_exports would only repeat what summary.json lists and the output folder holds.

    Raises:
      UsageError: a class is not one of the model's.
    """
    # The digest of the file is part of its entry: a file that was changed by hand does not equal what is listed.
    listed = {entry["name"]: entry for entry in summary["exports"]}
    return all(
        listed.get(name)
        == _entry(name, format_name, _digest(output, name), run_of(summary, options, format_name), options)
        for name, format_name in _files(options)
    )


def _digest(output: str, name: str) -> str | None:
    return files.find_digest(files.join(output, name))


def exported_rows(
    output: str, summary: Mapping[str, Any], options: ExportOptions, run: ScoringRun, format_name: str
) -> Iterator[PredictionRow]:
    """Yield the rows that a file of a format holds, with the detections that it may hold.

    Raises:
      ContractError, UsageError: as write_exports.
    """
    if taxa := _taxon_scores(summary, options, format_name):
        # Of all detections: those below the minimum scores add to the taxa above them.
        return map(taxa.roll_up, _rows(output, summary, options))
    # The pages count by the thresholds themselves, and also need what lies just below: it is uncertain.
    min_scores = dict.fromkeys(run.classes, 0.0) if format_name == REPORT_FORMAT else run.min_scores
    return (row.filtered(min_scores) for row in _rows(output, summary, options))


def count_results(output: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return `counted`, the detections by class at the thresholds of the run, and, if rows have one, `novelty`.

    Raises:
      ContractError: the prediction files are not those that the summary lists.
    """
    run, counts, novelty = run_of(summary, ExportOptions()), Counter[int](), NoveltySummary()
    rule = finished_run.deployment_rule(summary, "")
    for row in finished_run.iter_rows(output, summary):
        counts.update(item.label_id for item in row.filtered(run.thresholds).detections)
        if row.novelty is not None:  # without a reference, deployments would be found for nothing
            novelty.add(finished_run.with_deployment(row, rule))
    counted = {label: counts[label_id] for label_id, label in run.classes.items() if counts[label_id]}
    return {"counted": counted, **({"novelty": novelty.to_json()} if novelty.all.images else {})}


def describe_export(entry: Mapping[str, Any]) -> str:
    """Return what a file of `exports` in summary.json is, for the line that names it."""
    _, to_label = EXPORT_FILES[REPORT_FORMAT]
    return "to label next" if entry["name"] == to_label else str(entry["format"])


def _files(options: ExportOptions) -> Iterator[tuple[str, str]]:
    """Yield the name and format of each file."""
    return ((name, format_name) for format_name in options.formats for name in ALL_FILES[format_name])


def _entry(name: str, format_name: str, sha256: str | None, run: ScoringRun, options: ExportOptions) -> dict[str, Any]:
    """Return the entry of a file in summary.json."""
    # In files with weaker detections than count, what counts is a setting of its own.
    counted = {} if run.thresholds == run.min_scores else {"thresholds": run.thresholds_by_name}
    return {
        "name": name,
        "format": format_name,
        "sha256": sha256,
        "classes": list(run.classes.values()),
        "min_scores": run.min_scores_by_name,
        **counted,
        "options": options.settings(format_name),
    }


def _exporter(name: str, summary: Mapping[str, Any], options: ExportOptions) -> Exporter:
    """Return the function that makes a file. Those of the report are not rows in another format but a page."""
    # A dict is made for each file, because the page needs the summary and the options of this run.
    by_name = {name: exporter for exporters in EXPORTERS.values() for name, exporter in exporters.items()}
    page, to_label = EXPORT_FILES[REPORT_FORMAT]
    images = partial(page_images, summary, options)
    return {**by_name, to_label: to_label_csv, page: lambda rows, run: predictions_report(rows, run, images())}[name]


def _publishers(output: str, summary: Mapping[str, Any], options: ExportOptions) -> dict[str, Exporter]:
    """Return the functions that make the published files that are asked for; the files about the survey are read."""
    wanted = [name for name in options.formats if name in PUBLISHERS]
    if not wanted:
        return {}
    publication = read_publication(output, summary, options)
    return {
        name: _bound(publisher, publication)
        for format_name in wanted
        for name, publisher in PUBLISHERS[format_name].items()
    }


def _bound(publisher: Publisher, publication: Publication) -> Exporter:
    return lambda rows, run: publisher(rows, run, publication)


def run_of(summary: Mapping[str, Any], options: ExportOptions, format_name: str = "") -> ScoringRun:
    """Return what exporters need to know about a run; format_name is that of the file, if there is one.

    Raises:
      UsageError: as choose_classes and thresholds_of_run.
      ContractError: as read_taxa, or a class has no row there.
    """
    taxa = _taxon_scores(summary, options, format_name)
    return taxa.run if taxa else _scored_run(summary, options, format_name)


def _taxon_scores(summary: Mapping[str, Any], options: ExportOptions, format_name: str) -> TaxonScores | None:
    """Return how taxa are rolled up in the files of a format; None if they are not."""
    if not options.taxa or format_name not in PUBLISHED_FILES:
        return None
    run = _scored_run(summary, options, format_name)
    return TaxonScores(run, read_taxa(options.taxa, run.classes.values()))


def _scored_run(summary: Mapping[str, Any], options: ExportOptions, format_name: str) -> ScoringRun:
    """Return the run as its model has scored it, before taxa are rolled up."""
    classes = choose_classes(finished_run.detected_classes(summary), options.classes)
    counted_from = thresholds_of_run(options.min_score, summary)
    thresholds = counted_from.by_id(classes)
    holds_all = format_name in ALL_SCORES and options.min_score is None
    return ScoringRun(
        classes=classes,
        model_hash=summary["model_hash"],
        thresholds=thresholds,
        min_scores=dict.fromkeys(classes, summary["thresholds"]["score"]) if holds_all else thresholds,
        nms_iou=summary["thresholds"]["nms_iou"],
        code_version=summary["code_version"],
        rows_from=summary["thresholds"]["score"],
        facts={
            **summary.get("model", {}),
            "threshold_origin": counted_from.origin,
            **({"tiles": True} if summary.get("tiling") else {}),
            **({"without_repeats": True} if options.without_repeats else {}),
        },
    )


def choose_classes(classes: Mapping[int, str], names: Sequence[str]) -> dict[int, str]:
    """Return the classes with these names, by label id; all classes if there are no names.

    Raises:
      UsageError: there is no class of this name.

    Example:
      >>> choose_classes({1: "crab", 2: "sea pig"}, ["sea pig"])
      {2: 'sea pig'}
    """
    for name in names:
        if name not in classes.values():
            close = difflib.get_close_matches(name, classes.values(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"its classes are {', '.join(classes.values())}"
            raise UsageError(f"--classes: the model has no class {name!r}; {hint}")
    return {label_id: name for label_id, name in sorted(classes.items()) if not names or name in names}


def _rows(output: str, summary: Mapping[str, Any], options: ExportOptions) -> Iterator[PredictionRow]:
    """Yield the rows of a run with the flags of `repeats`, without images and repeats that the options exclude."""
    rule = finished_run.deployment_rule(summary, options.deployment)
    # By the complete name: deployments stay those of `repeats` where --below shortens the names.
    flagged = _flagged_rows(output, summary)
    rows: Iterator[PredictionRow] = (finished_run.with_deployment(row, rule) for row in flagged)
    if options.without_repeats:
        if not _repeat_digests(summary):
            raise UsageError(
                f"--without_repeats: {output} has no flags of repeated detections: run `python -m inference repeats`"
                " first"
            )
        rows = map(without_repeats, rows)
    return _rows_below(rows, options.below) if options.below else rows


def _flagged_rows(output: str, summary: Mapping[str, Any]) -> Iterator[PredictionRow]:
    """Yield all rows, with the flags of `repeats` if it was run."""
    # The flags are a file beside the rows: rows, and with them their keys, never change after a run.
    rows, path = finished_run.iter_rows(output, summary), files.join(output, REPEAT_FLAGS)
    for sha256 in _repeat_digests(summary):
        lines = finished_run.read_checked_lines(path, sha256, command="repeats")
        rows = with_repeat_flags(rows, lines, source=path)
    return rows


def _check_repeat_flags(name: str, run: ScoringRun, summary: Mapping[str, Any], options: ExportOptions) -> None:
    """Warn if flagged detections are dropped from a file, but it holds weaker ones than `repeats` has searched."""
    entries = {entry["name"]: entry for entry in summary.get("exports", ())}
    scores = entries.get(REPEAT_FLAGS, {}).get("min_scores", {})
    if options.without_repeats and any(
        score < scores.get(label, score) for label, score in run.min_scores_by_name.items()
    ):
        _logger.warning(
            "%s holds detections below the scores that `repeats` has searched: they are not flagged, and stay", name
        )


def _repeat_digests(summary: Mapping[str, Any]) -> list[str]:
    return [entry["sha256"] for entry in summary.get("exports", ()) if entry["name"] == REPEAT_FLAGS]


def _rows_below(rows: Iterator[PredictionRow], folder: str) -> Iterator[PredictionRow]:
    """Yield the rows of images in a folder, without the folder in their names; their order stays."""
    # With the slash, so that "a" does not select "ab/c.jpg".
    prefix, is_empty = f"{folder}/", True
    for row in rows:
        if row.image.startswith(prefix):
            is_empty = False
            yield dataclasses.replace(row, image=row.image.removeprefix(prefix))
    if is_empty:
        raise UsageError(f"--below: no image's name begins with {prefix}")
