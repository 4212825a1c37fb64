"""Charts as data: shapes in shares of the axes, which `templates/components.html.j2` draws as inline SVG.

Own SVG in place of a chart library: the pages need four small static charts whose colours follow the page's light or
dark scheme, without script and without a file beside them; the kept libraries that make SVG without a browser
(matplotlib, pygal) embed fonts, styles or scripts of their own, ten to a hundred times as large.
"""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

_MAX_TICKS = 5  # steps on an axis
_MAX_RADIUS = 12.0  # of a bubble, in pixels
_MIN_RADIUS = 0.25  # share of the largest radius: a single image among thousands is still seen

ChartPoint = tuple[float, float | None]
_Class = TypeVar("_Class", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Size of a chart and margins around its axes, in pixels; `gap` is between an axis and the names of its ticks."""

    width: int = 440
    height: int = 320
    left: int = 58
    right: int = 14
    top: int = 14
    bottom: int = 52
    gap: int = 15

    @property
    def below(self) -> int:
        """Height of the names under the lower axis."""
        return self.height - self.bottom + self.gap + 10

    @property
    def beside(self) -> int:
        """Right end of the names beside the left axis."""
        return self.left - self.gap


# One size for all charts. The template reads it too: see `rendering`.
FRAME = Frame()


def to_x(share: float) -> str:
    """Convert a share 0..1 of the lower axis to pixels.

    Example:
      >>> to_x(0.0), to_x(1.0)
      ('58.0', '426.0')
    """
    return f"{FRAME.left + share * _plot_width():.1f}"


def to_y(share: float) -> str:
    """Convert a share 0..1 of the left axis to pixels, which count from the top.

    Example:
      >>> to_y(0.0), to_y(1.0)
      ('268.0', '14.0')
    """
    return f"{FRAME.height - FRAME.bottom - share * _plot_height():.1f}"


def _plot_width() -> int:
    return FRAME.width - FRAME.left - FRAME.right


def _plot_height() -> int:
    return FRAME.height - FRAME.top - FRAME.bottom


@dataclass(frozen=True, kw_only=True)
class ChartLine:
    """A line of a chart.

    Attributes:
      name: for the legend.
      points: (x, y) from left to right, in shares 0..1 of the axes; the line is broken where y is None.
      colour: as in CSS; the default is that of text.
      width: in pixels.
      intervals: (x, low, high), drawn as vertical bars, or as a band.
      has_band: draw a band.
    """

    name: str
    points: Sequence[ChartPoint]
    colour: str = "var(--ink)"
    width: float = 1.75
    intervals: Sequence[tuple[float, float, float]] = ()
    has_band: bool = False

    @property
    def path(self) -> str:
        """The line as an SVG path: it moves to the first point, and to the first one after a gap."""
        steps, letter = [], "M"
        for across, up in self.points:
            if up is None:
                letter = "M"
            else:
                steps.append(f"{letter}{to_x(across)} {to_y(up)}")
                letter = "L"
        return "".join(steps)

    @property
    def dots(self) -> str:
        """A path with a dot at each point: lines without length, which are drawn with round ends."""
        return "".join(f"M{to_x(across)} {to_y(up)}h0" for across, up in self.points if up is not None)

    @property
    def interval_path(self) -> str:
        """The intervals as an SVG path."""
        if self.has_band and len(self.intervals) > 1:
            lower = [(across, low) for across, low, _ in self.intervals]
            upper = [(across, high) for across, _, high in reversed(self.intervals)]
            return "M" + "L".join(f"{to_x(across)} {to_y(up)}" for across, up in (*lower, *upper)) + "Z"
        return "".join(f"M{to_x(across)} {to_y(low)}V{to_y(high)}" for across, low, high in self.intervals)


@dataclass(frozen=True, kw_only=True)
class ChartBar:
    """A bar of a histogram: its rectangle in pixels, and its tooltip."""

    left: str
    top: str
    width: str
    height: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Bubble:
    """A bubble: its centre in shares of the axes, its radius in pixels, and its tooltip."""

    across: float
    up: float
    radius: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of two axes.

    Attributes:
      x, y: names of the axes; x is "" for time.
      across, up: names of the ticks of the lower and the left axis, with their shares 0..1 of it.
      title: below the chart.
      colour: of a patch before the title; "" for none.
      note: below the title.
      cut: share of the lower axis at which the drawn values begin; None where nothing is cut.
      lines, bars, bubbles: what is drawn.
      marks_points: draw a dot at each point of the lines.
      diagonal: draw the line where both axes are equal.
    """

    x: str
    y: str
    across: Mapping[str, float]
    up: Mapping[str, float]
    title: str = ""
    colour: str = ""
    note: str = ""
    cut: float | None = None
    lines: Sequence[ChartLine] = ()
    bars: Sequence[ChartBar] = ()
    bubbles: Sequence[Bubble] = ()
    marks_points: bool = False
    diagonal: bool = False


def most_frequent_by_colour(colours: Mapping[_Class, str], counts: Mapping[_Class, int]) -> dict[_Class, str]:
    """Return the classes to draw as lines, with their colours: of those with one colour, the most frequent.

    The order is that of the colours, so that legends have the order of the tables.

    Example:
      >>> most_frequent_by_colour({"crab": "red", "eel": "blue", "star": "red"}, {"crab": 1, "eel": 5, "star": 9})
      {'eel': 'blue', 'star': 'red'}
    """
    drawn: dict[str, _Class] = {}
    # A sort keeps the order of equal counts.
    for one in sorted(colours, key=lambda one: -counts[one]):
        drawn.setdefault(colours[one], one)
    return {one: colour for one, colour in colours.items() if drawn[colour] == one}


def line_chart(lines: Sequence[ChartLine], *, x: str, y: str, diagonal: bool = False) -> Chart:
    """Make a chart of lines over two axes from 0 to 1, with a legend."""
    ticks = _ticks(1.0)
    return Chart(x=x, y=y, across=ticks, up=ticks, lines=lines, diagonal=diagonal)


def time_chart(lines: Sequence[ChartLine], *, times: Mapping[str, float], y: str, title: str) -> Chart:
    """Make a chart of lines over time, each point marked, so that one between two gaps is seen.

    Args:
      lines: x is a share 0..1 of the time shown, y a value of 0 or more, and so are the ends of intervals.
      times: names of moments, with their shares.
      y: what the values are.
      title: below the chart, with the legend.
    """
    # The axis ends at the largest value; 1.0 where no line has a value above 0, because shares are divided by it.
    values = (value for line in lines for _, value in line.points if value)
    limit = max((*values, *(high for line in lines for *_, high in line.intervals)), default=1.0) or 1.0
    scaled = [
        dataclasses.replace(
            line,
            points=[(at, value if value is None else value / limit) for at, value in line.points],
            intervals=[(at, low / limit, high / limit) for at, low, high in line.intervals],
        )
        for line in lines
    ]
    return Chart(x="", y=y, across=times, up=_ticks(limit), title=title, lines=scaled, marks_points=True)


def histogram(
    counts: Sequence[int], *, x: str, y: str, title: str, start: float = 0.0, colour: str = "", note: str = ""
) -> Chart:
    """Make a chart of bars over an axis from 0 to 1.

    Args:
      counts: of bins of equal width.
      x, y, title, colour, note: as in Chart.
      start: what is below is not counted; the bar of its bin begins there, and so does the one that is drawn first.
    """
    limit = max(counts, default=0) or 1
    step = 1 / max(len(counts), 1)
    bars = []
    for row, count in enumerate(counts):
        low, high = max(row * step, start), (row + 1) * step
        if low < high or row == len(counts) - 1:
            bars.append(
                ChartBar(
                    # Half a pixel on each side keeps neighbouring bars apart.
                    left=f"{float(to_x(low)) + 0.5:.1f}",
                    top=to_y(count / limit),
                    width=f"{max((high - low) * _plot_width() - 1, 1):.1f}",
                    height=f"{count / limit * _plot_height():.1f}",
                    title=f"{count:,}: {x} {low:.2f} to {high:.2f}",
                )
            )
    return Chart(
        x=x,
        y=y,
        across=_ticks(1.0),
        up=_ticks(limit, minimum=1),
        title=title,
        colour=colour,
        note=note,
        cut=start or None,
        bars=bars,
    )


def bubble_chart(points: Iterable[tuple[int, int, int]], *, title: str, x: str, y: str, colour: str = "") -> Chart:
    """Make a chart of bubbles (x, y, count) over two equal axes from 0, with the line where both are equal.

    The area of a bubble is proportional to its count.
    """
    drawn = list(points)
    limit = max((max(point[:2]) for point in drawn), default=0) or 1
    most = max((count for *_, count in drawn), default=1)
    bubbles = [
        Bubble(
            across=at / limit,
            up=value / limit,
            # The root, because the area of a circle grows with the square of its radius.
            radius=f"{_MAX_RADIUS * max(math.sqrt(count / most), _MIN_RADIUS):.1f}",
            title=f"{count:,}: {x} {at}, {y} {value}",
        )
        for at, value, count in drawn
    ]
    ticks = _ticks(limit, minimum=1)
    return Chart(x=x, y=y, across=ticks, up=ticks, title=title, colour=colour, bubbles=bubbles, diagonal=True)


def _ticks(limit: float, *, minimum: float = 0.0) -> dict[str, float]:
    """Name round numbers from 0 to the limit, with their shares of it; steps of 1, 2 or 5 times a power of ten.

    Args:
      limit: the largest value.
      minimum: the smallest step; 1 for counts, which have no halves.
    """
    # The largest power of ten below the wanted step; one of its multiples 1, 2, 5 and 10 is the step.
    power = 10 ** math.floor(math.log10(limit / _MAX_TICKS))
    fitting = next(size * power for size in (1, 2, 5, 10) if limit / (size * power) <= _MAX_TICKS + 1e-9)
    step = max(fitting, minimum)
    return {f"{row * step:g}": row * step / limit for row in range(int(limit / step + 1e-9) + 1)}
