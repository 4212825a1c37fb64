"""VIAME CSV, as VIAME and DIVE read it (viame.readthedocs.io, "Detection File Formats and Conversions").

Boxes are left, top, right, bottom in pixels, 0-based and continuous. Every detection is a track of one frame. Frame
numbers are the numbers of the images, from 0.
"""

import itertools
from collections.abc import Iterable, Iterator

from retinanet_odm.predictions.formats.encoding import csv_line
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun, utf8

_HEADER = (
    b"# 1: Detection or Track-id, 2: Video or Image Identifier, 3: Unique Frame Identifier,"
    b" 4-7: Img-bbox(TL_x,TL_y,BR_x,BR_y), 8: Detection or Length Confidence,"
    b" 9: Target Length (0 or -1 if invalid), 10-11+: Repeated Species, Confidence Pairs or Attributes\n"
)
_NO_LENGTH = -1


def to_viame(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield viame.csv. Images without detections have no line."""
    yield _HEADER
    labels = (f"{label_id}: {label}" for label_id, label in run.classes.items())
    min_scores = (f"min_score {label_id}: {score:g}" for label_id, score in run.min_scores.items())
    yield _metadata(f"exported_by: {run.title}", *labels, *min_scores)
    tracks = itertools.count()
    for frame, row in enumerate(rows):
        for item, track in zip(row.detections, tracks, strict=False):
            yield _line(track, frame, row.image, item)


def _line(track: int, frame: int, image: str, item: Detection) -> bytes:
    # The score twice: once as confidence of the detection, once of its species.
    return csv_line((track, image, frame, *item.box, item.score, _NO_LENGTH, item.label, item.score))


def _metadata(*parts: str) -> bytes:
    # A line break in a label would end the comment.
    return utf8("# metadata,") + csv_line(" ".join(part.split()) for part in parts)
