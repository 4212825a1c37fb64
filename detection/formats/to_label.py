"""What to label next, and why: the images that the model is least certain of."""

from collections.abc import Iterable, Iterator

from detection.doubt import Doubtful, LeastCertain
from detection.formats.table import Cell, csv_line
from detection.predictions import PredictionRow, Run

COLUMNS = (
    *("image", "deployment", "time", "doubt", "chosen"),
    *("label", "score", "detections", "model", "threshold"),
)
MOST = 200  # more than a person labels before the model is trained again


def to_label(rows: Iterable[PredictionRow], run: Run) -> Iterator[bytes]:
    """CSV with a line for each image, the first to be labelled first; see detection.doubt."""
    least_certain = LeastCertain(MOST)
    for row in rows:
        least_certain.add(row)
    yield csv_line(COLUMNS)
    for found in least_certain.chosen():
        yield csv_line(_line(found, run))


def _line(found: Doubtful, run: Run) -> tuple[Cell, ...]:
    row, weakest, frame = found.row, found.weakest, found.row.frame
    time = frame.when.isoformat(sep=" ") if frame else ""
    about = (row.image, row.deployment, time, round(found.doubt, 4), _why(found))
    return *about, weakest.label, weakest.score, len(row.detections), run.model, run.threshold


def _why(found: Doubtful) -> str:
    if not found.leads:
        return "least certain of all"
    return "least certain of its deployment and day" if found.row.frame else "least certain of its folder"
