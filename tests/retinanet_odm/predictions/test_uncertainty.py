"""What to label next: the arithmetic, the selection against one made with all rows in memory, and to_label.csv."""

import csv
import dataclasses
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.predictions.uncertainty import (
    LABELING_COLUMNS,
    MAX_TO_LABEL,
    UncertaintySampler,
    image_uncertainty,
    to_label_csv,
)
from tests.retinanet_odm.prediction_rows import CRAB, FRAME, PIG, RUN, STAR, failed, scored


def _row(image: str, *scores: float) -> PredictionRow:
    return scored(image, *(dataclasses.replace(PIG, score=score) for score in scores))


@pytest.mark.parametrize(
    ("scores", "uncertainty"),
    [
        pytest.param([], 0, id="nothing was found"),
        pytest.param([1.0, 0.0], 0, id="every detection is certain"),
        pytest.param([0.5], 1 / 3, id="one that may be or not"),
        pytest.param([0.5, 0.5, 0.5], 1, id="three"),
        pytest.param([0.5] * 9, 1, id="more count no more"),
        pytest.param([0.75, 0.25], 1 / 3, id="above and below alike"),
        pytest.param([0.05] * 100, 0.1, id="a hundred weak ones are noise"),
    ],
)
def test_image_uncertainty(scores: list[float], uncertainty: float) -> None:
    assert image_uncertainty(_row("a.jpg", *scores)) == pytest.approx(uncertainty)


def _selected(rows: list[PredictionRow], size: int) -> list[tuple[str, bool]]:
    sampler = UncertaintySampler(size)
    for row in rows:
        sampler.add(row)
    return [(found.image, found.is_stratum_leader) for found in sampler.selected()]


def _day(image: str) -> str:
    return image[: image.index("_1")]


def _from_all(rows: list[PredictionRow], size: int) -> list[tuple[str, bool]]:
    """Oracle: sorts everything."""
    order = sorted(
        (row for row in rows if image_uncertainty(row)), key=lambda row: (image_uncertainty(row), row.image)
    )[::-1]
    names = [row.image for row in order]
    leaders = [name for number, name in enumerate(names) if _day(name) not in map(_day, names[:number])]
    rest = [name for name in names if name not in leaders]
    return [(name, name in leaders) for name in (*leaders, *rest)][:size]


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
def test_the_selection_is_the_same_as_with_all_rows_in_memory(rows: list[PredictionRow], size: int) -> None:
    assert _selected(rows, size) == _from_all(rows, size)


def test_the_first_of_every_day_comes_before_all_others() -> None:
    rows = [
        _row("c_20161110_120000.jpg", 0.5, 0.5, 0.5),
        _row("c_20161110_120100.jpg", 0.5, 0.5, 0.4),
        _row("c_20161111_120000.jpg", 0.1),
        _row("d/a.jpg", 0.5),
        _row("d/b.jpg", 0.45),
        _row("e/c.jpg", 0.2),
    ]
    assert _selected(rows, 5) == [
        ("c_20161110_120000.jpg", True),
        ("d/a.jpg", True),
        ("e/c.jpg", True),
        ("c_20161111_120000.jpg", True),
        ("c_20161110_120100.jpg", False),
    ]


def _to_label(rows: Iterable[PredictionRow]) -> list[dict[str, str]]:
    text = b"".join(to_label_csv(rows, RUN)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_to_label_csv() -> None:
    other = FRAME.replace("14_24", "15_00")
    first, second, third = _to_label([scored(FRAME, STAR, CRAB), scored(other, STAR), scored("d/a.jpg", PIG)])
    assert list(first) == list(LABELING_COLUMNS)
    assert list(first.values()) == [
        FRAME,
        "dive 1/StaM_6701",
        "2016-11-10 14:24:12",
        "0.5",
        "least certain of its deployment and day",
        "crab",
        "0.5",
        "2",
        "0123456789ab",
        "0.25",
    ]
    assert (second["image"], second["deployment"], second["time"]) == ("d/a.jpg", "d", "")
    assert (second["chosen"], third["chosen"]) == ("least certain of its folder", "least certain of all")


def test_failed_empty_and_certain_images_are_not_selected() -> None:
    sure = scored("sure.jpg", dataclasses.replace(PIG, score=1.0))
    assert _to_label([failed("a.jpg"), scored("b.jpg"), sure]) == []


def test_to_label_csv_has_a_maximum_length() -> None:
    assert len(_to_label(scored(f"{number}.jpg", CRAB) for number in range(3 * MAX_TO_LABEL))) == MAX_TO_LABEL
