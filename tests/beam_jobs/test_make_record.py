"""Boxes against the real pixels."""

import pytest

from beam_jobs.records import make_record
from beam_jobs.rows import OBJECT, ImageFile, LabelledImage, PlannedImage
from detection.annotations import ImageAnnotation, ObjectAnnotation
from detection.errors import AnnotationError
from detection.images import EncodedImage

IMAGE = EncodedImage(data=b"jpeg bytes", format="jpeg", width=40, height=20)


def _planned(*boxes: tuple[float, float, float, float], size: tuple[int | None, int | None] = (40, 20)) -> PlannedImage:
    objects = tuple(ObjectAnnotation(label="fish", box=box, difficult=True) for box in boxes)
    annotation = ImageAnnotation(filename="a.jpg", width=size[0], height=size[1], objects=objects, source="x/a.xml")
    image = ImageFile(uri="i/a.jpg", name="a.jpg")
    content = LabelledImage(image=image, annotation=annotation, label_ids=(3,) * len(boxes))
    return PlannedImage(source_id=9, content=content)


BOXES = {
    "inside": ((5, 10, 15, 30), (0.25, 0.25, 0.75, 0.75), "", 0),
    "the whole image": ((0, 0, 20, 40), (0, 0, 1, 1), "", 0),
    "partly outside is clipped": ((-5, 20, 10, 60), (0, 0.5, 0.5, 1), "", 1),
    "no width": ((5, 10, 15, 10), None, "zero_size_box", 0),
    "no height": ((5, 10, 5, 30), None, "zero_size_box", 0),
    "inverted": ((15, 30, 5, 10), None, "zero_size_box", 0),
    "thinner than float32 can say": ((5, 10, 15, 10 + 1e-9), None, "zero_size_box", 0),
    "right of the image": ((5, 40, 15, 50), None, "box_outside_image", 0),
    "above the image": ((-9, 10, 0, 30), None, "box_outside_image", 0),
    "no size, and outside": ((5, 50, 5, 50), None, "zero_size_box", 0),
}


@pytest.mark.parametrize(("box", "relative", "reason", "clipped"), BOXES.values(), ids=BOXES.keys())
def test_box(box, relative, reason, clipped):
    record = make_record(_planned(box), IMAGE)
    assert [item.box for item in record.example.objects] == ([relative] if relative else [])
    assert [reject.reason for reject in record.dropped] == ([reason] if reason else [])
    assert record.clipped == clipped


def test_dropped_box_is_named():
    (reject,) = make_record(_planned((5, 10, 15, 30), (7, 8, 7, 9)), IMAGE).dropped
    assert reject.kind == OBJECT
    assert all(word in reject.detail for word in ("a.jpg", "'fish'", "xmin=8 ymin=7 xmax=9 ymax=7", "x/a.xml"))


def test_example_carries_everything():
    example = make_record(_planned((5, 10, 15, 30)), IMAGE).example
    (item,) = example.objects
    assert (example.filename, example.source_id, example.width, example.height) == ("a.jpg", 9, 40, 20)
    assert (item.label, item.label_id, item.area, item.difficult) == ("fish", 3, 200, True)


SIZES = [
    ((None, None), True, "the file does not say"),
    ((40, None), True, "what it says is right"),
    ((20, 40), False, "swapped"),
    ((80, 40), False, "scaled"),
]


@pytest.mark.parametrize(("size", "good", "reason"), SIZES)
def test_size(size, good, reason):
    if good:
        assert make_record(_planned(size=size), IMAGE).example.width == 40, reason
        return
    with pytest.raises(AnnotationError, match="40x20") as caught:
        make_record(_planned(size=size), IMAGE)
    assert caught.value.reason == "size_mismatch", reason
    assert f"{size[0]}x{size[1]}" in caught.value.detail
