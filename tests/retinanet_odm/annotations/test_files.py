"""Annotation files are opened, from Python as by `prepare`."""

import json
from pathlib import Path

import pytest

from retinanet_odm import annotations
from retinanet_odm.annotations import ImageAnnotation, ObjectAnnotation, format_cvat, format_voc
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.samples.files import make_zip
from retinanet_odm.sources.listing import input_patterns, match_annotations, read_annotation

_CRAB = ObjectAnnotation(label="crab", box=(1.0, 2.0, 3.5, 4.0))
_ANNOTATION = ImageAnnotation(filename="a.jpg", width=100, height=50, objects=(_CRAB,), source="x")
_CVAT = format_cvat([_ANNOTATION], labels=["crab"], task="t")
_PREDICTIONS = {
    "images": [{"file": "a.jpg", "detections": [{"category": "1", "conf": 0.8, "bbox": [0.1, 0.2, 0.3, 0.4]}]}],
    "detection_categories": {"1": "animal"},
    "info": {},
}
FILES = [
    pytest.param("a.xml", format_voc(_ANNOTATION), id="Pascal VOC"),
    pytest.param("annotations.xml", _CVAT, id="CVAT"),
    pytest.param(
        "export.zip", make_zip(iter([("annotations.xml", _CVAT), ("a/b.xml", _CVAT)])), id="two in a zip file"
    ),
    pytest.param("labels/a.txt", b"0 0.5 0.5 0.1 0.1\n", id="YOLO, names beside it"),
    pytest.param(
        "yolo.zip",
        make_zip(iter([("x/data.yaml", b"names: [crab]"), ("x/labels/a.txt", b"0 0.5 0.5 0.1 0.1\n")])),
        id="YOLO in a zip file",
    ),
    pytest.param("md.json", json.dumps(_PREDICTIONS).encode(), id="MegaDetector"),
]


@pytest.mark.parametrize(("name", "data"), FILES)
def test_read_gives_what_prepare_reads(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    (tmp_path / "data.yaml").write_text("names: [crab]")
    (source,) = input_patterns([str(path)], (), flag="--annotations")
    rows = [row for _, listed in match_annotations(source) for row in read_annotation(listed, min_score=0.5)]
    read = annotations.read(path, min_score=0.5)
    assert read == [row.annotation for row in rows] != []
    assert all(image.objects and not image.unreadable for image in read)


def test_class_names_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    (tmp_path / "mine.txt").write_text("crab\n")
    (image,) = annotations.read(str(tmp_path / "a.txt"), class_names=tmp_path / "mine.txt")
    assert image.is_relative and image.objects[0].label == "crab"


FAULTS = [
    pytest.param("none.xml", None, DataError, "cannot be read: [Errno 2] No such file", id="no such file"),
    pytest.param("dir.xml", "", DataError, "cannot be read: it is no regular file", id="a folder"),
    pytest.param("a.xml", b"\x89PNG\r\n", DataError, "found a PNG image", id="an image"),
    pytest.param("a.xml", b"<annotation><object>", DataError, "line 1", id="cut"),
    pytest.param("a.zip", b"PK", UsageError, "is not a readable zip archive", id="a damaged zip file"),
    pytest.param("a.zip", make_zip(iter([("a.jpg", b"")])), UsageError, "found none", id="a zip file of images"),
    pytest.param("p.json", json.dumps(_PREDICTIONS).encode(), DataError, "--min_score", id="predictions"),
]


@pytest.mark.parametrize(("name", "data", "error", "part"), FAULTS)
def test_a_fault_is_one_line_that_names_the_file(
    tmp_path: Path, name: str, data: bytes | None, error: type[Exception], part: str
) -> None:
    path = tmp_path / name
    if data == "":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    with pytest.raises(error) as caught:
        annotations.read(path)
    assert str(path) in str(caught.value) and part in str(caught.value) and "\n" not in str(caught.value)
