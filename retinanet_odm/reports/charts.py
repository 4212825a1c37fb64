"""Charts as inline SVG for the pages: no script; colours of the page, so that they follow its light or dark scheme."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retinanet_odm.imaging.drawing import PALETTE
from retinanet_odm.reports.html_parts import Figure, Html, escape_html, format_number

# The darkest first: a page is light where a photograph of the deep is dark. Yellow would not be seen.
COLOURS = tuple(reversed(PALETTE))[:-1]

_WIDTH, _HEIGHT = 440, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 52  # margins, for the ticks and names of the axes
_GAP = 15  # between an axis and its ticks' names: a bubble at 0 reaches into it
_TICKS = 5  # at most so many steps on an axis
_LARGEST = 12.0  # radius of the largest bubble
_SMALLEST = 0.25  # of that: a single photograph among thousands is still seen
_DARKEST = 0.75  # of a shade, so that the number on it can be read

ChartPoint = tuple[float, float | None]


@dataclass(frozen=True, kw_only=True)
class ChartLine:
    """A line of a chart.

    Attributes:
      points: (x, y), from left to right; where y is None the line is broken.
      colour: as CSS has it; the default is that of text.
    """

    name: str
    points: Sequence[ChartPoint]
    colour: str = "var(--ink)"
    width: float = 1.75


def line_chart(lines: Sequence[ChartLine], *, x: str, y: str, diagonal: bool = False) -> Html:
    """Lines over two axes from 0 to 1, with a legend.

    Args:
      x, y: what the axes are.
      diagonal: draw where both are equal.
    """
    paths = "".join(_path(line) for line in lines)
    ticks = _ticks(1.0)
    inner = f"{_diagonal() if diagonal else ''}{paths}"
    return _chart(inner, across=ticks, up=ticks, x=x, y=y, legend=_legend(lines))


def time_chart(lines: Sequence[ChartLine], *, times: Mapping[str, float], y: str, title: str) -> Html:
    """Lines over time, each point marked, so that one between two gaps is seen.

    Args:
      lines: x is a share 0..1 of the time shown, y a value of 0 or more.
      times: names of moments, with their shares.
      y: what the values are.
      title: stands below the chart, with the legend.
    """
    limit = max((value for line in lines for _, value in line.points if value), default=1.0)
    scaled = [
        dataclasses.replace(line, points=[(at, value if value is None else value / limit) for at, value in line.points])
        for line in lines
    ]
    inner = "".join(f"{_path(line)}{_dots(line)}" for line in scaled)
    legend = f"<b>{escape_html(title)}</b><br/>{_legend(lines)}"
    return _chart(inner, across=times, up=_ticks(limit), x="", y=y, legend=legend)


def histogram(counts: Sequence[int], *, x: str, y: str, title: str) -> Html:
    """Bars of equal width over an axis from 0 to 1."""
    limit = max(counts, default=0) or 1
    width = 1 / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{_across(row * width) + 0.5:.1f}" y="{_up(count / limit):.1f}"'
        f' width="{_across(width) - _across(0) - 1:.1f}" height="{_up(0) - _up(count / limit):.1f}">'
        f"<title>{format_number(count)}: {escape_html(x)} {row * width:.2f} to {(row + 1) * width:.2f}</title></rect>"
        for row, count in enumerate(counts)
    )
    inner = f'<g style="fill:var(--bar)">{bars}</g>'
    up = _ticks(limit, least=1)
    return _chart(inner, across=_ticks(1.0), up=up, x=x, y=y, legend=f"<b>{escape_html(title)}</b>")


def bubble_chart(points: Iterable[tuple[int, int, int]], *, name: str, x: str, y: str) -> Html:
    """Bubbles (x, y, how many) over two equal axes from 0, areas by how many, with the line where both are equal."""
    drawn = list(points)
    limit = max((max(point[:2]) for point in drawn), default=0) or 1
    most = max((count for *_, count in drawn), default=1)
    bubbles = "".join(
        f'<circle cx="{_across(at / limit):.1f}" cy="{_up(value / limit):.1f}" r="{_radius(count / most):.1f}">'
        f"<title>{format_number(count)}: {escape_html(x)} {at}, {escape_html(y)} {value}</title></circle>"
        for at, value, count in drawn
    )
    inner = f'{_diagonal()}<g style="fill:var(--bar);fill-opacity:.55">{bubbles}</g>'
    ticks = _ticks(limit, least=1)
    return _chart(inner, across=ticks, up=ticks, x=x, y=y, legend=escape_html(name))


def chart_grid(drawn: Iterable[Html]) -> Html:
    """Small charts side by side, as many as there is room for."""
    return Html(f'<div class="gallery">{"".join(drawn)}</div>\n')


def shade(count: int, share: float, *, is_good: bool) -> Figure:
    """A count in a cell, the darker the larger its share of 1; none is a dot."""
    if not count:
        return Figure("·")
    colour = "var(--bar)" if is_good else "var(--error)"
    style = f"background:color-mix(in srgb, {colour} {share * _DARKEST:.0%}, transparent)"
    return Figure(f'<span style="padding:.15rem .45rem;border-radius:4px;{style}">{format_number(count)}</span>')


def _radius(share: float) -> float:
    return _LARGEST * max(math.sqrt(share), _SMALLEST)


def _across(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _up(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _path(line: ChartLine) -> str:
    """An SVG path; it moves rather than draws to the first point and after a gap."""
    steps, letter = [], "M"
    for at, value in line.points:
        if value is None:
            letter = "M"
        else:
            steps.append(f"{letter}{_across(at):.1f} {_up(value):.1f}")
            letter = "L"
    style = f"fill:none;stroke:{line.colour};stroke-width:{line.width};stroke-linejoin:round"
    return f'<path d="{"".join(steps)}" style="{style}"><title>{escape_html(line.name)}</title></path>'


def _dots(line: ChartLine) -> str:
    """A dot for each point, in one path: a line of no length has round ends."""
    steps = "".join(f"M{_across(at):.1f} {_up(value):.1f}h0" for at, value in line.points if value is not None)
    return f'<path d="{steps}" style="stroke:{line.colour};stroke-width:{3 * line.width:g};stroke-linecap:round"/>'


def _diagonal() -> str:
    style = "stroke:var(--soft);stroke-dasharray:3 4"
    return f'<line x1="{_across(0)}" y1="{_up(0)}" x2="{_across(1)}" y2="{_up(1)}" style="{style}"/>'


def _chart(inner: str, *, across: Mapping[str, float], up: Mapping[str, float], x: str, y: str, legend: str) -> Html:
    """What is drawn between two axes, each with the names of its ticks and their shares of it."""
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    names = (
        f'<text x="{_across(0.5)}" y="{_HEIGHT - 6}" text-anchor="middle">{escape_html(x)}</text>'
        f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape_html(y)}</text>'
    )
    style = "width:100%;height:auto;font-size:12px;fill:var(--soft)"
    label = f"{escape_html(y)} by {escape_html(x or 'time')}"
    return Html(
        '<figure style="max-width:34rem;margin-top:.75rem">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" style="{style}">'
        f"{_axes(across, up)}{names}{inner}</svg><figcaption>{legend}</figcaption></figure>\n"
    )


def _axes(across: Mapping[str, float], up: Mapping[str, float]) -> str:
    """Grid lines and names of two axes."""
    upright = "".join(
        f'<path d="M{_across(share):.1f} {_up(0)}V{_up(1)}" style="stroke:var(--line)"/>'
        f'<text x="{_across(share):.1f}" y="{_up(0) + _GAP + 10}" text-anchor="middle">{escape_html(name)}</text>'
        for name, share in across.items()
    )
    level = "".join(
        f'<path d="M{_across(0)} {_up(share):.1f}H{_across(1)}" style="stroke:var(--line)"/>'
        f'<text x="{_across(0) - _GAP}" y="{_up(share) + 4:.1f}" text-anchor="end">{escape_html(name)}</text>'
        for name, share in up.items()
    )
    return upright + level


def _ticks(limit: float, *, least: float = 0.0) -> dict[str, float]:
    """Names of round numbers from 0 to the limit, with their shares of it; steps of 1, 2 or 5 tens, few of them.

    Args:
      least: the smallest step; 1 for counts, which have no halves.
    """
    power = 10 ** math.floor(math.log10(limit / _TICKS))
    fitting = next(size * power for size in (1, 2, 5, 10) if limit / (size * power) <= _TICKS + 1e-9)
    step = max(fitting, least)
    return {f"{row * step:g}": row * step / limit for row in range(int(limit / step + 1e-9) + 1)}


def _legend(lines: Sequence[ChartLine]) -> str:
    swatch = "display:inline-block;width:.9rem;height:.2rem;margin-right:.35rem;vertical-align:middle"
    names = ((escape_html(line.name), f'<i style="{swatch};background:{line.colour}"></i>') for line in lines)
    return "".join(f'<span style="display:inline-block;margin-right:1rem">{mark}{name}</span> ' for name, mark in names)
