"""The names of YOLO's classes are found beside the text files, or where the user says."""

from pathlib import Path

import pytest

from retinanet_odm.annotations.yolo_names import find_class_names
from retinanet_odm.errors import UsageError
from retinanet_odm.samples.files import make_zip
from retinanet_odm.sources.listing import AnnotationFile, input_patterns, match_annotations, read_annotation


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("labels/train/classes.txt", id="in the folder, as LabelImg"),
        pytest.param("labels/classes.txt", id="above, as Label Studio"),
        pytest.param("data.yaml", id="beside the labels, as Ultralytics"),
    ],
)
def test_names_beside_the_files(tmp_path: Path, place: str) -> None:
    _write(tmp_path / place, "names: [star]" if place.endswith("yaml") else "star\n")
    assert find_class_names(str(tmp_path / "labels/train/a.txt")).names == {0: "star"}


def test_no_names_further_above(tmp_path: Path) -> None:
    _write(tmp_path / "data.yaml", "names: [star]")
    assert find_class_names(str(tmp_path / "a/labels/train/a.txt")).names == {}


def _rows(patterns: list[str]) -> list[AnnotationFile]:
    sources = input_patterns(patterns, (), flag="--annotations")
    return [row for source in sources for _, listed in match_annotations(source) for row in _read_rows(listed)]


def _read_rows(listed: AnnotationFile) -> list[AnnotationFile]:
    return [row for row in read_annotation(listed) if isinstance(row, AnnotationFile)]


def test_a_named_file_of_class_names_goes_with_the_patterns(tmp_path: Path) -> None:
    labels = _write(tmp_path / "a/b/c/d/x.txt", "0 0.5 0.5 0.2 0.4\n")
    names = _write(tmp_path / "names.yaml", "names: [star]")
    (row,) = _rows([str(labels), str(names)])
    assert row.annotation and [item.label for item in row.annotation.objects] == ["star"]
    assert row.image_name == "", "the file's own name stands for the image"


def test_a_file_of_class_names_that_a_pattern_matches_is_no_annotation(tmp_path: Path) -> None:
    _write(tmp_path / "labels/x.txt", "0 0.5 0.5 0.2 0.4\n")
    _write(tmp_path / "labels/empty.txt", "")
    _write(tmp_path / "labels/classes.txt", "star\n")
    rows = _rows([f"{tmp_path}/labels/*"])
    found = {Path(row.uri).name: row.annotation and len(row.annotation.objects) for row in rows}
    assert found == {"x.txt": 1, "empty.txt": 0}


def test_two_files_of_class_names_are_refused() -> None:
    with pytest.raises(UsageError, match="one file of class names"):
        input_patterns(["a.yaml", "b/classes.txt", "labels/*"], (), flag="--annotations")


def test_names_that_cannot_be_read_reject_the_file(tmp_path: Path) -> None:
    labels = _write(tmp_path / "x.txt", "0 0.5 0.5 0.2 0.4\n")
    _write(tmp_path / "data.yaml", "names: []")
    (row,) = _rows([str(labels)])
    assert (row.reason, "data.yaml" in row.detail) == ("class_names_not_readable", True)


IN_ZIP = [
    ("x/labels/train/a.txt", {0: "near"}, "those of the same folder of a zip file that was zipped again"),
    ("x/y/z/labels/a.txt", {0: "far"}, "however far below: an archive is a whole"),
    ("other/a.txt", {}, "not those of another folder"),
]


@pytest.mark.parametrize(("text", "expected", "why"), IN_ZIP)
def test_names_in_a_zip_file(tmp_path: Path, text: str, expected: dict[int, str], why: str) -> None:
    members = {"x/data.yaml": "names: [far]", "x/labels/train/classes.txt": "near", "x/labels/train/obj.names": "last"}
    path = tmp_path / "yolo.zip"
    path.write_bytes(make_zip((name, content.encode()) for name, content in members.items()))
    assert find_class_names(f"{path}/{text}", zip_path=str(path)).names == expected, why


def test_names_that_the_user_names_are_those_of_a_zip_file_too(tmp_path: Path) -> None:
    (tmp_path / "yolo.zip").write_bytes(
        make_zip(iter([("a.txt", b"0 0.5 0.5 0.2 0.4"), ("data.yaml", b"names: [no]")]))
    )
    names = _write(tmp_path / "names.yaml", "names: [star]")
    (row,) = _rows([f"{tmp_path}/yolo.zip", str(names)])
    assert row.annotation and [item.label for item in row.annotation.objects] == ["star"]
