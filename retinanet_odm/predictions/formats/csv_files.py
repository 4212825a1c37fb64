"""Plain CSV for spreadsheets, pandas and R: detections.csv (a line per detection) and counts.csv (per image and class).

Boxes are xmin, ymin, xmax, ymax in pixels, 0-based and continuous, as in the rows. The column `model` is the same on
every line, so that tables of several models can be concatenated; `threshold` is the minimum score of the line's class.
`novelty` and `unlike_training` (0 or 1) are of the image, so means over a deployment's lines are those of its images.
There are no comment lines: readers that allow them would cut off file names at any #.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from retinanet_odm.predictions.formats.encoding import CsvCell, csv_line
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun

_IMAGE_COLUMNS = ("image", "width", "height", "status", "reason", "detail")
_DETECTION_COLUMNS = ("label", "label_id", "score", "xmin", "ymin", "xmax", "ymax", "repeat")
DETECTION_COLUMNS = (*_IMAGE_COLUMNS, *_DETECTION_COLUMNS, "model", "threshold")
COUNT_COLUMNS = (
    "image",
    "deployment",
    "time",
    "status",
    "label",
    "count",
    "model",
    "threshold",
    "novelty",
    "unlike_training",
)


def to_detections_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield detections.csv: a header, then the lines of detection_lines."""
    yield csv_line(DETECTION_COLUMNS)
    for row in rows:
        for cells in detection_lines(row, run):
            yield csv_line(cells)


def detection_lines(row: PredictionRow, run: ScoringRun) -> Iterator[tuple[CsvCell, ...]]:
    """Yield the cells of an image's lines in the order of DETECTION_COLUMNS; None for an empty cell.

    An image without detections has one line, with empty cells for the detection. So the table lists every image, also
    those that failed.
    """
    image = tuple(getattr(row, column) for column in _IMAGE_COLUMNS)
    for item in row.detections:
        found = (item.label, item.label_id, item.score, *item.box, item.repeat)
        yield *image, *found, run.model, run.min_scores[item.label_id]
    if not row.detections:
        # Without a class there is no threshold either.
        yield *image, *(None for _ in _DETECTION_COLUMNS), run.model, None


def to_counts_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield counts.csv: a header, then a line for each image and class of the run.

    Deployment and time come from PredictionRow.frame and are empty if there is none. The counts of a failed image are
    empty, not zero, and so is what is not known of its novelty.
    """
    yield csv_line(COUNT_COLUMNS)
    for row in rows:
        for cells in _count_lines(row, run):
            yield csv_line(cells)


def _count_lines(row: PredictionRow, run: ScoringRun) -> Iterator[tuple[CsvCell, ...]]:
    frame = row.frame
    deployment, time = (frame.deployment, frame.time.isoformat(sep=" ")) if frame else ("", "")
    counts = Counter(item.label_id for item in row.detections)
    unlike = None if row.novelty is None else int(row.is_unlike_training)
    # A line for every class, also with a count of 0, so that means over images are right.
    for label_id, label in run.classes.items():
        count = counts[label_id] if row.status == OK else None
        counted = (row.status, label, count, run.model, run.min_scores[label_id])
        yield row.image, deployment, time, *counted, row.novelty, unlike
