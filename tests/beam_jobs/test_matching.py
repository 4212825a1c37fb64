"""What becomes of a group of images and annotations: pairs, conflicts and annotations without an image."""

import pytest

from beam_jobs import plan
from beam_jobs.rows import Reject, UnannotatedImage
from retinanet_odm.annotations.types import UnreadableObject
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from tests.retinanet_odm.sources.rows import (
    broken_file,
    image_annotation,
    image_file,
    listed_annotation,
    voc_file,
)


def _joined(images: list[str], annotations: list[AnnotationFile]) -> list:
    return list(plan.join_images((b"a", {"images": map(image_file, images), "annotations": annotations})))


def test_a_conflict_names_all_who_are_in_it():
    for reject in _joined(["1/a.jpg", "2/a.jpg"], [listed_annotation("a.jpg")]):
        assert reject.reason == "ambiguous_match"
        assert all(word in reject.detail for word in ("/i/1/a.jpg", "/i/2/a.jpg", "a.jpg in /x/all.json"))


def test_a_large_conflict_names_some():
    (first, *_) = _joined([f"{row}/a.jpg" for row in range(999)], [listed_annotation("a.jpg")])
    assert "and 980 more" in first.detail


def test_an_unread_object_rejects_its_image():
    fault = UnreadableObject(reason="number_not_readable", detail="all.json: line 7: x")
    file = AnnotationFile(
        uri="/x/a", image_name="a.jpg", annotation=image_annotation("a.jpg", unreadable=(fault, fault))
    )
    (reject,) = _joined(["a.jpg"], [file])
    assert (reject.reason, reject.detail, reject.source) == (fault.reason, f"a.jpg: {fault.detail}", "/x/a")


UNUSED = [
    (listed_annotation("1/a.jpg"), "1/a.jpg", "annotation_without_image", "an image that was not given"),
    (voc_file("a.xml"), "/x/a.xml", "annotation_without_image", "the file stands for its image"),
    (broken_file("a.xml"), "/x/a.xml", "xml_not_well_formed", "a broken file says why"),
]


@pytest.mark.parametrize(("file", "name", "reason", "why"), UNUSED)
def test_unused_annotation(file, name, reason, why):
    (reject,) = _joined([], [file])
    assert (reject.kind, reject.name, reject.reason) == ("annotation", name, reason), why
    assert list(plan.broken_source(reject)) == ([b"/x/a.xml"] if reason == "xml_not_well_formed" else []), why


def test_one_name_twice_is_never_numbered_twice():
    images = [ImageFile(uri="/i/a.jpg", name="a.jpg"), ImageFile(uri="/j/a.jpg", name="a.jpg", export_uri="/j.zip")]
    rows = list(plan.join_images((b"a", {"images": images, "annotations": []})))
    assert [row.reason for row in rows if isinstance(row, Reject)] == ["duplicate_image_name"] * 2
    assert not any(isinstance(row, UnannotatedImage) for row in rows)
