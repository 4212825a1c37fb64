"""COCO results and their images: ids are the numbers of the rows, failed ones included."""

import json

from hypothesis import given

from retinanet_odm.predictions.formats.coco import to_coco_images, to_coco_results
from retinanet_odm.predictions.rows import OK, PredictionRow
from tests.retinanet_odm.prediction_rows import PIG, RUN, failed, random_rows, scored


def test_the_content() -> None:
    rows = [failed("x.jpg"), scored("d/é.jpg", PIG), scored("z.jpg")]
    assert json.loads(b"".join(to_coco_results(rows, RUN))) == [
        {"image_id": 2, "category_id": 2, "bbox": [5.0, 6.0, 15.25, 10.0], "score": 0.9}
    ]
    images = json.loads(b"".join(to_coco_images(rows, RUN)))
    assert images["images"] == [
        {"id": 2, "file_name": "d/é.jpg", "width": 40, "height": 30},
        {"id": 3, "file_name": "z.jpg", "width": 40, "height": 30},
    ]
    assert images["categories"][1] == {"id": 2, "name": "sea pig"}
    assert images["annotations"] == []
    assert images["info"]["model_hash"] == RUN.model_hash


@given(random_rows)
def test_every_detection_is_of_a_listed_image(rows: list[PredictionRow]) -> None:
    results = json.loads(b"".join(to_coco_results(rows, RUN)))
    names = {image["id"]: image["file_name"] for image in json.loads(b"".join(to_coco_images(rows, RUN)))["images"]}
    assert list(names.values()) == [row.image for row in rows if row.status == OK]
    assert [(names[entry["image_id"]], entry["category_id"], entry["score"]) for entry in results] == [
        (row.image, item.label_id, item.score) for row in rows for item in row.detections
    ]
