"""Which annotation belongs to which image: a table with a reason per row, and laws."""

import dataclasses
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs import plan
from beam_jobs.rows import Reject, UnannotatedImage
from retinanet_odm.annotations.types import ImageAnnotation, UnreadableObject
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.matching import pair_files


def _image(name: str) -> ImageFile:
    return ImageFile(uri=f"/i/{name}", name=name)


def _content(filename: str, subset: str | None = None, task: str | None = None, **more) -> ImageAnnotation:
    sizes = {"width": None, "height": None, "objects": (), "source": "s", "subset": subset, "task_id": task}
    return ImageAnnotation(filename=filename, **{**sizes, **more})


def _listed(
    name: str,
    *,
    uri: str = "/x/all.json",
    file: str = "all.json",
    subset: str | None = None,
    task: str | None = None,
):
    """An image of a file that lists images."""
    return AnnotationFile(uri=uri, name=file, image_name=name, annotation=_content(name, subset, task))


def _voc(name: str, inside: str = "") -> AnnotationFile:
    return AnnotationFile(uri=f"/x/{name}", name=name, annotation=_content(inside))


def _broken(name: str) -> AnnotationFile:
    return AnnotationFile(uri=f"/x/{name}", name=name, reason="xml_not_well_formed", detail=f"/x/{name}: line 3")


TABLE = {
    "the same path": (["a.jpg"], [_listed("a.jpg")], {"a.jpg": 0}),
    "the same path beats the same file name": (
        ["1/a.jpg", "2/a.jpg"],
        [_listed("2/a.jpg"), _listed("1/a.jpg")],
        {"1/a.jpg": 1, "2/a.jpg": 0},
    ),
    "the extension tells two images apart": (
        ["a.jpg", "a.png"],
        [_listed("a.png"), _listed("a.jpg")],
        {"a.jpg": 1, "a.png": 0},
    ),
    "images were converted: the path without extension": (
        ["1/a.png", "2/a.png"],
        [_listed("1/a.jpg"), _listed("2/a.jpg")],
        {"1/a.png": 0, "2/a.png": 1},
    ),
    "the images' pattern begins higher": (
        ["images/a.jpg", "images/1/a.jpg"],
        [_listed("1/a.jpg"), _listed("a.jpg")],
        {"images/a.jpg": 1, "images/1/a.jpg": 0},
    ),
    "the annotation's path begins higher": (
        ["1/a.jpg", "2/a.jpg"],
        [_listed("/home/me/2/a.jpg"), _listed("/home/me/1/a.jpg")],
        {"1/a.jpg": 1, "2/a.jpg": 0},
    ),
    "a path of Windows": (["1/a.jpg"], [_listed("D:\\dives\\1\\a.jpg")], {"1/a.jpg": 0}),
    "a path with ./ in front": (["1/a.jpg"], [_listed("./1/a.jpg")], {"1/a.jpg": 0}),
    "CVAT's subset is a folder of the export": (
        ["Train/a.jpg", "Test/a.jpg"],
        [_listed("a.jpg", subset="Test"), _listed("a.jpg", subset="Train")],
        {"Train/a.jpg": 1, "Test/a.jpg": 0},
    ),
    "below images/ too": (
        ["images/Train/a.jpg", "images/Test/a.jpg"],
        [_listed("a.jpg", subset="Test"), _listed("a.jpg", subset="Train")],
        {"images/Train/a.jpg": 1, "images/Test/a.jpg": 0},
    ),
    "CVAT's task as a folder": (
        ["7/a.jpg", "8/a.jpg"],
        [_listed("a.jpg", task="8"), _listed("a.jpg", task="7")],
        {"7/a.jpg": 1, "8/a.jpg": 0},
    ),
    "COCO's subset is a folder of the export": (
        ["x/images/Train/a.jpg", "x/images/Test/a.jpg"],
        [
            _listed("a.jpg", file="x/annotations/instances_Test.json"),
            _listed("a.jpg", file="x/annotations/instances_Train.json"),
        ],
        {"x/images/Train/a.jpg": 1, "x/images/Test/a.jpg": 0},
    ),
    "the folders of a VOC export": (
        ["x/JPEGImages/1/a.jpg", "x/JPEGImages/2/a.jpg", "x/JPEGImages/a.jpg"],
        [_voc("x/Annotations/a.xml"), _voc("x/Annotations/2/a.xml"), _voc("x/Annotations/1/a.xml")],
        {"x/JPEGImages/1/a.jpg": 2, "x/JPEGImages/2/a.jpg": 1, "x/JPEGImages/a.jpg": 0},
    ),
    "images/ and annotations/ of two dives": (
        ["x/images/a.jpg", "y/images/a.jpg"],
        [_voc("y/annotations/a.xml"), _voc("x/annotations/a.xml")],
        {"x/images/a.jpg": 1, "y/images/a.jpg": 0},
    ),
    "a VOC export of another name than the photographs' folder": (
        ["photos/1/a.jpg", "photos/2/a.jpg"],
        [_voc("x/Annotations/2/a.xml"), _voc("x/Annotations/1/a.xml")],
        {"photos/1/a.jpg": 1, "photos/2/a.jpg": 0},
    ),
    "VOC exports without photographs, which lie in folders of the exports' names": (
        ["x/a.jpg", "y/a.jpg"],
        [_voc("y/Annotations/a.xml"), _voc("x/Annotations/a.xml")],
        {"x/a.jpg": 1, "y/a.jpg": 0},
    ),
    "one name in two CVAT tasks is two images": (
        ["a.jpg"],
        [_listed("a.jpg", task="7"), _listed("a.jpg", task="8")],
        {"a.jpg": "conflict"},
    ),
    "the same file name": (["1/a.jpg"], [_listed("2/a.jpg")], {"1/a.jpg": 0}),
    "a file name is no match when folders contradict and others have it too": (
        ["1/a.jpg", "2/a.jpg"],
        [_listed("1/a.jpg"), _listed("3/a.jpg")],
        {"1/a.jpg": 0, "2/a.jpg": "conflict"},
    ),
    "the same stem": (["1/a.png"], [_listed("2/a.jpg")], {"1/a.png": 0}),
    "frames of a video have no extension": (["clip/frame_07.png"], [_listed("frame_07")], {"clip/frame_07.png": 0}),
    "VOC by the path of its file": (
        ["1/a.jpg", "2/a.jpg"],
        [_voc("2/a.xml"), _voc("1/a.xml")],
        {"1/a.jpg": 1, "2/a.jpg": 0},
    ),
    "VOC by its stem": (["1/a.jpg"], [_voc("a.xml")], {"1/a.jpg": 0}),
    "a wrong <filename> does no harm": (["a.jpg"], [_voc("a.xml", "other.jpg")], {"a.jpg": 0}),
    "<filename> breaks a tie of images": (
        ["a.jpg", "a.png"],
        [_voc("a.xml", "a.png")],
        {"a.jpg": None, "a.png": 0},
    ),
    "<filename> breaks a tie of annotations": (
        ["a.jpg"],
        [_voc("1/a.xml", "a.png"), _voc("2/a.xml", "a.jpg")],
        {"a.jpg": 1},
    ),
    "a tie is none's when one annotation cannot be read": (
        ["a.jpg"],
        [_voc("1/a.xml", "a.jpg"), _broken("2/a.xml")],
        {"a.jpg": "conflict"},
    ),
    "a tie that <filename> does not break": (
        ["1/a.jpg", "2/a.jpg"],
        [_voc("a.xml", "a.jpg")],
        {"1/a.jpg": "conflict", "2/a.jpg": "conflict"},
    ),
    "annotated by two tools": (["a.jpg"], [_voc("a.xml"), _listed("a.jpg")], {"a.jpg": "conflict"}),
    "one image of two is annotated": (["1/a.jpg", "2/a.jpg"], [_listed("1/a.jpg")], {"1/a.jpg": 0, "2/a.jpg": None}),
    "a bare name that two images have": (
        ["1/a.jpg", "2/a.jpg"],
        [_listed("a.jpg")],
        {"1/a.jpg": "conflict", "2/a.jpg": "conflict"},
    ),
    "a path that leads out is but a name": (
        ["etc/a.jpg"],
        [_listed("../../etc/a.jpg")],
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
    found = _outcome([_image(name) for name in images][::step], annotations[::step])
    assert found == {name: annotations[row] if isinstance(row, int) else row for name, row in expected.items()}


paths = st.lists(st.sampled_from(["a.jpg", "a.png", "1/a.jpg", "2/a.jpg", "x/1/a.jpg", "1/a.png"]), max_size=6)


@settings(max_examples=150)
@given(paths, paths, st.randoms(use_true_random=False))
def test_nobody_is_lost_and_order_does_not_matter(image_paths, annotation_paths, random):
    images = [_image(name) for name in sorted(set(image_paths))]
    annotations = [_listed(name, uri=f"/x/{row}.json") for row, name in enumerate(annotation_paths)]
    found = pair_files(images, annotations)
    assert found.annotation_of.keys().isdisjoint(found.conflict_of)
    used = [file.uri for file in found.annotation_of.values()]
    in_conflict = {file.uri for conflict in found.conflict_of.values() for file in conflict.annotations}
    unused = [file.uri for file in found.unused]
    assert len(set(used)) == len(used), "an annotation is of one image"
    assert {*used, *in_conflict, *unused} == {file.uri for file in annotations}
    shuffled = random.sample(annotations, len(annotations))
    assert _outcome(images[::-1], shuffled) == _outcome(images, annotations)


homes = st.lists(st.sampled_from(["", "x.zip", "y.zip"]), min_size=6, max_size=6)


@settings(max_examples=150)
@given(paths, homes, paths, homes)
def test_each_home_is_matched_as_if_it_were_alone(image_paths, image_homes, annotation_paths, annotation_homes):
    images = [
        dataclasses.replace(_image(f"{row}/{name}"), home=home)
        for row, (name, home) in enumerate(zip(image_paths, image_homes, strict=False))
    ]
    annotations = [
        dataclasses.replace(_listed(name, uri=f"/x/{row}.json"), home=home)
        for row, (name, home) in enumerate(zip(annotation_paths, annotation_homes, strict=False))
    ]
    alone: dict = {}
    for home in {*image_homes, *annotation_homes}:
        alone |= _outcome(*([row for row in rows if row.home == home] for rows in (images, annotations)))
    assert _outcome(images, annotations) == alone


def test_a_huge_group_takes_linear_time():
    """Cameras that number their frames from 1: one stem in every folder."""
    names = [f"{folder}/a.jpg" for folder in range(5000)]
    start = time.monotonic()
    found = pair_files([_image(name) for name in names], [_listed(f"up/{name}") for name in names])
    assert len(found.annotation_of) == len(names)
    crowd = pair_files([_image(name) for name in names], [_listed("a.jpg") for _ in names])
    assert len(crowd.conflict_of) == len(names)
    assert time.monotonic() - start < 20


def _joined(images: list[str], annotations: list[AnnotationFile]) -> list:
    return list(plan.join_images((b"a", {"images": map(_image, images), "annotations": annotations})))


def test_a_conflict_names_all_who_are_in_it():
    for reject in _joined(["1/a.jpg", "2/a.jpg"], [_listed("a.jpg")]):
        assert reject.reason == "ambiguous_match"
        assert all(word in reject.detail for word in ("/i/1/a.jpg", "/i/2/a.jpg", "a.jpg in /x/all.json"))


def test_a_large_conflict_names_some():
    (first, *_) = _joined([f"{row}/a.jpg" for row in range(999)], [_listed("a.jpg")])
    assert "and 980 more" in first.detail


def test_an_unread_object_rejects_its_image():
    fault = UnreadableObject(reason="number_not_readable", detail="all.json: line 7: x")
    file = AnnotationFile(uri="/x/a", image_name="a.jpg", annotation=_content("a.jpg", unreadable=(fault, fault)))
    (reject,) = _joined(["a.jpg"], [file])
    assert (reject.reason, reject.detail, reject.source) == (fault.reason, f"a.jpg: {fault.detail}", "/x/a")


UNUSED = [
    (_listed("1/a.jpg"), "1/a.jpg", "annotation_without_image", "an image that was not given"),
    (_voc("a.xml"), "/x/a.xml", "annotation_without_image", "the file stands for its image"),
    (_broken("a.xml"), "/x/a.xml", "xml_not_well_formed", "a broken file says why"),
]


@pytest.mark.parametrize(("file", "name", "reason", "why"), UNUSED)
def test_unused_annotation(file, name, reason, why):
    (reject,) = _joined([], [file])
    assert (reject.kind, reject.name, reject.reason) == ("annotation", name, reason), why
    assert list(plan.broken_source(reject)) == ([b"/x/a.xml"] if reason == "xml_not_well_formed" else []), why


def test_one_name_twice_is_never_numbered_twice():
    images = [ImageFile(uri="/i/a.jpg", name="a.jpg"), ImageFile(uri="/j/a.jpg", name="a.jpg", home="/j.zip")]
    rows = list(plan.join_images((b"a", {"images": images, "annotations": []})))
    assert [row.reason for row in rows if isinstance(row, Reject)] == ["duplicate_image_name"] * 2
    assert not any(isinstance(row, UnannotatedImage) for row in rows)
