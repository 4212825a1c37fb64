"""One line per detection: the columns of detections.csv and detections.parquet.

An image without detections has one line too, with nothing in the columns of a detection, so that empty and failed
images are seen. The last two columns are the same in every line: tables of several models can be put together.
"""

from collections.abc import Iterable, Iterator

from detection.formats.pieces import utf8
from detection.predictions import PredictionRow, Run
from detection.tables import format_row

Cell = str | int | float | None

_IMAGE = ("image", "width", "height", "status", "reason", "detail")
_DETECTION = ("label", "label_id", "score", "xmin", "ymin", "xmax", "ymax", "repeat")
COLUMNS = (*_IMAGE, *_DETECTION, "model", "threshold")


def lines(row: PredictionRow, run: Run) -> Iterator[tuple[Cell, ...]]:
    """The cells of an image's lines, in the order of COLUMNS; None where there is nothing to say."""
    image = tuple(getattr(row, column) for column in _IMAGE)
    for item in row.detections:
        yield *image, item.label, item.label_id, item.score, *item.box, item.repeat, run.model, run.threshold
    if not row.detections:
        yield *image, *(None for _ in _DETECTION), run.model, run.threshold


def to_csv(rows: Iterable[PredictionRow], run: Run) -> Iterator[bytes]:
    """The table as CSV; there are no comment lines, for readers that know them cut names at any #."""
    yield csv_line(COLUMNS)
    for row in rows:
        for cells in lines(row, run):
            yield csv_line(cells)


def csv_line(cells: Iterable[Cell]) -> bytes:
    """One line of CSV in UTF-8; None is an empty cell."""
    return utf8(format_row(["" if cell is None else str(cell) for cell in cells]) + "\n")
