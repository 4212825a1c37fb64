"""YOLO text with scores, as Ultralytics' save_txt and save_conf write it (docs.ultralytics.com/modes/predict).

A line is a class, the x and y of the centre, width and height as fractions of the upright image, and a score. The
members of the zip file:

  labels/FOLDER/NAME.txt   one for every image that was scored; empty if nothing was detected
  data.yaml                the names of the classes by number, from 0; origin and minimum scores of the boxes in
                           comments
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping

import yaml

from retinanet_odm.predictions.formats.encoding import Spool, box_fractions, legible, min_score_comments
from retinanet_odm.predictions.formats.zip_members import add_member, free_name
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, utf8

_FOLDER, _SUFFIX = "labels/", ".txt"
_WIDE = 1 << 30  # one line for each name


def to_yolo(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield yolo.zip. An image that failed has no text: an empty one would say that nothing is there."""
    # Label ids may have gaps, which Ultralytics does not accept.
    classes = {label_id: index for index, label_id in enumerate(run.classes)}
    spool = Spool()
    with zipfile.ZipFile(spool, "w") as archive:
        add_member(archive, "data.yaml", _class_names(run))
        for row in rows:
            if row.status == OK:
                add_member(archive, free_name(archive, row.image, _FOLDER, _SUFFIX), _text(row, classes))
                yield spool.take()
    yield spool.take()


def _text(row: PredictionRow, classes: Mapping[int, int]) -> bytes:
    lines = []
    for item in row.detections:
        xmin, ymin, xmax, ymax = box_fractions(item, row)
        box = ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin)
        numbers = " ".join(f"{value:.6f}" for value in box)
        lines.append(f"{classes[item.label_id]} {numbers} {item.score:g}\n")
    return "".join(lines).encode()


def _class_names(run: ScoringRun) -> bytes:
    names = {"names": dict(enumerate(map(legible, run.classes.values())))}
    comments = "".join(f"{line}\n" for line in (f"# {run.title}", *min_score_comments(run)))
    return utf8(comments + yaml.safe_dump(names, allow_unicode=True, sort_keys=False, width=_WIDE))
