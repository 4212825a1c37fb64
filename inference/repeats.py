"""`repeats`: flags detections that are repeated at one location of a fixed camera.

Begin with `mark_repeats`. The search itself is in retinanet_odm.predictions.repeats; here are its input, the detections
of a run as arrays, and its output, two files.
"""

import itertools
import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.analysis_options import RepeatOptions
from inference.rows import finished_run
from inference.rows.export_options import REPEAT_FLAGS, REPEAT_TABLE, ExportOptions
from inference.rows.exports import run_of
from inference.rows.journal import commit_summary, find_earlier, write_derived
from inference.rows.repeat_marks import RepeatFlags
from inference.rows.replacing import check_overwrite
from retinanet_odm.dataset.frame_names import BY_NAME, DeploymentRule, describe_deployments
from retinanet_odm.predictions.formats.encoding import csv_line
from retinanet_odm.predictions.repeats import NOT_REPEATED, Int32Array, find_repeats
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, reaches
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder

_logger = logging.getLogger(__name__)

# A deployment is searched in segments of this number of frames: sooner or later cameras are moved, over very many
# frames animals repeat a location by chance, and memory must stay bounded.
FRAMES_PER_SEGMENT = 2000

_FILES = (REPEAT_FLAGS, REPEAT_TABLE)

TABLE_COLUMNS = (
    *("place", "deployment", "label", "frames", "of_frames", "detections"),
    *("first_image", "last_image", "xmin", "ymin", "xmax", "ymax", "score", "threshold"),
)


@dataclass(eq=False)
class DeploymentDetections:
    """Detections of all rows, in some 30 bytes each: a million rows would not fit into memory as objects.

    Attributes:
      rows: [n] number of the row, rising.
      indexes: [n] index of the detection in its row.
      segments: [n] segment of a deployment.
      labels: [n] label ids.
      sizes: [n, 2] width and height of the image in pixels.
      values: [n, 5] xmin, ymin, xmax, ymax in pixels, and the score.
      deployments: name of the deployment of each segment.
      frames: number of scored images of each segment.
    """

    rows: Int32Array
    indexes: Int32Array
    segments: Int32Array
    labels: Int32Array
    sizes: Int32Array
    values: npt.NDArray[np.float32]
    deployments: list[str]
    frames: list[int]

    def fractions(self, members: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return boxes [m, 4] as fractions of their images: frames of several sizes show the same places."""
        return self.values[members, :4] / np.tile(self.sizes[members], 2)


@dataclass(frozen=True, kw_only=True)
class RepeatLocation:
    """A location with repeated detections of a class.

    Attributes:
      deployment: its name.
      label_id: of the class.
      frames: number of frames with a detection here.
      of_frames: number of frames that were searched.
      detections: number of detections.
      first, last: numbers of the first and last row.
      box: mean over the detections, in pixels of the first image.
      score: mean over the detections.
    """

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
    """Write repeats.jsonl and repeats.csv beside the rows, and then list them in summary.json.

    Raises:
      UsageError: the folder has no finished run, a class is unknown, or a file may not be overwritten.
      ContractError: the prediction files are not those of the summary.
    """
    with lock_folder(options.output):
        _mark_repeats(options)


def _mark_repeats(options: RepeatOptions) -> None:
    output = options.output
    summary = finished_run.finished_summary(output, command="repeats")
    # With a format, because ExportOptions refuses classes without one; no CSV is written.
    run = run_of(summary, ExportOptions(formats=("csv",), classes=options.classes, min_score=options.min_score))
    rule = finished_run.deployment_rule(summary, options.deployment)
    settings = {
        "classes": list(run.classes.values()),
        "min_scores": run.min_scores_by_name,
        "iou": options.iou,
        "min_frames": options.min_frames,
        "deployment": rule.text,
    }
    planned: list[dict[str, Any]] = [{"name": name, "format": "repeats", **settings} for name in _FILES]
    check_overwrite(output, find_earlier(output), planned, replace=options.replace)

    def rows() -> Iterator[PredictionRow]:
        return finished_run.iter_rows(output, summary)

    # The rows are read three times: kept in memory, a million of them would not fit.
    detections = gather_detections(rows(), run, rule)
    at = find_repeat_locations(detections, iou=options.iou, min_frames=options.min_frames)
    locations = describe_locations(detections, at)
    names = _image_names(rows(), {number for item in locations for number in (item.first, item.last)})
    # Generators: each file is written as its rows are read.
    contents = {
        REPEAT_FLAGS: (flags.to_line() for flags in flag_images(rows(), detections, at)),
        REPEAT_TABLE: _table(locations, run, names),
    }
    # The order matters: the files first, then the summary that lists them with their digests.
    entries = [{**entry, "sha256": write_derived(output, entry["name"], contents[entry["name"]])} for entry in planned]
    commit_summary(output, finished_run.add_exports(summary, entries))
    _logger.info("%s", describe_deployments(set(detections.deployments)))
    repeated = int(np.count_nonzero(at != NOT_REPEATED))
    _logger.info("repeated: %d of %d detections, at %d locations", repeated, len(at), len(locations))
    _logger.info("locations: %s", files.join(output, REPEAT_TABLE))


def gather_detections(
    rows: Iterable[PredictionRow], run: ScoringRun, rule: DeploymentRule = BY_NAME
) -> DeploymentDetections:
    """Return the detections that count as arrays, by segments of deployments that the rule finds."""
    segments: dict[tuple[str, bool, int], int] = {}
    images: Counter[tuple[str, bool]] = Counter()
    frames: Counter[int] = Counter()
    integers, reals = array("i"), array("f")
    for number, row in enumerate(rows):
        if row.status != OK:
            continue
        width, height = row.width or 1, row.height or 1
        # A camera that is turned on its side shows other places.
        view = (rule.deployment_of(row.image), height > width)
        segment = segments.setdefault((*view, images[view] // FRAMES_PER_SEGMENT), len(segments))
        images[view] += 1
        frames[segment] += 1
        for index, item in enumerate(row.detections):
            # Only what counts: weak detections would make locations of the background, where animals pass.
            if reaches(item, run.thresholds):
                integers.extend((number, index, segment, item.label_id, width, height))
                reals.extend((*item.box, item.score))
    # Flat arrays grow without an object per detection; they become [n, 6] and [n, 5] only here.
    table = np.array(integers, np.int32).reshape(-1, 6)
    row_numbers, indexes, of_segment, labels = table[:, :4].T
    return DeploymentDetections(
        rows=row_numbers,
        indexes=indexes,
        segments=of_segment,
        labels=labels,
        sizes=table[:, 4:],
        values=np.array(reals, np.float32).reshape(-1, 5),
        deployments=[deployment for deployment, _, _ in segments],
        frames=[frames[segment] for segment in range(len(segments))],
    )


def find_repeat_locations(detections: DeploymentDetections, *, iou: float, min_frames: int) -> Int32Array:
    """Return the location of each detection [n], or NOT_REPEATED; locations are numbered over all deployments."""
    # Locations of a segment are numbered from 0; `count` shifts them, so that each number is one location of the run.
    at = np.full(len(detections.rows), NOT_REPEATED, np.int32)
    # Stable, so that the detections of a segment stay in the order of their frames.
    order = np.argsort(detections.segments, kind="stable")
    ends = np.flatnonzero(np.diff(detections.segments[order])) + 1
    count = 0
    for of_segment in np.split(order, ends):
        # Each segment is searched alone: locations of two deployments have nothing in common.
        boxes = detections.fractions(of_segment)
        found = find_repeats(
            detections.rows[of_segment], detections.labels[of_segment], boxes, iou=iou, min_frames=min_frames
        )
        at[of_segment] = np.where(found == NOT_REPEATED, NOT_REPEATED, found + count)
        count += int(found.max(initial=NOT_REPEATED)) + 1
    return at


def describe_locations(detections: DeploymentDetections, at: Int32Array) -> list[RepeatLocation]:
    """Return every location, by its number."""
    order = np.argsort(at, kind="stable")
    order = order[at[order] != NOT_REPEATED]
    if not len(order):
        return []
    groups = np.split(order, np.flatnonzero(np.diff(at[order])) + 1)
    return [_describe_location(detections, members) for members in groups]


def _describe_location(detections: DeploymentDetections, members: npt.NDArray[np.intp]) -> RepeatLocation:
    # All members have one segment and one class: `find_repeats` never joins others.
    segment, rows = int(detections.segments[members[0]]), detections.rows[members]
    box = detections.fractions(members).mean(axis=0) * np.tile(detections.sizes[members[0]], 2)
    return RepeatLocation(
        deployment=detections.deployments[segment],
        label_id=int(detections.labels[members[0]]),
        frames=len(np.unique(rows)),
        of_frames=detections.frames[segment],
        detections=len(members),
        first=int(rows[0]),
        last=int(rows[-1]),
        box=tuple(box.tolist()),
        score=float(detections.values[members, 4].mean(dtype=np.float64)),
    )


def flag_images(
    rows: Iterable[PredictionRow], detections: DeploymentDetections, at: Int32Array
) -> Iterator[RepeatFlags]:
    """Yield the flags of every image that has a repeated detection, in the order of the rows."""
    repeated = np.flatnonzero(at != NOT_REPEATED).tolist()
    # Row numbers rise, so each group is complete when the next begins.
    by_row = itertools.groupby(repeated, key=lambda index: int(detections.rows[index]))
    flagged_row, members = next(by_row, (None, iter(())))
    for number, row in enumerate(rows):
        if number == flagged_row:
            locations: list[int | None] = [None] * len(row.detections)
            for member in members:
                locations[detections.indexes[member]] = int(at[member])
            yield RepeatFlags(image=row.image, locations=tuple(locations))
            flagged_row, members = next(by_row, (None, iter(())))


def _image_names(rows: Iterable[PredictionRow], numbers: Set[int]) -> dict[int, str]:
    return {number: row.image for number, row in enumerate(rows) if number in numbers}


def _table(locations: Iterable[RepeatLocation], run: ScoringRun, names: Mapping[int, str]) -> Iterator[bytes]:
    yield csv_line(TABLE_COLUMNS)
    for number, item in enumerate(locations):
        counts = (item.frames, item.of_frames, item.detections)
        box = (round(edge, 2) for edge in item.box)
        head = (number, item.deployment, run.classes[item.label_id], *counts)
        scores = (round(item.score, 4), run.thresholds[item.label_id])
        yield csv_line((*head, names[item.first], names[item.last], *box, *scores))
