"""`audit`: draws the images that a person labels, so that `abundance` can correct the counts of all.

Begin with `draw`. The sample is drawn in retinanet_odm.evaluation.audit_design; here are its input, the rows of a run,
and its output: the frame with its inclusion probabilities, the design, and task files for CVAT.
"""

import json
import logging
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from inference.abundance_options import AuditOptions
from inference.audit_frame import ScoredImages, frame_lines, gather_images
from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.exports import run_of
from inference.rows.journal import EarlierRun, commit_summary, find_earlier, write_derived
from inference.rows.page_images import find_in_sources, sources_of_run
from inference.rows.replacing import check_overwrite
from retinanet_odm.dataset.frame_names import DeploymentRule, describe_deployments
from retinanet_odm.errors import UsageError
from retinanet_odm.evaluation.audit_design import AuditDesign, draw_audit
from retinanet_odm.evaluation.audit_terms import IMAGE
from retinanet_odm.evaluation.audit_units import group_units
from retinanet_odm.evaluation.matching import Bools, Floats, Ints
from retinanet_odm.predictions.formats import cvat
from retinanet_odm.predictions.formats.encoding import Spool
from retinanet_odm.predictions.formats.zip_members import add_member
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, utf8
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
_FILES = (
    output_folder.AUDIT_IMAGES,  # first: if an image is not found, no file has changed
    output_folder.AUDIT_FRAME,
    output_folder.AUDIT_TASK,
    output_folder.AUDIT_TASK_PREDICTED,
    output_folder.AUDIT,  # last: it marks a complete audit
)


def draw(options: AuditOptions) -> dict[str, Any]:
    """Draw the audit of a finished run, and write its files beside the rows.

    Returns:
      The content of audit.json.

    Raises:
      UsageError: the folder has no finished run, a class is unknown, bursts or days are asked for but an image has no
        time, an image to copy is not found, or a file may not be overwritten.
      ContractError: the prediction files are not those of the summary.
    """
    with lock_folder(options.output):
        return _draw(options)


def _draw(options: AuditOptions) -> dict[str, Any]:
    output = options.output
    summary = finished_run.finished_summary(output, command="audit")
    # With a format, because ExportOptions refuses classes without one; that file is not written.
    run = run_of(summary, ExportOptions(formats=("csv",), classes=options.classes, min_score=options.min_score))
    rule = finished_run.deployment_rule(summary, options.deployment)
    names = [name for name in _FILES if options.copy_images or name != output_folder.AUDIT_IMAGES]
    # What counts and how deployments are found may come from the run, and another `score` may have changed it.
    settings = {**options.settings(), "counted_from": run.thresholds_by_name, "deployment": rule.text}
    planned = [{"name": name, "format": "audit", **settings} for name in names]
    earlier = find_earlier(output)
    stale = _stale(output, earlier, settings, names)
    going = [{**planned[0], "name": name} for name in stale]
    check_overwrite(output, earlier, [*planned, *going], replace=options.replace)

    def rows() -> Iterator[PredictionRow]:
        return finished_run.iter_rows(output, summary)

    images = gather_images(rows(), run, rule, period=options.period, seed=options.seed)
    units, first_images = _units(images, options)
    totals: Floats = np.bincount(units, weights=images.counts.sum(axis=1)).astype(np.float64)
    design = draw_audit(
        images.deployments[first_images],
        images.periods[first_images],
        totals,
        images.keys[first_images],
        size=options.size,
    )
    audited = design.audited[units]
    described = _describe(options, run, rule, images, units, first_images, design, totals)
    contents = {
        output_folder.AUDIT_FRAME: frame_lines(rows(), images, units, first_images, design),
        output_folder.AUDIT_TASK: cvat.to_cvat((row.filtered({}) for row in _audited(rows(), audited)), run),
        output_folder.AUDIT_TASK_PREDICTED: cvat.to_cvat(
            (row.filtered(run.thresholds) for row in _audited(rows(), audited)), run
        ),
        output_folder.AUDIT_IMAGES: _copies(summary, options, [row.image for row in _audited(rows(), audited)])
        if options.copy_images
        else iter(()),
        output_folder.AUDIT: iter([utf8(json.dumps(described, indent=2, ensure_ascii=False) + "\n")]),
    }
    # The order matters: the files first, then the summary that lists them with their digests.
    entries = [{**entry, "sha256": write_derived(output, entry["name"], contents[entry["name"]])} for entry in planned]
    kept = [entry for entry in summary.get("exports", ()) if entry["name"] not in stale]
    commit_summary(output, finished_run.add_exports({**summary, "exports": kept}, entries))
    files.delete([files.join(output, name) for name in stale])
    for line in _lines(described, images):
        _logger.info("%s", line)
    _logger.info("to label: %s", files.join(output, output_folder.AUDIT_TASK_PREDICTED))
    return described


def _stale(output: str, earlier: EarlierRun, settings: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return files of an earlier audit with other settings that this one does not write, such as its estimates."""
    listed = earlier.entry(output_folder.AUDIT)
    if not listed or all(listed.get(name) == value for name, value in settings.items()):
        return []
    found = (*_FILES, *output_folder.ABUNDANCE_FILES)
    return [name for name in found if name not in names and files.is_file(files.join(output, name))]


def _units(images: ScoredImages, options: AuditOptions) -> tuple[Ints, Ints]:
    """Return the unit of each image [N], and the first image in time of each unit [U]."""
    if not len(images.keys):
        raise UsageError(f"audit: {options.output} has no scored image: all {images.failed} failed")
    if options.unit != IMAGE and images.first_without_time:
        raise UsageError(
            f"--unit={options.unit}: expected images with a date and time in their names or EXIF, found"
            f" {images.first_without_time!r} without"
        )
    units = group_units(images.deployments, images.seconds, unit=options.unit, gap=options.burst_gap)
    # A stable sort: of images of one time, the first by name.
    order = np.argsort(images.seconds, kind="stable") if options.unit != IMAGE else np.arange(len(units))
    _, first = np.unique(units[order], return_index=True)
    return units, order[first]


def _audited(rows: Iterator[PredictionRow], audited: Bools) -> Iterator[PredictionRow]:
    scored = (row for row in rows if row.status == OK)
    return (row for row, chosen in zip(scored, audited.tolist(), strict=True) if chosen)


def _copies(summary: Mapping[str, Any], options: AuditOptions, names: Sequence[str]) -> Iterator[bytes]:
    """Yield audit_images.zip: upright copies of the audited images, with their names.

    Raises:
      UsageError: one is not found where the images are.
    """
    sources = [options.images] if options.images else sources_of_run(summary)
    missing, spool = set(names), Spool()
    with zipfile.ZipFile(spool, "w") as archive:
        for name, data in find_in_sources(sources, names):
            add_member(archive, name, data)
            missing.discard(name)
            yield spool.take()
    if missing:
        raise UsageError(f"--copy_images: {min(missing)} was not found: say by --images where the images are")
    yield spool.take()


def _describe(
    options: AuditOptions,
    run: ScoringRun,
    rule: DeploymentRule,
    images: ScoredImages,
    units: Ints,
    first_images: Ints,
    design: AuditDesign,
    totals: Floats,
) -> dict[str, Any]:
    """Return the content of audit.json."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "unit": options.unit,
        "burst_gap": options.burst_gap,
        "period": options.period,
        "seed": options.seed,
        "deployment": rule.text,
        "classes": list(run.classes.values()),
        "min_scores": run.thresholds_by_name,
        "model_hash": run.model_hash,
        "code_version": run.code_version,
        "images": len(units),
        "failed_images": images.failed,
        "units": len(first_images),
        "audited_units": int(design.audited.sum()),
        "audited_images": int(design.audited[units].sum()),
        "strata": list(_strata(images, first_images, design, totals)),
    }


def _strata(images: ScoredImages, first_images: Ints, design: AuditDesign, totals: Floats) -> Iterator[dict[str, Any]]:
    """Yield the strata: where and when the first and last unit is, counts, and the inclusion probability."""
    order = np.argsort(design.strata, kind="stable")
    ends = np.cumsum(design.populations)
    for number, members in enumerate(np.split(order, ends[:-1])):
        places = images.deployments[first_images[members]]
        times = images.periods[first_images[members]]
        yield {
            "stratum": number,
            "deployments": [images.deployment_names[places.min()], images.deployment_names[places.max()]],
            "periods": [images.period_names[times.min()], images.period_names[times.max()]],
            "predicted": [int(totals[members].min()), int(totals[members].max())],
            "units": int(design.populations[number]),
            "audited": int(design.samples[number]),
            "probability": round(float(design.probabilities[number]), 6),
        }


def _lines(described: Mapping[str, Any], images: ScoredImages) -> Iterator[str]:
    yield describe_deployments(set(images.deployment_names))
    units, unit = described["audited_units"], described["unit"]
    of = "" if unit == IMAGE else f" of {units} {plural(unit, units)}"
    strata = len(described["strata"])
    yield (
        f"audit: {described['audited_images']} of {described['images']} scored images{of}, from {strata}"
        f" {plural('stratum', strata)}"
    )
    if described["failed_images"]:
        yield f"check: {described['failed_images']} images failed: they are not part of the estimates"
