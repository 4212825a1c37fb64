"""FathomNet's CSV of localizations (fathomnet.org, "How to submit localized image annotations to FathomNet").

Boxes are x, y (upper left), width and height in whole pixels of the upright image. `image` must be an address on a
public server: --publication has its beginning. The format has no line for an image without detections.
"""

from collections.abc import Iterable, Iterator

from retinanet_odm.predictions.deployments import DEPTH, END, LATITUDE, LONGITUDE, START
from retinanet_odm.predictions.formats.encoding import CsvCell, csv_line, whole_box
from retinanet_odm.predictions.publication import Publication, detection_ids, hashed_rows, trace
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun

_NAME = "fathomnet"
# The required columns, then optional ones of the format, then where the line comes from.
_BOX = ("concept", "image", "x", "y", "width", "height")
_OPTIONAL = ("observer", "timestamp", "latitude", "longitude", "depth", "userdefinedkey")
_ORIGIN = ("score", "image_sha256", "model", "threshold", "audit")
_COLUMNS = (*_BOX, *_OPTIONAL, *_ORIGIN)


def to_fathomnet(rows: Iterable[PredictionRow], run: ScoringRun, publication: Publication) -> Iterator[bytes]:
    """Yield fathomnet.csv.

    Raises:
      UsageError, ContractError: an image is not found, its deployment has no line in --deployments, or it was not taken
        within it.
    """
    yield csv_line(_COLUMNS)
    found = (row for row in rows if row.detections)
    for row, sha256 in hashed_rows(found, publication.files, needed_by=_NAME):
        place = _place(row, publication)
        for item, key in zip(row.detections, detection_ids(row, sha256, run), strict=True):
            origin = trace(run, item, sha256=sha256, audit=publication.audit_status(row))
            shown = (publication.scientific_name(item.label), publication.address(row.image), *whole_box(item, row))
            yield csv_line((*shown, f"{run.program}, model {run.model}", *place, key, item.score, *origin.values()))


def _place(row: PredictionRow, publication: Publication) -> tuple[CsvCell, ...]:
    """Return time, latitude, longitude and depth."""
    deployment = publication.deployment_of(row)
    if deployment is None:
        return ("", "", "", "")
    # Without the offset from UTC, the time of a camera's clock is none that others can use.
    is_dated = row.frame and deployment.cells[START] and deployment.cells[END]
    time = deployment.date_time(row.frame.time).isoformat() if row.frame and is_dated else ""
    return (time, *(deployment.cells[column] for column in (LATITUDE, LONGITUDE, DEPTH)))
