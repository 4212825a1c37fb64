"""How many of each class are on each image, zeros included: what a biologist plots over time."""

from collections import Counter
from collections.abc import Iterable, Iterator

from detection.formats.table import Cell, csv_line
from detection.predictions import OK, PredictionRow, Run

COLUMNS = ("image", "deployment", "time", "status", "label", "count", "model", "threshold")


def to_counts(rows: Iterable[PredictionRow], run: Run) -> Iterator[bytes]:
    """CSV with a line per image and class of the run.

    Deployment and time are those of PredictionRow.frame; both are empty where there is none. A failed image has no
    counts: nobody looked, which is not zero.
    """
    yield csv_line(COLUMNS)
    for row in rows:
        for cells in _lines(row, run):
            yield csv_line(cells)


def _lines(row: PredictionRow, run: Run) -> Iterator[tuple[Cell, ...]]:
    frame = row.frame
    deployment, time = (frame.deployment, frame.when.isoformat(sep=" ")) if frame else ("", "")
    counts = Counter(item.label_id for item in row.detections)
    for label_id, label in run.classes.items():
        count = counts[label_id] if row.status == OK else None
        yield row.image, deployment, time, row.status, label, count, run.model, run.threshold
