"""Small CSV files that people write or edit: a header, then rows. Every error names file and line."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retinanet_odm.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Row:
    """The cells of one row, in the order of the requested columns, and the number of its last line, from 1."""

    line: int
    cells: tuple[str, ...]


def parse_table(
    text: str, columns: Sequence[str], *, source: str, comments: bool = False, optional: Sequence[str] = ()
) -> Iterator[Row]:
    r"""Yield the rows of a CSV file whose header has these columns, in any order.

    Skips further columns and blank lines.

    Args:
      text: Content of the file. A byte order mark, as Excel writes it, is removed.
      columns: The requested columns.
      source: Name of the file, for messages.
      comments: Whether to skip lines that start with #. Not for tables of file names, which may start with it.
      optional: Columns that may be missing; their cells come last, empty without the column.

    Raises:
      ContractError: A column is missing, a row has more or fewer cells than the header, or a quote is not closed.

    Example:
      >>> list(parse_table("id,name\n1,crab\n", ("name", "id"), source="map.csv"))
      [Row(line=2, cells=('crab', '1'))]
    """
    # A comment becomes an empty line, so that line numbers stay right.
    kept = ("\n" if line.startswith("#") else line for line in _lines(text)) if comments else _lines(text)
    rows = _rows(kept, source)
    # An empty file is reported like a wrong header.
    header = next(rows, Row(line=1, cells=()))
    names = [cell.strip() for cell in header.cells]
    if not set(columns) <= set(names):
        expected = ",".join(columns)
        raise ContractError(f"{source}: line {header.line}: expected the header {expected}; found {','.join(names)!r}")
    positions = [names.index(column) if column in names else None for column in (*columns, *optional)]
    for row in rows:
        # A name with a comma but without quotes makes an extra cell: guessing would shift all values after it.
        if len(row.cells) != len(names):
            expected = f"{len(names)} cells ({','.join(names)})"
            raise ContractError(f"{source}: line {row.line}: expected {expected}, found {len(row.cells)}")
        cells = tuple("" if position is None else row.cells[position] for position in positions)
        yield Row(line=row.line, cells=cells)


def read_header(text: str, *, source: str) -> list[str]:
    r"""Return the names of the columns of a CSV file; none for an empty file.

    Raises:
      ContractError: A quote is not closed.

    Example:
      >>> read_header("id, name\n1,crab\n", source="map.csv")
      ['id', 'name']
    """
    header = next(_rows(_lines(text), source), None)
    return [cell.strip() for cell in header.cells] if header else []


def _lines(text: str) -> Iterable[str]:
    return io.StringIO(text.removeprefix("\ufeff"), newline="")


def _rows(lines: Iterable[str], source: str) -> Iterator[Row]:
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            if cells:
                yield Row(line=reader.line_num, cells=tuple(cells))
    except csv.Error as error:
        raise ContractError(f"{source}: line {reader.line_num}: not CSV: {error}") from error


def format_table(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Return a table as CSV, with line feeds; the inverse of `parse_table` for any content of the cells."""
    return "".join(f"{format_row(row)}\n" for row in (columns, *rows))


def format_row(cells: Sequence[str | int]) -> str:
    """Return one line of a table, without the line break.

    Example:
      >>> format_row([1, "crab, red"])
      '1,"crab, red"'
    """
    return ",".join(_quote(str(cell)) for cell in cells)


def _quote(cell: str) -> str:
    # Not csv.writer: before Python 3.13 it does not quote a lone carriage return, which its own reader then reads as
    # the end of the row.
    if any(sign in cell for sign in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell
