"""COCO JSON in: boxes, crowds, polygons, ids that contradict each other, damaged bytes."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.annotations.coco import parse_coco
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.errors import AnnotationError

_IMAGE = {"id": 1, "file_name": "sub/a b.jpg", "width": 200, "height": 100}
_CATEGORY = {"id": 5, "name": "crab"}
_ENTRY = {"id": 9, "image_id": 1, "category_id": 5, "bbox": [10, 20, 30.5, 40], "iscrowd": 0}


def _coco(*entries: object, images: Any = (_IMAGE,), categories: Any = (_CATEGORY,), **more: object) -> bytes:
    document = {"images": images, "annotations": entries, "categories": categories, **more}
    return json.dumps(document).encode()


def _read(data: bytes) -> list[ImageAnnotation]:
    return list(parse_coco(data, source="a.json"))


def _one(**changes: object) -> ImageAnnotation:
    (image,) = _read(_coco({**_ENTRY, **changes}))
    return image


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, (20, 10, 60, 40.5), id="x, y, width, height"),
        pytest.param({"segmentation": [[0, 0, 9, 0, 9, 9]]}, (20, 10, 60, 40.5), id="the bbox counts, not the polygon"),
        pytest.param(
            {"bbox": None, "segmentation": [[1, 2, 9, 2, 5, 7], [0, 3, 1, 4, 1, 3]]}, (2, 0, 7, 9), id="two polygons"
        ),
        pytest.param({"bbox": [], "segmentation": [[1, 2, 9, 2, 5, 7]]}, (2, 1, 7, 9), id="empty bbox"),
        pytest.param({"bbox": [-1.5, 0, 5, 5]}, (0, -1.5, 5, 3.5), id="may leave the image"),
        pytest.param({"bbox": [1, 2, 0, 0]}, (2, 1, 2, 1), id="without area: for prepare to judge"),
        pytest.param({"attributes": {"rotation": 90}}, (20, 10, 60, 40.5), id="CVAT has turned it already"),
    ],
)
def test_box(changes: dict[str, Any], expected: tuple[float, ...]) -> None:
    image = _one(**changes)
    assert image.unreadable == ()
    assert image.objects[0].box == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, set(), id="none"),
        pytest.param({"iscrowd": 1}, {"is_crowd"}, id="crowd"),
        pytest.param({"iscrowd": True}, {"is_crowd"}, id="crowd as true"),
        pytest.param({"iscrowd": "no"}, set(), id="a word"),
        pytest.param({"attributes": {"occluded": True, "difficult": False}}, {"occluded"}, id="Datumaro's attributes"),
        pytest.param({"attributes": {"truncated": "true"}}, {"truncated"}, id="as text"),
        pytest.param({"attributes": ["occluded"]}, set(), id="attributes of another kind"),
    ],
)
def test_flags(changes: dict[str, Any], expected: set[str]) -> None:
    (item,) = _one(**changes).objects
    flags = ("difficult", "truncated", "occluded", "is_crowd")
    assert {name for name in flags if getattr(item, name)} == expected


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        pytest.param({"category_id": 6}, "coco_unknown_category", "6 is not among", id="category"),
        pytest.param({"category_id": None}, "coco_id_not_readable", "annotation 9", id="no category"),
        pytest.param({"category_id": [5]}, "coco_id_not_readable", "[5]", id="category in a list"),
        pytest.param({"bbox": [1, 2, 3]}, "number_not_readable", "[1, 2, 3]", id="three numbers"),
        pytest.param({"bbox": [1, 2, 3, "4"]}, "number_not_readable", "annotation 9", id="text"),
        pytest.param({"bbox": [1, 2, 3, True]}, "number_not_readable", "True", id="true is no number"),
        pytest.param({"bbox": [1, 2, 3, float("nan")]}, "number_not_readable", "nan", id="Python reads NaN"),
        pytest.param({"bbox": [1, 2, 3, 10**400]}, "number_not_readable", "bbox", id="more than a float holds"),
        pytest.param({"bbox": {"x": 1}}, "number_not_readable", "bbox", id="an object"),
        pytest.param({"bbox": None}, "object_without_box", "segmentation", id="no box at all"),
        pytest.param(
            {"bbox": None, "segmentation": {"counts": [1], "size": [1, 1]}}, "object_without_box", "counts", id="rle"
        ),
        pytest.param({"bbox": None, "segmentation": [[1, 2, 3]]}, "object_without_box", "", id="half a point"),
        pytest.param({"bbox": None, "segmentation": [[1, "2"]]}, "number_not_readable", "", id="polygon of text"),
    ],
)
def test_an_unreadable_object_rejects_only_its_image(changes: dict[str, Any], reason: str, message: str) -> None:
    other = {**_IMAGE, "id": 2, "file_name": "b.jpg"}
    good = {**_ENTRY, "image_id": 2}
    broken, whole = _read(_coco({**_ENTRY, **changes}, good, images=[_IMAGE, other]))
    assert [(fault.reason, message in fault.detail) for fault in broken.unreadable] == [(reason, True)]
    assert (len(whole.objects), whole.unreadable) == (1, ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(_coco(), [("sub/a b.jpg", 200, 100)], id="an image without annotations is a true negative"),
        pytest.param(_coco(images=[]), [], id="no images"),
        pytest.param(b"\xef\xbb\xbf" + _coco(), [("sub/a b.jpg", 200, 100)], id="byte order mark"),
        pytest.param(_coco().decode().encode("utf-16"), [("sub/a b.jpg", 200, 100)], id="UTF-16"),
        pytest.param(_coco(images=[{"id": "x", "file_name": "é.j"}]), [("é.j", None, None)], id="id is text, no size"),
        pytest.param(
            _coco(images=[{**_IMAGE, "width": 0, "height": "tall"}]), [("sub/a b.jpg", None, None)], id="size unknown"
        ),
        pytest.param(_coco(info={}, licenses=[1]), [("sub/a b.jpg", 200, 100)], id="other keys do not matter"),
    ],
)
def test_images(data: bytes, expected: list[tuple[str, int | None, int | None]]) -> None:
    assert [(image.filename, image.width, image.height) for image in _read(data)] == expected


def test_objects_go_to_their_images_in_the_order_of_the_images() -> None:
    images = [{"id": 3, "file_name": "c"}, {"id": 1, "file_name": "a"}]
    entries = [{**_ENTRY, "image_id": 1}, {**_ENTRY, "image_id": 3}, {**_ENTRY, "image_id": 1}]
    found = _read(_coco(*entries, images=images, categories=[{"id": 5, "name": " crab "}]))
    assert [(image.filename, len(image.objects)) for image in found] == [("c", 1), ("a", 2)]
    assert found[0].objects[0] == ObjectAnnotation(label="crab", box=(20, 10, 60, 40.5))


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        pytest.param(b"", "json_not_well_formed", "a.json", id="zero bytes"),
        pytest.param(_coco()[:-4], "json_not_well_formed", "a.json", id="cut short"),
        pytest.param(b'{"images": "\xff"}', "json_not_well_formed", "a.json", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "json_not_well_formed", "a.json", id="nested without end"),
        pytest.param(b"[]", "not_coco", "found a list", id="COCO results"),
        pytest.param(b"{}", "not_coco", "'images'", id="no images"),
        pytest.param(b'{"images":[],"categories":{}}', "not_coco", "'categories', found an object", id="not a list"),
        pytest.param(_coco(1), "not_coco", "'annotations'", id="an annotation that is a number"),
        pytest.param(_coco(images=[{"file_name": "a"}]), "coco_id_not_readable", "images[0]", id="image without id"),
        pytest.param(_coco(images=[{"id": 1}]), "coco_without_name", "file_name", id="image without name"),
        pytest.param(_coco(categories=[{"id": 1, "name": " "}]), "coco_without_name", "' '", id="blank category"),
        pytest.param(
            _coco(categories=[{"id": 1, "name": "\ud800"}]), "coco_without_name", "ud800", id="half a character"
        ),
        pytest.param(_coco(images=[_IMAGE, _IMAGE]), "coco_id_twice", "images[1]", id="image id twice"),
        pytest.param(_coco(categories=[_CATEGORY] * 2), "coco_id_twice", "categories[1]", id="category id twice"),
        pytest.param(_coco({**_ENTRY, "image_id": 2}), "coco_unknown_image", "image_id 2", id="image is not listed"),
    ],
)
def test_refused(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(data)
    assert caught.value.reason == reason
    assert message in caught.value.detail


def test_only_bad_syntax_has_a_line() -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(b'{"images":\n[,]}')
    assert caught.value.line == 2
    (image,) = _read(_coco(_ENTRY, {**_ENTRY, "bbox": None}))
    assert (image.line, image.objects[0].line, image.unreadable[0].line) == (None, None, None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*_ENTRY, "segmentation", "attributes"]), _JSON), _JSON)
def test_values_of_any_type_give_values_or_a_data_error(changes: dict[str, Any], size: object) -> None:
    with contextlib.suppress(AnnotationError):
        _read(_coco({**_ENTRY, **changes}, images=[{**_IMAGE, "width": size}]))
