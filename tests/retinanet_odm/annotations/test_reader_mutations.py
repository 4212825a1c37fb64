"""Every single change of a good file: its boxes are the same, or something is reported; never fewer boxes in silence.

All changes are tried, one at a time: each element is moved into each other one, renamed, doubled, wrapped and emptied,
and each number is replaced by text that is no number.
"""

import copy
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lxml import etree

from retinanet_odm.annotations.collector import OBJECTS_WITHOUT_BOX
from retinanet_odm.annotations.reader import ReadingRules, read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError

_VOC = b"""<annotation><folder>f</folder><filename>a.jpg</filename><size><width>640</width><height>360</height>
<depth>3</depth></size><segmented>0</segmented>
<object><name>crab</name><truncated>0</truncated><difficult>1</difficult>
<bndbox><xmin>10.5</xmin><ymin>20</ymin><xmax>30</xmax><ymax>45.25</ymax></bndbox>
<attributes><attribute><name>rotation</name><value>30.5</value></attribute>
<attribute><name>sex</name><value>male</value></attribute></attributes>
<part><name>claw</name><bndbox><xmin>11</xmin><ymin>22</ymin><xmax>13</xmax><ymax>24</ymax></bndbox></part></object>
<object><name>star</name><polygon><x1>50</x1><y1>20</y1><x2>60</x2><y2>90</y2><x3>55</x3><y3>95</y3></polygon></object>
<object><name>fish</name><bndbox><xmin>100</xmin><xmax>130</xmax><ymin>120</ymin><ymax>145</ymax></bndbox></object>
</annotation>"""
_CVAT = b"""<annotations><version>1.1</version><meta><task><id>7</id><name>t</name><size>3</size><mode>annotation</mode>
<labels><label><name>crab</name><attributes><attribute><name>difficult</name><values>true</values></attribute>
</attributes></label></labels><start_frame>0</start_frame><stop_frame>2</stop_frame></task></meta>
<image id="0" name="a.jpg" width="640" height="360">
<box label="crab" occluded="0" xtl="10.50" ytl="20.00" xbr="30.00" ybr="45.25" rotation="30.5" z_order="0">
<attribute name="difficult">true</attribute></box>
<polygon label="crab" points="51.00,22.00;55.5,99;53,94"/>
<mask label="crab" rle="5, 1, 6" left="10" top="20" width="4" height="3"/>
<ellipse label="crab" cx="110" cy="120" rx="13" ry="12"/>
<points label="crab" points="1,2"/><tag label="murky"/>
<skeleton label="crab">
<points label="1" points="1,2"><attribute name="seen">true</attribute></points></skeleton></image>
<image id="1" name="b.jpg" width="640" height="360"/>
<image id="2" name="c.jpg" width="640" height="360"><box label="crab" xtl="7" ytl="8" xbr="90" ybr="91"/></image>
</annotations>"""
_VIDEO = b"""<annotations><version>1.1</version><meta><task><id>1</id><size>3</size><mode>interpolation</mode>
<start_frame>10</start_frame><stop_frame>20</stop_frame><frame_filter>step=5</frame_filter>
<original_size><width>640</width><height>360</height></original_size></task></meta>
<track id="0" label="star"><box frame="10" keyframe="1" outside="0" xtl="11" ytl="12" xbr="33" ybr="44">
<attribute name="difficult">true</attribute></box>
<box frame="15" keyframe="0" outside="0" xtl="12" ytl="12" xbr="34" ybr="44"/>
<box frame="20" keyframe="1" outside="1" xtl="13" ytl="12" xbr="35" ybr="44"/></track>
<track id="1" label="crab"><box frame="15" keyframe="1" outside="0" xtl="51" ytl="52" xbr="73" ybr="84"/>
<box frame="20" keyframe="0" outside="0" xtl="52" ytl="52" xbr="74" ybr="84"/></track>
<track id="2" label="fish"><skeleton frame="10" keyframe="1"><points label="1" outside="0" points="1,2"/></skeleton>
</track></annotations>"""
_COCO: dict[str, Any] = {
    "info": {"year": 2026, "contributor": "x"},
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 640, "height": 360},
        {"id": 2, "file_name": "b.jpg", "width": 640, "height": 360},
        {"id": 3, "file_name": "c.jpg", "width": 640, "height": 360},
    ],
    "annotations": [
        {"id": 8, "image_id": 1, "category_id": 5, "bbox": [10.5, 20, 31, 42], "iscrowd": 0, "area": 1302},
        {"id": 9, "image_id": 3, "category_id": 6, "segmentation": [[51, 22, 59.5, 22, 55, 47]], "iscrowd": 0},
        {"id": 10, "image_id": 3, "category_id": 5, "bbox": [111, 12, 3, 4], "attributes": {"occluded": True}},
    ],
    "categories": [{"id": 5, "name": "crab"}, {"id": 6, "name": "star"}],
}
_LABELME: dict[str, Any] = {
    "version": "5.4.1",
    "flags": {},
    "shapes": [
        {
            "label": "crab",
            "points": [[10.5, 45.25], [30, 20]],
            "group_id": None,
            "description": "",
            "shape_type": "rectangle",
            "flags": {"difficult": True},
            "mask": None,
        },
        {"label": "star", "points": [[51, 22], [55.5, 99], [53, 94]], "group_id": None, "shape_type": "polygon"},
        {"label": "fish", "points": [[110, 120], [113, 124]], "group_id": None, "shape_type": "circle", "flags": {}},
        {"label": "eye", "points": [[7, 8]], "group_id": None, "shape_type": "point", "flags": {}},
    ],
    "imagePath": "a.jpg",
    "imageData": None,
    "imageHeight": 360,
    "imageWidth": 640,
}
_VIA: dict[str, Any] = {
    "_via_settings": {"ui": {"file_content_align": "center"}},
    "_via_img_metadata": {
        "a.jpg99": {
            "filename": "a.jpg",
            "size": 99,
            "regions": [
                {
                    "shape_attributes": {"name": "rect", "x": 10.5, "y": 20, "width": 31, "height": 42},
                    "region_attributes": {"species": "crab", "sex": "f"},
                },
                {
                    "shape_attributes": {"name": "polygon", "all_points_x": [51, 55, 53], "all_points_y": [22, 99, 94]},
                    "region_attributes": {"species": "star"},
                },
                {"shape_attributes": {"name": "point", "cx": 1, "cy": 2}, "region_attributes": {"species": "eye"}},
            ],
            "file_attributes": {"caption": "x"},
        },
        "b.jpg98": {"filename": "b.jpg", "size": 98, "regions": [], "file_attributes": {}},
        "c.jpg97": {
            "filename": "c.jpg",
            "size": 97,
            "regions": [
                {
                    "shape_attributes": {"name": "ellipse", "cx": 110, "cy": 120, "rx": 13, "ry": 12, "theta": 0},
                    "region_attributes": {"species": "fish"},
                }
            ],
            "file_attributes": {},
        },
    },
    "_via_attributes": {"region": {"species": {"type": "text"}}, "file": {}},
}
_LS_SIZE = {"original_width": 640, "original_height": 400, "image_rotation": 0}
_LABEL_STUDIO: list[dict[str, Any]] = [
    {
        "id": 1,
        "annotations": [
            {
                "id": 7,
                "completed_by": 1,
                "result": [
                    {
                        "id": "r",
                        "type": "rectanglelabels",
                        **_LS_SIZE,
                        "value": {"x": 10.5, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["crab"]},
                    },
                    {
                        "id": "p",
                        "type": "polygonlabels",
                        **_LS_SIZE,
                        "value": {"points": [[51, 22], [55, 92], [53, 94]], "polygonlabels": ["star"]},
                    },
                    {"type": "choices", "value": {"choices": ["murky"]}},
                ],
                "was_cancelled": False,
            }
        ],
        "predictions": [],
        "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
    },
    {"id": 2, "annotations": [{"id": 8, "result": []}], "data": {"image": "b.jpg"}},
    {
        "id": 3,
        "annotations": [
            {
                "id": 9,
                "result": [
                    {"id": "e", "type": "ellipse", **_LS_SIZE, "value": {"x": 60, "y": 50, "radiusX": 3, "radiusY": 4}},
                    {"id": "e", "type": "labels", **_LS_SIZE, "value": {"labels": ["fish"]}},
                ],
            }
        ],
        "data": {"image": "c.jpg"},
    },
]
_MEGADETECTOR: dict[str, Any] = {
    "info": {"format_version": "1.6"},
    "detection_categories": {"1": "animal", "2": "person"},
    "images": [
        {
            "file": "a.jpg",
            "detections": [
                {"category": "1", "conf": 0.926, "bbox": [0.1, 0.2, 0.3, 0.25]},
                {"category": "2", "conf": 0.5, "bbox": [0.4, 0.3, 0.2, 0.15]},
            ],
        },
        {"file": "b.jpg", "detections": []},
        {"file": "c.jpg", "detections": [{"category": "1", "conf": 0.7, "bbox": [0.6, 0.1, 0.05, 0.35]}]},
    ],
}
_JSON_SEEDS = {
    "COCO": _COCO,
    "LabelMe": _LABELME,
    "VIA": _VIA,
    "Label Studio": _LABEL_STUDIO,
    "MegaDetector": _MEGADETECTOR,
}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_JUNK = ("", "x", "nan", "inf", "1,5", "1_5", "--1", "1 2", "0x10", "1e400", "٣ x", "1.5.1")


@dataclass(frozen=True)
class _Change:
    """A changed file.

    Attributes:
      what: in words.
      data: the file.
      may_add: more boxes are right.
      crosses: something went from one image to another; a report about either is enough.
      numbers: of how many boxes the edges may differ.
    """

    what: str
    data: bytes
    may_add: bool = False
    crosses: bool = False
    numbers: int = 0


Boxes = Counter[tuple[float, ...]]


@dataclass
class _Image:
    boxes: Boxes
    without_box: int
    is_reported: bool


def _read(data: bytes) -> dict[str, _Image] | None:
    """Returns the images by name; None if the file is rejected."""
    try:
        found = read_annotations(io.BytesIO(data), source="a.xml", rules=ReadingRules(min_score=0))
        return {image.filename: _seen(image) for image in found}
    except AnnotationError:
        return None


def _seen(image: ImageAnnotation) -> _Image:
    return _Image(
        boxes=Counter(tuple(round(edge, 6) for edge in item.box) for item in image.objects),
        without_box=sum(count for kind, count in image.ignored if kind in OBJECTS_WITHOUT_BOX),
        is_reported=bool(image.unreadable or image.remarks),
    )


def _all_boxes(images: dict[str, _Image]) -> Boxes:
    return sum((image.boxes for image in images.values()), Boxes())


def _is_honest(before: dict[str, _Image], change: _Change) -> bool:
    """Returns whether each image of the changed file has its boxes, or a report instead."""
    after = _read(change.data)
    if after is None:
        return True
    boxes, without_box = _all_boxes(after), sum(image.without_box for image in after.values())
    # A shape that looks like points is counted, and a warning names the count.
    if without_box > sum(image.without_box for image in before.values()):
        return True
    if change.numbers and boxes.total() == _all_boxes(before).total():
        return (boxes - _all_boxes(before)).total() <= change.numbers
    reported = {name for name, image in after.items() if image.is_reported}
    if change.crosses and reported:
        return True
    is_same = change.may_add or reported or not boxes - _all_boxes(before)
    return bool(is_same) and all(name in reported or not image.boxes - boxes for name, image in before.items())


def _write(tree: etree._Element) -> bytes:
    return etree.tostring(tree, encoding="utf-8")


def _elements(tree: etree._Element) -> list[etree._Element]:
    return list(tree.iterdescendants("*"))


def _xml_moves(tree: etree._Element) -> Iterator[_Change]:
    """Each element into each other one; in the root also before all others."""
    count = len(_elements(tree))
    for index in range(count):
        for target in range(-1, count):
            for is_last in (False, True) if target < 0 else (True,):
                changed = copy.deepcopy(tree)
                elements = _elements(changed)
                element, place = elements[index], changed if target < 0 else elements[target]
                if place is element or element in place.iterancestors():
                    continue
                place.insert(len(place) if is_last else 0, element)
                what = f"<{element.tag}> {index} moved into <{place.tag}> {target}"
                # An object's rotation, and the box of a part, may be those of another object.
                numbers = 2 if place.tag == "object" and element.tag in ("attributes", "bndbox") else 0
                yield _Change(what, _write(changed), crosses=True, numbers=numbers)


def _xml_names(tree: etree._Element) -> Iterator[_Change]:
    """Each element by another name: an unknown one, its own in another spelling, and that of each other element."""
    others = sorted({str(element.tag) for element in tree.iter("*")})
    for index, original in enumerate(_elements(tree)):
        tag = str(original.tag)
        for name in {"zzz", tag.upper(), tag.title(), f"{tag}s", f"{{urn:x}}{tag}", *others} - {tag}:
            changed = copy.deepcopy(tree)
            _elements(changed)[index].tag = name
            yield _Change(f"<{tag}> {index} renamed to <{name}>", _write(changed), may_add=tag == "points")


def _xml_copies(tree: etree._Element) -> Iterator[_Change]:
    for index, original in enumerate(_elements(tree)):
        changed = copy.deepcopy(tree)
        element = _elements(changed)[index]
        element.addnext(copy.deepcopy(element))
        yield _Change(f"<{original.tag}> {index} doubled", _write(changed), may_add=True)


def _xml_wraps(tree: etree._Element) -> Iterator[_Change]:
    others = sorted({str(element.tag) for element in tree.iter("*")})
    for index, original in enumerate(_elements(tree)):
        for name in ("zzz", f"{original.tag}s", *others):
            changed = copy.deepcopy(tree)
            element = _elements(changed)[index]
            wrapper = etree.Element(name)
            element.addprevious(wrapper)
            wrapper.append(element)
            yield _Change(f"<{original.tag}> {index} wrapped in <{name}>", _write(changed))


def _xml_texts(tree: etree._Element) -> Iterator[_Change]:
    """Texts and values of attributes that are removed, interrupted, or no number any more."""
    for index, original in enumerate(_elements(tree)):
        if (original.text or "").strip():
            for text in ("", " ", *_JUNK, "17"):
                changed = copy.deepcopy(tree)
                _elements(changed)[index].text = text
                yield _Change(f"text of <{original.tag}> {index} is {text!r}", _write(changed), numbers=1)
            for inner in (etree.Comment("x"), etree.Element("zzz"), etree.ProcessingInstruction("x")):
                changed = copy.deepcopy(tree)
                element = _elements(changed)[index]
                text = element.text or ""
                element.text = text[:1]
                inner.tail = text[1:]
                element.insert(0, inner)
                yield _Change(f"text of <{original.tag}> {index} is interrupted", _write(changed))
        for name, value in ((str(key), str(text)) for key, text in original.attrib.items()):
            for place in [None, *_NUMBER.finditer(value)]:
                for text in ("", *_JUNK, "17") if place else ("",):
                    changed = copy.deepcopy(tree)
                    new = value[: place.start()] + text + value[place.end() :] if place else text
                    _elements(changed)[index].set(name, new)
                    what = f"{name}={value!r} of <{original.tag}> {index} is {new!r}"
                    yield _Change(what, _write(changed), numbers=1)


_XML_CHANGES = (_xml_moves, _xml_names, _xml_copies, _xml_wraps, _xml_texts)


@pytest.mark.parametrize("changes", _XML_CHANGES, ids=lambda changes: changes.__name__)
@pytest.mark.parametrize("seed", [_VOC, _CVAT, _VIDEO], ids=["Pascal VOC", "CVAT", "CVAT video"])
def test_no_change_of_xml_loses_a_box_in_silence(
    seed: bytes, changes: Callable[[etree._Element], Iterator[_Change]]
) -> None:
    before = _read(seed)
    assert before and _all_boxes(before).total() >= 3 and not any(image.is_reported for image in before.values())
    tried = list(changes(etree.fromstring(seed)))
    assert len(tried) > 20, "there was something to change"
    assert [change.what for change in tried if not _is_honest(before, change)] == []


_Path = tuple[str | int, ...]


def _values(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    """Every value below another one, with its path."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key), item
        yield from _values(item, (*path, key))


def _at(document: Any, path: _Path) -> Any:
    for key in path:
        document = document[key]
    return document


def _put(container: Any, key: str | int, value: Any) -> None:
    """Puts a value into an object by its key, or at the end of a list."""
    if isinstance(container, list):
        container.append(value)
    else:
        container[str(key)] = value


def _json_moves(seed: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    containers = [(), *(path for path, value in _values(seed) if isinstance(value, dict | list))]
    for path, _ in _values(seed):
        for target in containers:
            if target[: len(path)] == path or target == path[:-1]:
                continue
            for key in (path[-1], "zzz"):
                changed = copy.deepcopy(seed)
                place, source = _at(changed, target), _at(changed, path[:-1])
                _put(place, key, source.pop(path[-1]))
                yield f"{path} moved into {target} as {key}", changed, {"crosses": True}


def _json_names(seed: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    others = sorted({path[-1] for path, _ in _values(seed) if isinstance(path[-1], str)})
    for path, _ in _values(seed):
        if isinstance(path[-1], str):
            for name in {"zzz", path[-1].upper(), f"{path[-1]}s", *others} - set(_at(seed, path[:-1])):
                changed = copy.deepcopy(seed)
                place = _at(changed, path[:-1])
                place[name] = place.pop(path[-1])
                yield f"{path} renamed to {name}", changed, {}


def _json_copies(seed: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for path, value in _values(seed):
        changed = copy.deepcopy(seed)
        place = _at(changed, path[:-1])
        if isinstance(place, list):
            place.insert(int(path[-1]), copy.deepcopy(value))
        else:
            place["zzz"] = copy.deepcopy(value)
        yield f"{path} doubled", changed, {"may_add": True}


def _json_wraps(seed: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for path, value in _values(seed):
        for wrapped in ([value], {"zzz": value}, {path[-1]: value}, {"annotations": [value]}):
            changed = copy.deepcopy(seed)
            _at(changed, path[:-1])[path[-1]] = copy.deepcopy(wrapped)
            yield f"{path} wrapped as {wrapped}", changed, {}


def _json_texts(seed: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for path, value in _values(seed):
        if not isinstance(value, dict | list):
            values: tuple[Any, ...] = (None, "", [], {}, True, float("nan"), float("inf"), 10**400, 17, *_JUNK)
            for new in values:
                changed = copy.deepcopy(seed)
                _at(changed, path[:-1])[path[-1]] = new
                yield f"{path} is {new!r}", changed, {"numbers": 1}


_JSON_CHANGES = (_json_moves, _json_names, _json_copies, _json_wraps, _json_texts)


@pytest.mark.parametrize("changes", _JSON_CHANGES, ids=lambda changes: changes.__name__)
@pytest.mark.parametrize("seed", _JSON_SEEDS.values(), ids=_JSON_SEEDS)
def test_no_change_of_json_loses_a_box_in_silence(
    seed: Any, changes: Callable[[Any], Iterator[tuple[str, Any, dict[str, Any]]]]
) -> None:
    before = _read(json.dumps(seed).encode())
    assert before and _all_boxes(before).total() == 3 and not any(image.is_reported for image in before.values())
    tried = [_Change(what, json.dumps(document).encode(), **allowed) for what, document, allowed in changes(seed)]
    assert len(tried) > 20, "there was something to change"
    assert [change.what for change in tried if not _is_honest(before, change)] == []


@pytest.mark.parametrize("seed", [_COCO, _LABELME, _VIA, _MEGADETECTOR], ids=["COCO", "LabelMe", "VIA", "MD"])
def test_a_key_that_is_repeated_is_no_silent_choice(seed: dict[str, Any]) -> None:
    text = json.dumps(seed)
    for key, value in seed.items():
        doubled = text[:-1] + f", {json.dumps(key)}: {json.dumps(value)}}}"
        assert _read(doubled.encode()) is None
        emptied = text[:-1] + f", {json.dumps(key)}: []}}"
        assert _read(emptied.encode()) is None
