"""Predictions for Label Studio (labelstud.io/guide/predictions): tasks to import, and the interface that shows them.

Boxes are x, y (upper left), width, height in percent of the upright image. In the tasks, an image is given as a file of
Label Studio's local storage, whose document root is the folder of the images (labelstud.io/guide/storage).

`to_prediction` makes the prediction of one image, for the tasks and for the ML backend (inference.label_studio), which
finds its names in the interface of a project: `read_labeling_interface`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lxml import etree

from retinanet_odm.annotations.safe_xml import parse_xml
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats.encoding import box_fractions, json_list, legible, xml_text
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun

# The names in Label Studio's own template for boxes.
_CONTROL, _OBJECT = "label", "image"
_LOCAL_FILE = "/data/local-files/?d="
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class LabelingInterface:
    """The place of boxes in the labeling interface of a project.

    Attributes:
      control: name of the RectangleLabels.
      image: name of the Image.
      key: of the image in the data of a task.
      labels: by class of the model, what the interface calls it; boxes of other classes have no place there.
    """

    control: str
    image: str
    key: str
    labels: Mapping[str, str]


def to_label_studio(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield labelstudio.json: a task with one prediction for each image. Images that failed are not listed."""
    labels = {name: xml_text(name) for name in run.classes.values()}
    own = LabelingInterface(control=_CONTROL, image=_OBJECT, key=_OBJECT, labels=labels)
    version = model_version(run)
    yield from json_list(_task(row, own, version) for row in rows if row.status == OK)
    yield b"\n"


def to_labeling_interface(_: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield labelstudio.xml, the labeling interface of a project into which the tasks are imported."""
    view = etree.Element("View")
    etree.SubElement(view, "Image", {"name": _OBJECT, "value": f"${_OBJECT}"})
    labels = etree.SubElement(view, "RectangleLabels", {"name": _CONTROL, "toName": _OBJECT})
    for label in run.classes.values():
        etree.SubElement(labels, "Label", {"value": xml_text(label)})
    yield etree.tostring(view, pretty_print=True, encoding="utf-8")


def model_version(run: ScoringRun) -> str:
    """Return what Label Studio shows as the version of the model: the program, and the identity of the model."""
    return f"{run.program}, model {run.model}"


def read_labeling_interface(text: str, classes: Iterable[str]) -> LabelingInterface:
    """Find the place of boxes in a labeling interface: the first RectangleLabels of an image that has a class.

    A class is found by the value of a Label, by its alias, or among its predicted_values (labelstud.io/guide/ml). What
    it is called in a prediction is the alias, or else the value.

    Args:
      text: the XML of the interface, as Label Studio sends it.
      classes: names of the classes of the model.

    Raises:
      AnnotationError: the XML is not well-formed.
      UsageError: it has no RectangleLabels of an image, or none that has a class.

    Example:
      >>> image, label = '<Image name="still" value="$photo"/>', '<Label value="crab"/>'
      >>> labels = f'<RectangleLabels name="kind" toName="still">{label}</RectangleLabels>'
      >>> found = read_labeling_interface(f"<View>{image}{labels}</View>", ["crab", "star"])
      >>> found.control, found.image, found.key, found.labels
      ('kind', 'still', 'photo', {'crab': 'crab'})
    """
    source = "the labeling interface"
    root = parse_xml(text.encode(errors="replace"), source=source)
    # An image of a fixed address, or a list of images, has no value with a dollar sign.
    images = {item.get("name"): item.get("value", "") for item in root.iter("Image")}
    keys = {name: value[1:] for name, value in images.items() if name and value.startswith("$")}
    controls = [
        (control, name)
        for control in root.iter("RectangleLabels")
        for name in control.get("toName", "").split(",")
        if name in keys and control.get("name")
    ]
    if not controls:
        raise UsageError(f'{source} has no <RectangleLabels name="…" toName="…"> of an <Image name="…" value="$…">')
    names = list(classes)
    for control, name in controls:
        if labels := _labels(control, names):
            return LabelingInterface(control=control.get("name", ""), image=name, key=keys[name], labels=labels)
    found = [label.get("value", "") for control, _ in controls for label in control.iter("Label")]
    shown = ", ".join(found) or "of no name"
    raise UsageError(f"{source} has labels {shown}; expected at least one of {', '.join(names)}")


def _labels(control: etree._Element, classes: Iterable[str]) -> dict[str, str]:
    """Return by class what the labels of a control call it."""
    called: dict[str, str] = {}
    for label in control.iter("Label"):
        value, alias = label.get("value", ""), label.get("alias", "")
        others = (other.strip() for other in label.get("predicted_values", "").split(","))
        # The first label that has a name keeps it.
        for name in filter(None, (value, alias, *others)):
            called.setdefault(name, alias or value)
    return {name: called[xml_text(name)] for name in classes if xml_text(name) in called}


def to_prediction(row: PredictionRow, interface: LabelingInterface, version: str) -> dict[str, Any]:
    """Return the prediction of an image that could be scored.

    Args:
      row: of the image. Boxes of classes that the interface does not have are left out.
      interface: of the project.
      version: see model_version.
    """
    found = [item for item in row.detections if item.label in interface.labels]
    regions = [_region(number, item, row, interface) for number, item in enumerate(found)]
    prediction: dict[str, Any] = {"model_version": version, "result": regions}
    if found:
        # Label Studio sorts tasks by it: those with the weakest detection come first.
        prediction["score"] = min(item.score for item in found)
    return prediction


def _task(row: PredictionRow, interface: LabelingInterface, version: str) -> dict[str, Any]:
    data = {interface.key: _LOCAL_FILE + quote(legible(row.image))}
    return {"data": data, "predictions": [to_prediction(row, interface, version)]}


def _region(number: int, item: Detection, row: PredictionRow, interface: LabelingInterface) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = box_fractions(item, row)
    sides = {"x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin}
    percent = {key: round(100 * value, _DIGITS) for key, value in sides.items()}
    return {
        "id": str(number),
        "from_name": interface.control,
        "to_name": interface.image,
        "type": "rectanglelabels",
        "original_width": row.width,
        "original_height": row.height,
        "image_rotation": 0,
        "score": item.score,
        "value": {**percent, "rotation": 0, "rectanglelabels": [interface.labels[item.label]]},
    }
