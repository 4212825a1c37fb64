"""Inline SVG: whole, escaped, and with points where they belong."""

import re

import pytest
from lxml import etree

from detection.charts import Line, bubble_chart, line_chart, shade

_EVIL = '<script>alert("x")</script>&amp;'


def _svg(text: str) -> etree._Element:
    """Well-formed XML, which HTML embeds as it is."""
    return etree.fromstring(text.strip().encode())


def _drawn(points: list[tuple[float, float | None]]) -> str:
    chart = _svg(line_chart([Line(name="a", points=points)], x="x", y="y"))
    return re.sub(r"[\d. ]+", "", chart.findall(".//path")[-1].get("d"))


@pytest.mark.parametrize(
    ("points", "steps"),
    [
        pytest.param([(0, 0), (0.5, 0.2), (1, 1)], "MLL", id="a line"),
        pytest.param([(0, 0), (0.2, 1), (0.4, None), (0.6, 1), (1, 1)], "MLML", id="a gap"),
        pytest.param([(0, None), (1, 0.5)], "M", id="a gap first"),
        pytest.param([(0, None)], "", id="nothing but a gap"),
        pytest.param([], "", id="no points"),
    ],
)
def test_a_line_is_broken_where_nothing_is_known(points: list[tuple[float, float | None]], steps: str) -> None:
    assert _drawn(points) == steps


def test_the_corners_are_those_of_the_grid() -> None:
    chart = _svg(line_chart([Line(name="a", points=[(0, 0), (1, 1)])], x="x", y="y"))
    (left, bottom), (right, top) = re.findall(r"([\d.]+) ([\d.]+)", chart.findall(".//path")[-1].get("d"))
    width, height = chart.find("svg").get("viewBox").split()[2:]
    assert 0 < float(left) < float(right) < float(width)
    assert 0 < float(top) < float(bottom) < float(height), "up is larger"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(line_chart([Line(name=_EVIL, points=[(0, 1)])], x=_EVIL, y=_EVIL), id="lines"),
        pytest.param(bubble_chart([(1, 1, 1)], name=_EVIL, x=_EVIL, y=_EVIL), id="bubbles"),
    ],
)
def test_names_are_escaped(text: str) -> None:
    chart = _svg(text)
    assert _EVIL in "".join(chart.itertext())
    assert not chart.findall(".//script")
    assert chart.find("svg").get("aria-label") == f"{_EVIL} by {_EVIL}"


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        pytest.param(0, ["0", "1"], id="nothing counted"),
        pytest.param(1, ["0", "1"], id="no halves"),
        pytest.param(4, ["0", "1", "2", "3", "4"], id="one by one"),
        pytest.param(7, ["0", "2", "4", "6"], id="two by two"),
        pytest.param(130, ["0", "50", "100"], id="fifty by fifty"),
    ],
)
def test_ticks_are_round_and_few(largest: int, ticks: list[str]) -> None:
    chart = _svg(bubble_chart([(largest, 0, 3)], name="a", x="true", y="found"))
    assert [text.text for text in chart.findall(".//text")[:-2]][::2] == ticks


def test_areas_of_bubbles_follow_the_counts() -> None:
    chart = _svg(bubble_chart([(0, 0, 400), (1, 1, 100), (2, 1, 1)], name="a", x="true", y="found"))
    radii = [float(circle.get("r")) for circle in chart.findall(".//circle")]
    assert radii[0] == 2 * radii[1] > 2 * radii[2] > 0
    assert chart.findall(".//circle/title")[2].text == "1: true 2, found 1"


def test_no_bubbles_are_a_chart_all_the_same() -> None:
    assert _svg(bubble_chart([], name="a", x="x", y="y")).findall(".//circle") == []


@pytest.mark.parametrize(
    ("count", "good", "shown"),
    [
        pytest.param(0, True, "·", id="none"),
        pytest.param(1234, True, "1,234", id="right"),
        pytest.param(2, False, "2", id="wrong"),
    ],
)
def test_shades(count: int, good: bool, shown: str) -> None:
    cell = shade(count, 0.5, is_good=good)
    assert re.sub("<[^>]*>", "", cell) == shown
    assert ("--error" in cell) == (count > 0 and not good)
