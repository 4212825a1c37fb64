"""The page of `python -m inference abundance`, abundance.html: mean counts with their 95 % intervals."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retinanet_odm.evaluation.abundance import BY_BOTH, BY_DEPLOYMENT, BY_PERIOD, OTHER_PLACES, SURVEY
from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.reports.charts import Chart, ChartLine, time_chart
from retinanet_odm.reports.rendering import Cell, Table, Titled, format_number, render
from retinanet_odm.wording import plural

_Row = Mapping[str, Any]
_MAX_CHARTS = 24
_MAX_TICKS = 4  # names of periods and deployments are wide
_COLOUR = colour_of(7)  # a dark one: each chart is of one class, so the colour need not tell which
_SENTENCES = 6  # of the verdict; further classes are in the table


def abundance_report(content: Mapping[str, Any], *, about: Sequence[str] = ()) -> str:
    """Render the page.

    Args:
      content: abundance.json, see docs/abundance.md.
      about: which rows and labels, and when.
    """
    rows = content["estimates"]
    charts = list(_charts(rows))
    return render(
        "abundance.html.j2",
        about=about,
        content=content,
        verdict=[_describe(row, content["more_labels"]) for row in _of(rows, SURVEY)][:_SENTENCES],
        survey=_survey_table(content, _of(rows, SURVEY)),
        places=_table([*_of(rows, OTHER_PLACES)], named=False),
        charts=charts[:_MAX_CHARTS],
        more_charts=len(charts) - len(charts[:_MAX_CHARTS]),
        deployments=_table(_of(rows, BY_DEPLOYMENT)),
        periods=_table(_of(rows, BY_PERIOD)),
        # Only those with labels: of days at many places, the others would be a page of many megabytes.
        both=_table([row for row in _of(rows, BY_BOTH) if row["labels"]]),
    )


def _of(rows: Sequence[_Row], scope: str) -> list[_Row]:
    return [row for row in rows if row["scope"] == scope]


def _describe(row: _Row, more_labels: int) -> str:
    head = f"{row['class']}: {row['statistic']} {row['mean']:.4g}"
    if row["low"] is None:
        return f"{head}; its interval is unknown: {row['note']}."
    gap = row["predicted"] - row["mean"]
    inside = row["low"] <= row["predicted"] <= row["high"]
    naive = "within the interval" if inside else f"off by {gap:+.4g}"
    return (
        f"{head}, 95 % interval {row['low']:.4g} to {row['high']:.4g}. The count of the detections alone,"
        f" {row['predicted']:.4g}, is {naive}. With {more_labels} more labels, the interval would be about"
        f" ±{row['half_width_with_more']:.4g} in place of ±{row['half_width']:.4g}."
    )


def _survey_table(content: Mapping[str, Any], rows: Sequence[_Row]) -> Table:
    headers = ["class", "statistic", "detections alone", "estimate", "labels alone", "labels", "worth", "weight"]
    more = f"with {content['more_labels']} more labels"
    return Table(
        [*headers, "±"],
        [
            [
                row["class"],
                row["statistic"],
                row["predicted"],
                _estimate(row, "mean", "low", "high"),
                _estimate(row, "labels_alone", "alone_low", "alone_high"),
                row["labels"],
                row["effective_labels"],
                row["weight"],
                _half_width(row, more),
            ]
            for row in rows
        ],
    )


def _table(rows: Sequence[_Row], *, named: bool = True) -> Table | None:
    if not rows:
        return None
    places = ["deployment", "period"] if named else []
    return Table(
        ["class", "statistic", *places, "detections alone", "estimate", "labels", "of images", "note"],
        [
            [
                row["class"],
                row["statistic"],
                *((row["deployment"] or "–", row["period"] or "–") if named else ()),
                row["predicted"],
                _estimate(row, "mean", "low", "high"),
                row["labels"],
                row["images"],
                row["note"],
            ]
            for row in rows
        ],
    )


def _estimate(row: _Row, mean: str, low: str, high: str) -> Cell:
    value: float | None = row[mean]
    if row[low] is None:
        return value
    return Titled(value, f"{format_number(row[low])} to {format_number(row[high])}")


def _half_width(row: _Row, more: str) -> Cell:
    value: float | None = row["half_width"]
    return value if value is None else Titled(value, f"{format_number(row['half_width_with_more'])} {more}")


def _charts(rows: Sequence[_Row]) -> Iterator[Chart]:
    """Yield charts of each class and statistic: the survey and each deployment over time, or the deployments."""
    for kind in dict.fromkeys((row["class"], row["statistic"]) for row in rows):
        own = [row for row in rows if (row["class"], row["statistic"]) == kind]
        if periods := _of(own, BY_PERIOD):
            yield _chart(periods, "period", title=f"{kind[0]}, all deployments")
        elif places := _of(own, BY_DEPLOYMENT):
            yield _chart(places, "deployment", title=kind[0])
        for place in dict.fromkeys(row["deployment"] for row in _of(own, BY_BOTH)):
            of_place = [row for row in _of(own, BY_BOTH) if row["deployment"] == place]
            yield _chart(of_place, "period", title=f"{kind[0]}, {place or '–'}")


def _chart(rows: Sequence[_Row], across: str, *, title: str) -> Chart:
    """Draw the estimates with their intervals, as a band over time, and the detections alone, in the order of rows."""
    last = max(len(rows) - 1, 1)
    intervals = [(at / last, row["low"], row["high"]) for at, row in enumerate(rows) if row["low"] is not None]
    lines = [
        ChartLine(
            name="estimate, with 95 % interval",
            colour=_COLOUR,
            points=[(at / last, row["mean"]) for at, row in enumerate(rows)],
            intervals=intervals,
            has_band=across == "period",
        ),
        ChartLine(
            name="detections alone",
            width=1.0,
            points=[(at / last, row["predicted"]) for at, row in enumerate(rows)],
        ),
    ]
    every = -(-len(rows) // _MAX_TICKS)
    names = {row[across] or "–": at / last for at, row in enumerate(rows) if at % every == 0}
    chart = time_chart(lines, times=names, y=rows[0]["statistic"], title=title)
    labels = sum(row["labels"] for row in rows)
    return dataclasses.replace(chart, x=across, note=f"{labels:,} {plural('label', labels)}")
