"""Boxes against the real pixels."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from beam_jobs.records import make_record
from beam_jobs.rows import OBJECT_REJECT, LabelledImage, PlannedImage
from retinanet_odm.annotations.geometry import SIZE_EQUAL, SIZE_SCALED, SIZE_TURNED, SIZE_TURNED_AND_SCALED
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.errors import AnnotationError
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.sources.listing import ImageFile


def _image(width: int = 40, height: int = 20, **rest: Any) -> EncodedImage:
    values = {"data": b"jpeg bytes", "format": "jpeg", "full_size": (width, height), **rest}
    return EncodedImage(width=width, height=height, **values)


IMAGE = _image()


def _planned(*boxes: tuple[float, float, float, float], size: tuple[int | None, int | None] = (40, 20)) -> PlannedImage:
    objects = tuple(ObjectAnnotation(label="fish", box=box, difficult=True, line=7) for box in boxes)
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
    "thinner than float32 can represent": ((5, 10, 15, 10 + 1e-9), None, "zero_size_box", 0),
    "right of the image": ((5, 40, 15, 50), None, "box_outside_image", 0),
    "above the image": ((-9, 10, 0, 30), None, "box_outside_image", 0),
    "no size, and outside": ((5, 50, 5, 50), None, "zero_size_box", 0),
}


@pytest.mark.parametrize(("box", "relative", "reason", "clipped"), BOXES.values(), ids=BOXES.keys())
def test_box(box, relative, reason, clipped):
    other = (0, 0, 10, 10)
    record = make_record(_planned(other, box), IMAGE)
    assert [item.box for item in record.example.objects[1:]] == ([relative] if relative else [])
    assert [reject.reason for reject in record.dropped] == ([reason] if reason else [])
    assert record.clipped == clipped


@pytest.mark.parametrize("name", [name for name, (_, relative, _, _) in BOXES.items() if relative is None])
def test_an_image_without_any_usable_box_is_no_negative(name):
    with pytest.raises(AnnotationError, match=r"a\.jpg: no box can be used; the first: ") as caught:
        make_record(_planned(BOXES[name][0]), IMAGE, (1, 1))
    assert (caught.value.reason, caught.value.line) == ("no_usable_box", 7)
    assert BOXES[name][2] in caught.value.detail


def test_fractions_are_placed_on_the_upright_image():
    planned = _planned((0.25, 0.25, 0.75, 1.25), size=(None, None))
    annotation = dataclasses.replace(planned.content.annotation, is_relative=True)
    planned = dataclasses.replace(planned, content=dataclasses.replace(planned.content, annotation=annotation))
    record = make_record(planned, _image(orientation=6))
    assert [item.box for item in record.example.objects] == [(0.25, 0.25, 0.75, 1)]
    assert ([item.area for item in record.example.objects], record.clipped, record.fit) == ([300], 1, SIZE_EQUAL)


def test_a_box_that_is_thin_does_not_look_like_one_without_extent():
    (reject,) = make_record(_planned((0, 0, 10, 10), (5, 10, 15, 10 + 1e-9)), IMAGE).dropped
    assert reject.value == "xmin=10 ymin=5 xmax=10.000000001 ymax=15"


def test_dropped_box_is_named():
    (reject,) = make_record(_planned((5, 10, 15, 30), (7, 8, 7, 9)), IMAGE).dropped
    assert reject.kind == OBJECT_REJECT
    assert all(word in reject.detail for word in ("a.jpg", "'fish'", "xmin=8 ymin=7 xmax=9 ymax=7", "x/a.xml"))
    assert (reject.line, reject.label, reject.value) == (7, "fish", "xmin=8 ymin=7 xmax=9 ymax=7")


def test_example_carries_everything():
    example = make_record(_planned((5, 10, 15, 30)), IMAGE).example
    (item,) = example.objects
    assert (example.filename, example.source_id, example.width, example.height) == ("a.jpg", 9, 40, 20)
    assert (item.label, item.label_id, item.area, item.difficult) == ("fish", 3, 200, True)


BIG = _image(4000, 3000)
TURNED_BIG = _image(3000, 4000, orientation=6)
SIZES = [
    ((None, None), IMAGE, SIZE_EQUAL, "the file does not say"),
    ((40, None), IMAGE, SIZE_EQUAL, "the stated size is right"),
    ((39, None), IMAGE, None, "one side alone determines no scale"),
    ((20, 40), IMAGE, None, "swapped, and the image was not turned"),
    ((20, 40), _image(orientation=3), None, "swapped, and half a turn swaps nothing"),
    ((80, 40), IMAGE, SIZE_SCALED, "the annotated copy was larger"),
    ((4000, 3000), BIG, SIZE_EQUAL, "the same"),
    ((1024, 768), BIG, SIZE_SCALED, "the annotated copy was smaller"),
    ((1001, 750), BIG, SIZE_SCALED, "1001 gives 750.75, rounded down"),
    ((1001, 751), BIG, SIZE_SCALED, "and up"),
    ((1001, 749), BIG, None, "no rounding gives that"),
    ((1001, 752), BIG, None, "nor that"),
    ((1000, 667), _image(500, 333), SIZE_SCALED, "the image, not the annotated copy, was rounded"),
    ((1024, 1024), BIG, None, "another shape"),
    ((960, 540), BIG, None, "squeezed: the aspect was not kept"),
    ((0, 0), BIG, None, "what some tools write for an unknown size"),
    ((1, 1), BIG, None, "rounding alone would allow nearly any shape"),
    ((3000, 4000), TURNED_BIG, SIZE_EQUAL, "annotated upright"),
    ((4000, 3000), TURNED_BIG, SIZE_TURNED, "annotated as stored"),
    ((750, 1000), TURNED_BIG, SIZE_SCALED, "upright and smaller"),
    ((1000, 750), TURNED_BIG, SIZE_TURNED_AND_SCALED, "as stored and smaller"),
    ((1000, 749), TURNED_BIG, None, "neither"),
    ((99, 99), _image(99, 99, orientation=6), SIZE_EQUAL, "a square is ambiguous: upright"),
    ((33, 33), _image(99, 99, orientation=6), SIZE_SCALED, "nor does a smaller one"),
    ((3000, 4000), _image(750, 1000, full_size=(3000, 4000)), SIZE_EQUAL, "the full size counts, not the stored one"),
    ((750, 1000), _image(750, 1000, full_size=(3000, 4000)), SIZE_SCALED, "also where the stored one would fit"),
]


@pytest.mark.parametrize(("size", "image", "fit", "reason"), SIZES)
def test_size(size, image, fit, reason):
    if fit:
        assert make_record(_planned(size=size), image).fit == fit, reason
        return
    with pytest.raises(AnnotationError) as caught:
        make_record(_planned(size=size), image)
    assert caught.value.reason == "size_mismatch", reason
    assert f"{size[0]}x{size[1]}" in caught.value.detail
    assert f"{image.full_size[0]}x{image.full_size[1]}" in caught.value.detail


@pytest.mark.parametrize("scale", [1, 2, 0.5], ids=["at full size", "on a larger copy", "on a smaller copy"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_the_pixels(orientation, scale):
    """Pillow turns an image with one marked block; the box around the block must turn the same way."""
    stored = np.zeros((40, 64), np.uint8)
    stored[6:14, 10:34] = 255
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image)) == 255
    down, across = np.flatnonzero(upright.any(axis=1)), np.flatnonzero(upright.any(axis=0))
    expected = (down[0] / 64, across[0] / 40, (down[-1] + 1) / 64, (across[-1] + 1) / 40)
    box = tuple(edge * scale for edge in (6, 10, 14, 34))
    planned = _planned(box, size=(round(64 * scale), round(40 * scale)))
    record = make_record(planned, _image(40, 64, orientation=orientation))
    (item,) = record.example.objects
    assert item.box == pytest.approx(expected)
    assert item.area == pytest.approx(8 * 24)
    assert record.fit == (SIZE_TURNED if scale == 1 else SIZE_TURNED_AND_SCALED)


@given(st.integers(1, 400), st.tuples(*[st.integers(0, 9) for _ in range(4)]))
def test_scaling_an_annotation_changes_no_box(percent, edges):
    width, height = 4000 * percent // 100, 2000 * percent // 100
    top, left, tall, wide = edges
    box = (top * 100, left * 200, (top + tall + 1) * 100, (left + wide + 1) * 200)
    scaled = tuple(edge * percent / 100 for edge in box)
    image = _image(4000, 2000)
    (found,) = make_record(_planned(scaled, size=(width, height)), image).example.objects
    (wanted,) = make_record(_planned(box, size=(4000, 2000)), image).example.objects
    assert found.box == pytest.approx(wanted.box, abs=1e-6)


def test_a_smaller_stored_image_keeps_boxes_and_has_its_own_area():
    (item,) = make_record(_planned((5, 10, 15, 30)), _image(20, 10, full_size=(40, 20))).example.objects
    assert (item.box, item.area) == ((0.25, 0.25, 0.75, 0.75), 50)


LEAST = [
    ((0, 0, 9, 9), (40, 20), True, "below on both sides"),
    ((0, 0, 10, 9), (40, 20), False, "as wide as the minimum"),
    ((0, 0, 9, 10), (40, 20), False, "as high as the minimum"),
    ((0, 0, 9, 30), (40, 20), False, "low but wide"),
    ((0, 0, 18, 18), (80, 40), True, "on a copy of twice the size: the image's own pixels count"),
    ((0, 0, 8, 8), (32, 16), False, "on a smaller copy, likewise"),
    ((0, 31, 9, 60), (40, 20), True, "wide, but for what leaves the image"),
]


@pytest.mark.parametrize(("box", "size", "dropped", "reason"), LEAST)
def test_minimum(box, size, dropped, reason):
    record = make_record(_planned(box, size=size), IMAGE, (10, 10))
    assert [reject.reason for reject in record.dropped] == ["box_below_minimum"] * dropped, reason
    assert len(record.example.objects) == (not dropped), reason


def test_minimum_counts_pixels_of_the_full_size():
    record = make_record(_planned((0, 0, 10, 10)), _image(20, 10, full_size=(40, 20)), (8, 8))
    assert record.dropped == ()


def test_an_ignored_area_is_no_object():
    planned = _planned((5, 10, 15, 30), (0, 0, 10, 60))
    first, second = planned.content.annotation.objects
    annotation = dataclasses.replace(
        planned.content.annotation, objects=(first, dataclasses.replace(second, ignore=True))
    )
    content = dataclasses.replace(planned.content, annotation=annotation)
    record = make_record(dataclasses.replace(planned, content=content), IMAGE, min_box=(100, 100))
    assert record.example.ignored_regions == ((0, 0, 0.5, 1),), "cut at the border, and of any size"
    assert [reject.reason for reject in record.dropped] == ["box_below_minimum"], "the object"
