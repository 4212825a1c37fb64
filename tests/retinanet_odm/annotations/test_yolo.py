"""YOLO's text files: boxes, outlines and rotated boxes as fractions; classes by name; what is not understood."""

import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinanet_odm.annotations.class_names import ClassNames
from retinanet_odm.annotations.reader import ReadingRules, read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.yolo import parse_yolo
from retinanet_odm.errors import AnnotationError

_NAMES = ClassNames(names={0: "star", 1: "crab"})
_BOX = (0.3, 0.4, 0.7, 0.6)


def _read(text: str, names: ClassNames = _NAMES, min_score: float | None = None) -> ImageAnnotation:
    return parse_yolo(text.encode(), source="labels/a.txt", names=names, min_score=min_score)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        pytest.param("1 0.5 0.5 0.2 0.4", _BOX, id="centre and size"),
        pytest.param("\n  1\t0.5 0.5  0.2 4e-1 \r\n\r\n", _BOX, id="blanks, tabs and line ends of Windows"),
        pytest.param("\ufeff1 0.5 0.5 0.2 0.4", _BOX, id="a byte order mark"),
        pytest.param("1.0 0.5 0.5 0.2 0.4", _BOX, id="a class with a point"),
        pytest.param("1 0.4 0.5 0.6 0.3 0.5 0.7", _BOX, id="an outline of three points"),
        pytest.param("1 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7", _BOX, id="four corners of a rotated box"),
        pytest.param("1 0.95 0.5 0.2 0.4", (0.3, 0.85, 0.7, 1.05), id="beyond the image: cut later"),
    ],
)
def test_rows(text: str, box: tuple[float, ...]) -> None:
    image = _read(text)
    assert (image.filename, image.width, image.height, image.is_relative, image.unreadable) == (
        "a",
        None,
        None,
        True,
        (),
    )
    assert [item.label for item in image.objects] == ["crab"]
    assert image.objects[0].box == pytest.approx(box)


def test_each_row_is_an_object_with_its_line() -> None:
    image = _read("0 0.5 0.5 0.1 0.1\n\n1 0.2 0.2 0.1 0.1\n")
    assert [(item.label, item.line) for item in image.objects] == [("star", 1), ("crab", 3)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("7 0.5 0.5 0.2 0.4", "class_without_name", id="a class that is not in the list"),
        pytest.param("-1 0.5 0.5 0.2 0.4", "number_not_readable", id="a negative class"),
        pytest.param("crab 0.5 0.5 0.2 0.4", "number_not_readable", id="a name as class"),
        pytest.param("1 0.5 x 0.2 0.4", "number_not_readable", id="text"),
        pytest.param("1 0.5 nan 0.2 0.4", "number_not_readable", id="no number"),
        pytest.param("1 0.5 0.5 0.2", "shape_not_known", id="too few numbers"),
        pytest.param("1 0.5 0.5 0.2 0.4 0.1 0.2 2", "shape_not_known", id="a keypoint with its visibility"),
        pytest.param("1 0.5 0.5 0.2 0.4 0.1 0.2 1 0.3 0.4 0", "shape_not_known", id="two keypoints"),
        pytest.param("1 0.5 0.5 0.2 0.4 0.1 0.2 0.3", "points_not_readable", id="an odd number of coordinates"),
        pytest.param("1 320 240 64 48", "coordinates_not_relative", id="pixels"),
        pytest.param("1 50 50 20 40", "coordinates_not_relative", id="percent"),
    ],
)
def test_a_row_that_is_not_understood_rejects_the_image(text: str, reason: str) -> None:
    image = _read(f"0 0.5 0.5 0.1 0.1\n{text}\n")
    assert [(fault.reason, fault.line) for fault in image.unreadable] == [(reason, 2)]


def test_keypoints_that_the_names_announce() -> None:
    names = ClassNames(names=_NAMES.names, has_keypoints=True)
    assert [fault.reason for fault in _read("1 0.5 0.5 0.2 0.4 0.1 0.2", names).unreadable] == ["shape_not_known"]


def test_no_names_name_the_files_that_are_missing() -> None:
    (fault,) = _read("1 0.5 0.5 0.2 0.4", ClassNames()).unreadable
    assert fault.reason == "class_without_name" and "data.yaml" in fault.detail and "--annotations" in fault.detail


def test_rows_with_scores_are_predictions() -> None:
    text = "1 0.5 0.5 0.2 0.4 0.9\n0 0.5 0.5 0.2 0.4 0.3\n"
    with pytest.raises(AnnotationError) as caught:
        _read(text)
    assert (caught.value.reason, "--min_score" in caught.value.detail) == ("predictions_not_accepted", True)
    image = _read(text, min_score=0.5)
    assert [item.label for item in image.objects] == ["crab"]
    assert image.ignored == (("prediction below --min_score", 1),)


@pytest.mark.parametrize(("data", "source"), [(b"", "labels/a.txt"), (b" \r\n", "labels/a.TXT")])
def test_an_empty_text_is_a_statement_and_needs_no_names(data: bytes, source: str) -> None:
    (image,) = read_annotations(io.BytesIO(data), source=source)
    assert (image.filename, image.objects, image.unreadable) == ("a", (), ())


_CELLS = st.sampled_from(("0", "1", "2", "0.5", "0.25", "-0.1", "1.5", "640", "nan", "x", "", "1e-3", "1_0", "٣"))


@settings(max_examples=100, derandomize=True, database=None)
@given(st.lists(st.lists(_CELLS, max_size=12).map(" ".join), max_size=4))
def test_no_row_is_lost_in_silence(lines: list[str]) -> None:
    text = "1 0.5 0.5 0.2 0.4\n" + "\n".join(lines)
    rows = sum(bool(line.strip()) for line in text.split("\n"))
    rules = ReadingRules(class_names=lambda: _NAMES)
    try:
        (image,) = read_annotations(io.BytesIO(text.encode()), source="a.txt", rules=rules)
    except AnnotationError:
        return
    assert len(image.objects) == rows or image.unreadable
    assert all(map(math.isfinite, (edge for item in image.objects for edge in item.box)))
