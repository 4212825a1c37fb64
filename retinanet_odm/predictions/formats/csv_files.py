"""One line per detection: the columns of detections.csv and detections.parquet.

An image without detections has one line too, with nothing in the columns of a detection, so that empty and failed
images are seen. The last two columns are the same in every line: tables of several models can be put together.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from retinanet_odm.predictions.formats.encoding import CsvCell, csv_line
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun

_IMAGE = ("image", "width", "height", "status", "reason", "detail")
_DETECTION = ("label", "label_id", "score", "xmin", "ymin", "xmax", "ymax", "repeat")
DETECTION_COLUMNS = (*_IMAGE, *_DETECTION, "model", "threshold")
COUNT_COLUMNS = ("image", "deployment", "time", "status", "label", "count", "model", "threshold")


def detection_lines(row: PredictionRow, run: ScoringRun) -> Iterator[tuple[CsvCell, ...]]:
    """The cells of an image's lines, in the order of COLUMNS; None where there is nothing to say."""
    image = tuple(getattr(row, column) for column in _IMAGE)
    for item in row.detections:
        yield *image, item.label, item.label_id, item.score, *item.box, item.repeat, run.model, run.threshold
    if not row.detections:
        yield *image, *(None for _ in _DETECTION), run.model, run.threshold


def to_detections_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """The table as CSV; there are no comment lines, for readers that know them cut names at any #."""
    yield csv_line(DETECTION_COLUMNS)
    for row in rows:
        for cells in detection_lines(row, run):
            yield csv_line(cells)


def to_counts_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """CSV with a line per image and class of the run.

    Deployment and time are those of PredictionRow.frame; both are empty where there is none. A failed image has no
    counts: nobody looked, which is not zero.
    """
    yield csv_line(COUNT_COLUMNS)
    for row in rows:
        for cells in _count_lines(row, run):
            yield csv_line(cells)


def _count_lines(row: PredictionRow, run: ScoringRun) -> Iterator[tuple[CsvCell, ...]]:
    frame = row.frame
    deployment, time = (frame.deployment, frame.time.isoformat(sep=" ")) if frame else ("", "")
    counts = Counter(item.label_id for item in row.detections)
    for label_id, label in run.classes.items():
        count = counts[label_id] if row.status == OK else None
        yield row.image, deployment, time, row.status, label, count, run.model, run.threshold
