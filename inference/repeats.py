"""Marks detections that come back at one place of a camera that stands still; see retinanet_odm.predictions.repeats."""

import itertools
import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.analysis_options import RepeatOptions
from inference.rows import output_folder
from inference.rows.export_options import PLACES, REPEATS, ExportOptions
from inference.rows.exports import read_run, run_of
from inference.rows.repeat_marks import RepeatFlags
from retinanet_odm.predictions.formats.encoding import csv_line
from retinanet_odm.predictions.repeats import NOT_REPEATED, Int32Array, find_repeats
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun
from retinanet_odm.storage import files

_logger = logging.getLogger(__name__)

# Frames of a deployment that are looked at together: cameras are moved in the end, over very many frames animals come
# to one place by chance, and memory is bounded.
STRETCH = 2000

PLACE_COLUMNS = (
    *("place", "deployment", "label", "frames", "of_frames", "detections"),
    *("first_image", "last_image", "xmin", "ymin", "xmax", "ymax", "score"),
)


@dataclass(eq=False)
class DeploymentDetections:
    """Detections of all rows in some 30 bytes each: a million rows as objects would not fit into memory.

    Attributes:
      rows: [n] the number of the row, rising.
      indexes: [n] which detection of the row it is.
      stretches: [n] the stretch of a deployment that the row is in.
      labels: [n] label ids.
      values: [n, 5] xmin, ymin, xmax, ymax in pixels, and the score.
      deployments, frames: by stretch, the deployment's name and the number of its photographs that were scored.
    """

    rows: Int32Array
    indexes: Int32Array
    stretches: Int32Array
    labels: Int32Array
    values: npt.NDArray[np.float32]
    deployments: list[str]
    frames: list[int]


@dataclass(frozen=True, kw_only=True)
class RepeatLocation:
    """A place where a class was seen again and again; images by the numbers of their rows, box and score as means."""

    deployment: str
    label_id: int
    frames: int
    of_frames: int
    detections: int
    first: int
    last: int
    box: tuple[float, ...]
    score: float


def mark_repeats(options: RepeatOptions) -> None:
    """Writes repeats.jsonl and repeats.csv beside the rows, and then names them in summary.json.

    Raises:
      UsageError: the folder holds no finished run, or a class is unknown.
      ContractError: the prediction files are not those of the summary.
    """
    summary = output_folder.finished_summary(options.output, command="repeats")
    run = run_of(summary, ExportOptions(formats=("csv",), classes=options.classes))

    def rows() -> Iterator[PredictionRow]:
        return read_run(options.output, summary)

    found = gather(rows(), run)
    at = find_repeat_locations(found, iou=options.iou, min_frames=options.min_frames)
    places = describe_repeats(found, at)
    names = _names(rows(), {number for place in places for number in (place.first, place.last)})
    pieces = {
        REPEATS: (marks.to_line() for marks in marks_of(rows(), found, at)),
        PLACES: _table(places, run, names),
    }
    about = {"classes": list(run.classes.values()), "iou": options.iou, "min_frames": options.min_frames}
    made = [
        {"name": name, "format": "repeats", "sha256": files.write_pieces(files.join(options.output, name), of), **about}
        for name, of in pieces.items()
    ]
    output_folder.write_summary(options.output, output_folder.with_exports(summary, made))
    marked = int(np.count_nonzero(at != NOT_REPEATED))
    _logger.info("repeated: %d of %d detections, at %d places", marked, len(at), len(places))
    _logger.info("places: %s", files.join(options.output, PLACES))


def gather(rows: Iterable[PredictionRow], run: ScoringRun) -> DeploymentDetections:
    """The detections of the run's classes, with the deployments of their images."""
    stretches: dict[tuple[str, int], int] = {}
    seen: Counter[str] = Counter()
    frames: Counter[int] = Counter()
    whole, real = array("i"), array("f")
    for number, row in enumerate(rows):
        if row.status != OK:
            continue
        deployment = row.deployment
        stretch = stretches.setdefault((deployment, seen[deployment] // STRETCH), len(stretches))
        seen[deployment] += 1
        frames[stretch] += 1
        for index, item in enumerate(row.detections):
            if item.label_id in run.classes:
                whole.extend((number, index, stretch, item.label_id))
                real.extend((*item.box, item.score))
    rows_, indexes, of_stretch, labels = np.array(whole, np.int32).reshape(-1, 4).T
    return DeploymentDetections(
        rows=rows_,
        indexes=indexes,
        stretches=of_stretch,
        labels=labels,
        values=np.array(real, np.float32).reshape(-1, 5),
        deployments=[deployment for deployment, _ in stretches],
        frames=[frames[stretch] for stretch in range(len(stretches))],
    )


def find_repeat_locations(found: DeploymentDetections, *, iou: float, min_frames: int) -> Int32Array:
    """[n] the place of each detection or NOWHERE; places are numbered through all deployments."""
    at = np.full(len(found.rows), NOT_REPEATED, np.int32)
    order = np.argsort(found.stretches, kind="stable")
    ends = np.flatnonzero(np.diff(found.stretches[order])) + 1
    count = 0
    for chosen in np.split(order, ends):
        places = find_repeats(
            found.rows[chosen], found.labels[chosen], found.values[chosen, :4], iou=iou, min_frames=min_frames
        )
        at[chosen] = np.where(places == NOT_REPEATED, NOT_REPEATED, places + count)
        count += int(places.max(initial=NOT_REPEATED)) + 1
    return at


def describe_repeats(found: DeploymentDetections, at: Int32Array) -> list[RepeatLocation]:
    """Every place, by its number."""
    order = np.argsort(at, kind="stable")
    order = order[at[order] != NOT_REPEATED]
    if not len(order):
        return []
    return [_place(found, chosen) for chosen in np.split(order, np.flatnonzero(np.diff(at[order])) + 1)]


def _place(found: DeploymentDetections, chosen: npt.NDArray[np.intp]) -> RepeatLocation:
    stretch, rows = int(found.stretches[chosen[0]]), found.rows[chosen]
    *box, score = found.values[chosen].mean(axis=0, dtype=np.float64).tolist()
    return RepeatLocation(
        deployment=found.deployments[stretch],
        label_id=int(found.labels[chosen[0]]),
        frames=len(np.unique(rows)),
        of_frames=found.frames[stretch],
        detections=len(chosen),
        first=int(rows[0]),
        last=int(rows[-1]),
        box=tuple(box),
        score=score,
    )


def marks_of(rows: Iterable[PredictionRow], found: DeploymentDetections, at: Int32Array) -> Iterator[RepeatFlags]:
    """The marks of every image that has a repeated detection, in the order of the rows."""
    repeated = np.flatnonzero(at != NOT_REPEATED).tolist()
    by_row = itertools.groupby(repeated, key=lambda number: int(found.rows[number]))
    number, detections = next(by_row, (None, iter(())))
    for row_number, row in enumerate(rows):
        if row_number == number:
            places: list[int | None] = [None] * len(row.detections)
            for detection in detections:
                places[found.indexes[detection]] = int(at[detection])
            yield RepeatFlags(image=row.image, places=tuple(places))
            number, detections = next(by_row, (None, iter(())))


def _names(rows: Iterable[PredictionRow], wanted: Set[int]) -> dict[int, str]:
    return {number: row.image for number, row in enumerate(rows) if number in wanted}


def _table(places: Iterable[RepeatLocation], run: ScoringRun, names: Mapping[int, str]) -> Iterator[bytes]:
    yield csv_line(PLACE_COLUMNS)
    for number, place in enumerate(places):
        counts = (place.frames, place.of_frames, place.detections)
        box = (round(edge, 2) for edge in place.box)
        about = (number, place.deployment, run.classes[place.label_id], *counts)
        yield csv_line((*about, names[place.first], names[place.last], *box, round(place.score, 4)))
