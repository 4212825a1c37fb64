"""Pascal VOC in all its dialects, hostile XML, and CVAT out."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.safe_xml import parse_xml
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc, parse_voc
from retinanet_odm.errors import AnnotationError

_BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
_OBJECT = f"<object><name>x</name>{_BOX}</object>"


def _voc(inner: str = _OBJECT, head: str = "<filename>a.jpg</filename>") -> bytes:
    return f"<annotation>{head}{inner}</annotation>".encode()


def _one(inner: str) -> ObjectAnnotation:
    (item,) = parse_voc(_voc(inner), source="a.xml").objects
    return item


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        pytest.param(_OBJECT, (2, 1, 4, 3), id="the standard order"),
        pytest.param(
            "<object><name>x</name><bndbox><xmin>1</xmin><xmax>3</xmax><ymin>2</ymin><ymax>4</ymax></bndbox></object>",
            (2, 1, 4, 3),
            id="Roboflow swaps elements: read by name",
        ),
        pytest.param(
            _OBJECT.replace(">1<", ">-45.70000076293945<"), (2, -45.70000076293945, 4, 3), id="VOC2012 has floats"
        ),
        pytest.param(_OBJECT.replace(">1<", ">\n -67.74 <"), (2, -67.74, 4, 3), id="CVAT boxes may leave the image"),
        pytest.param(
            _OBJECT.replace(">1<", ">3<"), (2, 3, 4, 3), id="without area: for prepare to judge, not for the parser"
        ),
    ],
)
def test_box(inner: str, expected: tuple[float, ...]) -> None:
    assert _one(inner).box == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("<difficult>1</difficult>", True, id="VOC"),
        pytest.param("<difficult>true</difficult>", True, id="CVAT checkbox"),
        pytest.param("<difficult>0</difficult>", False, id="not set"),
        pytest.param("<difficult/>", False, id="labelme2voc leaves it empty"),
        pytest.param("", False, id="Roboflow leaves it out"),
        pytest.param("<difficult>Unspecified</difficult>", False, id="a word"),
    ],
)
def test_flag(text: str, expected: bool) -> None:
    assert _one(f"<object><name>x</name>{text}{_BOX}</object>").difficult is expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param("<filename>b.jpg</filename>", ("b.jpg", None, None), id="no size"),
        pytest.param("<filename>s u/b.jpg</filename>", ("s u/b.jpg", None, None), id="sub-folder and blank are kept"),
        pytest.param("<filename>b</filename>", ("b", None, None), id="old LabelImg: no extension"),
        pytest.param("<filename>é ü.jpg</filename>", ("é ü.jpg", None, None), id="accents"),
        pytest.param(
            "<folder>StaM</folder><path>C:\\x\\y.jpg</path><filename>b.jpg</filename>",
            ("b.jpg", None, None),
            id="folder and path are of another computer",
        ),
        pytest.param("", ("img.v1", None, None), id="no filename: the file's own stem"),
        pytest.param("<filename> </filename>", ("img.v1", None, None), id="blank filename: likewise"),
        pytest.param("<size><width/><height/></size>", ("img.v1", None, None), id="CVAT without images: empty size"),
        pytest.param("<size><width>0</width><height>0</height></size>", ("img.v1", None, None), id="0 means unknown"),
        pytest.param("<size><width>640</width><height>360.0</height></size>", ("img.v1", 640, 360), id="whole floats"),
    ],
)
def test_image(head: str, expected: tuple[str, int | None, int | None]) -> None:
    found = parse_voc(_voc(head=head), source="dir/img.v1.xml")
    assert (found.filename, found.width, found.height) == expected


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        pytest.param(b"", "xml_not_well_formed", "a.xml", id="zero bytes"),
        pytest.param(b"not xml", "xml_not_well_formed", "a.xml", id="text"),
        pytest.param(_voc()[:-5], "xml_not_well_formed", "a.xml", id="cut short"),
        pytest.param(b"\xff\xd8\xff\xe0", "xml_not_well_formed", "a.xml", id="a JPEG by mistake"),
        pytest.param(b"<annotations><image/></annotations>", "not_pascal_voc", "<annotations>", id="CVAT XML"),
        pytest.param(_voc(f"<object>{_BOX}</object>"), "object_without_label", "line 1", id="no name"),
        pytest.param(_voc(f"<object><name> </name>{_BOX}</object>"), "object_without_label", "<name>", id="blank name"),
        pytest.param(_voc("<object><name>x</name></object>"), "object_without_box", "found <name>", id="no box"),
        pytest.param(_voc(_OBJECT.replace(">1<", ">one<")), "number_not_readable", "'one'", id="a word"),
        pytest.param(
            _voc(_OBJECT.replace(">1<", ">nan<")), "number_not_readable", "'nan'", id="float() would take nan"
        ),
        pytest.param(
            _voc(_OBJECT.replace(">1<", ">inf<")), "number_not_readable", "'inf'", id="float() would take inf"
        ),
        pytest.param(_voc(_OBJECT.replace(">1<", ">1,5<")), "number_not_readable", "'1,5'", id="decimal comma"),
        pytest.param(_voc(_OBJECT.replace(">1<", ">1_5<")), "number_not_readable", "'1_5'", id="float() would take 15"),
        pytest.param(_voc(head="<size><width>w</width></size>"), "number_not_readable", "<width>", id="size in words"),
        pytest.param(_voc(head="<size><height>-3</height></size>"), "number_not_readable", "'-3'", id="size below 0"),
    ],
)
def test_refused(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message) as caught:
        parse_voc(data, source="a.xml")
    assert caught.value.reason == reason


def test_an_entity_bomb_is_not_expanded() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    data = f"<!DOCTYPE annotation [{entities}]><annotation><filename>&e11;</filename></annotation>".encode()
    with pytest.raises(AnnotationError):
        parse_voc(data, source="bomb.xml")


def test_an_external_entity_reads_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("top secret")
    data = (
        f'<!DOCTYPE annotation [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
        f"<annotation><filename>&s;</filename>{_OBJECT}</annotation>"
    ).encode()
    with pytest.raises(AnnotationError, match="no entity declarations") as caught:
        parse_voc(data, source="x.xml")
    assert caught.value.reason == "xml_declares_entities"


_TURNED = "<attributes><attribute><name>rotation</name><value>{}</value></attribute></attributes>"
_POLYGON = "<polygon><x1>5</x1><y1>2</y1><x2>1</x2><y2>9.5</y2><x10>3</x10><y10>4</y10></polygon>"
_WIDE = "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>4</xmax><ymax>2</ymax></bndbox>"


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        pytest.param(_WIDE + _TURNED.format("90.0"), (-1, 1, 3, 3), id="CVAT: the box is written unrotated"),
        pytest.param(_WIDE + _TURNED.format("0.0"), (0, 0, 2, 4), id="CVAT: not turned"),
        pytest.param(_WIDE + "<attributes/>", (0, 0, 2, 4), id="no attributes"),
        pytest.param(_WIDE + _TURNED.replace("rotation", "sex").format("male"), (0, 0, 2, 4), id="another attribute"),
        pytest.param(_POLYGON, (2, 1, 9.5, 5), id="Roboflow: polygon without bndbox"),
        pytest.param("<bndbox/>" + _POLYGON, (2, 1, 9.5, 5), id="polygon with an empty bndbox"),
        pytest.param("<polygon/>" + _WIDE, (0, 0, 2, 4), id="an empty polygon"),
        pytest.param(_POLYGON + _WIDE, (0, 0, 2, 4), id="polygon and bndbox: the bndbox counts"),
    ],
)
def test_enclosing_box(inner: str, expected: tuple[float, ...]) -> None:
    assert _one(f"<object><name>x</name>{inner}</object>").box == pytest.approx(expected)


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        pytest.param(_WIDE + _TURNED.format("left"), "number_not_readable", id="angle in words"),
        pytest.param(_WIDE + _TURNED.format(""), "number_not_readable", id="an angle without value is not 0"),
        pytest.param("<polygon/>", "object_without_box", id="polygon without points"),
        pytest.param("<bndbox/><polygon/>", "number_not_readable", id="likewise, beside an empty bndbox"),
        pytest.param("<polygon><x1>1</x1></polygon>", "number_not_readable", id="x without y"),
        pytest.param("<polygon><y1>1</y1></polygon>", "number_not_readable", id="y without x"),
        pytest.param(
            _POLYGON.replace("x2>", "z2>"), "element_misplaced", id="without this vertex, the box would be smaller"
        ),
        pytest.param(_POLYGON.replace("x2>", "x1>"), "element_repeated", id="x1 twice"),
        pytest.param(
            "<polygon><pt><x>1</x><y>2</y></pt></polygon>", "element_misplaced", id="the polygon of LabelMe's XML"
        ),
    ],
)
def test_object_without_a_readable_box(inner: str, reason: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _one(f"<object><name>x</name>{inner}</object>")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("origin", "inner", "expected"),
    [
        pytest.param(0, _BOX, (2, 1, 4, 3), id="edges counted from 0"),
        pytest.param(1, _BOX, (1, 0, 4, 3), id="first and last pixel counted from 1: 3 pixels each way"),
        pytest.param(1, _POLYGON, (1, 0, 9.5, 5), id="likewise for the vertices of a polygon"),
        pytest.param(
            1,
            "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>2</ymax></bndbox>" + _TURNED.format("90"),
            (-1, 1, 3, 3),
            id="before turning",
        ),
    ],
)
def test_origin(origin: int, inner: str, expected: tuple[float, ...]) -> None:
    (item,) = parse_voc(_voc(f"<object><name>x</name>{inner}</object>"), source="a.xml", origin=origin).objects
    assert item.box == pytest.approx(expected)


def test_an_origin_is_0_or_1() -> None:
    with pytest.raises(ValueError, match="origin"):
        parse_voc(_voc(), source="a.xml", origin=2)


def test_parts_are_counted_not_read() -> None:
    part = f"<part><name>head</name>{_BOX}</part>"
    found = parse_voc(_voc(f"<object><name>x</name>{_BOX}{part}{part}</object>{_OBJECT}"), source="a.xml")
    assert (found.ignored, len(found.objects)) == ((("part", 2),), 2)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_annotation_or_an_annotation_error(data: bytes) -> None:
    for candidate in (data, b"<annotation>" + data + b"</annotation>"):
        with contextlib.suppress(AnnotationError):
            parse_voc(candidate, source="x.xml")


_WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cn", "Co"]), min_size=1)
# Boxes in pixels, with edges in order and not all between 0 and 1.
_EDGE = st.floats(-100, 5000).map(lambda value: round(value, 2))
_LAST_EDGE = st.floats(5000, 9000).map(lambda value: round(value, 2))
_OBJECTS = st.builds(
    ObjectAnnotation,
    label=_WORD,
    box=st.tuples(_EDGE, _EDGE, _LAST_EDGE, _LAST_EDGE),
    difficult=st.booleans(),
    truncated=st.booleans(),
    occluded=st.booleans(),
)
_ANNOTATIONS = st.builds(
    ImageAnnotation,
    filename=_WORD,
    width=st.none() | st.integers(1, 10000),
    height=st.none() | st.integers(1, 10000),
    objects=st.lists(_OBJECTS, max_size=4).map(tuple),
    source=st.just("x.xml"),
)


@given(_ANNOTATIONS)
def test_format_and_parse_are_inverse(annotation: ImageAnnotation) -> None:
    assert parse_voc(format_voc(annotation), source="x.xml") == annotation


@given(st.lists(_ANNOTATIONS, max_size=3))
def test_cvat_output_is_well_formed_and_has_the_same_content(annotations: list[ImageAnnotation]) -> None:
    root = parse_xml(format_cvat(annotations, labels=["x"], task="t"), source="annotations.xml")
    assert root.findtext("version") == "1.1"
    assert [image.get("name") for image in root.iterfind("image")] == [item.filename for item in annotations]
    assert [_cvat_objects(image) for image in root.iterfind("image")] == [
        [(item.label, item.box) for item in annotation.objects] for annotation in annotations
    ]


def _cvat_objects(image: etree._Element) -> list[tuple[str | None, tuple[float, ...]]]:
    edges = ("ytl", "xtl", "ybr", "xbr")
    return [(box.get("label"), tuple(float(box.get(edge) or "nan") for edge in edges)) for box in image.iterfind("box")]


def test_lines_are_those_of_the_file() -> None:
    image = parse_voc(_voc(f"\n{_OBJECT}\n<folder/>\n<object>\n<name>x</name>{_BOX}</object>"), source="a.xml")
    assert (image.line, [item.line for item in image.objects]) == (1, [2, 4])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(_voc(f"\n\n<object>{_BOX}</object>"), 3, id="no name: the object's"),
        pytest.param(_voc(_OBJECT.replace("<bndbox>", "\n<bndbox>").replace(">1<", "><")), 1, id="no edge: likewise"),
        pytest.param(_voc(head="\n<size>\n<width>w</width></size>"), 3, id="size: its element's"),
        pytest.param(_voc()[:-5] + b"\n<", 2, id="not well-formed: the parser's"),
        pytest.param(b"<!-- by hand -->\n<x/>", 2, id="another root"),
    ],
)
def test_an_error_has_its_line(data: bytes, expected: int) -> None:
    with pytest.raises(AnnotationError) as caught:
        parse_voc(data, source="a.xml")
    assert caught.value.line == expected
