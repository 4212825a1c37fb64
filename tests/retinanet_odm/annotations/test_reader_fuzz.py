"""Annotation files damaged in many ways: read_annotations yields sound values or raises DataError."""

import io
import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinanet_odm.annotations.reader import read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import DataError

_VOC = """<?xml version="1.0" encoding="utf-8"?>
<annotation verified="yes"><folder>StaM</folder><filename>dive 1/é.jpg</filename><path>C:\\x\\y.jpg</path>
<size><width>640</width><height>360</height><depth/></size><segmented>0</segmented>
<object><name>Peniagone sp. A</name><pose/><truncated/><difficult>1</difficult>
<bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40.25</ymax></bndbox>
<attributes><attribute><name>rotation</name><value>30.5</value></attribute></attributes>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></part></object>
<object><name>étoile</name><polygon><x1>5</x1><y1>2</y1><x2>1</x2><y2>9.5</y2></polygon></object></annotation>
"""
_CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><project><tasks><task><id>7</id><size>2</size><mode>annotation</mode>
<start_frame>0</start_frame><stop_frame>1</stop_frame><subset>Train</subset></task></tasks></project></meta>
<image id="0" name="dive 1/é.jpg" width="640" height="360" subset="Train" task_id="7">
<box label="crab" source="manual" occluded="1" xtl="1.50" ytl="2.00" xbr="30" ybr="40.25" rotation="30.5" z_order="0">
<attribute name="difficult">true</attribute></box>
<polygon label="crab" points="1.00,2.00;5.5,9;3,4"/><polyline label="crab" points="7,2;1,2"/>
<ellipse label="crab" cx="10" cy="20" rx="3" ry="2" rotation="45"/>
<mask label="crab" rle="5, 1, 6" left="10" top="20" width="4" height="3"/>
<cuboid label="crab" xtl1="1" ytl1="2" xbl1="1" ybl1="9" xtr1="8" ytr1="2" xbr1="8" ybr1="9"
 xtl2="2" ytl2="1" xbl2="2" ybl2="8" xtr2="9" ytr2="1" xbr2="9" ybr2="8"/>
<points label="crab" points="1,2"/><skeleton label="crab"><points label="1" points="1,2"/></skeleton>
<tag label="murky" source="manual"/></image>
<image id="1" name="b.jpg" width="640" height="360"/></annotations>
"""
_VIDEO = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>1</id><size>3</size><mode>interpolation</mode>
<start_frame>10</start_frame><stop_frame>20</stop_frame><frame_filter>step=5</frame_filter>
<original_size><width>640</width><height>360</height></original_size></task></meta>
<track id="0" label="étoile" source="manual"><box frame="10" keyframe="1" outside="0" occluded="0" xtl="1" ytl="2"
 xbr="3" ybr="4"/><box frame="15" keyframe="1" outside="1" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4"/></track>
<track id="1" label="crab"><mask frame="20" outside="0" rle="1,2" left="1" top="2" width="3" height="4"/></track>
</annotations>
"""
_COCO = json.dumps(
    {
        "images": [
            {"id": 1, "file_name": "dive 1/é.jpg", "width": 640, "height": 360},
            {"id": "b", "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 9, "image_id": 1, "category_id": 5, "bbox": [10, 20.5, 30, 40], "iscrowd": 1, "area": 1200},
            {"id": 10, "image_id": "b", "category_id": 5, "segmentation": [[1, 2, 9.5, 2, 5, 7], [0, 3, 1, 4]]},
            {"id": 11, "image_id": "b", "category_id": 5, "bbox": [1, 2, 3, 4], "attributes": {"occluded": True}},
        ],
        "categories": [{"id": 5, "name": "étoile", "supercategory": ""}],
    },
    ensure_ascii=False,
)
_LABELME = json.dumps(
    {
        "flags": {},
        "shapes": [
            {"label": "étoile", "points": [[10.5, 45.25], [30, 20]], "shape_type": "rectangle", "group_id": 1},
            {"label": "crab", "points": [[51, 22], [55.5, 99], [53, 94]], "shape_type": "polygon", "flags": {}},
            {"label": "crab", "points": [[110, 120], [113, 124]], "shape_type": "circle"},
        ],
        "imagePath": "..\\dive 1\\é.jpg",
        "imageHeight": 360,
        "imageWidth": 640,
    },
    ensure_ascii=False,
)
_VIA = json.dumps(
    {
        "é.jpg9": {
            "filename": "é.jpg",
            "regions": {
                "0": {
                    "shape_attributes": {"name": "rect", "x": 10.5, "y": 20, "width": 31, "height": 42},
                    "region_attributes": {"species": "crab"},
                },
                "1": {
                    "shape_attributes": {"name": "polyline", "all_points_x": [51, 55], "all_points_y": [22, 99]},
                    "region_attributes": {"species": {"étoile": True, "crab": False}},
                },
            },
        }
    },
    ensure_ascii=False,
)
_VIA_CSV = """filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
é.jpg,9,"{}",1,0,"{""name"":""circle"",""cx"":110,""cy"":120,""r"":5.5}","{""name"":""étoile, rouge""}"
b.jpg,9,"{}",0,0,"{}","{}"
"""
_LABEL_STUDIO = json.dumps(
    [
        {
            "id": 1,
            "annotations": [
                {
                    "result": [
                        {
                            "id": "r",
                            "type": "rectanglelabels",
                            "original_width": 640,
                            "original_height": 360,
                            "value": {
                                "x": 10,
                                "y": 20,
                                "width": 30,
                                "height": 40,
                                "rotation": 9,
                                "rectanglelabels": ["é"],
                            },
                        }
                    ],
                    "was_cancelled": False,
                }
            ],
            "data": {"image": "/data/upload/1/0a1b2c3d-é.jpg"},
        }
    ],
    ensure_ascii=False,
)
_VIAME = "# 1: Detection or Track-id\n0,dive 1/é.jpg,0,10,20,30.5,40,1.0,-1,étoile,1.0,(kp) head 1 2\n"
_SEEDS = {
    "Pascal VOC": (_VOC, 2),
    "CVAT for images": (_CVAT, 6),
    "CVAT for video": (_VIDEO, 2),
    "COCO": (_COCO, 3),
    "LabelMe": (_LABELME, 3),
    "VIA": (_VIA, 2),
    "VIA CSV": (_VIA_CSV, 1),
    "Label Studio": (_LABEL_STUDIO, 1),
    "VIAME CSV": (_VIAME, 1),
}

_NUMBERS = re.compile(rb"-?[0-9]+(\.[0-9]+)?")
_PIECES = re.compile(rb'<(\w+)[^<>]*/>|<(\w+)[^<>]*>[^<>]*</\2>|<[^<>]*>| ?\w+="[^"]*"|"\w+" ?: ?|[\[\]{},;]')
# fmt: off
_ODD = (
    "nan", "NaN", "-inf", "Infinity", "1e400", "-1e400", "1e308", "1e-400", "-0", "-0.0", "0", "-1", "+1", "1.0", "1e9",
    "999999999.9", "9" * 30, "9" * 5000, "1_0", "0x10", "1,5", "1;5", "\uff11\uff12", "\u0663", "\u00b2", "", " ",
    "\x00", "true", "null", "[]", "{}", '"', "'7'", "é", "\U0001f980", "&#49;", "&amp;", "&e;", "\\ud800", "<!-- 1 -->",
    "<![CDATA[1]]>",
)
# fmt: on
_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp500", "ascii", "utf-7", "utf-8-sig")
_NESTS = ((b"<a>", b"</a>"), (b"[", b"]"), (b'{"a":', b"}"), (b"<object>", b"</object>"), (b"<image>", b"</image>"))


def _index(draw: Callable, length: int) -> int:
    return draw(st.integers(0, max(0, length - 1)))


def _swap(draw: Callable, data: bytes, pattern: re.Pattern[bytes], new: bytes) -> bytes:
    """One of the places where the pattern matches, replaced."""
    found = list(pattern.finditer(data))
    if not found:
        return data
    place = found[_index(draw, len(found))]
    return data[: place.start()] + new + data[place.end() :]


def _odd_number(draw: Callable, data: bytes) -> bytes:
    return _swap(draw, data, _NUMBERS, draw(st.sampled_from(_ODD)).encode())


def _dropped(draw: Callable, data: bytes) -> bytes:
    return _swap(draw, data, _PIECES, b"")


def _flipped(draw: Callable, data: bytes) -> bytes:
    at = _index(draw, len(data))
    return data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at + draw(st.integers(0, 3)) :]


def _cut(draw: Callable, data: bytes) -> bytes:
    return data[: _index(draw, len(data))]


def _spliced(draw: Callable, data: bytes) -> bytes:
    """A part of this kind or another, put somewhere in place of another part."""
    other = draw(st.sampled_from([seed.encode() for seed, _ in _SEEDS.values()]))
    start, at = _index(draw, len(other)), _index(draw, len(data))
    return data[:at] + other[start : start + draw(st.integers(1, 200))] + data[at + draw(st.integers(0, 200)) :]


def _nested(draw: Callable, data: bytes) -> bytes:
    at, (opening, closing) = _index(draw, len(data)), draw(st.sampled_from(_NESTS))
    depth = draw(st.integers(1, 60) | st.integers(200, 1100) | st.just(100_000))
    return data[:at] + opening * depth + (closing * depth if draw(st.booleans()) else b"") + data[at:]


def _recoded(draw: Callable, data: bytes) -> bytes:
    """Written in one encoding, declared as the same or another."""
    declared, written = (draw(st.sampled_from(_ENCODINGS)) for _ in range(2))
    text = data.decode("utf-8", "replace").replace('"utf-8"', f'"{declared}"', 1)
    return text.encode(draw(st.sampled_from([declared, written])), "replace")


# Most often what leaves a file well-formed, so that the damage gets past the parsers of XML and JSON.
_CHANGES = (*[_odd_number] * 6, *[_dropped] * 3, _flipped, _spliced, _nested, _cut, _recoded)


@st.composite
def damaged(draw: Callable, seed: str) -> bytes:
    """A file with one to four kinds of damage, each upon the one before."""
    data = seed.encode()
    for change in draw(st.lists(st.sampled_from(_CHANGES), min_size=1, max_size=4)):
        data = change(draw, data)
    return data


def check(data: bytes) -> None:
    """Checks, for every image that was read, what the programs rely on."""
    try:
        for image in read_annotations(io.BytesIO(data), source="a.xml"):
            _check_image(image)
    except DataError as error:
        assert error.reason.isidentifier()
        assert "a.xml" in error.detail
        assert error.line is None or error.line >= 1


def _check_image(image: ImageAnnotation) -> None:
    assert isinstance(image, ImageAnnotation)
    assert image.filename
    assert all(side is None or (isinstance(side, int) and side > 0) for side in (image.width, image.height))
    for item in image.objects:
        assert len(item.box) == 4
        assert all(map(math.isfinite, item.box)), item.box
        assert item.label.strip() == item.label != ""
        assert item.line is None or item.line >= 1
    for text in (
        image.filename,
        *(item.label for item in image.objects),
        *(fault.detail for fault in image.unreadable),
    ):
        text.encode()  # a record cannot hold text that is not UTF-8


@pytest.mark.parametrize(("seed", "boxes"), _SEEDS.values(), ids=_SEEDS)
def test_the_files_before_damage_are_good(seed: str, boxes: int) -> None:
    images = list(read_annotations(io.BytesIO(seed.encode()), source="a.xml"))
    assert sum(len(image.objects) for image in images) == boxes
    assert not any(image.unreadable for image in images)


@pytest.mark.parametrize("kind", _SEEDS)
@settings(max_examples=300, derandomize=True, database=None)
@given(data=st.data())
def test_any_damage_gives_sound_values_or_a_data_error(kind: str, data: st.DataObject) -> None:
    check(data.draw(damaged(_SEEDS[kind][0])))
