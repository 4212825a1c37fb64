"""The rows of a finished run and annotations of its images, for the commands that compare them.

Begin with `read_comparison`, which evaluate and label_errors call. They are paired in inference.ground_truth.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from inference.annotation_input import read_aliases, read_truth_files
from inference.ground_truth import Comparison, compare
from inference.rows import finished_run
from retinanet_odm.dataset.exhaustive import ExhaustiveClasses, parse_exhaustive
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.evaluation.exhaustive_images import exhaustive_table
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import describe_nearest
from retinanet_odm.sources.listing import AnnotationFile
from retinanet_odm.storage import files
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)

_FLAG = "--annotations"


def read_comparison(
    output: str,
    summary: Mapping[str, Any],
    *,
    annotations: Sequence[str],
    label_aliases: str | None,
    exhaustive: str | None,
    ignore_labels: Sequence[str],
    rule: DeploymentRule,
) -> Comparison:
    """Read annotations, pair them with the rows, and log what is compared and what is not.

    Args:
      output: folder of the run.
      summary: of the run.
      annotations: patterns of annotation files.
      label_aliases: CSV file with the columns alias,name; None for none.
      exhaustive: CSV file of the classes that are annotated exhaustively; None: all, everywhere.
      ignore_labels: labels of areas in which nobody has looked for objects.
      rule: how deployments are found.

    Raises:
      UsageError: there are no such annotations, none of them belongs to a scored image, or a label to ignore is a class
        of the model.
      ContractError: the prediction files are not those of the summary.
    """
    labels = LabelMap.from_json(summary["labels"])
    _check_ignore_labels(ignore_labels, labels)
    aliases = read_aliases(label_aliases, labels)
    # A stream: `compare` keeps only rows that may have an annotation.
    rows = finished_run.iter_rows(output, summary)
    known = _read_exhaustive(exhaustive, aliases, rule) if exhaustive else None
    found = list(read_truth_files(annotations, flag=_FLAG, ignored=ignore_labels))
    comparison = compare(rows, found, labels, aliases=aliases, exhaustive=known)
    # Before any check: if nothing is left to compare, these lines explain why.
    for line in (
        *describe_comparison(comparison, labels),
        *describe_ignore_labels(ignore_labels, found, labels),
    ):
        _logger.info("%s", line)
    if not comparison.images:
        raise UsageError(f"{_FLAG}: expected annotations of scored images, found none")
    for line in describe_exhaustive(comparison, known):
        _logger.info("%s", line)
    return comparison


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
