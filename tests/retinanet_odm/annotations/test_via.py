"""VGG Image Annotator, JSON and CSV of versions 1 and 2: shapes, the attribute that is the label, and faults."""

import json
import math
from typing import Any

import pytest

from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.via import parse_via
from retinanet_odm.annotations.via_csv import parse_via_csv
from retinanet_odm.errors import AnnotationError

_RECT = {"name": "rect", "x": 10, "y": 20, "width": 20, "height": 20}
_BOX = (20, 10, 40, 30)
_HEADER = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"


def _region(shape: Any = _RECT, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes or {"species": "crab"}}


def _image(*regions: Any, **more: Any) -> dict[str, Any]:
    return {"filename": "a.jpg", "size": 99, "regions": list(regions), "file_attributes": {}, **more}


def _file(*regions: Any, **more: Any) -> bytes:
    return json.dumps({"a.jpg99": _image(*regions, **more)}).encode()


def _read(*regions: Any, **more: Any) -> ImageAnnotation:
    (image,) = parse_via(_file(*regions, **more), source="via.json")
    return image


def _points(name: str, xs: Any, ys: Any) -> dict[str, Any]:
    return {"name": name, "all_points_x": xs, "all_points_y": ys}


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        pytest.param(_RECT, _BOX, id="a rectangle"),
        pytest.param({**_RECT, "x": 30, "width": -20}, _BOX, id="drawn to the left"),
        pytest.param({"name": "circle", "cx": 20, "cy": 30, "r": 5.5}, (24.5, 14.5, 35.5, 25.5), id="a circle"),
        pytest.param({"name": "ellipse", "cx": 20, "cy": 30, "rx": 10, "ry": 5}, (25, 10, 35, 30), id="no angle"),
        pytest.param(
            {"name": "ellipse", "cx": 20, "cy": 30, "rx": 10, "ry": 5, "theta": math.pi / 2},
            (20, 15, 40, 25),
            id="radians",
        ),
        pytest.param(_points("polygon", [10, 30, 15], [25, 20, 40]), _BOX, id="a polygon"),
        pytest.param(_points("polyline", [10, 30], [20, 40]), _BOX, id="a line"),
    ],
)
def test_shapes(shape: dict[str, Any], box: tuple[float, ...]) -> None:
    image = _read(_region(shape))
    assert [item.label for item in image.objects] == ["crab"]
    assert image.objects[0].box == pytest.approx(box)
    assert (image.filename, image.width, image.height, image.unreadable) == ("a.jpg", None, None, ())


def test_the_variants_of_a_file_say_the_same() -> None:
    project = {"_via_settings": {"ui": {}}, "_via_img_metadata": {"a.jpg99": _image(_region())}, "_via_attributes": {}}
    old = _image(regions={"0": _region()}, fileref="", base64_img_data="")
    row = json.dumps(_RECT).replace('"', '""')
    table = f'{_HEADER}\na.jpg,99,"{{}}",1,0,"{row}","{{""species"":""crab""}}"\n'
    found = [
        *parse_via(_file(_region()), source="x"),
        *parse_via(json.dumps(project).encode(), source="x"),
        *parse_via(json.dumps({"a.jpg99": old}).encode(), source="x"),
        *parse_via_csv(table.encode(), source="x"),
        *parse_via_csv(f"\ufeff#{table}".encode(), source="x"),
    ]
    assert len(found) == 5 and {(image.filename, image.objects, image.unreadable) for image in found} == {
        (found[0].filename, found[0].objects, ())
    }


@pytest.mark.parametrize(
    ("attributes", "labels"),
    [
        pytest.param([{"animal": "crab"}], ["crab"], id="the only attribute, whatever its name"),
        pytest.param([{"animal": "crab", "sex": ""}], ["crab"], id="the only one that is used"),
        pytest.param([{"sex": "f", "species": "crab"}], ["crab"], id="named species"),
        pytest.param([{"sex": "f", "Class": " crab "}], ["crab"], id="named class, in another case"),
        pytest.param([{"type": {"crab": True}}], ["crab"], id="a checkbox"),
        pytest.param([{"type": {"crab": True, "star": False}}], ["crab"], id="a checkbox with its options"),
        pytest.param([{"sex": "f", "type": "crab"}, {"type": "star"}], ["crab", "star"], id="not used in each region"),
    ],
)
def test_the_label(attributes: list[dict[str, Any]], labels: list[str]) -> None:
    image = _read(*(_region(**each) for each in attributes))
    assert ([item.label for item in image.objects], image.unreadable) == (labels, ())


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        pytest.param({"animal": "crab", "sex": "f"}, "found 'animal', 'sex'", id="two of other names"),
        pytest.param({"name": "Anna", "type": "crab"}, "found 'name', 'type'", id="two of the known names"),
    ],
)
def test_no_label_is_guessed(attributes: dict[str, Any], named: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(_region(**attributes))
    assert (caught.value.reason, named in caught.value.detail) == ("label_ambiguous", True)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        pytest.param({"shape_attributes": _RECT, "region_attributes": {}}, "object_without_label", id="no attribute"),
        pytest.param(_region(type=" "), "object_without_label", id="a blank label"),
        pytest.param(_region(type={"a": True, "b": True}), "object_without_label", id="two options checked"),
        pytest.param(_region(type={"a": False}), "object_without_label", id="none checked"),
        pytest.param(_region({"name": "rect", "x": 1, "y": 2, "width": 3}), "number_not_readable", id="no height"),
        pytest.param(_region({**_RECT, "x": "1"}), "number_not_readable", id="text"),
        pytest.param(_region({**_RECT, "x": math.inf}), "number_not_readable", id="no number"),
        pytest.param(_region({"x": 1}), "shape_not_known", id="no kind"),
        pytest.param(_region({"name": "extreme_rect"}), "shape_not_known", id="another kind"),
        pytest.param(_region(_points("polygon", [1, 2, 3], [1, 2])), "points_not_readable", id="unequal numbers"),
        pytest.param(_region(_points("polygon", [1, 2], [1, 2])), "points_not_readable", id="a polygon of two points"),
        pytest.param({"shape_attributes": _RECT}, "structure_unexpected", id="no attributes"),
        pytest.param(3, "structure_unexpected", id="a number"),
        pytest.param(_region({"name": "point", "cx": 1, "cy": 2}), "object_without_box", id="only a point"),
        pytest.param(
            _region({**_RECT, "x": 0.1, "y": 0.1, "width": 0.5, "height": 0.4}), "coordinates_relative", id="units"
        ),
    ],
)
def test_a_region_that_is_not_understood_rejects_its_image(region: Any, reason: str) -> None:
    assert [fault.reason for fault in _read(region).unreadable] == [reason]


def test_points_beside_boxes_are_counted_and_no_regions_are_a_statement() -> None:
    image = _read(_region(), _region({"name": "point", "cx": 1, "cy": 2}))
    assert (len(image.objects), image.ignored, image.unreadable) == (1, (("points", 1),), ())
    assert (_read().objects, _read().unreadable) == ((), ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b'{"a', "json_not_well_formed", id="truncated"),
        pytest.param(b'{"a.jpg9": {"filename": "a.jpg"}}', "structure_unexpected", id="no regions"),
        pytest.param(b'{"a.jpg9": [], "b": {"regions": []}}', "structure_unexpected", id="an image that is no object"),
        pytest.param(_file(filename=""), "image_without_name", id="no name"),
        pytest.param(_file(file_attributes={"x": _region()}), "element_misplaced", id="a region elsewhere"),
    ],
)
def test_files_that_are_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(parse_via(data, source="dir/via.json"))
    assert (caught.value.reason, "dir/via.json" in caught.value.detail) == (reason, True)


def _row(name: str, count: int, number: int, shape: Any, **attributes: Any) -> str:
    cells = (json.dumps(value).replace('"', '""') for value in (shape, attributes))
    return f'{name},99,"{{}}",{count},{number},' + ",".join(f'"{cell}"' for cell in cells)


_TABLE = [
    _HEADER,
    _row("a.jpg", 2, 0, _RECT, species="crab"),
    _row("a.jpg", 2, 1, _points("polygon", [10, 30, 15], [25, 20, 40]), species="sea, star"),
    _row("b.jpg", 0, 0, {}),
    _row("dive 1/é.jpg", 1, 0, _RECT, species="étoile"),
]


def _read_rows(rows: list[str]) -> list[ImageAnnotation]:
    return list(parse_via_csv("\n".join(rows).encode(), source="via.csv"))


def test_rows() -> None:
    images = _read_rows(_TABLE)
    assert [(image.filename, [(item.label, item.line) for item in image.objects]) for image in images] == [
        ("a.jpg", [("crab", 2), ("sea, star", 3)]),
        ("b.jpg", []),
        ("dive 1/é.jpg", [("étoile", 5)]),
    ]
    assert not any(image.unreadable for image in images)


@pytest.mark.parametrize("row", [1, 2, 4])
def test_a_row_that_is_lost_or_doubled_rejects_its_image(row: int) -> None:
    names = [image.filename for image in _read_rows(_TABLE)]
    lost = _read_rows(_TABLE[:row] + _TABLE[row + 1 :])
    doubled = _read_rows([*_TABLE[:row], *_TABLE[row : row + 1] * 2, *_TABLE[row + 1 :]])
    name = _TABLE[row].partition(",")[0]
    assert {image.filename for image in lost if image.unreadable} == {name} & {image.filename for image in lost}
    assert [image.filename for image in doubled if image.unreadable] == [name]
    assert [image.filename for image in doubled] == names


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        pytest.param([_HEADER.replace("region_count", "regions")], "csv_not_well_formed", id="another header"),
        pytest.param([_HEADER, "a.jpg,1"], "csv_not_well_formed", id="too few cells"),
        pytest.param([_HEADER, _TABLE[1][:-1]], "csv_not_well_formed", id="a quote that is not closed"),
        pytest.param([_HEADER, _row("", 1, 0, _RECT)], "image_without_name", id="no name"),
    ],
)
def test_tables_that_are_rejected(rows: list[str], reason: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _read_rows(rows)
    assert (caught.value.reason, "via.csv" in caught.value.detail) == (reason, True)


def test_a_cell_that_is_no_json_rejects_its_image_with_its_line() -> None:
    (image,) = _read_rows([_HEADER, 'a.jpg,9,"{}",1,0,"{""name"":","{}"'])
    assert [(fault.reason, fault.line) for fault in image.unreadable] == [("json_not_well_formed", 2)]
