"""Label Studio's JSON and JSON-MIN: which annotation counts, the path of the image, and faults."""

import json
from typing import Any

import pytest

from retinanet_odm.annotations.label_studio import parse_label_studio
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError


def _shape(label: str = "crab", x: float = 5, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": 20, "width": 10, "height": 20, "rotation": 0, "rectanglelabels": [label]}
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    names = {"type": "rectanglelabels", "from_name": "label", "to_name": "image", "origin": "manual"}
    return {"id": f"id{x}", **names, **size, "value": value, **more}


_BOX = (20, 10, 40, 30)


def _annotation(*results: Any, **more: Any) -> dict[str, Any]:
    return {"id": 7, "completed_by": 1, "result": list(results), "was_cancelled": False, "ground_truth": False, **more}


def _task(*annotations: Any, image: str = "/data/upload/1/0a1b2c3d-a.jpg", **more: Any) -> dict[str, Any]:
    rest = {"drafts": [], "predictions": [], "data": {"image": image}, "meta": {}, "project": 1}
    return {"id": 3, "annotations": list(annotations), "file_upload": "0a1b2c3d-a.jpg", **rest, **more}


def _read(*tasks: Any) -> list[ImageAnnotation]:
    return list(parse_label_studio(json.dumps(tasks).encode(), source="ls.json"))


def _reasons(image: ImageAnnotation) -> list[str]:
    return [fault.reason for fault in image.unreadable]


_OLD = {key: value for key, value in _task().items() if key != "annotations"}
_MIN = {
    "image": "/data/upload/1/0a1b2c3d-a.jpg",
    "id": 3,
    "label": [{**_shape()["value"], "original_width": 200, "original_height": 100}],
    "annotator": 1,
    "annotation_id": 7,
}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param([_task(_annotation(_shape()))], id="a list of tasks"),
        pytest.param(_task(_annotation(_shape())), id="one task, as storages have it"),
        pytest.param([{**_OLD, "completions": [_annotation(_shape())]}], id="before 1.0: completions"),
        pytest.param([_MIN], id="JSON-MIN"),
        pytest.param([_task(_annotation(_shape()), _annotation(was_cancelled=True))], id="beside a cancelled one"),
        pytest.param([_task(_annotation(_shape()), {**_annotation(), "skipped": True})], id="beside a skipped one"),
        pytest.param([_task(_annotation(_shape()), _annotation(_shape()))], id="two people agree"),
        pytest.param(
            [_task(_annotation(_shape(x=50)), _annotation(_shape(), ground_truth=True))], id="one is the ground truth"
        ),
        pytest.param([_task(_annotation(_shape()), predictions=[_annotation(_shape(x=50))])], id="beside a prediction"),
        pytest.param([_task(_annotation(_shape()), drafts=[_annotation(_shape(x=50))])], id="beside a draft"),
    ],
)
def test_which_annotation_counts(document: Any) -> None:
    (image,) = parse_label_studio(json.dumps(document).encode(), source="ls.json")
    assert [(item.label, item.box) for item in image.objects] == [("crab", _BOX)]
    assert (image.filename, image.width, image.height, image.unreadable) == ("a.jpg", 200, 100, ())


def _prediction(*scores: float, **more: Any) -> dict[str, Any]:
    """A prediction with a region for each score, 50 percent of the width apart."""
    shapes = [_shape(x=50 * number, score=score) for number, score in enumerate(scores)]
    return {"model_version": "m 1", "score": min(scores, default=1.0), "result": shapes, **more}


def _predicted(*tasks: Any) -> list[ImageAnnotation]:
    return list(parse_label_studio(json.dumps(tasks).encode(), source="ls.json", min_score=0.5))


@pytest.mark.parametrize(
    ("task", "lefts"),
    [
        pytest.param(_task(predictions=[_prediction(0.9, 0.4)]), [0], id="from the minimum score on"),
        pytest.param(_task(predictions=[_prediction(0.5)]), [0], id="at the minimum score"),
        pytest.param(_task(predictions=[_prediction()]), [], id="nothing was found"),
        pytest.param({"data": {"image": "a.jpg"}, "predictions": [_prediction(0.9)]}, [0], id="a task to import"),
        pytest.param(
            _task(_annotation(_shape()), predictions=[_prediction(0.9)]), [10], id="annotated: the annotation"
        ),
        pytest.param(_task(_annotation(), predictions=[_prediction(0.9)]), [], id="a person removed it"),
    ],
)
def test_predictions_that_are_accepted(task: Any, lefts: list[float]) -> None:
    (image,) = _predicted(task)
    assert (image.filename, image.unreadable) == ("a.jpg", ())
    assert [item.box[1] for item in image.objects] == lefts


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        pytest.param(_task(predictions=[_prediction(0.9)] * 2), "annotators_differ", id="of two models"),
        pytest.param(_task(predictions=[_annotation(_shape())]), "number_not_readable", id="without a score"),
        pytest.param(_task(drafts=[_annotation(_shape())]), "image_not_annotated", id="a draft"),
        pytest.param(
            _task(_annotation(was_cancelled=True), predictions=[_prediction(0.9)]), "image_not_annotated", id="skipped"
        ),
    ],
)
def test_predictions_that_are_not(task: Any, reason: str) -> None:
    (image,) = _predicted(task)
    assert (_reasons(image), image.objects) == ([reason], ())


def test_predictions_need_a_minimum_score() -> None:
    (image,) = _read({"data": {"image": "a.jpg"}, "predictions": [_prediction(0.9)]})
    assert [fault.detail for fault in image.unreadable] == [
        "ls.json: task 0: no annotation of 'a.jpg'; skipped: 0, predictions: 1, drafts: 0; to learn from predictions,"
        " give --min_score, such as --min_score=0.8"
    ]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        pytest.param(_task(), "image_not_annotated", id="no annotation"),
        pytest.param(_task(_annotation(was_cancelled=True)), "image_not_annotated", id="skipped"),
        pytest.param(_task(predictions=[_annotation(_shape())]), "image_not_annotated", id="only a prediction"),
        pytest.param(_task(_annotation(_shape()), _annotation()), "annotators_differ", id="one found nothing"),
        pytest.param(
            _task(_annotation(_shape()), _annotation(_shape(x=50), completed_by=2)), "annotators_differ", id="two boxes"
        ),
        pytest.param(
            _task(*(_annotation(_shape(x=x), ground_truth=True) for x in (5, 50))), "annotators_differ", id="two truths"
        ),
        pytest.param(_task(_annotation(3)), "structure_unexpected", id="a result that is a number"),
        pytest.param(_task({**_annotation(), "result": None}), "structure_unexpected", id="no result"),
        pytest.param(
            _task(_annotation(_shape(), _shape(x=50, original_width=300))), "structure_unexpected", id="two sizes"
        ),
    ],
)
def test_an_image_that_is_rejected(task: dict[str, Any], reason: str) -> None:
    (image,) = _read(task)
    assert (image.filename, _reasons(image)) == ("a.jpg", [reason])


def test_an_empty_annotation_is_a_statement() -> None:
    (image,) = _read(_task(_annotation()))
    assert (image.objects, image.unreadable) == ((), ())
    (image,) = _read({key: value for key, value in _MIN.items() if key != "label"})
    assert (image.objects, image.unreadable) == ((), ())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("/data/upload/3/0a1b2c3d-a.jpg", "a.jpg", id="uploaded"),
        pytest.param("/data/upload/0a1b2c3d-a.jpg", "a.jpg", id="uploaded to an old version"),
        pytest.param("/label/data/upload/3/0a1b2c3d-a%20b.jpg", "a b.jpg", id="below a path, with an escape"),
        pytest.param("/data/upload/3/a.jpg", "a.jpg", id="without a prefix"),
        pytest.param("/data/local-files/?d=dive%201/a.jpg", "dive 1/a.jpg", id="a local file"),
        pytest.param("/data/local-files?d=dive1/0a1b2c3d-a.jpg", "dive1/0a1b2c3d-a.jpg", id="its name is kept"),
        pytest.param("gs://bucket/dive1/a.jpg", "bucket/dive1/a.jpg", id="a bucket"),
        pytest.param("s3://bucket/dive1/a.jpg", "bucket/dive1/a.jpg", id="another bucket"),
        pytest.param("https://host/i/a%C3%A9.jpg?X-Goog-Signature=7", "host/i/aé.jpg", id="a signed address"),
        pytest.param("dive1/a.jpg", "dive1/a.jpg", id="a path"),
        pytest.param("C:\\dive1\\a#1.jpg", "C:/dive1/a#1.jpg", id="a path of Windows"),
    ],
)
def test_names(path: str, name: str) -> None:
    assert [image.filename for image in _read(_task(_annotation(), image=path))] == [name]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param({"img": "/i/a.jpg", "ocr": "text"}, "i/a.jpg", id="another key: the only image"),
        pytest.param({"image": "/i/a", "mask": "/i/b.png"}, "i/a", id="named image"),
        pytest.param({"left": "/i/b.jpg", "right": "/i/c.jpg"}, "a.jpg", id="two images: the one that was uploaded"),
    ],
)
def test_the_image_among_the_data(data: dict[str, Any], name: str) -> None:
    assert [image.filename for image in _read(_task(_annotation(), data=data))] == [name]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param([3], "structure_unexpected", id="a task that is a number"),
        pytest.param([{"id": 1, "data": {"image": "a.jpg"}}], "structure_unexpected", id="an import, no export"),
        pytest.param([_task(_annotation(), data=[])], "structure_unexpected", id="data that is a list"),
        pytest.param([_task(annotations={})], "image_not_annotated", id="no list, but empty"),
        pytest.param([_task(annotations={"a": 1})], "structure_unexpected", id="annotations that are no list"),
        pytest.param([{**_task(), "completions": []}], "element_repeated", id="both names"),
        pytest.param([_task(_annotation(), data={"text": "x"}, file_upload=None)], "image_without_name", id="a text"),
        pytest.param(
            [_task(_annotation(), image="data:image/png;base64,iVBO")], "image_without_name", id="the image itself"
        ),
        pytest.param([_task(_annotation(), meta={"x": _shape()})], "element_misplaced", id="a shape elsewhere"),
    ],
)
def test_files_that_are_rejected(document: Any, reason: str) -> None:
    try:
        (image,) = _read(*document)
        found = _reasons(image)
    except AnnotationError as error:
        assert "ls.json" in error.detail
        found = [error.reason]
    assert found == [reason]
