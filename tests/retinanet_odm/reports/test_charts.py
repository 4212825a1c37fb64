"""Inline SVG: complete, escaped, and with points at the right positions."""

import itertools
import re

import pytest
from lxml import etree

from retinanet_odm.reports.charts import Chart, ChartLine, bubble_chart, histogram, line_chart, time_chart, to_x
from retinanet_odm.reports.rendering import Shade
from tests.retinanet_odm.reports.components import render_cell, render_chart

_EVIL = '<script>alert("x")</script>&amp;'


def _svg(chart: Chart) -> etree._Element:
    """Well-formed XML, which HTML embeds as it is."""
    return etree.fromstring(render_chart(chart).strip().encode())


def _drawn(points: list[tuple[float, float | None]]) -> str:
    chart = _svg(line_chart([ChartLine(name="a", points=points)], x="x", y="y"))
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


def _names_below(chart: etree._Element) -> list[str]:
    """The ticks of the lower axis, where both axes have equally many; their own names come last."""
    ticks = [text.text for text in chart.findall(".//text")[:-2]]
    return ticks[: len(ticks) // 2]


def test_the_corners_are_those_of_the_grid() -> None:
    chart = _svg(line_chart([ChartLine(name="a", points=[(0, 0), (1, 1)])], x="x", y="y"))
    (left, bottom), (right, top) = re.findall(r"([\d.]+) ([\d.]+)", chart.findall(".//path")[-1].get("d"))
    width, height = chart.find("svg").get("viewBox").split()[2:]
    assert 0 < float(left) < float(right) < float(width)
    assert 0 < float(top) < float(bottom) < float(height), "up is larger"


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(line_chart([ChartLine(name=_EVIL, points=[(0, 1)])], x=_EVIL, y=_EVIL), id="lines"),
        pytest.param(bubble_chart([(1, 1, 1)], title=_EVIL, x=_EVIL, y=_EVIL), id="bubbles"),
        pytest.param(histogram([1, 2], x=_EVIL, y=_EVIL, title=_EVIL), id="bars"),
    ],
)
def test_names_are_escaped(chart: Chart) -> None:
    svg = _svg(chart)
    assert _EVIL in "".join(svg.itertext())
    assert not svg.findall(".//script")
    assert svg.find("svg").get("aria-label") == f"{_EVIL} by {_EVIL}"


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
    chart = _svg(bubble_chart([(largest, 0, 3)], title="a", x="true", y="found"))
    assert _names_below(chart) == ticks


def test_areas_of_bubbles_follow_the_counts() -> None:
    chart = _svg(bubble_chart([(0, 0, 400), (1, 1, 100), (2, 1, 1)], title="a", x="true", y="found"))
    radii = [float(circle.get("r")) for circle in chart.findall(".//circle")]
    assert radii[0] == 2 * radii[1] > 2 * radii[2] > 0
    assert chart.findall(".//circle/title")[2].text == "1: true 2, found 1"


def test_a_chart_without_bubbles() -> None:
    assert _svg(bubble_chart([], title="a", x="x", y="y")).findall(".//circle") == []


@pytest.mark.parametrize(
    ("count", "good", "shown"),
    [
        pytest.param(0, True, "·", id="none"),
        pytest.param(1234, True, "1,234", id="right"),
        pytest.param(2, False, "2", id="wrong"),
    ],
)
def test_shades(count: int, good: bool, shown: str) -> None:
    cell = render_cell(Shade(count, 0.5, is_good=good))
    assert re.sub("<[^>]*>", "", cell) == shown
    assert ("wrong" in cell) == (count > 0 and not good)


def test_time_goes_right_and_the_largest_value_is_at_the_top() -> None:
    line = ChartLine(name=_EVIL, points=[(0, 0), (0.5, None), (1, 250)])
    chart = _svg(time_chart([line], times={"2016-11-10": 0.0, _EVIL: 1.0}, y=_EVIL, title=_EVIL))
    assert "".join(chart.itertext()).count(_EVIL) == 5, "tick, axis, line, legend and title"
    dots = re.findall(r"M([\d.]+) ([\d.]+)h0", chart.findall(".//path")[-1].get("d"))
    (left, bottom), (right, top) = [(float(across), float(up)) for across, up in dots]
    assert left < right and top < bottom
    named = {text.text: float(text.get("y")) for text in chart.findall(".//text") if text.get("text-anchor") == "end"}
    assert named["200"] < named["50"] < named["0"], "values have a separate axis"
    assert top < named["200"], "250 is above 200"


def test_a_chart_without_values() -> None:
    assert _svg(time_chart([ChartLine(name="a", points=[(0, 0)])], times={}, y="y", title="t")).findall(".//path")
    bars = _svg(histogram([0, 0, 0], x="x", y="y", title="t")).findall(".//rect")
    assert [float(bar.get("height")) for bar in bars] == [0, 0, 0]


def test_bars_stand_side_by_side_as_high_as_their_counts() -> None:
    bars = _svg(histogram([2, 0, 4, 1], x="score", y="n", title="t")).findall(".//rect")
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.2) and heights[1] == 0
    assert bars[0].find("title").text == "2: score 0.00 to 0.25"
    left = [float(bar.get("x")) for bar in bars]
    assert all(b - a == pytest.approx(float(bars[0].get("width")) + 1, abs=0.2) for a, b in itertools.pairwise(left))


@pytest.mark.parametrize(
    ("start", "lefts"),
    [
        pytest.param(0.0, [0.0, 0.25, 0.5, 0.75], id="nothing is cut"),
        pytest.param(0.6, [0.6, 0.75], id="within a bin"),
        pytest.param(0.5, [0.5, 0.75], id="between bins"),
        pytest.param(1.0, [1.0], id="only the highest score counts"),
    ],
)
def test_bars_begin_where_values_count(start: float, lefts: list[float]) -> None:
    chart = histogram([0, 0, 2, 1], x="score", y="detections", title="crab", start=start)
    assert [float(bar.left) for bar in chart.bars] == [float(to_x(share)) + 0.5 for share in lefts]
    assert chart.cut == (start or None)
