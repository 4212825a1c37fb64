"""The file names of exported images: one for each image, also where file systems and formats know fewer names."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs.export.names import complete_name, label_path, plan_names
from beam_jobs.export.options import COCO, YOLO
from retinanet_odm.dataset.source_ids import ID_WRITTEN, IdRow
from retinanet_odm.systems import folded_name


def plan(names: list[str], form: str, image_format: str = "jpeg") -> list[str]:
    rows = [IdRow(source_id=n, image=name, split="val", status=ID_WRITTEN) for n, name in enumerate(names, start=1)]
    return [complete_name(name, image_format, form) for name in plan_names(rows, form).values()]


NAMES = [
    (COCO, ["dive1/a.JPG", "b.tif"], ["dive1/a.JPG", "b.tif"], "names stay"),
    (COCO, ["a.jpg", "a.png"], ["a.jpg", "a.png"], "two files of one stem are two files"),
    (COCO, ["a.jpg", "A.JPG"], ["a.jpg", "A_2.JPG"], "one file on Windows and macOS"),
    (COCO, ["\u00e9.jpg", "e\u0301.jpg"], ["\u00e9.jpg", "e\u0301_2.jpg"], "one file on macOS"),
    (COCO, ["../../a.jpg", "a.jpg"], ["a.jpg", "a_2.jpg"], "nothing is written outside of the folder"),
    (COCO, ["a\n.jpg", "\udce9.jpg"], ["a_.jpg", "_.jpg"], "JSON and text files hold neither"),
    (COCO, ["x/images/a.jpg"], ["x/images/a.jpg"], "the folder matters to Ultralytics only"),
    (YOLO, ["dive1/a.JPG"], ["dive1/a.JPG"], "names stay"),
    (YOLO, ["x/images/a.jpg"], ["x/images_/a.jpg"], "Ultralytics would look in x/labels"),
    (YOLO, ["a.jpg", "a.png"], ["a.jpg", "a_2.png"], "both texts would be a.txt"),
    (YOLO, ["a.jpg", "a_2.jpg", "a.png"], ["a.jpg", "a_2.jpg", "a_3.png"], "a name that is free"),
    (YOLO, ["a_3.jpg", "a.jpg", "a.png"], ["a_3.jpg", "a.jpg", "a__3.png"], "the first other name is taken, too"),
    (YOLO, ["a.gif", "b", "c.jpg#2"], ["a_gif.jpg", "b.jpg", "c_jpg#2.jpg"], "Ultralytics lists images by suffix"),
    (YOLO, ["a.jpg.jpg", "a.jpg"], ["a_jpg.jpg", "a.jpg"], "a.jpg.txt could be the text of either"),
    (YOLO, ["classes.jpg"], ["classes_.jpg"], "classes.txt has the names of classes"),
]


@pytest.mark.parametrize(("form", "names", "expected", "reason"), NAMES)
def test_names(form: str, names: list[str], expected: list[str], reason: str) -> None:
    assert plan(names, form) == expected, reason


def test_the_suffix_is_that_of_the_record() -> None:
    assert plan(["a.gif"], YOLO, "png") == ["a_gif.png"]


@given(st.lists(st.text("aA.\u00e9/_2#", min_size=1, max_size=6).map(lambda text: f"{text}.jpg"), unique=True))
def test_no_two_images_share_a_file(names: list[str]) -> None:
    for form in (COCO, YOLO):
        planned = plan(names, form)
        paths = planned if form == COCO else list(map(label_path, planned))
        assert len(set(map(folded_name, paths))) == len(names)
        assert all(not name.startswith("/") and posixpath.normpath(name) == name for name in planned)
