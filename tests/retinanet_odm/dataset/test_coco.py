"""COCO ground truth and results: pixels, 0-based, x first."""

import dataclasses

from retinanet_odm.dataset.coco import annotation_entries, ground_truth, image_entry, negative_classes_entry
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.labels.label_map import LabelMap

_EXAMPLE = DetectionExample(
    encoded=b"",
    format="jpeg",
    height=100,
    width=200,
    filename="sub/a.JPG",
    source_id=7,
    sha256="",
    objects=(
        ExampleObject(label_id=2, label="b", box=(0.1, 0.25, 0.3, 0.5), area=1000.0, is_crowd=True),
        ExampleObject(label_id=1, label="a", box=(0.0, 0.0, 1.0, 1.0), area=20000.0),
    ),
)


def test_entries_of_one_example() -> None:
    assert image_entry(_EXAMPLE) == {"id": 7, "file_name": "sub/a.JPG", "width": 200, "height": 100}
    first, second = annotation_entries(_EXAMPLE)
    assert first == {"image_id": 7, "category_id": 2, "bbox": [50, 10, 50, 20], "area": 1000, "iscrowd": 1}
    assert second["bbox"] == [0, 0, 200, 100]


def test_classes_that_are_not_exhaustive_are_named_as_in_lvis() -> None:
    partial = dataclasses.replace(_EXAMPLE, not_exhaustive=((5, "c"), (2, "b")))
    assert image_entry(partial) == {**image_entry(_EXAMPLE), "not_exhaustive_category_ids": [2, 5]}


def test_classes_that_an_image_shows_not_are_those_that_are_exhaustive_and_have_no_box() -> None:
    labels = LabelMap.from_names("abcd")
    partial = dataclasses.replace(_EXAMPLE, not_exhaustive=((3, "c"),))
    assert negative_classes_entry(partial, labels) == {"neg_category_ids": [4]}


def test_flags_are_attributes() -> None:
    item = dataclasses.replace(_EXAMPLE.objects[1], truncated=True, occluded=True)
    (entry,) = annotation_entries(dataclasses.replace(_EXAMPLE, objects=(item,)))
    assert entry["attributes"] == {"truncated": True, "occluded": True}


def test_an_ignored_region_is_a_crowd_of_every_class() -> None:
    entries = annotation_entries(dataclasses.replace(_EXAMPLE, objects=(), ignored_regions=((0.0, 0.5, 0.5, 1.0),)))
    truth = ground_truth([], entries, LabelMap(((2, "b"), (1, "a"))))
    crowd = {"image_id": 7, "bbox": [100, 0, 100, 50], "area": 5000, "iscrowd": 1, "attributes": {"ignore": True}}
    assert truth["annotations"] == [{"id": label, "category_id": label, **crowd} for label in (1, 2)]


def test_the_file_is_in_the_order_of_ids_whatever_the_order_of_arrival() -> None:
    labels = LabelMap.from_names(["b", "a"])
    images = [{"id": 9}, {"id": 2}]
    annotations = [{"image_id": 9, "bbox": "x"}, {"image_id": 2, "bbox": "y"}, {"image_id": 2, "bbox": "z"}]
    truth = ground_truth(images, annotations, labels)
    assert [image["id"] for image in truth["images"]] == [2, 9]
    assert [(entry["id"], entry["bbox"]) for entry in truth["annotations"]] == [(1, "y"), (2, "z"), (3, "x")]
    assert truth["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
