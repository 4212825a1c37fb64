"""CVAT XML 1.1: every shape, every kind of export, large files, hostile bytes."""

import contextlib
import io
import math
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.annotations import ImageAnnotation, ObjectAnnotation
from detection.cvat import format_cvat, read_cvat
from detection.errors import AnnotationError
from detection.safe_xml import iterate_xml
from detection.shapes import ellipse_box, mask_box, rotated_box, rotated_corners

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
    assert (image.unread, image.ignored) == ((), ())
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
    image = _image(shapes)
    assert (image.objects, image.ignored, image.unread) == ((), expected, ())


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
        pytest.param("", '<attribute name="sex">true</attribute>', set(), id="another attribute"),
        pytest.param("", '<attribute name="label">true</attribute>', set(), id="the name of a field of ours"),
    ],
)
def test_flags(attributes: str, inner: str, expected: set[str]) -> None:
    (item,) = _image(f'<box label=" x " {attributes} xtl="1" ytl="2" xbr="3" ybr="4">{inner}</box>').objects
    assert item.label == "x"
    flags = ("difficult", "truncated", "occluded", "is_crowd")
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
def test_a_shape_that_cannot_be_read_costs_its_image_only(shape: str, reason: str, message: str) -> None:
    broken, whole = _read(f'<image name="a.jpg">{shape}{_BOX}</image><image name="b.jpg">{_BOX}</image>')
    assert [(fault.reason, message in fault.detail) for fault in broken.unread] == [(reason, True)]
    assert len(broken.objects) == 1
    assert (len(whole.objects), whole.unread) == (1, ())


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
        pytest.param("", 'name="../../etc/x"', ("../../etc/x", None, None), id="only a name: nobody opens it"),
        pytest.param("", 'name="frame_000001"', ("frame_000001", None, None), id="a video's frame has no extension"),
    ],
)
def test_names_and_tasks(meta: str, attributes: str, expected: tuple[str | None, ...]) -> None:
    (image,) = _read(f"<image {attributes}/>", meta)
    assert (image.filename, image.task_id, image.subset) == expected
    assert (image.objects, image.unread) == ((), ()), "an image without shapes is a true negative"


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
    assert (image.width, image.height, len(image.unread)) == (*expected, unread)


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
def test_an_entity_bomb_does_not_go_off(place: str) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    data = f"<!DOCTYPE annotations [{entities}]><annotations>{place}</annotations>".encode()
    with pytest.raises(AnnotationError):
        list(read_cvat(io.BytesIO(data), source="bomb.xml"))


def test_images_before_a_fault_are_yielded() -> None:
    reader = read_cvat(io.BytesIO(b"<annotations><image name='a'/><image name='b'/><image"), source="a.xml")
    assert next(reader).filename == "a"
    with pytest.raises(AnnotationError):
        list(reader)


class _Endless(io.RawIOBase):
    """A file of many images that is never in memory as a whole."""

    def __init__(self, images: int) -> None:
        self._parts = self._content(images)

    @staticmethod
    def _content(images: int) -> Iterable[bytes]:
        yield b"<annotations><meta/>"
        for number in range(images):
            yield b'<image name="%d.jpg" width="100" height="50">\n' % number + _BOX.encode() * 2 + b"</image>\n"
        yield b"</annotations>"

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        return next(iter(self._parts), b"")


def test_20_000_images_are_never_in_memory_together() -> None:
    began = time.monotonic()
    siblings = [
        len(image.getparent())  # type: ignore[arg-type]
        for image in iterate_xml(_Endless(2_000), root="annotations", tags=("image",), source="a.xml")  # type: ignore[arg-type]
    ]
    # libxml2's own memory is hidden from tracemalloc, so that the tree's size is looked at instead: <meta>, the image
    # and those after it in the same read.
    assert (len(siblings), max(siblings) < 200) == (2_000, True)
    assert sum(len(image.objects) for image in read_cvat(_Endless(20_000), source="a.xml")) == 40_000  # type: ignore[arg-type]
    assert time.monotonic() - began < 60, "measured: 2 s; a reader that is quadratic in images takes minutes"


_LABEL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cn", "Co"]), min_size=1
)
_EDGE = st.floats(-100, 5000).map(lambda value: round(value, 2))
_OBJECTS = st.builds(ObjectAnnotation, label=_LABEL, box=st.tuples(_EDGE, _EDGE, _EDGE, _EDGE), occluded=st.booleans())
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


_SEED = format_cvat(
    [_image()],
    labels=["x"],
    task="t",
)
_VIDEO = (
    b"<annotations><meta><task><id>1</id><size>3</size><mode>interpolation</mode><start_frame>0</start_frame>"
    b'<stop_frame>2</stop_frame></task></meta><track id="0" label="x"><box frame="0" outside="0" xtl="1" ytl="2"'
    b' xbr="3" ybr="4"/><mask frame="2" rle="1,2" left="1" top="2" width="3" height="4"/></track></annotations>'
)


@given(st.sampled_from([_SEED, _VIDEO]), st.integers(0), st.integers(0, 12), st.binary(max_size=8))
def test_any_damage_is_survived_or_an_annotation_error(seed: bytes, at: int, gone: int, put: bytes) -> None:
    at %= len(seed)
    with contextlib.suppress(AnnotationError):
        list(read_cvat(io.BytesIO(seed[:at] + put + seed[at + gone :]), source="a.xml"))


def test_a_quarter_turn_is_clockwise_to_the_eye() -> None:
    top_left, bottom_left, top_right, bottom_right = rotated_corners((0, 0, 2, 4), 90)
    assert [*top_left, *top_right] == pytest.approx([3, -1, 3, 3]), "the upper edge becomes the right one"
    assert [*bottom_left, *bottom_right] == pytest.approx([1, -1, 1, 3])


_ANGLE = st.floats(-720, 720)


@given(st.tuples(_EDGE, _EDGE, _EDGE, _EDGE), _ANGLE)
def test_the_box_around_a_turned_box_holds_its_corners(box: tuple[float, float, float, float], angle: float) -> None:
    ymin, xmin, ymax, xmax = rotated_box(box, angle)
    if angle % 360:
        for x, y in rotated_corners(box, angle):
            assert xmin <= x <= xmax
            assert ymin <= y <= ymax
    middle = (box[0] + box[2], box[1] + box[3])
    assert (ymin + ymax, xmin + xmax) == pytest.approx(middle, abs=1e-6), "the centre stays"


@given(st.floats(1, 100), st.floats(1, 100), _ANGLE, st.floats(0, 360))
def test_a_turned_ellipse_stays_inside_its_box(rx: float, ry: float, angle: float, at: float) -> None:
    ymin, xmin, ymax, xmax = ellipse_box((5, 6), (rx, ry), angle)
    turn, position = math.radians(angle), math.radians(at)
    dx, dy = rx * math.cos(position), ry * math.sin(position)
    x = 5 + math.cos(turn) * dx - math.sin(turn) * dy
    y = 6 + math.sin(turn) * dx + math.cos(turn) * dy
    assert xmin - 1e-6 <= x <= xmax + 1e-6
    assert ymin - 1e-6 <= y <= ymax + 1e-6


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 7))
def test_a_mask_box_is_that_of_its_pixels(runs: list[int], width: int) -> None:
    pixels = [index % 2 for index, run in enumerate(runs) for _ in range(run)]
    on = [divmod(index, width) for index, value in enumerate(pixels) if value]
    rows, columns = [row for row, _ in on], [column for _, column in on]
    expected = (min(rows), min(columns), max(rows) + 1, max(columns) + 1) if on else None
    assert mask_box(runs, width=width) == expected
