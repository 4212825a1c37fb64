"""Which scored image is compared with which annotation: a table with a reason per row."""

import dataclasses

import pytest

from inference.ground_truth import (
    AMBIGUOUS_MATCH,
    ANNOTATION_WITHOUT_IMAGE,
    IMAGE_WITHOUT_ANNOTATION,
    NO_USABLE_BOX,
    SIZE_MISMATCH,
    Comparison,
    compare,
)
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation, UnreadableObject, ignore_labels
from retinanet_odm.dataset.exhaustive import ExhaustiveClasses
from retinanet_odm.errors import DataError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.sources.listing import AnnotationFile
from retinanet_odm.sources.row_names import PAIRED_ACROSS_FOLDERS, PAIRED_BY_FILENAME
from tests.retinanet_odm.prediction_rows import CRAB, failed, scored

LABELS = LabelMap(((1, "crab"), (2, "sea pig")))
BOX = (1.0, 2.0, 11.0, 22.0)  # ymin, xmin, ymax, xmax
XYWH = [2.0, 1.0, 20.0, 10.0]


def drawn(name: str, *labels: str, size: tuple[int | None, int | None] = (40, 30), box=BOX, **more) -> AnnotationFile:
    """An image of a file that lists images, with a box for each label."""
    content = ImageAnnotation(
        filename=name,
        width=size[0],
        height=size[1],
        objects=tuple(ObjectAnnotation(label=label, box=box) for label in labels),
        source="all.xml",
        **more,
    )
    return AnnotationFile(uri="/x/all.xml", name="all.xml", image_name=name, annotation=content)


def _compare(rows, annotations, **aliases: str) -> Comparison:
    return compare(rows, annotations, LABELS, aliases=aliases)


BROKEN = AnnotationFile(uri="/x/a.xml", name="a.xml", reason="xml_not_well_formed", detail="/x/a.xml: line 3")
UNREAD = (UnreadableObject(reason="box_without_corner", detail="a box lacks xmin"),)
TABLE = [
    (["a.jpg"], [drawn("a.jpg", "crab")], ["a.jpg"], {}, "the same name"),
    (["x.zip/d/a.jpg"], [drawn("d/a.jpg")], ["x.zip/d/a.jpg"], {}, "the archive is no folder of the annotator's"),
    (["d/a.jpg"], [drawn("other/a.jpg")], ["d/a.jpg"], {}, "the only one of its file name"),
    (["a.jpg", "b.jpg"], [drawn("a.jpg")], ["a.jpg"], {IMAGE_WITHOUT_ANNOTATION: 1}, "b.jpg was not annotated"),
    (
        ["1/a.jpg", "1/a.png"],
        [drawn("1/a.jpg")],
        ["1/a.jpg"],
        {IMAGE_WITHOUT_ANNOTATION: 1},
        "a stem alone is no match",
    ),
    (["a.jpg"], [drawn("a.jpg"), drawn("c.jpg")], ["a.jpg"], {ANNOTATION_WITHOUT_IMAGE: 1}, "c.jpg was not scored"),
    (["1/a.jpg", "2/a.jpg"], [drawn("a.jpg")], [], {AMBIGUOUS_MATCH: 2}, "ambiguous names are not guessed"),
    (["a.jpg"], [BROKEN], [], {"xml_not_well_formed": 1}, "its annotation cannot be read"),
    (["a.jpg"], [drawn("a.jpg", unreadable=UNREAD)], [], {"box_without_corner": 1}, "an object was lost"),
    (["a.jpg"], [drawn("a.jpg", size=(40, 31))], [], {SIZE_MISMATCH: 1}, "annotated on another image"),
    (["a.jpg"], [drawn("a.jpg", size=(None, None))], ["a.jpg"], {}, "a size that is not stated cannot contradict"),
    (["a.jpg"], [DataError("cut_off", "all.xml"), drawn("a.jpg")], ["a.jpg"], {"cut_off": 1}, "what was read counts"),
]


@pytest.mark.parametrize(("images", "annotations", "compared", "excluded", "why"), TABLE)
def test_what_is_compared(images, annotations, compared, excluded, why) -> None:
    found = _compare([scored(name) for name in images], annotations)
    assert [entry["file_name"] for entry in found.truth["images"]] == compared, why
    assert found.excluded.counts == excluded, why
    assert found.images == len(compared)


BOXES = [
    (drawn("a.jpg", "crab"), [(1, XYWH)], {}, "as it is drawn"),
    (drawn("a.jpg", "crab", size=(80, 60)), [(1, [1.0, 0.5, 10.0, 5.0])], {}, "drawn on a copy of twice the size"),
    (drawn("a.jpg", "crab", box=(-5, -5, 10, 10)), [(1, [0.0, 0.0, 10.0, 10.0])], {}, "cut at the border"),
    (drawn("a.jpg", "urchin", "sea pig"), [(2, XYWH)], {}, "a class that the model does not know"),
    (drawn("a.jpg", "KRABBE"), [(1, XYWH)], {}, "an alias"),
    (drawn("a.jpg"), [], {}, "an image without animals"),
]


@pytest.mark.parametrize(("annotation", "objects", "excluded", "why"), BOXES)
def test_the_true_boxes(annotation, objects, excluded, why) -> None:
    found = _compare([scored("a.jpg", CRAB)], [annotation], KRABBE="crab")
    boxes = [(entry["category_id"], entry["bbox"]) for entry in found.truth["annotations"]]
    assert boxes == objects, why
    assert found.excluded.counts == excluded, why
    assert found.results == [{"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 40.0, 30.0], "score": 0.5}]


def test_partial_labels() -> None:
    annotation = drawn("a.jpg", "crab", "unclear")
    assert annotation.annotation
    ignored = dataclasses.replace(annotation, annotation=ignore_labels(annotation.annotation, ["unclear"]))
    exhaustive = ExhaustiveClasses(classes_of={"a.jpg": frozenset({"crab"})})
    found = compare([scored("a.jpg", CRAB)], [ignored], LABELS, aliases={}, exhaustive=exhaustive)
    assert [image["not_exhaustive_category_ids"] for image in found.truth["images"]] == [[2]]
    boxes = [(entry["category_id"], entry["iscrowd"], entry["bbox"]) for entry in found.truth["annotations"]]
    assert boxes == [(1, 0, XYWH), (1, 1, XYWH), (2, 1, XYWH)]
    assert not found.unknown, "its label is no class that the model lacks"


OUTSIDE, THIN = (0.0, 50.0, 9.0, 60.0), (5.0, 5.0, 5.0, 9.0)


def _drawn_boxes(*boxes: tuple[str, tuple[float, float, float, float]]) -> AnnotationFile:
    file = drawn("a.jpg")
    assert file.annotation
    objects = tuple(ObjectAnnotation(label=label, box=box) for label, box in boxes)
    return dataclasses.replace(file, annotation=dataclasses.replace(file.annotation, objects=objects))


FAULTY_BOXES = [
    ([("crab", OUTSIDE)], 0, {NO_USABLE_BOX: 1}, "no pixel of its only box is on the image: it would look empty"),
    ([("crab", THIN)], 0, {NO_USABLE_BOX: 1}, "its only box has no extent"),
    ([("crab", THIN), ("sea pig", OUTSIDE)], 0, {NO_USABLE_BOX: 1}, "the image counts, and not each box"),
    ([("crab", BOX), ("crab", THIN)], 1, {"zero_size_box": 1}, "the other box remains, as in prepare"),
    ([("crab", THIN), ("urchin", BOX)], 0, {NO_USABLE_BOX: 1}, "no class of the model is left"),
    ([("crab", BOX), ("urchin", THIN)], 1, {}, "boxes of other classes are not compared"),
]


@pytest.mark.parametrize(("boxes", "usable", "excluded", "why"), FAULTY_BOXES)
def test_an_image_whose_boxes_are_all_faulty_is_not_an_image_without_animals(boxes, usable, excluded, why) -> None:
    found = _compare([scored("a.jpg", CRAB), scored("b.jpg")], [_drawn_boxes(*boxes), drawn("b.jpg")])
    images = ["a.jpg", "b.jpg"] if usable else ["b.jpg"]
    assert [entry["file_name"] for entry in found.truth["images"]] == images, why
    assert len(found.truth["annotations"]) == usable, why
    assert len(found.results) == bool(usable), why
    assert found.excluded.counts == excluded, why


def test_unknown_labels_are_counted() -> None:
    found = _compare([scored("a.jpg")], [drawn("a.jpg", "urchin", "urchin", "crab")])
    assert found.unknown == {"urchin": 2}


def test_objects_of_an_image_that_failed_are_there_to_be_missed() -> None:
    found = _compare([failed("a.jpg"), scored("b.jpg")], [drawn("a.jpg", "crab"), drawn("b.jpg", "crab")])
    assert (found.images, found.failed) == (2, 1)
    assert [entry["image_id"] for entry in found.truth["annotations"]] == [1, 2]


def _voc(name: str, inside: str) -> AnnotationFile:
    file = drawn(inside, "crab")
    return dataclasses.replace(file, uri=f"/x/{name}", name=name, image_name="")


PAIRINGS = [
    (["a.jpg"], [_voc("a.xml", "a.jpg")], {}, {}, "its own name"),
    (["2/a.jpg"], [drawn("1/a.jpg")], {PAIRED_ACROSS_FOLDERS: 1}, {}, "another folder"),
    (["b.jpg"], [_voc("a.xml", "b.jpg")], {PAIRED_BY_FILENAME: 1}, {}, "its own name is of no image"),
    (
        ["1/b.jpg", "2/b.jpg"],
        [_voc("a.xml", "b.jpg")],
        {},
        {IMAGE_WITHOUT_ANNOTATION: 2, ANNOTATION_WITHOUT_IMAGE: 1},
        "two images have the name",
    ),
    (
        ["b.jpg"],
        [_voc("a.xml", "b.jpg"), _voc("b.xml", "x.jpg")],
        {},
        {ANNOTATION_WITHOUT_IMAGE: 1},
        "its own annotation comes first",
    ),
]


@pytest.mark.parametrize(("images", "annotations", "told", "excluded", "why"), PAIRINGS)
def test_doubtful_pairings_are_told(images, annotations, told, excluded, why) -> None:
    found = _compare([scored(name) for name in images], annotations)
    assert found.pairings.counts == told, why
    assert found.excluded.counts == excluded, why
