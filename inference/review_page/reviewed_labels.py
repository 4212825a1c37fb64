"""Reviewed images as annotations: CVAT XML, Pascal VOC, and the labels of an audit that `abundance` reads.

Only images that are done are written: one that nobody has finished would look like an image without further objects.
Begin with `write_labels`.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from inference.review_page.decisions import ACCEPTED, Decision
from inference.review_page.listed_images import ListedImages
from inference.rows import finished_run
from inference.rows.export_options import REVIEW_FILES
from inference.rows.journal import commit_summary, find_earlier, write_derived
from inference.rows.replacing import check_overwrite
from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats.encoding import row_to_annotation, xml_text
from retinanet_odm.predictions.formats.voc import voc_archive
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow
from retinanet_odm.storage import files
from retinanet_odm.wording import plural

_AUDIT, _VOC = "audit", "voc"


def write_labels(
    output: str, formats: Sequence[str], images: ListedImages, states: Mapping[str, Decision]
) -> list[str]:
    """Write the images that are done in formats beside the rows, and return the paths of the files.

    Args:
      output: folder of the run; the caller holds its lock.
      formats: of REVIEW_FILES.
      images: of the page.
      states: the last decision about each image that has any, by name.

    Raises:
      UsageError: no image is done, an image of the audit is not, or a person has changed one of the files.
    """
    contents = {REVIEW_FILES[name]: _content(name, images, states) for name in formats}
    planned = [{"name": name, "format": "review"} for name in contents]
    check_overwrite(output, find_earlier(output), planned, replace=False)
    summary = finished_run.finished_summary(output, command="review")
    entries = [{**entry, "sha256": write_derived(output, entry["name"], contents[entry["name"]])} for entry in planned]
    commit_summary(output, finished_run.add_exports(summary, entries))
    return [files.join(output, name) for name in contents]


def reviewed_rows(images: ListedImages, states: Mapping[str, Decision]) -> Iterator[PredictionRow]:
    """Yield the rows of the images that are done, with their accepted objects in place of detections."""
    ids = {name: label_id for label_id, name in images.run.classes.items()}
    for row in images.rows:
        state = states.get(row.image)
        if row.status == OK and state is not None and state.done:
            accepted = (item for item in state.objects if item.verdict == ACCEPTED)
            boxes = (
                Detection(label=item.label, label_id=ids.get(item.label, 0), score=1.0, box=item.box)
                for item in accepted
            )
            yield dataclasses.replace(row, detections=tuple(boxes))


def _content(name: str, images: ListedImages, states: Mapping[str, Decision]) -> Iterator[bytes]:
    """Return the content of a file, after all checks: nothing is written if one of several files cannot be."""
    rows = list(reviewed_rows(images, states))
    if name == _AUDIT:
        rows = _audited_rows(images, rows)
    elif not rows:
        raise UsageError(f"--export={name}: no image is reviewed yet: finish one in the page first")
    # Beside the classes of the model those that only decisions about another model's detections have.
    decided = sorted({item.label for row in rows for item in row.detections})
    labels = list(dict.fromkeys([*images.run.classes.values(), *decided]))
    title = f"reviewed detections of model {images.run.model}"
    if name == _VOC:
        return voc_archive(rows, labels, title=title)
    return iter([format_cvat(map(row_to_annotation, rows), labels=map(xml_text, labels), task=title)])


def _audited_rows(images: ListedImages, rows: Sequence[PredictionRow]) -> list[PredictionRow]:
    """Return the rows of the audit; `abundance` needs all of them.

    Raises:
      UsageError: there is no audit, or one of its images is not done.
    """
    audited = {row.image for row, chosen in zip(images.rows, images.audited, strict=False) if chosen}
    if not audited:
        raise UsageError(f"--export={_AUDIT}: there is no audit: run `python -m inference audit` first")
    missing = audited - {row.image for row in rows}
    if missing:
        raise UsageError(
            f"--export={_AUDIT}: expected a review of all {len(audited)} images of the audit;"
            f" {len(missing)} {plural('is', len(missing))} not reviewed yet, such as {min(missing)}"
        )
    return [row for row in rows if row.image in audited]
