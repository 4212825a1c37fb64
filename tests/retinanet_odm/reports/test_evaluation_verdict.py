"""The first lines of the evaluation page: right numbers in plain words, and nothing said that is not known."""

import re
from typing import Any

import pytest
from hypothesis import given, settings

from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import all_metrics
from retinanet_odm.reports.evaluation_verdict import evaluation_verdict
from tests.retinanet_odm.evaluation.scenes import Coco, scenes

_CRAB = {"ground_truth": 200, "recall": 0.8, "precision": 0.9, "f1": 0.85}
_URCHIN = {"ground_truth": 40, "recall": 0.5, "precision": 0.75, "f1": 0.6}
_KINDS = {"missed": {"count": 50}, "background": {"count": 20}}


def _metrics(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "images": 75,
        "at_thresholds": {"recall": 0.76, "precision": 0.78, "f1": 0.77},
        "intervals": [{"recall": [0.71, 0.8], "precision": [0.73, 0.82], "count_ratio": [0.9, 1.04]}],
        "per_class": {"crab": _CRAB, "urchin": _URCHIN},
        "details": {"counts": {"crab": {"true": 200, "found": 194}}, "mistakes": {"kinds": _KINDS}},
    }
    return {**plain, **changes}


def _counted(**classes: tuple[int, int]) -> dict[str, Any]:
    counts = {name: {"true": true, "found": found} for name, (true, found) in classes.items()}
    return {"details": {"counts": counts, "mistakes": {"kinds": {}}}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({}, "Of 100 objects, the model finds 76 (95 % interval: 71 to 80).", id="recall"),
        pytest.param(
            {}, "Of 100 boxes that it draws, 22 are wrong (95 % interval: 18 to 27).", id="precision, turned round"
        ),
        pytest.param(
            {},
            "Over all images, its counts are 3 % too low (95 % interval: 10 % too low to 4 % too high).",
            id="counts, by both signs",
        ),
        pytest.param(
            {"details": {"counts": {"crab": {"true": 200, "found": 200}}, "mistakes": {"kinds": {}}}, "intervals": []},
            "Over all images, its counts are right.",
            id="equal counts, no interval",
        ),
        pytest.param(
            {"intervals": [{"count_ratio": [0.999, 1.001]}]},
            "Over all images, its counts are 3 % too low (95 % interval: right).",
            id="an interval of one word",
        ),
        pytest.param(
            _counted(crab=(200, 194), urchin=(40, 50), eel=(19, 90)),
            "By class, its counts are 3 % too low (crab) to 25 % too high (urchin).",
            id="counts of classes, of which one is too rare to judge",
        ),
        pytest.param(
            _counted(crab=(200, 200), urchin=(40, 40)), "The counts of each class are right.", id="equal classes"
        ),
        pytest.param(
            {},
            "In 95 of 100 such evaluations, a 95 % interval contains the number for all images of the same kind.",
            id="what an interval is",
        ),
        pytest.param({}, "The weakest class is urchin: of 100, it finds 50, and 25 of 100 boxes are wrong.", id="weak"),
        pytest.param(
            {"per_class": {"crab": _CRAB, "urchin": {**_URCHIN, "ground_truth": 4}}},
            "Too few objects to judge: urchin (4); at least 20 labelled ones are needed here.",
            id="rare",
        ),
        pytest.param(
            {},
            "Of 70 errors, 50 are of one type: no box was drawn at them. More labelled images with such objects would"
            " help most.",
            id="what would help",
        ),
        pytest.param(
            {"at_thresholds": {"recall": 0.0, "precision": None, "f1": 0.0}}, "It draws no box.", id="nothing found"
        ),
        pytest.param(
            {"images": 5},
            "Only 5 images were evaluated: other images may give quite different numbers.",
            id="few images",
        ),
        pytest.param(
            {},
            "The thresholds were chosen on these images, so expect somewhat worse numbers on new ones.",
            id="the same images twice",
        ),
    ],
)
def test_the_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in evaluation_verdict(_metrics(**changes))


def test_thresholds_of_the_model_need_no_caution() -> None:
    assert not any("chosen on these" in one for one in evaluation_verdict(_metrics(thresholds_from="the model")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, "By class", id="one class"),
        pytest.param({"intervals": []}, "95 % interval", id="no interval"),
    ],
)
def test_what_is_not_said(changes: dict[str, Any], words: str) -> None:
    assert not any(words in one for one in evaluation_verdict(_metrics(**changes)))


def test_metrics_without_thresholds_have_no_verdict() -> None:
    assert evaluation_verdict({"AP": 0.5}) == []


@settings(max_examples=40)
@given(scenes())
def test_whatever_the_scene_the_first_sentence_is_the_recall(scene: Coco) -> None:
    metrics = all_metrics(*scene, analyse(*scene))
    sentences = evaluation_verdict(metrics)
    recall = metrics["at_thresholds"]["recall"]
    found = re.match(r"Of 100 objects, the model finds (\d+)", sentences[0])
    assert (recall is None) == (found is None)
    assert found is None or int(found[1]) == pytest.approx(recall * 100, abs=0.51)
