"""The paragraph for a methods section: each fact is there if it is known, and named if it is not."""

import dataclasses
from typing import Any

import pytest

from retinanet_odm.predictions.rows import ScoringRun
from retinanet_odm.predictions.summary import PredictionSummary
from retinanet_odm.reports.methods_text import methods_text
from tests.retinanet_odm.prediction_rows import ROWS, RUN, scored
from tests.retinanet_odm.reports.model_facts import FACTS


def _text(run: ScoringRun) -> str:
    summary = PredictionSummary(run)
    for row in ROWS:
        summary.add(row)
    return methods_text(summary)


_ALL = """
Objects were detected in 6 images with RetinaNet (Lin et al. 2017) with the backbone resnet50 at 320 × 192 pixels (model
0123456789ab), by retinanet-odm 1.2.3. 2 more images could not be scored. It was trained on the data set reef (train: 1
image with 2 boxes; val: 48 images with 136 boxes), fingerprint fedcba987654, for 1,200 steps with retinanet-odm 1.2.0,
TensorFlow 2.21.0, Keras 3.15.1. Detections were counted from a score of crab 0.3, sea pig 0.4, Étoile "de", mer 0.25,
where F1 was best in the evaluation. On the 48 images of the split val, AP50 was 0.81 (95 % interval 0.70 to 0.90),
recall was 0.76 (95 % interval 0.70 to 0.80), precision was 0.81, counts were 6 % too low (95 % interval: 12 % too low
to 2 % too high); intervals by bootstrap over 8 deployments and days.
"""


def test_all_facts() -> None:
    paragraph, paper, software = _text(dataclasses.replace(RUN, facts=FACTS)).splitlines()
    assert paragraph == " ".join(_ALL.split())
    assert paper.startswith("Lin, T.-Y., Goyal, P.") and "(2017)" in paper
    assert software == "RetinaNet-ODM, version 1.2.3 (software)."


def test_nothing_is_known() -> None:
    text = _text(dataclasses.replace(RUN, facts={}))
    assert "with a neural network (model 0123456789ab)" in text
    assert "Not recorded: network, training data, sizes of the splits, error." in text
    assert "Lin" not in text and "trained on" not in text and "AP50" not in text


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        pytest.param({"backbone": None}, "with a neural network", "Lin et al.", id="another network"),
        pytest.param({"dataset": None}, "Not recorded: training data, sizes", "reef", id="no data set"),
        pytest.param(
            {"dataset": {"fingerprint": "ab"}}, "on a data set, fingerprint ab,", "boxes", id="an earlier export"
        ),
        pytest.param({"versions": None}, "with retinanet-odm 1.2.0.", "TensorFlow", id="no versions"),
        pytest.param({"evaluation": None}, "Not recorded: error.", "AP50", id="no evaluation"),
        pytest.param({"tiles": True}, "in overlapping tiles", "recall", id="tiles: the evaluation was without"),
        pytest.param(
            {"evaluation": {**FACTS["evaluation"], "tile": {"side": 640, "overlap": 0.2}}},
            "On the 48 tiles of the split val, AP50 was 0.81",
            "recall",
            id="evaluated per tile",
        ),
        pytest.param({"without_repeats": True}, "repeated at one place", "counts were", id="without repeats"),
        pytest.param({"threshold_origin": "--min_score"}, "chosen by hand", "F1 was best", id="other scores by hand"),
    ],
)
def test_facts(changes: dict[str, Any], present: str, absent: str) -> None:
    facts = {name: value for name, value in {**FACTS, **changes}.items() if value is not None}
    text = _text(dataclasses.replace(RUN, facts=facts))
    assert present in text
    assert absent not in text


def test_rates_are_those_of_the_scores_that_count() -> None:
    text = _text(dataclasses.replace(RUN, thresholds={**RUN.thresholds, 1: 0.5}, facts=FACTS))
    assert "AP50 was 0.81" in text
    assert "recall" not in text and "counts were" not in text
    assert "sea pig 0.4" in text and "F1 was best" not in text, "not of each class"


def test_one_image() -> None:
    summary = PredictionSummary(RUN)
    summary.add(scored("a.jpg"))
    assert methods_text(summary).startswith("Objects were detected in 1 image with")
