"""COCO ground truth and results: pixels, 0-based, x first."""

from retinanet_odm.dataset.coco import annotation_entries, ground_truth, image_entry
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


def test_the_file_is_in_the_order_of_ids_whatever_the_order_of_arrival() -> None:
    labels = LabelMap.from_names(["b", "a"])
    images = [{"id": 9}, {"id": 2}]
    annotations = [{"image_id": 9, "bbox": "x"}, {"image_id": 2, "bbox": "y"}, {"image_id": 2, "bbox": "z"}]
    truth = ground_truth(images, annotations, labels)
    assert [image["id"] for image in truth["images"]] == [2, 9]
    assert [(entry["id"], entry["bbox"]) for entry in truth["annotations"]] == [(1, "y"), (2, "z"), (3, "x")]
    assert truth["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
