"""The first lines of a data set's page: a verdict, and what is missing by name."""

import numpy as np
import pytest

from retinanet_odm.dataset.leakage import Duplicates, Leakage, SplitLeakage
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from retinanet_odm.reports.dataset_verdict import dataset_verdict
from tests.retinanet_odm.reports.pages import EVIL, make_manifest, make_statistics, parse_page

_NONE = Duplicates(groups=0, images=0, examples=())


def _leakage(exact: int, near: int) -> Leakage:
    split = SplitLeakage(split="val", images=40, exact=exact, near=near, examples=())
    return Leakage(images=200, hashed=200, within=_NONE, across=_NONE, held_out=(split,), reach=4)


@pytest.mark.parametrize(
    ("training", "held_out", "expected"),
    [
        pytest.param(
            {"crab": 50, "sea pig": 400},
            {"val": {"crab": 10, "sea pig": 80}},
            ["Enough to begin: each class has 50 boxes or more to learn from."],
            id="at the limits",
        ),
        pytest.param(
            {"crab": 49, "sea pig": 400, "urchin": 3},
            {},
            ["Too few boxes to learn from: urchin (3), crab (49). Label at least 50 of each, or merge classes."],
            id="the rarest first",
        ),
        pytest.param(
            {"crab": 50},
            {"val": {"crab": 9}, "test": {"crab": 0}},
            [
                "Enough to begin: each class has 50 boxes or more to learn from.",
                "Too few boxes in val to judge a model by: crab (9).",
                "Too few boxes in test to judge a model by: crab (0).",
            ],
            id="nothing to judge by",
        ),
        pytest.param({"crab": 0}, {}, ["Nothing to learn from: no image for training has a box."], id="no box"),
        pytest.param({}, {}, ["Nothing to learn from: no image for training has a box."], id="no class"),
    ],
)
def test_the_verdict_of(training: dict[str, int], held_out: dict[str, dict[str, int]], expected: list[str]) -> None:
    assert dataset_verdict(training, held_out) == expected


@pytest.mark.parametrize(
    ("leakage", "sentence"),
    [
        pytest.param(_leakage(0, 0), None, id="no leak"),
        pytest.param(
            _leakage(3, 8),
            "11 of 40 images in val are, or nearly are, in training too: the evaluation will be too optimistic.",
            id="equal and nearly equal ones",
        ),
    ],
)
def test_leaks_are_named(leakage: Leakage, sentence: str | None) -> None:
    assert dataset_verdict({"crab": 50}, {}, leakage=leakage)[1:] == ([sentence] if sentence else [])


def test_many_images_without_objects_are_named() -> None:
    (_, sentence) = dataset_verdict({"crab": 50}, {}, without_objects=0.6)
    assert sentence == "60% of the images have no object: make sure that all of them were looked at."
    assert len(dataset_verdict({"crab": 50}, {}, without_objects=0.5)) == 1


def test_the_pages_begin_with_it() -> None:
    page = parse_page(dataset_report(make_manifest(), statistics=make_statistics()))
    assert "Too few boxes in val to judge a model by" in page.xpath("string(//div[@class='verdict'])")
    check = parse_page(check_report(3, 3, statistics=make_statistics()))
    assert "Too few boxes to learn from" in check.xpath("string(//div[@class='verdict'])")


def test_a_check_judges_the_boxes_of_the_training_split() -> None:
    """Those of the other splits teach nothing; a class that only they have is named with 0."""
    boxes = np.tile(np.asarray([[0.2, 0.2, 0.6, 0.6]], np.float32), (60, 1))
    training = BoxStatistics.from_images([ImageBoxes("a.jpg", 640, 480, boxes, ["Actiniaria"] * 60)])
    page = parse_page(check_report(3, 3, statistics=make_statistics(), training=training))
    (verdict,) = page.xpath("//div[@class='verdict']")
    assert f"Too few boxes to learn from: {EVIL} (0)." in verdict.text_content()
