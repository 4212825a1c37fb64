"""CVAT XML 1.1: every shape, every kind of export, large files, hostile bytes."""

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.annotations.cvat import format_cvat, read_cvat
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.errors import AnnotationError

_BOX = '<box label="x" occluded="0" xtl="1.00" ytl="2.00" xbr="3.00" ybr="4.00"/>'
_CUBOID = " ".join(f'x{corner}="{10 + i}" y{corner}="{30 - i}"' for i, corner in enumerate(
    ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")))  # fmt: skip


def _read(body: str, meta: str = "") -> list[ImageAnnotation]:
    data = f"<annotations><version>1.1</version><meta>{meta}</meta>{body}</annotations>".encode()
    return list(read_cvat(io.BytesIO(data), source="a.xml"))


def _image(inner: str = _BOX, attributes: str = 'id="0" name="a.jpg" width="100" height="50"') -> ImageAnnotation:
    (image,) = _read(f"<image {attributes}>{inner}</image>")
    return image


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param(_BOX, (2, 1, 4, 3), id="box"),
        pytest.param(
            '<box ybr="4" xbr="3" ytl="2" xtl="1" z_order="0" label="x"/>', (2, 1, 4, 3), id="any order: by name"
        ),
        pytest.param(_BOX.replace("1.00", "-67.74"), (2, -67.74, 4, 3), id="may leave the image"),
        pytest.param(
            '<box label="x" xtl="0" ytl="0" xbr="4" ybr="2" rotation="90.0"/>', (-1, 1, 3, 3), id="box on its side"
        ),
        pytest.param(
            '<box label="x" xtl="0" ytl="0" xbr="2" ybr="2" rotation="45"/>',
            (1 - math.sqrt(2), 1 - math.sqrt(2), 1 + math.sqrt(2), 1 + math.sqrt(2)),
            id="square on its corner",
        ),
        pytest.param(
            '<box label="x" xtl="-3" ytl="0" xbr="1" ybr="2" rotation="270"/>',
            (-1, -2, 3, 0),
            id="leaves it, turned too",
        ),
        pytest.param(
            _BOX.replace("occluded", 'source="semi-auto" group_id="3" occluded'), (2, 1, 4, 3), id="CVAT's own"
        ),
        pytest.param(
            _BOX.replace("occluded", 'annotation_type="manual" occluded'), (2, 1, 4, 3), id="an old CVAT's own"
        ),
        pytest.param('<polygon label="x" points="1.00,2.00;5.5,9;3,4"/>', (2, 1, 9, 5.5), id="polygon"),
        pytest.param('<polyline label="x" points="7,2;1,2"/>', (2, 1, 2, 7), id="flat polyline: for prepare to judge"),
        pytest.param('<ellipse label="x" cx="10" cy="20" rx="3" ry="2"/>', (18, 7, 22, 13), id="ellipse"),
        pytest.param(
            '<ellipse label="x" cx="10" cy="20" rx="3" ry="2" rotation="90"/>', (17, 8, 23, 12), id="turned ellipse"
        ),
        pytest.param(
            '<mask label="x" rle="5, 1, 6" left="10" top="20" width="4" height="3"/>',
            (21, 11, 22, 12),
            id="mask: row-major, background first; edges are one past the pixel",
        ),
        pytest.param(
            '<mask label="x" rle="0,12" left="10" top="20" width="4" height="3"/>', (20, 10, 23, 14), id="full mask"
        ),
        pytest.param(
            '<mask label="x" rle="3,2,7" left="10" top="20" width="4" height="3"/>',
            (20, 10, 22, 14),
            id="a run over the end of a row touches both sides",
        ),
        pytest.param('<mask label="x" left="1" top="2" width="4" height="3"/>', (2, 1, 5, 5), id="mask without rle"),
        pytest.param(f'<cuboid label="x" {_CUBOID}/>', (23, 10, 30, 17), id="cuboid: all eight corners"),
    ],
)
def test_box_around_a_shape(shape: str, expected: tuple[float, ...]) -> None:
    image = _image(shape)
    assert (image.unreadable, image.ignored) == ((), ())
    assert image.objects[0].box == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        pytest.param('<points label="x" points="1,2"/>', (("points", 1),), id="points"),
        pytest.param('<tag label="murky" source="manual"/>', (("tag", 1),), id="tag"),
        pytest.param(
            '<skeleton label="x"><points label="1" points="1,2"/><points label="2" points="3,4"/></skeleton>',
            (("skeleton", 1),),
            id="a skeleton counts once",
        ),
        pytest.param(
            '<mask label="x" rle="12" left="0" top="0" width="4" height="3"/>', (("empty mask", 1),), id="erased mask"
        ),
        pytest.param(
            '<tag label="a"/><points label="x" points="1,2"/><tag label="b"/>', (("points", 1), ("tag", 2)), id="sorted"
        ),
    ],
)
def test_shapes_without_a_box_are_counted(shapes: str, expected: tuple[tuple[str, int], ...]) -> None:
    image = _image(shapes + _BOX)
    assert (len(image.objects), image.ignored, image.unreadable) == (1, expected, ())
    # Without a box, they are objects that would be lost; only a tag describes no object.
    reasons = [fault.reason for fault in _image(shapes).unreadable]
    assert reasons == (["object_without_box"] if {kind for kind, _ in expected} != {"tag"} else [])


@pytest.mark.parametrize(
    ("attributes", "inner", "expected"),
    [
        pytest.param('occluded="1"', "", {"occluded"}, id="CVAT's own flag"),
        pytest.param('occluded="0"', "", set(), id="not set"),
        pytest.param("", '<attribute name="difficult">true</attribute>', {"difficult"}, id="checkbox"),
        pytest.param("", '<attribute name="Truncated">True</attribute>', {"truncated"}, id="in capitals"),
        pytest.param("", '<attribute name="difficult">false</attribute>', set(), id="unchecked"),
        pytest.param("", '<attribute name="difficult"/>', set(), id="empty"),
        pytest.param("", '<attribute name="is_crowd">true</attribute>', {"is_crowd"}, id="from a COCO import"),
        pytest.param("", '<attribute name="ignore">true</attribute>', {"ignore"}, id="an area that is ignored"),
        pytest.param("", '<attribute name="sex">true</attribute>', set(), id="another attribute"),
        pytest.param("", '<attribute name="label">true</attribute>', set(), id="the name of a field of ours"),
    ],
)
def test_flags(attributes: str, inner: str, expected: set[str]) -> None:
    (item,) = _image(f'<box label=" x " {attributes} xtl="1" ytl="2" xbr="3" ybr="4">{inner}</box>').objects
    assert item.label == "x"
    flags = ("difficult", "truncated", "occluded", "is_crowd", "ignore")
    assert {name for name in flags if getattr(item, name)} == expected


@pytest.mark.parametrize(
    ("shape", "reason", "message"),
    [
        pytest.param(_BOX.replace("1.00", "one"), "number_not_readable", "xtl of <box> of 'x', line 1", id="a word"),
        pytest.param(_BOX.replace("1.00", "nan"), "number_not_readable", "'nan'", id="float() would take nan"),
        pytest.param('<box label="x" xtl="1"/>', "number_not_readable", "ytl", id="an edge is missing"),
        pytest.param(_BOX.replace('label="x"', ""), "object_without_label", "<box>", id="no label"),
        pytest.param(_BOX.replace('"x"', '" "'), "object_without_label", "line 1", id="blank label"),
        pytest.param('<polygon label="x" points=""/>', "points_not_readable", "polygon", id="no points"),
        pytest.param('<polygon label="x" points="1,2;3"/>', "points_not_readable", "1,2;3", id="half a point"),
        pytest.param('<circle label="x" r="1"/>', "shape_not_known", "<circle>", id="a shape of a later CVAT"),
        pytest.param(
            '<mask label="x" rle="1,x" left="0" top="0" width="4" height="3"/>', "mask_not_readable", "1,x", id="rle"
        ),
        pytest.param(
            '<mask label="x" rle="1,-1" left="0" top="0" width="4" height="3"/>', "mask_not_readable", "", id="rle < 0"
        ),
        pytest.param(
            '<mask label="x" rle="1,99" left="0" top="0" width="4" height="3"/>', "mask_not_readable", "", id="too long"
        ),
        pytest.param(
            '<mask label="x" rle="0" left="0" top="0" width="0.5" height="3"/>', "number_not_readable", "", id="width"
        ),
    ],
)
def test_an_unreadable_shape_rejects_only_its_image(shape: str, reason: str, message: str) -> None:
    broken, whole = _read(f'<image name="a.jpg">{shape}{_BOX}</image><image name="b.jpg">{_BOX}</image>')
    assert [(fault.reason, message in fault.detail) for fault in broken.unreadable] == [(reason, True)]
    assert len(broken.objects) == 1
    assert (len(whole.objects), whole.unreadable) == (1, ())


@pytest.mark.parametrize(
    "shape", [_BOX.replace("1.00", "9" * 9999), _BOX.replace("1.00", "one").replace('"x"', f'"{"x" * 9999}"')]
)
def test_a_message_stays_short(shape: str) -> None:
    assert len(_image(shape).unreadable[0].detail) < 200


_TASK = "<id>7</id><name>t</name><subset>Train</subset>"


@pytest.mark.parametrize(
    ("meta", "attributes", "expected"),
    [
        pytest.param(f"<task>{_TASK}</task>", 'name="a.jpg"', ("a.jpg", "7", "Train"), id="task: its id in <meta>"),
        pytest.param("<job><id>9</id></job>", 'name="a.jpg"', ("a.jpg", None, None), id="job: its id is not a task's"),
        pytest.param(
            f"<project><tasks><task>{_TASK}</task><task><id>8</id></task></tasks></project>",
            'name="a.jpg" subset="Test" task_id="8"',
            ("a.jpg", "8", "Test"),
            id="project: on the image",
        ),
        pytest.param("", 'name="a.jpg"', ("a.jpg", None, None), id="empty meta"),
        pytest.param("", 'name="dive 1/tripod/é a.jpg"', ("dive 1/tripod/é a.jpg", None, None), id="sub-folder, blank"),
        pytest.param("", 'name="../../etc/x"', ("../../etc/x", None, None), id="only a name: it is not opened"),
        pytest.param("", 'name="frame_000001"', ("frame_000001", None, None), id="a video's frame has no extension"),
    ],
)
def test_names_and_tasks(meta: str, attributes: str, expected: tuple[str | None, ...]) -> None:
    (image,) = _read(f"<image {attributes}/>", meta)
    assert (image.filename, image.task_id, image.subset) == expected
    assert (image.objects, image.unreadable) == ((), ()), "an image without shapes is a true negative"


def test_one_name_in_two_tasks_of_a_project_is_two_images() -> None:
    images = _read("".join(f'<image name="a.jpg" subset="s" task_id="{task}">{_BOX}</image>' for task in (7, 8)))
    assert [(image.filename, image.task_id, len(image.objects)) for image in images] == [
        ("a.jpg", "7", 1),
        ("a.jpg", "8", 1),
    ]


@pytest.mark.parametrize(
    ("attributes", "expected", "unread"),
    [
        pytest.param('width="640" height="360"', (640, 360), 0, id="both"),
        pytest.param("", (None, None), 0, id="neither"),
        pytest.param('width="0" height=""', (None, None), 0, id="unknown"),
        pytest.param('width="wide" height="-3"', (None, None), 2, id="not numbers"),
    ],
)
def test_size(attributes: str, expected: tuple[int | None, ...], unread: int) -> None:
    image = _image("", f'name="a.jpg" {attributes}')
    assert (image.width, image.height, len(image.unreadable)) == (*expected, unread)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "xml_not_well_formed", id="zero bytes"),
        pytest.param(b"<annotations><image name='a'/>", "xml_not_well_formed", id="cut short"),
        pytest.param(b"<annotation/>", "xml_root_unexpected", id="Pascal VOC"),
        pytest.param(b"<x><image name='a'/></x>", "xml_root_unexpected", id="images below another root"),
        pytest.param(b"<annotations><image/></annotations>", "image_without_name", id="nothing to match"),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY e "x">]><annotations><image name="&e;"/></annotations>',
            "xml_declares_entities",
            id="entities",
        ),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotations>&e;</annotations>',
            "xml_declares_entities",
            id="external entity",
        ),
        pytest.param(b"<annotations>" + b"<a>" * 5000, "xml_not_well_formed", id="deep"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(AnnotationError, match=r"a\.xml") as caught:
        list(read_cvat(io.BytesIO(data), source="a.xml"))
    assert caught.value.reason == reason


@pytest.mark.parametrize("place", ['<image name="&e11;"/>', "<image name='a'>&e11;</image>"])
def test_an_entity_bomb_is_not_expanded(place: str) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    data = f"<!DOCTYPE annotations [{entities}]><annotations>{place}</annotations>".encode()
    with pytest.raises(AnnotationError):
        list(read_cvat(io.BytesIO(data), source="bomb.xml"))


def test_images_before_a_fault_are_yielded() -> None:
    reader = read_cvat(io.BytesIO(b"<annotations><image name='a'/><image name='b'/><image"), source="a.xml")
    assert next(reader).filename == "a"
    with pytest.raises(AnnotationError):
        list(reader)


_LABEL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cn", "Co"]), min_size=1
)
# Boxes in pixels, with edges in order and not all between 0 and 1.
_EDGE = st.floats(-100, 5000).map(lambda value: round(value, 2))
_LAST_EDGE = st.floats(5000, 9000).map(lambda value: round(value, 2))
_BOXES = st.tuples(_EDGE, _EDGE, _LAST_EDGE, _LAST_EDGE)
_OBJECTS = st.builds(ObjectAnnotation, label=_LABEL, box=_BOXES, occluded=st.booleans())
_IMAGES = st.builds(
    ImageAnnotation,
    filename=_LABEL,
    width=st.none() | st.integers(1, 10000),
    height=st.none() | st.integers(1, 10000),
    objects=st.lists(_OBJECTS, max_size=4).map(tuple),
    source=st.just("a.xml"),
)


@given(st.lists(_IMAGES, max_size=4))
def test_format_and_read_are_inverse(images: list[ImageAnnotation]) -> None:
    data = format_cvat(images, labels=["x"], task="t")
    assert list(read_cvat(io.BytesIO(data), source="a.xml")) == images


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(2, (3, 4, 5), id="counted from 1"),
        pytest.param(65_531, (65_532, 65_533, 65_534), id="the last line that libxml2 is sure of"),
        pytest.param(65_533, (65_534, None, None), id="none beyond it, rather than a guess"),
        pytest.param(70_000, (None, None, None), id="far beyond it"),
    ],
)
def test_lines_are_those_of_the_file(before: int, expected: tuple[int | None, ...]) -> None:
    (image,) = _read("\n" * before + f'<image name="a.jpg">\n{_BOX}\n<box label="x" xtl="1"/>\n</image>')
    assert (image.line, image.objects[0].line, image.unreadable[0].line) == expected
    fault = f"line {expected[2]}: " if expected[2] else "after line 65534: "
    assert fault in image.unreadable[0].detail
