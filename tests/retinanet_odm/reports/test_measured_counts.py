"""The error of counts is that of the model's evaluation, and only of counts that were made in the same way."""

import dataclasses
from typing import Any

import pytest

from retinanet_odm.predictions.rows import ScoringRun
from retinanet_odm.predictions.summary import PredictionSummary
from retinanet_odm.reports.measured_counts import count_error_cell, measured_error, why_not_measured
from retinanet_odm.reports.predictions_verdict import predictions_verdict
from retinanet_odm.reports.rendering import Titled
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, failed, scored
from tests.retinanet_odm.reports.model_facts import FACTS


def _run(thresholds: dict[int, float] | None = None, **facts: Any) -> ScoringRun:
    known = {name: value for name, value in {**FACTS, **facts}.items() if value is not None}
    return dataclasses.replace(RUN, facts=known, thresholds=thresholds or RUN.thresholds)


def test_the_error_of_each_class() -> None:
    assert [count_error_cell(_run(), label_id) for label_id in RUN.classes] == [
        Titled("10 % too low", "20 % too low to 10 % too high"),
        "right",  # without an interval
        None,  # the evaluated images have no object of the class
    ]
    assert measured_error(_run()) == "6 % too low (95 % interval: 12 % too low to 2 % too high)"


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        pytest.param(_run(), "", id="measured"),
        pytest.param(_run(evaluation=None), "has no evaluation", id="no evaluation"),
        pytest.param(
            _run(evaluation={**FACTS["evaluation"], "count_ratio": None}), "has not measured it", id="an earlier export"
        ),
        pytest.param(_run(tiles=True), "in tiles", id="tiles"),
        pytest.param(
            _run(evaluation={**FACTS["evaluation"], "tile": {"side": 640, "overlap": 0.2}}),
            "of single tiles, not of images",
            id="evaluated per tile, scored whole",
        ),
        pytest.param(_run(without_repeats=True), "repeated detections are left out", id="without repeats"),
        pytest.param(_run({1: 0.5, 2: 0.5, 4: 0.5}), "count from other scores", id="other scores"),
        pytest.param(_run({1: 0.5, 2: 0.4, 4: 0.25}), "", id="some classes"),
        pytest.param(_run({1: 0.30001, 2: 0.4, 4: 0.25}), "", id="equal when rounded as scores are"),
    ],
)
def test_why_nothing_is_known(run: ScoringRun, reason: str) -> None:
    assert reason in why_not_measured(run)
    assert bool(reason) == bool(why_not_measured(run))


def test_a_class_that_counts_from_another_score_has_no_error() -> None:
    run = _run({1: 0.5, 2: 0.4, 4: 0.25})
    assert count_error_cell(run, 1) is None
    assert count_error_cell(run, 2) == "right"
    assert measured_error(run) == "", "of all classes together"


def test_the_scores_of_the_graph_are_those_of_the_evaluation() -> None:
    classes = {**FACTS["evaluation"]["per_class"], "crab": {"threshold": 0.05, "count_ratio": 1.2}}
    run = _run({1: 0.1, 2: 0.4, 4: 0.25}, evaluation={**FACTS["evaluation"], "per_class": classes})
    assert count_error_cell(run, 1) == "20 % too high", "the rows begin at 0.1"


@pytest.mark.parametrize(
    ("run", "error"),
    [
        pytest.param(
            _run(),
            "on 48 images of the split val, its counts were 6 % too low (95 % interval: 12 % too low to 2 % too high).",
            id="known",
        ),
        pytest.param(_run(evaluation=None), "is not known: the model has no evaluation.", id="no evaluation"),
        pytest.param(_run({1: 0.5, 2: 0.4, 4: 0.25}), "is not known: not every class counts from", id="some classes"),
        pytest.param(
            dataclasses.replace(_run(), classes={1: "crab", 2: "sea pig"}),
            "is not known: the evaluation of the model has counted more classes.",
            id="fewer classes than in the evaluation",
        ),
    ],
)
def test_the_page_begins_with_sentences(run: ScoringRun, error: str) -> None:
    summary = PredictionSummary(run)
    for row in (scored("a", PIG, PIG, CRAB), scored("b", PIG), failed("c")):
        summary.add(row)
    first, second, third = predictions_verdict(summary)
    assert first == "Counted in 2 images: 3 sea pig, 1 crab."
    assert error in second
    assert third == "1 image could not be scored, and is in no count: see Failures."


def test_nothing_found() -> None:
    summary = PredictionSummary(_run())
    summary.add(scored("a"))
    assert next(predictions_verdict(summary)) == "Nothing was found in 1 image."
