"""Reads Label Studio's JSON export (labelstud.io/guide/task_format): tasks, each with annotations of an image.

Begin with `parse_label_studio`; `label_studio_shapes` reads the shapes. The older export has completions in place of
annotations; JSON-MIN has the shapes of one annotation as values of the task.

- A task is annotated by one person: its only annotation, or else the only one that is marked as ground truth, or else
  several with the same boxes. Of other ones, none is chosen.
- Skipped and cancelled annotations, and drafts, are no annotations. A task without an annotation says nothing about its
  image, which is rejected; unless predictions are accepted, by a minimum score, and the task has one.
- The path of an image is in the data of the task: a file that was uploaded, without the random prefix that Label Studio
  gives it; a local file; or an address, such as gs:// or https://.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.json_values import (
    JsonObject,
    check_all_read,
    entries_of,
    image_name_of,
    kind_of,
    object_of,
    parse_json,
    shown,
)
from retinanet_odm.annotations.label_studio_shapes import add_results, is_shape, size_of
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError

_UPLOAD = re.compile(r"/?data/upload/(?:\d+/)?")
_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # of an uploaded file
_IMAGE_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|gif|webp|tiff?)$", re.IGNORECASE)


def parse_label_studio(data: bytes, *, source: str, min_score: float | None = None) -> Iterator[ImageAnnotation]:
    """Yield the image of every task of Label Studio's JSON or JSON-MIN.

    Args:
      data: the file's bytes.
      source: the file's name, for messages.
      min_score: where a task has no annotation, regions of its prediction with a lower score are left out, and counted;
        None if predictions are not accepted.

    Raises:
      AnnotationError: the file is not JSON or not Label Studio's, a task names no image, or shapes are elsewhere.

    Example:
      >>> shape = b'{"type": "rectanglelabels", "original_width": 200, "original_height": 100, "value":'
      >>> shape += b' {"x": 5, "y": 20, "width": 10, "height": 20, "rotation": 0, "rectanglelabels": ["crab"]}}'
      >>> data = b'[{"data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "annotations": [{"result": [%s]}]}]' % shape
      >>> [(image.filename, image.objects[0].box) for image in parse_label_studio(data, source="a.json")]
      [('a.jpg', (20.0, 10.0, 40.0, 30.0))]
    """
    parsed, counted = parse_json(data, source, is_shape)
    entries = entries_of(parsed if isinstance(parsed, list) else [parsed], "the file", source)
    tasks = [_task(entry, f"task {index}", source) for index, entry in enumerate(entries)]
    results = itertools.chain.from_iterable(map(_results, tasks))
    check_all_read(counted, results, is_shape, "'result' of an annotation", source)
    for index, task in enumerate(tasks):
        yield _image(task, f"task {index if task['id'] is None else task['id']}", source, min_score)


def _task(entry: JsonObject, what: str, source: str) -> JsonObject:
    """Return a task of the current form, made from that of an older or a shorter one.

    Raises:
      AnnotationError: it is no task.
    """
    if "annotation_id" in entry or "annotator" in entry:
        return _from_json_min(entry)
    if "annotations" in entry and "completions" in entry:
        raise AnnotationError("element_repeated", f"{source}: {what} has annotations and completions, expected one")
    if "data" not in entry or not any(key in entry for key in ("annotations", "completions", "predictions")):
        detail = f"{source}: {what}: expected data and annotations, found the keys {shown(sorted(entry))}"
        raise AnnotationError("structure_unexpected", detail)
    lists = ("completions" if "completions" in entry else "annotations", "predictions", "drafts")
    annotations, predictions, drafts = (entries_of(entry.get(key) or [], f"{key} of {what}", source) for key in lists)
    return {
        "id": entry.get("id"),
        "data": object_of(entry["data"], f"data of {what}", source),
        "file_upload": entry.get("file_upload"),
        "annotations": annotations,
        "predictions": predictions,
        "drafts": drafts,
    }


def _from_json_min(entry: JsonObject) -> JsonObject:
    """JSON-MIN has the values of a shape beside its size, in a list for each control of the labelling interface."""
    lists = [value for value in entry.values() if isinstance(value, list)]
    result = [
        _from_min_shape(each) for found in lists if any(isinstance(each, dict) for each in found) for each in found
    ]
    texts = {key: value for key, value in entry.items() if isinstance(value, str)}
    unused: JsonObject = {"predictions": [], "drafts": []}
    return {"id": entry.get("id"), "data": texts, "annotations": [{"result": result}], **unused, "is_min": True}


def _from_min_shape(value: object) -> object:
    if not isinstance(value, dict):
        return value
    own = ("original_width", "original_height", "image_rotation", "id")
    return {**{key: value[key] for key in own if key in value}, "value": value, "type": ""}


def _results(task: JsonObject) -> list[object]:
    """Return the results of a task as the file has them, also those that are not used."""
    if task.get("is_min"):
        return [each.get("value") for each in task["annotations"][0]["result"] if isinstance(each, dict)]
    # A draft has its shapes in "result" as well.
    lists = (entry.get("result") for key in ("annotations", "predictions", "drafts") for entry in task[key])
    return [each for found in lists if isinstance(found, list) for each in found]


def _image(task: JsonObject, what: str, source: str, min_score: float | None) -> ImageAnnotation:
    name = _name(task, what, source)
    if min_score is not None and not task["annotations"] and task["predictions"]:
        return _predicted(name, task["predictions"], what, source, min_score)
    used = [each for each in task["annotations"] if not (each.get("was_cancelled") or each.get("skipped"))]
    if sum(each.get("ground_truth") is True for each in used) == 1:
        used = [each for each in used if each.get("ground_truth") is True]
    read = [_annotation(name, each, f"{what}, annotation {shown(each.get('id'))}", source) for each in used]
    if not read:
        counts = ", ".join(f"{key}: {len(task[key])}" for key in ("predictions", "drafts"))
        detail = f"{source}: {what}: no annotation of {name!r}; skipped: {len(task['annotations'])}, {counts}"
        if task["predictions"] and not task["annotations"]:
            detail += "; to learn from predictions, give --min_score, such as --min_score=0.8"
        return _rejected(name, AnnotationError("image_not_annotated", detail), source)
    if any(_content(other) != _content(read[0]) for other in read):
        people = ", ".join(shown(each.get("completed_by", each.get("id"))) for each in used)
        detail = f"{source}: {what}: {len(read)} annotations of {name!r} that differ, by {people}; expected one"
        return _rejected(name, AnnotationError("annotators_differ", detail), source)
    return read[0]


def _predicted(
    name: str, predictions: Sequence[JsonObject], what: str, source: str, min_score: float
) -> ImageAnnotation:
    """Return the image with the regions of its only prediction."""
    if len(predictions) > 1:
        models = ", ".join(shown(each.get("model_version")) for each in predictions)
        detail = f"{source}: {what}: {len(predictions)} predictions of {name!r}, by {models}; expected one"
        return _rejected(name, AnnotationError("annotators_differ", detail), source)
    return _annotation(name, predictions[0], f"{what}, prediction", source, min_score)


def _content(image: ImageAnnotation) -> tuple[object, ...]:
    boxes = sorted((item.label, tuple(round(edge, 2) for edge in item.box)) for item in image.objects)
    return boxes, image.ignored, bool(image.unreadable)


def _rejected(name: str, error: AnnotationError, source: str) -> ImageAnnotation:
    collector = ObjectCollector()
    collector.add_unreadable(error)
    return collector.annotation(name, (None, None), source)


def _annotation(
    name: str, entry: JsonObject, what: str, source: str, min_score: float | None = None
) -> ImageAnnotation:
    collector = ObjectCollector()
    result = entry.get("result")
    if not isinstance(result, list):
        detail = f"{source}: result of {what}: expected a list, found {kind_of(result)}"
        return _rejected(name, AnnotationError("structure_unexpected", detail), source)
    add_results(collector, result, what, source, min_score)
    try:
        size = size_of(result, what, source)
    except AnnotationError as error:
        return _rejected(name, error, source)
    return collector.annotation(name, size, source)


def _name(task: JsonObject, what: str, source: str) -> str:
    """Return the path of the image of a task.

    Raises:
      AnnotationError: there is none, or several texts may be it.
    """
    texts = {key: value for key, value in task["data"].items() if isinstance(value, str)}
    paths = [texts["image"]] if "image" in texts else [each for each in texts.values() if _is_image_path(each)]
    upload = task.get("file_upload")
    if len(paths) != 1 and isinstance(upload, str) and upload:
        paths = [f"/data/upload/{upload}"]
    if len(paths) != 1:
        seen = _listed(paths or list(task["data"]))
        detail = f"{source}: data of {what}: expected the path of one image, found {seen}"
        raise AnnotationError("image_without_name", detail)
    return image_name_of(_plain_path(paths[0]), f"data of {what}", source)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(shown, values)) or "nothing"


def _is_image_path(text: str) -> bool:
    return bool(_IMAGE_SUFFIX.search(_plain_path(text)))


def _plain_path(text: str) -> str:
    """Return the path in an address: below the folder of uploads or of local files, or in a bucket or on a server."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return text
    if parts.scheme == "data":
        return ""  # the image itself
    if "/data/local-files" in f"/{parts.path}":
        return (parse_qs(parts.query).get("d") or [""])[0]
    # A path, perhaps with the drive of Windows, may contain ? and #.
    is_path = len(parts.scheme) < 2 and not parts.netloc
    path = text.strip() if is_path else unquote(f"{parts.netloc}{parts.path}")
    below = _UPLOAD.search(path)
    if below is None:
        return path.lstrip("/")
    return _PREFIX.sub("", unquote(path[below.end() :]), count=1)
