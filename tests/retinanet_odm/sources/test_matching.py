"""Which annotation belongs to which image: a table with a reason per row, and laws."""

import dataclasses
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retinanet_odm.predictions.formats.encoding import xml_text
from retinanet_odm.predictions.formats.voc import to_voc
from retinanet_odm.sources.listing import AnnotationFile, ImageFile, InputPattern, match_annotations, read_annotation
from retinanet_odm.sources.matching import pair_files
from retinanet_odm.sources.row_names import match_key
from tests.retinanet_odm.prediction_rows import RUN, scored
from tests.retinanet_odm.sources.rows import broken_file, image_file, listed_annotation, unknown_file, voc_file

TABLE = {
    "the same path": (["a.jpg"], [listed_annotation("a.jpg")], {"a.jpg": 0}),
    "the same path beats the same file name": (
        ["1/a.jpg", "2/a.jpg"],
        [listed_annotation("2/a.jpg"), listed_annotation("1/a.jpg")],
        {"1/a.jpg": 1, "2/a.jpg": 0},
    ),
    "the extension distinguishes two images": (
        ["a.jpg", "a.png"],
        [listed_annotation("a.png"), listed_annotation("a.jpg")],
        {"a.jpg": 1, "a.png": 0},
    ),
    "images were converted: the path without extension": (
        ["1/a.png", "2/a.png"],
        [listed_annotation("1/a.jpg"), listed_annotation("2/a.jpg")],
        {"1/a.png": 0, "2/a.png": 1},
    ),
    "the images' pattern begins higher": (
        ["images/a.jpg", "images/1/a.jpg"],
        [listed_annotation("1/a.jpg"), listed_annotation("a.jpg")],
        {"images/a.jpg": 1, "images/1/a.jpg": 0},
    ),
    "the annotation's path begins higher": (
        ["1/a.jpg", "2/a.jpg"],
        [listed_annotation("/home/me/2/a.jpg"), listed_annotation("/home/me/1/a.jpg")],
        {"1/a.jpg": 1, "2/a.jpg": 0},
    ),
    "a path of Windows": (["1/a.jpg"], [listed_annotation("D:\\dives\\1\\a.jpg")], {"1/a.jpg": 0}),
    "a path with ./ in front": (["1/a.jpg"], [listed_annotation("./1/a.jpg")], {"1/a.jpg": 0}),
    "CVAT's subset is a folder of the export": (
        ["Train/a.jpg", "Test/a.jpg"],
        [listed_annotation("a.jpg", subset="Test"), listed_annotation("a.jpg", subset="Train")],
        {"Train/a.jpg": 1, "Test/a.jpg": 0},
    ),
    "below images/ too": (
        ["images/Train/a.jpg", "images/Test/a.jpg"],
        [listed_annotation("a.jpg", subset="Test"), listed_annotation("a.jpg", subset="Train")],
        {"images/Train/a.jpg": 1, "images/Test/a.jpg": 0},
    ),
    "CVAT's task as a folder": (
        ["7/a.jpg", "8/a.jpg"],
        [listed_annotation("a.jpg", task="8"), listed_annotation("a.jpg", task="7")],
        {"7/a.jpg": 1, "8/a.jpg": 0},
    ),
    "COCO's subset is a folder of the export": (
        ["x/images/Train/a.jpg", "x/images/Test/a.jpg"],
        [
            listed_annotation("a.jpg", file="x/annotations/instances_Test.json"),
            listed_annotation("a.jpg", file="x/annotations/instances_Train.json"),
        ],
        {"x/images/Train/a.jpg": 1, "x/images/Test/a.jpg": 0},
    ),
    "the folders of a VOC export": (
        ["x/JPEGImages/1/a.jpg", "x/JPEGImages/2/a.jpg", "x/JPEGImages/a.jpg"],
        [voc_file("x/Annotations/a.xml"), voc_file("x/Annotations/2/a.xml"), voc_file("x/Annotations/1/a.xml")],
        {"x/JPEGImages/1/a.jpg": 2, "x/JPEGImages/2/a.jpg": 1, "x/JPEGImages/a.jpg": 0},
    ),
    "images/ and annotations/ of two dives": (
        ["x/images/a.jpg", "y/images/a.jpg"],
        [voc_file("y/annotations/a.xml"), voc_file("x/annotations/a.xml")],
        {"x/images/a.jpg": 1, "y/images/a.jpg": 0},
    ),
    "a VOC export of another name than the images' folder": (
        ["photos/1/a.jpg", "photos/2/a.jpg"],
        [voc_file("x/Annotations/2/a.xml"), voc_file("x/Annotations/1/a.xml")],
        {"photos/1/a.jpg": 1, "photos/2/a.jpg": 0},
    ),
    "VOC exports without images, which lie in folders of the exports' names": (
        ["x/a.jpg", "y/a.jpg"],
        [voc_file("y/Annotations/a.xml"), voc_file("x/Annotations/a.xml")],
        {"x/a.jpg": 1, "y/a.jpg": 0},
    ),
    "one name in two CVAT tasks is two images": (
        ["a.jpg"],
        [listed_annotation("a.jpg", task="7"), listed_annotation("a.jpg", task="8")],
        {"a.jpg": "conflict"},
    ),
    "the same file name": (["1/a.jpg"], [listed_annotation("2/a.jpg")], {"1/a.jpg": 0}),
    "a file name is no match when folders contradict and others have it too": (
        ["1/a.jpg", "2/a.jpg"],
        [listed_annotation("1/a.jpg"), listed_annotation("3/a.jpg")],
        {"1/a.jpg": 0, "2/a.jpg": "conflict"},
    ),
    "the same stem": (["1/a.png"], [listed_annotation("2/a.jpg")], {"1/a.png": 0}),
    "frames of a video have no extension": (
        ["clip/frame_07.png"],
        [listed_annotation("frame_07")],
        {"clip/frame_07.png": 0},
    ),
    "VOC by the path of its file": (
        ["1/a.jpg", "2/a.jpg"],
        [voc_file("2/a.xml"), voc_file("1/a.xml")],
        {"1/a.jpg": 1, "2/a.jpg": 0},
    ),
    "VOC by its stem": (["1/a.jpg"], [voc_file("a.xml")], {"1/a.jpg": 0}),
    "a wrong <filename> does no harm": (["a.jpg"], [voc_file("a.xml", "other.jpg")], {"a.jpg": 0}),
    "<filename> breaks a tie of images": (
        ["a.jpg", "a.png"],
        [voc_file("a.xml", "a.png")],
        {"a.jpg": None, "a.png": 0},
    ),
    "<filename> breaks a tie of annotations": (
        ["a.jpg"],
        [voc_file("1/a.xml", "a.png"), voc_file("2/a.xml", "a.jpg")],
        {"a.jpg": 1},
    ),
    "a tie stays open if one annotation cannot be read": (
        ["a.jpg"],
        [voc_file("1/a.xml", "a.jpg"), broken_file("2/a.xml")],
        {"a.jpg": "conflict"},
    ),
    "a tie that <filename> does not break": (
        ["1/a.jpg", "2/a.jpg"],
        [voc_file("a.xml", "a.jpg")],
        {"1/a.jpg": "conflict", "2/a.jpg": "conflict"},
    ),
    "annotated by two tools": (["a.jpg"], [voc_file("a.xml"), listed_annotation("a.jpg")], {"a.jpg": "conflict"}),
    "one image of two is annotated": (
        ["1/a.jpg", "2/a.jpg"],
        [listed_annotation("1/a.jpg")],
        {"1/a.jpg": 0, "2/a.jpg": None},
    ),
    "a bare name that two images have": (
        ["1/a.jpg", "2/a.jpg"],
        [listed_annotation("a.jpg")],
        {"1/a.jpg": "conflict", "2/a.jpg": "conflict"},
    ),
    "a.jpg.xml is of a.jpg, and a.xml of the other": (
        ["a.jpg", "a.png"],
        [voc_file("a.jpg.xml"), voc_file("a.xml", "a.png")],
        {"a.jpg": 0, "a.png": 1},
    ),
    "a.jpg.xml of an image that was converted": (["a.png"], [voc_file("a.jpg.xml")], {"a.png": 0}),
    "foo.xml.xml": (["foo.jpg"], [voc_file("foo.xml.xml", "foo.jpg")], {"foo.jpg": 0}),
    "foo.xml.xml in folders": (
        ["i/1/foo.jpg", "i/2/foo.jpg"],
        [voc_file("2/foo.xml.xml"), voc_file("1/foo.XML.xml")],
        {"i/1/foo.jpg": 1, "i/2/foo.jpg": 0},
    ),
    "a doubled extension of the image": (["a.jpg.jpg"], [voc_file("a.xml", "a.jpg")], {"a.jpg.jpg": 0}),
    "a.png.xml may be of a.png and of a.png.jpg": (
        ["a.png", "a.png.jpg"],
        [voc_file("a.png.xml")],
        {"a.png": "conflict", "a.png.jpg": "conflict"},
    ),
    "its <filename> decides": (
        ["a.png", "a.png.jpg"],
        [voc_file("a.png.xml", "a.png.jpg"), voc_file("a.xml", "a.png")],
        {"a.png": 1, "a.png.jpg": 0},
    ),
    "a part of a name is no extension": (
        ["crab.jpg", "crab.male.jpg"],
        [voc_file("crab.xml", "crab.jpg")],
        {"crab.jpg": 0, "crab.male.jpg": None},
    ),
    "images are NFD, as macOS writes them, and names in the file NFC": (
        ["d/e\u0301.jpg", "f/e\u0301.jpg"],
        [listed_annotation("f/\u00e9.jpg"), listed_annotation("d/\u00e9.jpg")],
        {"d/e\u0301.jpg": 1, "f/e\u0301.jpg": 0},
    ),
    "a VOC file in NFC": (["e\u0301.jpg"], [voc_file("\u00e9.xml", "\u00e9.jpg")], {"e\u0301.jpg": 0}),
    "both forms in one folder are two images": (
        ["e\u0301.jpg", "\u00e9.jpg"],
        [listed_annotation("\u00e9.jpg"), listed_annotation("e\u0301.jpg")],
        {"e\u0301.jpg": 1, "\u00e9.jpg": 0},
    ),
    "two files of one name in two forms": (
        ["e\u0301.jpg", "\u00e9.jpg"],
        [listed_annotation("x/\u00e9.jpg"), listed_annotation("y/\u00e9.jpg")],
        {"e\u0301.jpg": None, "\u00e9.jpg": "conflict"},
    ),
    "a zip file is a folder of its name": (
        ["x/a.jpg", "y/a.jpg"],
        [voc_file("y.zip/a.xml"), voc_file("x.zip/a.xml")],
        {"x/a.jpg": 1, "y/a.jpg": 0},
    ),
    "a file of an unknown kind claims nothing that another does": (
        ["a.jpg"],
        [unknown_file("a.json"), voc_file("a.xml")],
        {"a.jpg": 1},
    ),
    "nor does it by a better name": (["1/a.jpg"], [unknown_file("1/a.xml"), voc_file("a.xml")], {"1/a.jpg": 1}),
    "alone it gives its reason": (["a.jpg"], [unknown_file("a.json")], {"a.jpg": 0}),
    "annotated by two tools, one of which writes <filename>": (
        ["a.jpg"],
        [voc_file("a.xml", "a.jpg"), listed_annotation("a.jpg")],
        {"a.jpg": "conflict"},
    ),
    "a path out of the folder is only a name": (
        ["etc/a.jpg"],
        [listed_annotation("../../etc/a.jpg")],
        {"etc/a.jpg": 0},
    ),
}


def _outcome(images: list[ImageFile], annotations: list[AnnotationFile]) -> dict[str, AnnotationFile | str | None]:
    found = pair_files(images, annotations)
    return {
        image.name: "conflict" if row in found.conflict_of else found.annotation_of.get(row)
        for row, image in enumerate(images)
    }


@pytest.mark.parametrize("step", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize(("images", "annotations", "expected"), TABLE.values(), ids=TABLE.keys())
def test_match(images, annotations, expected, step):
    found = _outcome([image_file(name) for name in images][::step], annotations[::step])
    assert found == {name: annotations[row] if isinstance(row, int) else row for name, row in expected.items()}


paths = st.lists(st.sampled_from(["a.jpg", "a.png", "1/a.jpg", "2/a.jpg", "x/1/a.jpg", "1/a.png"]), max_size=6)


@settings(max_examples=150)
@given(paths, paths, st.randoms(use_true_random=False))
def test_no_image_is_lost_and_order_does_not_matter(image_paths, annotation_paths, random):
    images = [image_file(name) for name in sorted(set(image_paths))]
    annotations = [listed_annotation(name, uri=f"/x/{row}.json") for row, name in enumerate(annotation_paths)]
    found = pair_files(images, annotations)
    assert found.annotation_of.keys().isdisjoint(found.conflict_of)
    used = [file.uri for file in found.annotation_of.values()]
    in_conflict = {file.uri for conflict in found.conflict_of.values() for file in conflict.annotations}
    unused = [file.uri for file in found.unused]
    assert len(set(used)) == len(used), "an annotation is of one image"
    assert {*used, *in_conflict, *unused} == {file.uri for file in annotations}
    shuffled = random.sample(annotations, len(annotations))
    assert _outcome(images[::-1], shuffled) == _outcome(images, annotations)


exports = st.lists(st.sampled_from(["", "x.zip", "y.zip"]), min_size=6, max_size=6)


@settings(max_examples=150)
@given(paths, exports, paths, exports)
def test_each_export_is_matched_as_if_it_were_alone(image_paths, image_exports, annotation_paths, annotation_exports):
    images = [
        dataclasses.replace(image_file(f"{row}/{name}"), export_uri=export)
        for row, (name, export) in enumerate(zip(image_paths, image_exports, strict=False))
    ]
    annotations = [
        dataclasses.replace(listed_annotation(name, uri=f"/x/{row}.json"), export_uri=export)
        for row, (name, export) in enumerate(zip(annotation_paths, annotation_exports, strict=False))
    ]
    alone: dict = {}
    for export in {*image_exports, *annotation_exports}:
        alone |= _outcome(*([row for row in rows if row.export_uri == export] for rows in (images, annotations)))
    assert _outcome(images, annotations) == alone


def test_a_huge_group_takes_linear_time():
    """Cameras that number their frames from 1: one stem in every folder."""
    names = [f"{folder}/a.jpg" for folder in range(5000)]
    start = time.monotonic()
    found = pair_files([image_file(name) for name in names], [listed_annotation(f"up/{name}") for name in names])
    assert len(found.annotation_of) == len(names)
    crowd = pair_files([image_file(name) for name in names], [listed_annotation("a.jpg") for _ in names])
    assert len(crowd.conflict_of) == len(names)
    assert time.monotonic() - start < 20


# Names that exporters and tools make alike: one stem with several extensions, dots, folders of the export, both forms
# of Unicode, characters that no file of the export can have.
_STEMS = ("a", "a.png", "a.jpg", "b.2024.01", "frame.01", "Annotations", "\u00e9", "e\u0301", "n\x01", "n_", "\udce9")
_EXTENSIONS = (".jpg", ".JPG", ".png", ".xml.jpg", ".tiff", ".jpg#2")
_FOLDERS = (
    "",
    "1/",
    "1.zip/",
    "Annotations/",
    "x/Annotations/",
    "JPEGImages/",
    "../",
    "\u00e9/",
    "e\u0301/",
    "1/a.jpg/",
)
image_paths = st.builds(
    "{}{}{}".format, st.sampled_from(_FOLDERS), st.sampled_from(_STEMS), st.sampled_from(_EXTENSIONS)
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(image_paths, min_size=1, max_size=12))
@example({"a.jpg", "a.png", "a.png.jpg"})
@example({"Annotations/a.jpg", "a.jpg", "x/Annotations/a.jpg"})
@example({"n\x01.jpg", "n_.jpg"})
@example({"frame.01", "frame.02", "1/frame.01"})
@example({"\u00e9/n\x01.jpg", "e\u0301/n\x01.jpg"})
def test_what_score_writes_as_voc_is_read_back_whatever_the_names(tmp_path, names):
    path = tmp_path / "voc.zip"
    path.write_bytes(b"".join(to_voc([scored(name) for name in sorted(names)], RUN)))
    listed = match_annotations(InputPattern(pattern=str(path), flag="--annotations"))
    files = [row for _, file in listed for row in read_annotation(file)]
    groups: dict[bytes, tuple[list, list]] = {}
    for name in sorted(names):
        groups.setdefault(match_key(name), ([], []))[0].append(image_file(name))
    for file in files:
        groups.setdefault(match_key(file.uri), ([], []))[1].append(file)
    for images, annotations in groups.values():
        found = pair_files(images, annotations)
        for row, image in enumerate(images):
            # XML cannot hold all characters. If two names differ only in those, neither annotation is taken.
            if image.name != xml_text(image.name) and row in found.conflict_of:
                continue
            assert row in found.annotation_of, (image.name, found.conflict_of.get(row))
            assert found.annotation_of[row].annotation.filename == xml_text(image.name)
