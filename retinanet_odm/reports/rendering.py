"""Renders the templates of the reports with Jinja2, and has the values that their tables hold.

Begin with `render`: every text is escaped, an unknown variable is an error. The cells of a `Table` are plain values,
without markup; `templates/components.html.j2` draws them.
"""

import base64
import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, Union

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from retinanet_odm.reports import charts

_TEMPLATES = Path(__file__).parent / "templates"
_FLAG = re.compile(r"--[a-z_]+(=[a-z0-9_+]+)?")
_MAX_NARROW = 5  # columns that fit on a narrow screen
_MAX_SHADE = 0.75  # so that the number on the shade can still be read


# --- Templates ---


def render(template: str, **values: object) -> str:
    """Render a template.

    Args:
      template: its file name in `templates/`.
      values: the variables that it uses; text is escaped where it is written.
    """
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        # The templates are package data, so they lie beside this module also in an installed wheel.
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        # A misspelt variable would otherwise be an empty section that nobody misses.
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Names that the templates use after a bar, such as {{ value | number }}.
    environment.filters |= {
        "number": format_number,
        "advice": mark_flags,
        "jpeg_uri": jpeg_uri,
        "x": charts.to_x,
        "y": charts.to_y,
    }
    environment.globals["frame"] = charts.FRAME
    return environment


def _finalize(value: object) -> object:
    """Show the bytes of file names that are not UTF-8 as backslash codes; such text could not be written."""
    # Markup is made by this program; only texts may contain names of files.
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def mark_flags(text: str) -> Markup:
    """Escape text and marks its flags as code that does not break at dashes.

    Example:
      >>> mark_flags("use --image_size=640")
      Markup('use <code class="flag">--image_size=640</code>')
    """
    marked = _FLAG.sub(r'<code class="flag">\g<0></code>', str(escape(_finalize(text))))
    return Markup(marked)  # noqa: S704 - escaped in the line above


def jpeg_uri(data: bytes) -> str:
    """Encode a JPEG image as an address that needs no file.

    Example:
      >>> jpeg_uri(b"abc")
      'data:image/jpeg;base64,YWJj'
    """
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


# --- What can stand in a table ---


@dataclass(frozen=True)
class Bar:
    """A number above a thin bar.

    Attributes:
      value: the number; None where it is unknown.
      share: length of the bar, 0..1 of its track.
    """

    # `kind` selects the macro of templates/components.html.j2 that draws the cell.
    kind: ClassVar[str] = "bar"
    is_number: ClassVar[bool] = True
    value: float | None
    share: float

    @classmethod
    def of(cls, value: float | None, maximum: float) -> Self:
        """Make a bar as long as the value's share of a maximum."""
        known = value is not None and not math.isnan(value) and maximum > 0
        return cls(value, min(max(value / maximum, 0.0), 1.0) if known and value is not None else 0.0)


@dataclass(frozen=True)
class Percent:
    """A share of 1 in per cent, rounded down, so that 100% means all.

    Attributes:
      share: 0..1.
      is_bad: highlight it.
    """

    kind: ClassVar[str] = "percent"
    is_number: ClassVar[bool] = True
    share: float
    is_bad: bool = False

    def __str__(self) -> str:
        percent = int(self.share * 100 + 1e-9)  # 0.29 * 100 is 28.999…
        return "<1%" if self.share > 0 and not percent else f"{percent}%"


@dataclass(frozen=True)
class Gain:
    """A signed difference, such as +0.012; None where it is unknown."""

    kind: ClassVar[str] = "gain"
    is_number: ClassVar[bool] = True
    value: float | None

    def __str__(self) -> str:
        return "–" if self.value is None else f"{self.value:+.3f}"


@dataclass(frozen=True)
class Shade:
    """A count on a background that is the darker, the larger its share.

    Attributes:
      count: the number; 0 is a dot.
      share: 0..1.
      is_good: choose the colour of what is right, not that of errors.
    """

    kind: ClassVar[str] = "shade"
    is_number: ClassVar[bool] = True
    count: int
    share: float
    is_good: bool

    @property
    def strength(self) -> str:
        """Share of the colour in the background, as CSS has it."""
        return f"{self.share * _MAX_SHADE:.0%}"


@dataclass(frozen=True)
class Badge:
    """A severity in its colour: error, warning or info."""

    kind: ClassVar[str] = "badge"
    is_number: ClassVar[bool] = False
    severity: str


@dataclass(frozen=True)
class Code:
    """A value in a fixed-width font; what is no text is written as JSON."""

    kind: ClassVar[str] = "code"
    is_number: ClassVar[bool] = False
    value: object

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return self.value
        return json.dumps(self.value, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class Advice:
    """Text in which flags such as ``--image_size=640`` stand out."""

    kind: ClassVar[str] = "advice"
    is_number: ClassVar[bool] = False
    text: str


@dataclass(frozen=True)
class ClassName:
    """The name of a class after a patch of the colour (as in CSS) in which its boxes and lines are drawn."""

    kind: ClassVar[str] = "class"
    is_number: ClassVar[bool] = False
    name: str
    colour: str


@dataclass(frozen=True)
class Titled:
    """A cell with a small note under it."""

    kind: ClassVar[str] = "titled"
    title: "Cell"
    note: "Cell"

    @property
    def is_number(self) -> bool:
        """Whether the title is one."""
        return is_number(self.title)


Cell = Union[str, int, float, None, Bar, Percent, Gain, Shade, Badge, Code, Advice, ClassName, Titled]  # noqa: UP007 - recursive


def is_number(cell: Cell) -> bool:
    """Return whether a cell is aligned to the right, as numbers are."""
    # Cells that are not plain values say it themselves.
    return isinstance(cell, (int, float)) or getattr(cell, "is_number", False)


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Attributes:
      headers: of the columns; all empty for a table without a head.
      rows: as many cells as headers in each.
      is_matrix: the columns are to be compared, so a narrow screen does not list the cells of a row below each other.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    is_matrix: bool = False

    @property
    def is_stacked(self) -> bool:
        """Whether a narrow screen lists the cells of a row below each other, each with its header."""
        return len(self.headers) > _MAX_NARROW and not self.is_matrix and any(self.headers)

    @property
    def alignments(self) -> list[str]:
        """CSS class of each column: "number" where it holds one, else "text"."""
        # A table without rows still has a head, whose columns need an alignment.
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.headers)
        return ["number" if any(map(is_number, column)) else "text" for column in columns]

    def split(self, count: int) -> tuple["Table", "Table"]:
        """Split off the first rows, for a table whose rest is folded."""
        first, rest = self.rows[:count], self.rows[count:]
        return dataclasses.replace(self, rows=first), dataclasses.replace(self, rows=rest)


def histogram_table(headers: Sequence[str], counts: Sequence[tuple[str, int]]) -> Table:
    """Make a table with a row for each count: its name, a bar relative to the largest, and its share of the sum."""
    largest, total = max(count for _, count in counts), sum(count for _, count in counts)
    return Table(
        [*headers, "share"], [(name, Bar.of(count, largest), Percent(count / total)) for name, count in counts]
    )


def facts_table(facts: Iterable[tuple[str, object]]) -> Table:
    """Make a table without a head: a name and a value in a fixed-width font in each row."""
    return Table(["", ""], [(name, Code(value)) for name, value in facts])


def format_number(value: Cell) -> str:
    """Format a number for people: 12,345; 0.713; a dash for None and NaN. Other values as they are.

    Example:
      >>> format_number(12345), format_number(0.7128), format_number(None)
      ('12,345', '0.713', '–')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):  # NaN: there was nothing to average
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
