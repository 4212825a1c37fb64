"""Shapes of Label Studio: percent become pixels, rotations upright boxes, and labels may be results of their own."""

from typing import Any

import pytest

from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.label_studio_shapes import add_results
from retinanet_odm.annotations.types import ImageAnnotation

_SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}
_RECT = {"x": 5, "y": 20, "width": 10, "height": 20, "rotation": 0}
_BOX = (20, 10, 40, 30)


def _result(kind: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"id": "a", "type": kind, "from_name": "x", "to_name": "image", **_SIZE, "value": value, **more}


def _labelled(kind: str = "rectanglelabels", value: Any = None, **more: Any) -> dict[str, Any]:
    return _result(kind, {**(value or _RECT), kind: ["crab"]}, **more)


def _read(*results: Any) -> ImageAnnotation:
    collector = ObjectCollector()
    add_results(collector, results, "annotation 7", "ls.json")
    return collector.annotation("a.jpg", (200, 100), "ls.json")


@pytest.mark.parametrize(
    ("results", "box"),
    [
        pytest.param([_labelled()], _BOX, id="a rectangle"),
        pytest.param([_labelled(value={**_RECT, "rotation": 360})], _BOX, id="a full turn"),
        pytest.param([_labelled(value={**_RECT, "rotation": 90})], (20, -10, 40, 10), id="about its upper left corner"),
        pytest.param(
            [_labelled(value={**_RECT, "rotation": 45})], (20, 10 - 200**0.5, 20 + 800**0.5, 10 + 200**0.5), id="45°"
        ),
        pytest.param(
            [_labelled("polygonlabels", {"points": [[5, 25], [15, 20], [7, 40]]})], _BOX, id="a polygon in percent"
        ),
        pytest.param(
            [_labelled("ellipselabels", {"x": 10, "y": 30, "radiusX": 5, "radiusY": 10, "rotation": 0})],
            _BOX,
            id="ellipse",
        ),
        pytest.param(
            [_labelled("ellipselabels", {"x": 10, "y": 30, "radiusX": 5, "radiusY": 5, "rotation": 90})],
            (20, 15, 40, 25),
            id="an ellipse, turned about its centre",
        ),
        pytest.param(
            [_result("rectangle", _RECT), _result("labels", {**_RECT, "labels": ["crab"]})], _BOX, id="labels apart"
        ),
        pytest.param(
            [_labelled(), _result("textarea", {**_RECT, "text": ["big"]}), _result("choices", {"choices": ["male"]})],
            _BOX,
            id="with a text and a choice",
        ),
        pytest.param([{**_labelled(), "type": ""}], _BOX, id="JSON-MIN: no kind, but the name of its labels"),
    ],
)
def test_shapes(results: list[Any], box: tuple[float, ...]) -> None:
    image = _read(*results)
    assert [item.label for item in image.objects] == ["crab"]
    assert image.objects[0].box == pytest.approx(box)
    assert image.unreadable == ()


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        pytest.param(
            _result("brushlabels", {"format": "rle", "rle": [0], "brushlabels": ["a"]}), "brush mask", id="rle"
        ),
        pytest.param(_result("bitmask", {"imageDataURL": "data:"}), "brush mask", id="a bit mask"),
        pytest.param(_labelled("keypointlabels", {"x": 1, "y": 2, "width": 0.3}), "points", id="a point"),
    ],
)
def test_shapes_without_a_box(result: dict[str, Any], kind: str) -> None:
    beside = _read({**_labelled(), "id": "b"}, result)
    assert (len(beside.objects), beside.ignored, beside.unreadable) == (1, ((kind, 1),), ())
    assert [fault.reason for fault in _read(result).unreadable] == ["object_without_box"]


def test_choices_and_relations_are_no_objects() -> None:
    relation = {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"}
    image = _read({"type": "choices", "value": {"choices": ["murky"]}, "from_name": "c"}, relation)
    assert (image.objects, image.unreadable, image.ignored) == ((), (), (("tag", 2),))


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        pytest.param([_result("rectangle", _RECT)], "object_without_label", id="no label"),
        pytest.param([_result("rectanglelabels", {**_RECT, "rectanglelabels": []})], "object_without_label", id="none"),
        pytest.param([_result("rectanglelabels", {**_RECT, "rectanglelabels": [""]})], "object_without_label", id="''"),
        pytest.param(
            [_result("rectanglelabels", {**_RECT, "rectanglelabels": ["a", "b"]})], "element_repeated", id="two labels"
        ),
        pytest.param([_result("labels", {"labels": ["crab"]})], "object_without_box", id="a label without a shape"),
        pytest.param([_labelled(), _labelled("ellipselabels")], "element_repeated", id="two shapes of one id"),
        pytest.param([_labelled("videorectangle")], "shape_not_known", id="a video"),
        pytest.param([_labelled(value={**_RECT, "x": "5"})], "number_not_readable", id="text"),
        pytest.param([_labelled(value={"x": 5, "y": 1, "width": 3})], "number_not_readable", id="no height"),
        pytest.param([_labelled(original_width=None)], "number_not_readable", id="no size of the image"),
        pytest.param([_labelled(original_width=0)], "number_not_readable", id="a size of 0"),
        pytest.param([_labelled(image_rotation=90)], "image_turned", id="a turned image"),
        pytest.param([_labelled("polygonlabels", {"points": [[1, 2], [3, 4]]})], "points_not_readable", id="a line"),
        pytest.param([_result("rectanglelabels", None)], "structure_unexpected", id="no value"),
    ],
)
def test_a_region_that_is_not_understood_rejects_its_image(results: list[Any], reason: str) -> None:
    assert reason in [fault.reason for fault in _read(*results).unreadable]
