"""What to label next: the arithmetic, the selection against one made with all rows in memory, and to_label.csv."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.predictions.uncertainty import (
    LABELING_COLUMNS,
    MAX_TO_LABEL,
    UncertaintySampler,
    class_uncertainty,
    score_uncertainty,
    to_label_csv,
)
from tests.retinanet_odm.prediction_rows import CRAB, FRAME, PIG, RUN, STAR, THRESHOLDS, failed, scored


def _row(image: str, *scores: float) -> PredictionRow:
    return scored(image, *(dataclasses.replace(PIG, score=score) for score in scores))


@pytest.mark.parametrize(
    ("score", "threshold", "uncertainty"),
    [
        pytest.param(0.6, 0.6, 1, id="at the threshold"),
        pytest.param(0.3, 0.6, 0.5, id="half way down"),
        pytest.param(0.8, 0.6, 0.5, id="half way up"),
        pytest.param(0, 0.6, 0, id="surely none"),
        pytest.param(1, 0.6, 0, id="surely one"),
        pytest.param(0.5, 0.9, 5 / 9, id="0.5 is nothing special"),
        pytest.param(0.5, 0, 0.5, id="everything counts"),
        pytest.param(1, 1, 1, id="only certain ones count"),
    ],
)
def test_score_uncertainty(score: float, threshold: float, uncertainty: float) -> None:
    assert score_uncertainty(score, threshold) == pytest.approx(uncertainty)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_score_is_less_certain_than_one_nearer_to_the_threshold(first: float, second: float, line: float) -> None:
    near, far = sorted((first, second), key=lambda score: abs(score - line))
    if (near < line) == (far < line):  # on one side of it
        assert 0 <= score_uncertainty(far, line) <= score_uncertainty(near, line) <= 1


@pytest.mark.parametrize(
    ("uncertainties", "expected"),
    [
        pytest.param([], 0, id="nothing was found"),
        pytest.param([1.0], 1 / 3, id="one"),
        pytest.param([1.0, 1.0, 1.0], 1, id="three"),
        pytest.param([1.0] * 9, 1, id="more count no more"),
        pytest.param([0.1] * 100, 0.1, id="a hundred weak ones are noise"),
    ],
)
def test_class_uncertainty(uncertainties: list[float], expected: float) -> None:
    assert class_uncertainty(uncertainties) == pytest.approx(expected)


def _selected(rows: list[PredictionRow], size: int) -> list[tuple[str, str, bool]]:
    sampler = UncertaintySampler(size, THRESHOLDS)
    for row in rows:
        sampler.add(row)
    return [(found.image, found.most_uncertain.label, found.is_stratum_leader) for found in sampler.selected()]


def _ranking(rows: list[PredictionRow], label_id: int) -> list[tuple[float, str, bool]]:
    """Oracle: sorts all images of a class, the first of each day before all others."""
    line = THRESHOLDS[label_id]
    found = {
        row.image: class_uncertainty(
            score_uncertainty(item.score, line) for item in row.detections if item.label_id == label_id
        )
        for row in rows
    }
    order = sorted(((value, name) for name, value in found.items() if value), reverse=True)
    days = [name[: name.index("_1")] for _, name in order]
    is_leader = [day not in days[:number] for number, day in enumerate(days)]
    ranked = [(*entry, leads) for entry, leads in zip(order, is_leader, strict=True)]
    return sorted(ranked, key=lambda entry: not entry[2])


def _from_all(rows: list[PredictionRow], size: int) -> list[tuple[str, str, bool]]:
    """Oracle: the classes take turns with everything in memory."""
    rankings = [(RUN.classes[label_id], _ranking(rows, label_id)) for label_id in THRESHOLDS]
    rankings = sorted((item for item in rankings if item[1]), key=lambda item: -item[1][0][0])
    chosen: list[tuple[str, str, bool]] = []
    for _ in rows:
        for label, ranking in rankings:
            names = {name for name, _, _ in chosen}
            chosen += [(name, label, leads) for _, name, leads in ranking if name not in names][:1]
    return chosen[:size]


_IMAGES = st.builds(
    lambda camera, day, second: f"cam{camera}_201611{day:02}_1200{second:02}.jpg",
    st.integers(0, 3),
    st.integers(1, 6),
    st.integers(0, 59),
)
_FOUND = st.builds(
    lambda item, score: dataclasses.replace(item, score=score),
    st.sampled_from([PIG, CRAB, STAR]),
    st.sampled_from([0, 0.1, 0.3, 0.5, 0.9, 1]),
)
_ROWS = st.lists(
    st.builds(lambda image, found: scored(image, *found), _IMAGES, st.lists(_FOUND, max_size=4)),
    max_size=30,
    unique_by=lambda row: row.image,
)


@given(_ROWS, st.integers(1, 12))
def test_the_selection_is_the_same_as_with_all_rows_in_memory(rows: list[PredictionRow], size: int) -> None:
    assert _selected(rows, size) == _from_all(rows, size)


def test_the_first_of_every_day_comes_before_all_others() -> None:
    rows = [
        _row("c_20161110_120000.jpg", 0.4, 0.4, 0.4),
        _row("c_20161110_120100.jpg", 0.4, 0.4, 0.3),
        _row("c_20161111_120000.jpg", 0.1),
        _row("d/a.jpg", 0.4),
        _row("d/b.jpg", 0.35),
        _row("e/c.jpg", 0.2),
    ]
    assert [(image, leads) for image, _, leads in _selected(rows, 5)] == [
        ("c_20161110_120000.jpg", True),
        ("d/a.jpg", True),
        ("e/c.jpg", True),
        ("c_20161111_120000.jpg", True),
        ("c_20161110_120100.jpg", False),
    ]


def test_a_common_class_does_not_crowd_out_the_others() -> None:
    crabs = [scored(f"{number:03}.jpg", *[dataclasses.replace(CRAB, score=0.3)] * 3) for number in range(100)]
    rows = [*crabs, scored("pig.jpg", PIG), scored("pigs.jpg", PIG, PIG), scored("star.jpg", STAR)]
    selected = _selected(rows, 6)
    assert Counter(label for _, label, _ in selected) == {"crab": 3, "sea pig": 2, 'Étoile "de", mer': 1}
    assert [image for image, _, _ in selected[:3]] == ["099.jpg", "star.jpg", "pigs.jpg"]


def _to_label(rows: Iterable[PredictionRow]) -> list[dict[str, str]]:
    text = b"".join(to_label_csv(rows, RUN)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_to_label_csv() -> None:
    other, weak = FRAME.replace("14_24", "15_00"), dataclasses.replace(PIG, score=0.2)
    first, second, third = _to_label([scored(FRAME, STAR, STAR, CRAB), scored(other, STAR), scored("d/a.jpg", weak)])
    assert list(first) == list(LABELING_COLUMNS)
    assert list(first.values()) == [
        FRAME,
        "dive 1/StaM_6701",
        "2016-11-10 14:24:12",
        "0.6667",
        "least certain of its class, deployment and day",
        'Étoile "de", mer',
        "0.25",
        "3",
        "0123456789ab",
        "0.25",
    ]
    # Below its threshold, so that nothing counts on the image; still it is the least certain of its class.
    assert (second["image"], second["deployment"], second["time"]) == ("d/a.jpg", "d", "")
    assert (second["score"], second["threshold"], second["detections"]) == ("0.2", "0.4", "0")
    assert (second["chosen"], third["chosen"]) == (
        "least certain of its class and folder",
        "least certain of its class",
    )


def test_failed_empty_and_certain_images_are_not_selected() -> None:
    sure = scored("sure.jpg", dataclasses.replace(PIG, score=1.0))
    assert _to_label([failed("a.jpg"), scored("b.jpg"), sure]) == []


def test_to_label_csv_has_a_maximum_length() -> None:
    assert len(_to_label(scored(f"{number}.jpg", CRAB) for number in range(3 * MAX_TO_LABEL))) == MAX_TO_LABEL
