"""Cells and tables: how values are written, and that markup in a value is escaped."""

import pytest
from lxml import html

from retinanet_odm.reports.rendering import Badge, Bar, Percent, Table, format_number
from tests.retinanet_odm.reports.components import render_cell, render_table
from tests.retinanet_odm.reports.pages import EVIL


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(1234567, "1,234,567", id="thousands"),
        pytest.param(0.5, "0.500", id="fractions align"),
        pytest.param(None, "–", id="none"),
        pytest.param(float("nan"), "–", id="nan"),
        pytest.param("<b>", "<b>", id="text as it is"),
    ],
)
def test_number(value: object, shown: str) -> None:
    assert format_number(value) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        pytest.param(0.0, "0%", id="none"),
        pytest.param(0.0004, "<1%", id="few, but not none"),
        pytest.param(0.29, "29%", id="0.29 * 100 is 28.999…"),
        pytest.param(0.899, "89%", id="below 90 is not 90"),
        pytest.param(0.9999, "99%", id="not all"),
        pytest.param(1.0, "100%", id="all"),
    ],
)
def test_percent(share: float, shown: str) -> None:
    assert str(Percent(share)) == shown


@pytest.mark.parametrize(("value", "maximum"), [(1, 0), (None, 1), (float("nan"), 1), (-1, 1), (5, 1)])
def test_bars_never_leave_their_track(value: float | None, maximum: float) -> None:
    assert 'style="width:0.0%"' in (cell := render_cell(Bar.of(value, maximum))) or 'style="width:100.0%"' in cell


def test_a_badge_is_escaped() -> None:
    assert "<script" not in render_cell(Badge(EVIL))


@pytest.mark.parametrize(("rows", "shown"), [(20, 20), (21, 15), (300, 15)])
def test_long_tables_are_folded(rows: int, shown: int) -> None:
    tree = html.fromstring(f"<div>{render_table(Table(['n', 'value'], [(str(n), n) for n in range(rows)]))}</div>")
    assert len(tree.xpath("./div//tbody/tr")) == shown
    assert len(tree.xpath("./details//tbody/tr")) == rows - shown
    assert [summary.text for summary in tree.xpath(".//summary")] == (
        [f"{rows - shown} more rows"] if rows > shown else []
    )


def test_an_empty_table_has_its_headers() -> None:
    assert "reason" in render_table(Table(["file", "reason"], []))


@pytest.mark.parametrize(
    ("table", "is_stacked"),
    [
        pytest.param(Table(list("abcdef"), [("crab", 1, 2, 3, 4, 5)]), True, id="many columns"),
        pytest.param(Table(list("abcde"), [("crab", 1, 2, 3, 4)]), False, id="fits"),
        pytest.param(Table([""] * 6, [("crab", 1, 2, 3, 4, 5)]), False, id="no headers to repeat"),
        pytest.param(
            Table(list("abcdef"), [("crab", 1, 2, 3, 4, 5)], is_matrix=True), False, id="columns are compared"
        ),
    ],
)
def test_a_narrow_screen_keeps_every_column(table: Table, is_stacked: bool) -> None:
    """Each cell of a stacked row has its header beside it."""
    tree = html.fromstring(render_table(table))
    assert (tree.xpath("//table/@class") == ["stacked"]) == is_stacked
    assert tree.xpath("//td/@data-header") == (list(table.headers[1:]) if is_stacked else [])
