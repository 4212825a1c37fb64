"""What to label next: the arithmetic, and the choice against one made with everything in memory."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.predictions.uncertainty import UncertaintySampler, image_uncertainty
from tests.retinanet_odm.prediction_rows import PIG, scored


def _row(image: str, *scores: float) -> PredictionRow:
    return scored(image, *(dataclasses.replace(PIG, score=score) for score in scores))


@pytest.mark.parametrize(
    ("scores", "doubt"),
    [
        pytest.param([], 0, id="nothing was found"),
        pytest.param([1.0, 0.0], 0, id="every detection is certain"),
        pytest.param([0.5], 1 / 3, id="one that may be or not"),
        pytest.param([0.5, 0.5, 0.5], 1, id="three"),
        pytest.param([0.5] * 9, 1, id="more count no more"),
        pytest.param([0.75, 0.25], 1 / 3, id="above and below alike"),
        pytest.param([0.05] * 100, 0.1, id="a hundred weak ones are noise, not doubt"),
    ],
)
def test_doubt(scores: list[float], doubt: float) -> None:
    assert image_uncertainty(_row("a.jpg", *scores)) == pytest.approx(doubt)


def _chosen(rows: list[PredictionRow], wanted: int) -> list[tuple[str, bool]]:
    least_certain = UncertaintySampler(wanted)
    for row in rows:
        least_certain.add(row)
    return [(found.image, found.leads) for found in least_certain.chosen()]


def _day(image: str) -> str:
    return image[: image.index("_1")]


def _from_all(rows: list[PredictionRow], wanted: int) -> list[tuple[str, bool]]:
    """Oracle: sorts everything."""
    order = sorted(
        (row for row in rows if image_uncertainty(row)), key=lambda row: (image_uncertainty(row), row.image)
    )[::-1]
    names = [row.image for row in order]
    leaders = [name for number, name in enumerate(names) if _day(name) not in map(_day, names[:number])]
    rest = [name for name in names if name not in leaders]
    return [(name, name in leaders) for name in (*leaders, *rest)][:wanted]


_IMAGES = st.builds(
    lambda camera, day, second: f"cam{camera}_201611{day:02}_1200{second:02}.jpg",
    st.integers(0, 3),
    st.integers(1, 6),
    st.integers(0, 59),
)
_ROWS = st.lists(
    st.builds(
        lambda image, scores: _row(image, *scores),
        _IMAGES,
        st.lists(st.sampled_from([0, 0.1, 0.3, 0.5, 0.9, 1]), max_size=4),
    ),
    max_size=40,
    unique_by=lambda row: row.image,
)


@given(_ROWS, st.integers(1, 12))
def test_the_choice_is_that_of_one_who_sees_all(rows: list[PredictionRow], wanted: int) -> None:
    assert _chosen(rows, wanted) == _from_all(rows, wanted)


def test_first_of_every_day_then_of_all() -> None:
    rows = [
        _row("c_20161110_120000.jpg", 0.5, 0.5, 0.5),
        _row("c_20161110_120100.jpg", 0.5, 0.5, 0.4),
        _row("c_20161111_120000.jpg", 0.1),
        _row("d/a.jpg", 0.5),
        _row("d/b.jpg", 0.45),
        _row("e/c.jpg", 0.2),
    ]
    assert _chosen(rows, 5) == [
        ("c_20161110_120000.jpg", True),
        ("d/a.jpg", True),
        ("e/c.jpg", True),
        ("c_20161111_120000.jpg", True),
        ("c_20161110_120100.jpg", False),
    ]
