"""Small CSV files that people write or edit: a header, then rows; every complaint names file and line."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retinanet_odm.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: its cells in the order of the columns that were asked for, and its last line, from 1."""

    line: int
    cells: tuple[str, ...]


def parse_table(text: str, columns: Sequence[str], *, source: str, comments: bool = False) -> Iterator[Row]:
    """Reads CSV whose header has these columns, in any order; further columns and blank lines are skipped.

    Args:
      text: the file; a byte order mark, as Excel writes, is dropped.
      columns: the wanted ones.
      source: the file's name, for messages.
      comments: whether a line that starts with # is skipped (a file name may start so, a comment then cannot).

    Raises:
      ContractError: a column is missing, a row has more or fewer cells than the header, or a quote stays open.
    """
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")
    # An emptied line instead of none keeps the line numbers.
    kept = ("\n" if line.startswith("#") else line for line in lines) if comments else lines
    rows = _rows(kept, source)
    header = next(rows, Row(line=1, cells=()))
    names = [cell.strip() for cell in header.cells]
    if not set(columns) <= set(names):
        expected = ",".join(columns)
        raise ContractError(f"{source}: line {header.line}: expected the header {expected}; found {','.join(names)!r}")
    places = [names.index(column) for column in columns]
    for row in rows:
        if len(row.cells) != len(names):
            expected = f"{len(names)} cells ({','.join(names)})"
            raise ContractError(f"{source}: line {row.line}: expected {expected}, found {len(row.cells)}")
        yield Row(line=row.line, cells=tuple(row.cells[place] for place in places))


def _rows(lines: Iterable[str], source: str) -> Iterator[Row]:
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            if cells:
                yield Row(line=reader.line_num, cells=tuple(cells))
    except csv.Error as error:
        raise ContractError(f"{source}: line {reader.line_num}: not CSV: {error}") from error


def format_table(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Inverse of parse_table, whatever the cells hold; lines end with a line feed."""
    return "".join(f"{format_row(row)}\n" for row in (columns, *rows))


def format_row(cells: Sequence[str | int]) -> str:
    """One line of a table, without its end."""
    return ",".join(_quote(str(cell)) for cell in cells)


def _quote(cell: str) -> str:
    # Not csv.writer: before Python 3.13 it leaves a lone carriage return unquoted, which its own reader takes for the
    # end of the row.
    if any(sign in cell for sign in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell
