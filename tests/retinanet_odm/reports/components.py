"""Renders single components of the reports, for tests."""

from retinanet_odm.reports.charts import Chart
from retinanet_odm.reports.rendering import Cell, Table, _environment


def _render(macro: str, value: object) -> str:
    text = f"{{% from 'components.html.j2' import {macro} %}}{{{{ {macro}(value) }}}}"
    return _environment().from_string(text).render(value=value)


def render_cell(value: Cell) -> str:
    """Markup of a cell."""
    return _render("cell", value)


def render_table(value: Table) -> str:
    """Markup of a table."""
    return _render("table", value)


def render_chart(value: Chart) -> str:
    """Markup of a chart."""
    return _render("draw", value)
