"""Images for the evaluation page: those with the most errors, and good ones, with boxes coloured by result."""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

from retinanet_odm.evaluation.analysis import Analysis
from retinanet_odm.evaluation.matching import Floats, Ints
from retinanet_odm.imaging.drawing import DrawnBox, to_ascii

# Headings of the page.
MOST_ERRORS = "Images with the most errors"
NO_ERRORS = "Images without errors"

_MAX_WORST = 9
_MAX_GOOD = 3


class _Colour(IntEnum):
    """Label ids with these colours in imaging.drawing.PALETTE: a box's colour shows its result, its tag the class."""

    MISSED = 1  # yellow
    RIGHT = 2  # light blue
    FALSE = 6  # red


def choose_images(analysis: Analysis) -> dict[str, Ints]:
    """Return rows of images by heading: those with the most errors, then of those without errors the fullest ones."""
    objects, missed, false = _counts_per_image(analysis)
    errors = missed + false
    # Stable sorts: equal images stay in the order of their ids, so the page does not change between runs.
    worst, fullest = np.argsort(-errors, kind="stable"), np.argsort(-objects, kind="stable")
    return {
        MOST_ERRORS: worst[errors[worst] > 0][:_MAX_WORST],
        NO_ERRORS: fullest[(errors[fullest] == 0) & (objects[fullest] > 0)][:_MAX_GOOD],
    }


def _counts_per_image(analysis: Analysis) -> tuple[Ints, Ints, Ints]:
    """Return the numbers of objects, missed objects and false positives, int [I] each."""
    truth, detections = analysis.split.truth, analysis.split.detections
    parts = (truth.image[~truth.is_crowd], truth.image[analysis.is_missed], detections.image[analysis.is_false])
    objects, missed, false = (np.bincount(part, minlength=len(analysis.split.images)) for part in parts)
    return objects, missed, false


def image_caption(analysis: Analysis, row: int) -> str:
    """Return the name of an image and its numbers of errors."""
    objects, missed, false = (counts[row] for counts in _counts_per_image(analysis))
    return f"{analysis.split.images[row]}: {missed} of {objects} missed, {false} false"


def result_boxes(analysis: Analysis, row: int) -> Iterator[DrawnBox]:
    """Yield the missed objects and the kept detections of an image, as boxes to draw."""
    split, detections = analysis.split, analysis.split.detections
    # Missed objects first: detections are drawn over them.
    for item in np.flatnonzero(analysis.is_missed & (split.truth.image == row)):
        yield _drawn(split.truth.box[item], "missed", _name(analysis, split.truth.label[item]), _Colour.MISSED)
    for item in np.flatnonzero(analysis.kept & (detections.image == row)):
        name, score = _name(analysis, detections.label[item]), float(detections.score[item])
        if analysis.is_false[item]:
            yield _drawn(detections.box[item], "false", name, _Colour.FALSE, score)
        else:
            yield _drawn(detections.box[item], "", name, _Colour.RIGHT, score)


def _name(analysis: Analysis, label: int) -> str:
    return to_ascii(analysis.split.classes[label], otherwise=f"class {analysis.split.class_ids[label]}")


def _drawn(box: Floats, word: str, name: str, colour: _Colour, score: float | None = None) -> DrawnBox:
    x, y, width, height = (float(value) for value in box)
    edges = (y, x, y + height, x + width)
    return DrawnBox(box=edges, label=f"{word} {name}".strip(), label_id=colour, score=score)
