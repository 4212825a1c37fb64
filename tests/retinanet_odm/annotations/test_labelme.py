"""LabelMe JSON: kinds of shapes, groups, names of images, and faults."""

import json
import tracemalloc
from typing import Any

import pytest

from retinanet_odm.annotations.labelme import parse_labelme
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError


def _shape(kind: str | None, *points: Any, **more: Any) -> dict[str, Any]:
    kinds = {} if kind is None else {"shape_type": kind}
    return {"label": "crab", "points": list(points), "group_id": None, "flags": {}, **kinds, **more}


_RECTANGLE = _shape("rectangle", [10, 20], [30, 40])
_BOX = (20, 10, 40, 30)


def _file(*shapes: Any, **more: Any) -> bytes:
    head = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None}
    return json.dumps({**head, "imageHeight": 480, "imageWidth": 640, **more}).encode()


def _read(*shapes: Any, **more: Any) -> ImageAnnotation:
    return parse_labelme(_file(*shapes, **more), source="a.json")


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        pytest.param(_RECTANGLE, _BOX, id="a rectangle"),
        pytest.param(_shape("rectangle", [30, 20], [10, 40]), _BOX, id="from the upper right"),
        pytest.param(_shape("rectangle", [30, 40], [10, 20]), _BOX, id="from the lower right"),
        pytest.param(_shape("rectangle", [10, 20], [30, 20], [30, 40], [10, 40]), _BOX, id="X-AnyLabeling: 4 corners"),
        pytest.param(_shape("polygon", [10, 25], [30.5, 20], [15, 40]), (20, 10, 40, 30.5), id="a polygon"),
        pytest.param(_shape(None, [10, 25], [30, 20], [15, 40]), _BOX, id="before 2019: all shapes are polygons"),
        pytest.param(_shape("circle", [20, 30], [23, 34]), (25, 15, 35, 25), id="a circle: centre and edge"),
        pytest.param(_shape("line", [30, 40], [10, 20]), _BOX, id="a line"),
        pytest.param(_shape("linestrip", [10, 20], [20, 40], [30, 30]), _BOX, id="a line strip"),
        pytest.param(_shape("mask", [10, 20], [30, 40], mask="iVBORw0KGgo="), _BOX, id="a mask with its box"),
        pytest.param(
            _shape("rotation", [20, 20], [30, 30], [20, 40], [10, 30], direction=0.78),
            _BOX,
            id="X-AnyLabeling: rotated",
        ),
        pytest.param(_shape("rectangle", [-4, 20], [30, 500]), (20, -4, 500, 30), id="beyond the image: cut later"),
    ],
)
def test_shapes(shape: dict[str, Any], box: tuple[float, ...]) -> None:
    image = _read(shape)
    assert [(item.label, item.box) for item in image.objects] == [("crab", box)]
    assert (image.width, image.height, image.unreadable, image.remarks) == (640, 480, (), ())


@pytest.mark.parametrize(
    ("groups", "boxes"),
    [
        pytest.param([None, None], [_BOX, (50, 5, 60, 15)], id="no group: two objects"),
        pytest.param([1, 1], [(20, 5, 60, 30)], id="one group: one object in two parts, such as behind a stone"),
        pytest.param([1, 2], [_BOX, (50, 5, 60, 15)], id="two groups"),
        pytest.param([0, 0], [(20, 5, 60, 30)], id="a group of 0 is a group"),
    ],
)
def test_groups(groups: list[Any], boxes: list[tuple[float, ...]]) -> None:
    second = _shape("rectangle", [5, 50], [15, 60])
    image = _read({**_RECTANGLE, "group_id": groups[0]}, {**second, "group_id": groups[1]})
    assert [item.box for item in image.objects] == boxes


def test_a_group_with_two_labels_is_two_objects() -> None:
    image = _read({**_RECTANGLE, "group_id": 1}, {**_RECTANGLE, "group_id": 1, "label": "claw"})
    assert [item.label for item in image.objects] == ["crab", "claw"]


def test_flags() -> None:
    image = _read({**_RECTANGLE, "flags": {"truncated": True, "occluded": False}, "difficult": True})
    assert [(item.difficult, item.truncated, item.occluded) for item in image.objects] == [(True, True, False)]
    group = [{**_RECTANGLE, "group_id": 3, "flags": {"occluded": value}} for value in (False, True)]
    assert _read(*group).objects[0].occluded


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("a.jpg", "a.jpg", id="beside the file"),
        pytest.param("..\\images\\a.jpg", "images/a.jpg", id="Windows, from a folder beside it"),
        pytest.param("../../a.jpg", "a.jpg", id="from a folder above"),
        pytest.param("./dive 1/é.jpg", "dive 1/é.jpg", id="below"),
        pytest.param("C:\\data\\a.jpg", "C:/data/a.jpg", id="an absolute path"),
    ],
)
def test_names(path: str, name: str) -> None:
    assert _read(imagePath=path).filename == name


def test_points_have_no_box() -> None:
    beside = _read(_RECTANGLE, _shape("point", [1, 2]), _shape("points", [1, 2], [3, 4]))
    assert (len(beside.objects), beside.ignored, beside.unreadable) == (1, (("points", 2),), ())
    alone = _read(_shape("point", [1, 2]))
    assert [fault.reason for fault in alone.unreadable] == ["object_without_box"]


def test_no_shapes_are_a_statement() -> None:
    image = _read()
    assert (image.objects, image.unreadable, image.ignored) == ((), (), ())


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        pytest.param({**_RECTANGLE, "label": " "}, "object_without_label", id="no label"),
        pytest.param({**_RECTANGLE, "label": None}, "object_without_label", id="null"),
        pytest.param(_shape("cuboid", [1, 2], [3, 4]), "shape_not_known", id="another kind"),
        pytest.param(_shape(None, [10, 20], [30, 40]), "points_not_readable", id="no kind: a line or a rectangle?"),
        pytest.param(_shape("rectangle", [10, 20]), "points_not_readable", id="one corner"),
        pytest.param(_shape("rectangle", [1, 2], [3, 4], [5, 6]), "points_not_readable", id="three corners"),
        pytest.param(_shape("circle", [1, 2], [3, 4], [5, 6]), "points_not_readable", id="a circle of three points"),
        pytest.param(_shape("polygon", [1, 2], [3, "4"], [5, 6]), "points_not_readable", id="text"),
        pytest.param(_shape("polygon", [1, 2], [3, float("nan")], [5, 6]), "points_not_readable", id="no number"),
        pytest.param({**_RECTANGLE, "points": None}, "points_not_readable", id="no points"),
        pytest.param({**_RECTANGLE, "group_id": [1]}, "structure_unexpected", id="a group that is no number"),
        pytest.param(_shape("rectangle", [0.1, 0.2], [0.3, 0.4]), "coordinates_relative", id="fractions"),
    ],
)
def test_a_shape_that_is_not_understood_rejects_its_image(shape: dict[str, Any], reason: str) -> None:
    assert [fault.reason for fault in _read(shape).unreadable] == [reason]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b'{"shapes": [', "json_not_well_formed", id="truncated"),
        pytest.param(b"[]", "structure_unexpected", id="a list"),
        pytest.param(_file(shapes={}), "structure_unexpected", id="shapes that are no list"),
        pytest.param(_file([1]), "structure_unexpected", id="a shape that is no object"),
        pytest.param(_file(imagePath=""), "image_without_name", id="no name"),
        pytest.param(_file(imagePath=7), "image_without_name", id="a number as name"),
        pytest.param(_file(imagePath="images/"), "image_without_name", id="a folder"),
        pytest.param(_file(more=[_RECTANGLE]), "element_misplaced", id="shapes elsewhere"),
        pytest.param(_file(_RECTANGLE)[:-1] + b', "shapes": []}', "element_repeated", id="shapes twice"),
    ],
)
def test_files_that_are_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        parse_labelme(data, source="dir/a.json")
    assert (caught.value.reason, "dir/a.json" in caught.value.detail) == (reason, True)


def test_the_image_inside_is_not_held_as_text() -> None:
    data = _file(_RECTANGLE, imageData="iVBORw0KGgo" * 1_000_000)
    tracemalloc.start()
    image = parse_labelme(data, source="a.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(image.objects) == 1
    assert peak < len(data) / 10
