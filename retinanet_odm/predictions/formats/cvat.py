"""Pre-annotations for CVAT: one file in CVAT for images 1.1 (docs.cvat.ai, "XML annotation format").

Boxes are xtl, ytl, xbr, ybr in pixels, 0-based and continuous. The file is uploaded into a task of the same images
(*Actions*, *Upload annotations*); docs/cvat.md describes it.
"""

from collections.abc import Iterable, Iterator

from lxml import etree

from retinanet_odm.annotations.cvat import image_element, task_envelope
from retinanet_odm.predictions.formats.encoding import row_to_annotation, xml_text
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun


def to_cvat(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield cvat.xml. The ids of its images are the numbers of the rows, from 0.

    Images that failed are not listed: without boxes, they would look like images without objects.
    """
    head, tail = task_envelope(labels=map(xml_text, run.classes.values()), task=run.title)
    yield head + _min_scores(run)
    for number, row in enumerate(rows):
        if row.status == OK:
            yield etree.tostring(_image(number, row), pretty_print=True, encoding="utf-8")
    yield tail


def _min_scores(run: ScoringRun) -> bytes:
    """Return a comment with the minimum score of each class: CVAT's format has no element for it."""
    scores = "; ".join(f"{xml_text(label)}: {score:g}" for label, score in run.min_scores_by_name.items())
    # XML 1.0, section 2.5: no two hyphens within a comment, and none at its end.
    text = f" minimum scores: {scores} ".replace("--", "- -").replace("--", "- -")
    return etree.tostring(etree.Comment(text), encoding="utf-8") + b"\n"


def _image(number: int, row: PredictionRow) -> etree._Element:
    element = image_element(number, row_to_annotation(row))
    # The element has one child for each detection, in their order: see `image_element`.
    for box, item in zip(element, row.detections, strict=True):
        box.set("source", "auto")
        # CVAT shows the score if the task's labels have an attribute of this name, and else skips it
        # (cvat/apps/dataset_manager/bindings.py, _import_shape).
        etree.SubElement(box, "attribute", {"name": "score"}).text = str(item.score)
    return element
