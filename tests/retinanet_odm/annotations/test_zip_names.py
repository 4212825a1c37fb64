"""Which members of zip files are annotation files, judged by their names."""

import pytest

from retinanet_odm.annotations.zip_names import choose_annotations, is_annotation_name

NAMES = [
    ("annotations.xml", True, "CVAT for images"),
    ("annotations/instances_default.JSON", True, "COCO"),
    ("package.json", True, "its content decides"),
    ("__MACOSX/._annotations.xml", False, "macOS's shadow"),
    (".idea/x.xml", False, "hidden"),
    ("labelmap.txt", False, "no annotation"),
    ("images/a.jpg", False, "an image"),
]
# Members of an archive; what is not read is marked by a minus.
ARCHIVES = [
    ("data.yaml labels/train/a.txt -images/train/a.jpg -train.txt", "Ultralytics, CVAT's newer one"),
    ("obj.names -obj.data -train.txt x/a.txt -x/a.png", "CVAT's YOLO 1.1: train.txt lists the images"),
    ("data.yaml -README.roboflow.txt -README.dataset.txt valid/labels/a.txt", "Roboflow"),
    ("classes.txt notes.json labels/a.txt", "Label Studio"),
    ("data.yaml labels/val/train.txt -old/train.txt", "the text of an image that is called as a list is"),
    ("a.txt b/c.TXT", "the names of the classes are elsewhere"),
    ("Annotations/a.xml -labelmap.txt -ImageSets/Main/default.txt", "Pascal VOC"),
    ("Annotations/a.xml -labels/a.txt", "the same boxes in two formats, of which one lacks its classes"),
    ("-labelmap.txt -ImageSets/Main/default.txt -JPEGImages/a.jpg", "Pascal VOC without annotations"),
    ("-data.yaml -a.jpg -__MACOSX/._a.txt", "classes alone, and macOS's shadow"),
]


@pytest.mark.parametrize(("name", "expected", "why"), NAMES)
def test_is_annotation_name(name: str, expected: bool, why: str) -> None:
    assert is_annotation_name(name) is expected, why


@pytest.mark.parametrize(("names", "why"), ARCHIVES)
def test_annotation_files_of_an_archive(names: str, why: str) -> None:
    given = names.split()
    found = choose_annotations(name.removeprefix("-") for name in given)
    assert found == {name for name in given if not name.startswith("-")}, why
