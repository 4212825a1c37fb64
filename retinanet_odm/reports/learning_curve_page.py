"""The page of a learning curve, `learning_curve.html` of the trainer: the curve, and what more labels would bring."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from retinanet_odm.reports.charts import Chart, ChartLine, time_chart
from retinanet_odm.reports.evaluation_page import format_interval
from retinanet_odm.reports.rendering import Bar, Cell, Code, Table, Titled, render
from retinanet_odm.wording import plural

_Values = Mapping[str, Any]
# Lines of the chart with their colours, as in CSS.
_LINES = {"AP": "var(--ink)", "AP50": "var(--bar)"}


def learning_curve_report(curve: _Values, *, about: Sequence[str] = ()) -> str:
    """Render the page.

    Args:
      curve: learning_curve.json, see docs/training.md.
      about: Which model was trained on which data, and when.
    """
    points = curve["points"]
    return render(
        "learning_curve.html.j2",
        about=about,
        verdict=[_describe_last(curve), curve["outlook"]["text"]],
        missing=curve["missing"],
        chart=_draw(points),
        points=Table(["images", "AP", "AP50", "boxes", "deployments or groups", "steps", "folder"], _rows(points)),
        curve=curve,
        interval=next((point["interval"] for point in reversed(points) if point["interval"]), None),
    )


def _describe_last(curve: _Values) -> str:
    last = curve["points"][-1]
    if last["AP"] is None:
        return "AP has no value: the held-out images have no objects."
    images, held_out = last["images"], curve["held_out_images"]
    tiles = f"the tiles of {curve['tile']['side']} px of " if "tile" in curve else ""
    return (
        f"Trained on {images:,} {plural('image', images)}, the detector has AP {last['AP']:.3f} (AP50"
        f" {last['AP50']:.3f}) on {tiles}{held_out:,} held-out {plural('image', held_out)}."
    )


def _draw(points: Sequence[_Values]) -> Chart | None:
    """Draw AP and AP50 over the logarithm of the number of images; None for a single point."""
    if len(points) < 2:
        return None
    first, last = (math.log(points[row]["images"]) for row in (0, -1))
    shares = [(math.log(point["images"]) - first) / (last - first) for point in points]
    lines = [
        ChartLine(
            name=name,
            colour=colour,
            points=[(at, point[name]) for at, point in zip(shares, points, strict=True)],
            intervals=[
                (at, *point["interval"][name])
                for at, point in zip(shares, points, strict=True)
                if point["interval"] and point["interval"][name]
            ],
        )
        for name, colour in _LINES.items()
    ]
    names = {f"{point['images']:,}": at for at, point in zip(shares, points, strict=True)}
    return dataclasses.replace(
        time_chart(lines, times=names, y="AP on the held-out images", title=""), x="images in training (logarithmic)"
    )


def _rows(points: Sequence[_Values]) -> list[list[Cell]]:
    return [
        [
            point["images"],
            *(_cell(point, name) for name in _LINES),
            point["boxes"],
            point["groups"],
            point["steps"],
            Code(point["folder"]),
        ]
        for point in points
    ]


def _cell(point: _Values, name: str) -> Cell:
    bar = Bar.of(point[name], 1.0)
    interval = point["interval"] and point["interval"][name]
    return Titled(bar, format_interval(interval)) if interval else bar
