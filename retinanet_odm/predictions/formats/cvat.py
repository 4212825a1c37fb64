"""Detections as pre-annotations for CVAT: one CVAT for images 1.1 file to upload into a task of these images."""

from collections.abc import Iterable, Iterator

from lxml import etree

from retinanet_odm.annotations.cvat import image_element, task_envelope
from retinanet_odm.predictions.formats.encoding import as_annotation, xml_text
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun


def to_cvat(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """The whole file; ids count all images from 0.

    An image that failed is left out: listed without boxes, it would be taken for one that holds no animal.
    """
    head, tail = task_envelope(labels=map(xml_text, run.classes.values()), task=run.title)
    yield head
    for number, row in enumerate(rows):
        if row.status == OK:
            yield etree.tostring(_image(number, row), pretty_print=True, encoding="utf-8")
    yield tail


def _image(number: int, row: PredictionRow) -> etree._Element:
    element = image_element(number, as_annotation(row))
    for box, item in zip(element, row.detections, strict=True):
        box.set("source", "auto")
        # CVAT shows it where the task's labels have an attribute of this name, and passes it over where they have not
        # (cvat/apps/dataset_manager/bindings.py, _import_shape).
        etree.SubElement(box, "attribute", {"name": "score"}).text = str(item.score)
    return element
