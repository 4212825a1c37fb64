"""What a reader does not understand is reported, and never an image without objects: faults seen in the field."""

import io
import json
from typing import Any

import pytest

from retinanet_odm.annotations.detection import AnnotationFormat, detect_format
from retinanet_odm.annotations.reader import read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.values import is_true, parse_flag
from retinanet_odm.errors import AnnotationError

_BOX = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
_OBJECT = f"<object><name>x</name>{_BOX}</object>"
_SIZE = "<size><width>640</width><height>480</height></size>"


def _read(data: str | bytes) -> list[ImageAnnotation]:
    return list(read_annotations(io.BytesIO(data.encode() if isinstance(data, str) else data), source="a.xml"))


def _reason(data: str | bytes) -> str:
    with pytest.raises(AnnotationError) as caught:
        _read(data)
    return caught.value.reason


def _voc(inner: str) -> str:
    return f"<annotation><filename>a.jpg</filename>{inner}</annotation>"


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        pytest.param(f"<objects>{_OBJECT}</objects>", "element_misplaced", id="wrapped"),
        pytest.param(_OBJECT.replace("object>", "Object>"), "element_misplaced", id="in another case"),
        pytest.param(_OBJECT.replace("object>", "OBJECT>"), "element_misplaced", id="in capitals"),
        pytest.param(f"<size>{_OBJECT}</size>", "element_misplaced", id="elsewhere"),
        pytest.param(f'<object xmlns="urn:x">{_BOX}</object>', "element_misplaced", id="in another namespace"),
        pytest.param(
            _OBJECT.replace("object>", "animal>"), "element_misplaced", id="by another name: detected by its box"
        ),
        pytest.param(_OBJECT.replace("bndbox>", "BndBox>"), "element_misplaced", id="the box in another case"),
        pytest.param(_OBJECT.replace("bndbox>", "bbox>"), "element_misplaced", id="the box by another name"),
        pytest.param("<segmented>1</segmented>", "segmented_without_objects", id="outlines in other files"),
        pytest.param("<segmented>true</segmented>", "segmented_without_objects", id="likewise, as a word"),
        pytest.param(
            "<object><name>x</name><robndbox><cx>1</cx></robndbox></object>", "object_without_box", id="roLabelImg"
        ),
        pytest.param("<object><name>x</name><point><x>1</x></point></object>", "object_without_box", id="a point"),
        pytest.param(_OBJECT.replace(_BOX, _BOX * 2), "element_repeated", id="two boxes"),
        pytest.param(_OBJECT.replace("<name>", "<name>y</name><name>"), "element_repeated", id="two names"),
        pytest.param(_OBJECT.replace("<xmin>", "<xmin>1</xmin><xmin>"), "element_repeated", id="two coordinates"),
        pytest.param(_OBJECT.replace(">10<", ">1<a>0</a><"), "element_misplaced", id="an element in a number"),
        pytest.param(_OBJECT.replace(">10<", "><"), "number_not_readable", id="no number"),
    ],
)
def test_voc_is_rejected(inner: str, reason: str) -> None:
    assert _reason(_voc(inner)) == reason


@pytest.mark.parametrize(
    ("inner", "box"),
    [
        pytest.param(_OBJECT.replace(">10<", ">1<!-- by hand -->0<"), (20, 10, 40, 30), id="a comment in a number"),
        pytest.param(_OBJECT.replace(">10<", "><!-- a --><!-- b -->10<"), (20, 10, 40, 30), id="comments before it"),
        pytest.param(_OBJECT.replace(">10<", ">1<?x?>0<"), (20, 10, 40, 30), id="a processing instruction"),
        pytest.param(_OBJECT.replace(">10<", "><![CDATA[10]]><"), (20, 10, 40, 30), id="CDATA"),
        pytest.param(f"<segmented>1</segmented>{_OBJECT}", (20, 10, 40, 30), id="VOC 2012: outlines of the objects"),
        pytest.param(_OBJECT.replace(_BOX, f"{_BOX}<robndbox/>"), (20, 10, 40, 30), id="a second outline, beside it"),
    ],
)
def test_voc_is_read(inner: str, box: tuple[float, ...]) -> None:
    (image,) = _read(_voc(inner))
    assert [item.box for item in image.objects] == [box]


@pytest.mark.parametrize(
    ("edges", "swapped"),
    [
        pytest.param("10 20 30 40", 0, id="in order"),
        pytest.param("30 20 10 40", 1, id="left and right"),
        pytest.param("10 40 30 20", 1, id="top and bottom"),
        pytest.param("30 40 10 20", 1, id="both"),
    ],
)
def test_swapped_corners_are_read_and_counted(edges: str, swapped: int) -> None:
    xmin, ymin, xmax, ymax = map(float, edges.split())
    voc = f"<object><name>x</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    cvat = f'<box label="x" xtl="{xmin}" ytl="{ymin}" xbr="{xmax}" ybr="{ymax}"/>'
    files = [
        _voc(f"{voc}</bndbox></object>"),
        f'<annotations><image name="a.jpg">{cvat}</image></annotations>',
        _coco([xmin, ymin, xmax - xmin, ymax - ymin]),
    ]
    for (image,) in map(_read, files):
        assert [item.box for item in image.objects] == [(20, 10, 40, 30)]
        assert [(remark.reason, remark.value) for remark in image.remarks] == [("box_swapped", "1")] * swapped


def _coco(*boxes: Any, size: tuple[int, int] = (640, 480), **more: Any) -> str:
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}],
            "annotations": [
                {"id": n, "image_id": 1, "category_id": 5, "bbox": box, **more} for n, box in enumerate(boxes)
            ],
            "categories": [{"id": 5, "name": "x"}],
        }
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(_coco([0.1, 0.2, 0.4, 0.5]), "coordinates_relative", id="fractions"),
        pytest.param(_coco([0, 0, 1, 1]), "coordinates_relative", id="the complete image"),
        pytest.param(_coco([0.1, 0.2, 0.4, 0.5], [0, 0, 0, 0]), "coordinates_relative", id="beside an empty box"),
        pytest.param(_coco([400, 300, 600, 450]), "coordinates_are_corners", id="one box by corners"),
        pytest.param(
            _coco([400, 300, 600, 450], [10, 20, 30, 40], [300, 300, 500, 400]),
            "coordinates_are_corners",
            id="most leave the image",
        ),
        pytest.param(
            _voc(_SIZE + _OBJECT.replace("10", "0.1").replace("20", "0.2").replace("30", "0.3").replace("40", "0.4")),
            "coordinates_relative",
            id="Pascal VOC",
        ),
    ],
)
def test_units_that_are_no_pixels(data: str, reason: str) -> None:
    assert _reason(data) == reason


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_coco([0.1, 0.2, 0.4, 0.5], size=(2, 2)), id="an image of 2x2 pixels"),
        pytest.param(_coco([0.1, 0.2, 0.4, 50]), id="thin, but long"),
        pytest.param(_coco([10, 20, 625, 30]), id="a box that leaves its image by a little"),
        pytest.param(_coco([500, 300, 200, 100], [10, 20, 30, 40]), id="x is larger than the width: no corners"),
        pytest.param(_coco([0.1, 0.2, 0.4, 0.5], [10, 20, 30, 40]), id="one of the boxes is in pixels"),
    ],
)
def test_units_that_are_pixels(data: str) -> None:
    (image,) = _read(data)
    assert image.objects and not image.unreadable


def test_in_cvat_only_the_image_with_relative_boxes_is_unreadable() -> None:
    relative, good = (
        '<box label="x" xtl="0.1" ytl="0.1" xbr="0.5" ybr="0.5"/>',
        '<box label="x" xtl="1" ytl="2" xbr="9" ybr="9"/>',
    )
    images = _read(f'<annotations><image name="a">{relative}</image><image name="b">{good}</image></annotations>')
    assert [[fault.reason for fault in image.unreadable] for image in images] == [["coordinates_relative"], []]


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        pytest.param([0, 0, 0, 0], (2, 1, 7, 9), id="zeros"),
        pytest.param([5, 5, 0, 3], (2, 1, 7, 9), id="no width"),
        pytest.param([3, 3, 2, 2], (3, 3, 5, 5), id="a bbox with an extent counts"),
    ],
)
def test_a_polygon_in_place_of_a_box_without_extent(bbox: list[float], expected: tuple[float, ...]) -> None:
    (image,) = _read(_coco(bbox, segmentation=[[1, 2, 9, 2, 5, 7]]))
    assert [item.box for item in image.objects] == [expected]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"info": {"x": [{"bbox": [1, 2, 3, 4], "category_id": 5}]}}, "element_misplaced", id="in info"),
        pytest.param(
            {"images": [{"id": 1, "file_name": "a.jpg", "annotations": [{"bbox": [1, 2, 3, 4], "category_id": 5}]}]},
            "element_misplaced",
            id="within the image",
        ),
    ],
)
def test_coco_objects_elsewhere(change: dict[str, Any], reason: str) -> None:
    assert _reason(json.dumps({**json.loads(_coco([10, 20, 30, 40])), **change})) == reason


_TASK = (
    "<meta><task><id>1</id><size>10</size><mode>interpolation</mode><start_frame>0</start_frame>"
    "<stop_frame>9</stop_frame></task></meta>"
)


def _track(*frames: str) -> str:
    """Frames such as "3" or "4 outside"."""
    boxes = (
        f'<box frame="{frame.split()[0]}" outside="{int("outside" in frame)}" xtl="1" ytl="2" xbr="30" ybr="40"/>'
        for frame in frames
    )
    return f'<track label="x">{"".join(boxes)}</track>'


@pytest.mark.parametrize(
    ("frames", "rejected", "remarks"),
    [
        pytest.param(["0"], range(1, 10), [], id="one frame of ten"),
        pytest.param(["0", "1", "2"], range(3, 10), [], id="three"),
        pytest.param(["7"], range(8, 10), [], id="two are left"),
        pytest.param(["8"], (), [9], id="only the last is left: CVAT writes no end there"),
        pytest.param(["9"], (), [], id="to the last frame"),
        pytest.param(["0", "1 outside"], (), [], id="it ends"),
    ],
)
def test_a_track_that_ends_without_outside(frames: list[str], rejected: Any, remarks: list[int]) -> None:
    images = _read(f"<annotations>{_TASK}{_track(*frames)}</annotations>")
    assert len(images) == 10
    found = {number: [fault.reason for fault in image.unreadable] for number, image in enumerate(images)}
    assert {number: reasons for number, reasons in found.items() if reasons} == {
        frame: ["track_without_end"] for frame in rejected
    }
    assert [number for number, image in enumerate(images) if image.remarks] == remarks


_ENDS = _track("0", "1 outside")


@pytest.mark.parametrize(
    "skeletons",
    [
        pytest.param('<skeleton frame="0"><points label="1" points="1,2"/></skeleton>', id="as CVAT writes it now"),
        pytest.param(
            '<skeleton frame="0"/><track label="1"><points frame="0" outside="0" points="1,2"/></track>',
            id="as tracks within",
        ),
        pytest.param(
            '<skeleton/><track label="1"><points frame="0" points="1,2"/></track>', id="frames of points only"
        ),
    ],
)
def test_a_track_of_skeletons_is_ignored_alone(skeletons: str) -> None:
    images = _read(f'<annotations>{_TASK}{_ENDS}<track label="s">{skeletons}</track></annotations>')
    assert (len(images[0].objects), images[0].ignored) == (1, (("skeleton", 1),))
    assert not any(image.unreadable for image in images)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'{_TASK}<track label="s"><skeleton frame="0"/><box frame="0"/></track>', id="a box in it"),
        pytest.param(f"<tracks>{_ENDS}</tracks>", id="tracks in a wrapper"),
        pytest.param('<images><image name="a.jpg"/></images>', id="images in a wrapper"),
        pytest.param('<Image name="a.jpg"/>', id="in another case"),
        pytest.param('<image name="a.jpg"><image name="b.jpg"/></image>', id="an image in an image"),
        pytest.param('<meta><image name="a.jpg"/></meta>', id="in <meta>"),
        pytest.param('<image name="a.jpg"/><meta/>', id="<meta> after images"),
        pytest.param('<box label="x" xtl="1" ytl="2" xbr="3" ybr="4"/>', id="a box without image"),
    ],
)
def test_cvat_elements_elsewhere(body: str) -> None:
    assert _reason(f"<annotations>{body}</annotations>") == "element_misplaced"


def test_a_frame_twice_in_a_track_makes_it_unreadable() -> None:
    (image,) = _read(f"<annotations>{_track('3', '3')}</annotations>")
    assert {fault.reason for fault in image.unreadable} == {"element_repeated"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b'<?xml version="1.0" encoding="unicode"?><annotation/>', "unicode", id="no encoding"),
        pytest.param(b'<?xml version="1.0" encoding="cp65001"?><annotation/>', "cp65001", id="of Windows"),
        pytest.param(b'\n<?xml version="1.0"?><annotation/>', "start of the document", id="a line before it"),
    ],
)
def test_the_parser_gives_its_own_reason(data: bytes, words: str) -> None:
    with pytest.raises(AnnotationError, match=words) as caught:
        _read(data)
    assert caught.value.reason == "xml_not_well_formed"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_any_encoding_of_unicode(encoding: str) -> None:
    (image,) = _read(_coco([10, 20, 30, 40]).encode(encoding))
    assert len(image.objects) == 1


@pytest.mark.parametrize(
    "info", [{"detections": 5}, {"detection_categories": {"1": "x"}}, {"text": '"detections": ['}, {"x": {"images": 1}}]
)
def test_keys_within_info_decide_nothing(info: dict[str, Any]) -> None:
    data = {"info": info, **json.loads(_coco([10, 20, 30, 40]))}
    assert detect_format(json.dumps(data).encode()) is AnnotationFormat.COCO


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("1", True, id="as text"),
        pytest.param(1, True, id="as a number"),
        pytest.param(True, True, id="as a boolean"),
        pytest.param("YES", True, id="a word"),
        pytest.param(" True ", True, id="with blanks"),
        pytest.param("0", False, id="not set"),
        pytest.param("no", False, id="a word for not set"),
        pytest.param(None, False, id="missing"),
    ],
)
def test_flags(value: object, expected: bool) -> None:
    assert (is_true(value), parse_flag(value, "flag", "a.xml")) == (expected, expected)
    (image,) = _read(_coco([10, 20, 30, 40], iscrowd=value, attributes={"occluded": value}))
    assert (image.objects[0].is_crowd, image.objects[0].occluded) == (expected, expected)


@pytest.mark.parametrize("value", ["maybe", "", 2, [1]])
def test_a_flag_that_is_none_rejects_where_a_box_depends_on_it(value: object) -> None:
    (image,) = _read(_coco([10, 20, 30, 40], iscrowd=value))
    assert [fault.reason for fault in image.unreadable] == ["flag_not_readable"]
