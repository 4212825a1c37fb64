"""SDCAT CSV, as MBARI's sdcat writes detections (github.com/mbari-org/sdcat) and `aidata load boxes` reads them.

Boxes are x, y (upper left), xx, xy (lower right), w, h as fractions of the upright image; `area` is in pixels. sdcat
measures the saliency itself and writes -1 where it has not. There is one file for all images, and no line for an image
without detections.
"""

from collections.abc import Iterable, Iterator

from retinanet_odm.predictions.formats.encoding import box_fractions, csv_line
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun

COLUMNS = ("image_path", "class", "score", "area", "saliency", "x", "y", "xx", "xy", "w", "h")
_NO_SALIENCY = -1
# Two boxes that differ by a hundredth of a pixel stay different: aidata drops equal ones.
_DIGITS = 8


def to_sdcat(rows: Iterable[PredictionRow], _: ScoringRun) -> Iterator[bytes]:
    """Yield sdcat.csv."""
    yield csv_line(COLUMNS)
    for row in rows:
        for item in row.detections:
            xmin, ymin, xmax, ymax = box_fractions(item, row)
            width, height = xmax - xmin, ymax - ymin
            area = round(width * (row.width or 1) * height * (row.height or 1), 2)
            box = [round(value, _DIGITS) for value in (xmin, ymin, xmax, ymax, width, height)]
            yield csv_line((row.image, item.label, item.score, area, _NO_SALIENCY, *box))
