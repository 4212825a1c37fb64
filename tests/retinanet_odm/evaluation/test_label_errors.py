"""Which labels are doubted, in a set of images whose labels are right but for one."""

from typing import Any

import pytest

from retinanet_odm.evaluation.label_errors import LabelErrorKind, find_label_errors
from retinanet_odm.evaluation.matching import ScoredSplit
from tests.retinanet_odm.evaluation.scenes import coco_truth, thing

IMAGES = 40
CRAB, URCHIN, PIG = 1, 2, 3

Entry = dict[str, Any]


def _scene() -> tuple[list[Entry], list[Entry]]:
    """Two crabs and an urchin in each image, all found a pixel or two beside their boxes, and a faint false crab."""
    objects, results = [], []
    for image in range(1, IMAGES + 1):
        shift = (37 * image % 41) / 10 - 2
        places = [(CRAB, [10, 10, 40, 40]), (CRAB, [60, 10, 40, 40]), (URCHIN, [110, 10, 40, 40])]
        for label, box in places:
            x, y, width, height = box
            objects.append(thing(box, label=label, image=image))
            results.append(thing([x + shift, y, width, height], label=label, image=image, score=0.9))
        results.append(thing([10, 100, 30, 30], label=CRAB, image=image, score=0.1 + 0.001 * image))
    return objects, results


def _errors(objects: list[Entry], results: list[Entry], **changes: Any) -> list[tuple[LabelErrorKind, int, str]]:
    """Return kind, image and proposed class of the errors with a probability of 0.5 or more."""
    truth = coco_truth(objects, images=IMAGES) | changes
    split = ScoredSplit.from_coco(truth, results)
    return [
        (error.kind, error.image + 1, split.classes[split.detections.label[error.detection]])
        for error in find_label_errors(split, min_probability=0.5)
    ]


def test_right_labels_are_not_doubted() -> None:
    assert _errors(*_scene()) == []


def test_a_missing_box() -> None:
    objects, results = _scene()
    del objects[3 * 6 + 1]  # the second crab of image 7
    assert _errors(objects, results) == [(LabelErrorKind.MISSING, 7, "crab")]


def test_a_wrong_class() -> None:
    objects, results = _scene()
    objects[3 * 6 + 2]["category_id"] = PIG
    assert _errors(objects, results) == [(LabelErrorKind.WRONG_CLASS, 7, "urchin")]


def test_a_loose_box() -> None:
    objects, results = _scene()
    objects[3 * 6]["bbox"] = [26, 12, 40, 40]
    assert _errors(objects, results) == [(LabelErrorKind.LOOSE, 7, "crab")]


def test_the_more_probable_error_comes_first() -> None:
    objects, results = _scene()
    results[4 * 6 + 1]["score"] = 0.5
    for row in (3 * 9 + 1, 3 * 6 + 1):
        del objects[row]
    assert [image for _, image, _ in _errors(objects, results)][:1] == [10]


def test_a_neighbour_does_not_stand_for_a_missing_box() -> None:
    """The label of the other crab overlaps the detection by an IoU of 0.38, and has a detection of its own."""
    objects, results = _scene()
    image = {"image_id": 7}
    del objects[3 * 6 + 1]
    results[4 * 6 + 1] |= {**image, "bbox": [28, 10, 40, 40]}
    assert _errors(objects, results) == [(LabelErrorKind.MISSING, 7, "crab")]


def test_a_class_that_is_nearly_as_likely_is_no_error() -> None:
    """The model is as uncertain as where it is wrong itself."""
    objects, results = _scene()
    for image in range(1, 11):
        row = 4 * (image - 1) + 2
        results[row]["score"] = 0.5
        # At every other place, the better score is that of the wrong class.
        score = 0.49 if image % 2 else 0.51
        results.append(thing(list(results[row]["bbox"]), label=PIG, image=image, score=score))
    assert _errors(objects, results) == []


UNKNOWN: list[tuple[str, list[Entry], Entry]] = [
    ("in an ignored region", [thing([50, 0, 60, 60], label=label, image=7, iscrowd=1) for label in (1, 2, 3)], {}),
    ("on a crowd of its class", [thing([50, 0, 60, 60], label=CRAB, image=7, iscrowd=1)], {}),
    (
        "of a class that is not exhaustive in the image",
        [],
        {
            "images": [
                {"id": number, "file_name": f"{number}.jpg"}
                | ({"not_exhaustive_category_ids": [CRAB]} if number == 7 else {})
                for number in range(1, IMAGES + 1)
            ]
        },
    ),
]


@pytest.mark.parametrize(("why", "more", "changes"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_what_is_unknown_is_never_missing(why: str, more: list[Entry], changes: Entry) -> None:
    objects, results = _scene()
    del objects[3 * 6 + 1]
    assert _errors([*objects, *more], results, **changes) == [], why


def test_nothing_to_compare() -> None:
    split = ScoredSplit.from_coco(coco_truth([], images=2), [])
    assert find_label_errors(split, min_probability=0) == []
