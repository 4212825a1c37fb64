"""Photographs for the report: the worst ones, and good ones beside them, with what was found, missed and mistaken."""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

from retinanet_odm.evaluation.analysis import Analysis
from retinanet_odm.evaluation.matching import Floats, Ints
from retinanet_odm.imaging.drawing import DrawnBox, to_ascii

WORST = "The worst photographs"
GOOD = "Photographs without a mistake"

_WORST = 9
_GOOD = 3


class _Colour(IntEnum):
    """Places in retinanet_odm.imaging.drawing.PALETTE: here a box's colour tells what became of it, and its tag the class."""

    MISSED = 1  # yellow
    RIGHT = 2  # light blue
    FALSE = 6  # red


def choose_images(analysis: Analysis) -> dict[str, Ints]:
    """Rows of images by heading: most mistakes first; without a mistake, most objects first."""
    objects, missed, false = _tallies(analysis)
    wrong = missed + false
    worst, best = np.argsort(-wrong, kind="stable"), np.argsort(-objects, kind="stable")
    return {
        WORST: worst[wrong[worst] > 0][:_WORST],
        GOOD: best[(wrong[best] == 0) & (objects[best] > 0)][:_GOOD],
    }


def _tallies(analysis: Analysis) -> tuple[Ints, Ints, Ints]:
    """Objects, missed ones and false detections of each image, int [I] each."""
    truth, found = analysis.split.truth, analysis.split.found
    parts = (truth.image[~truth.is_crowd], truth.image[analysis.is_missed], found.image[analysis.is_false])
    objects, missed, false = (np.bincount(part, minlength=len(analysis.split.images)) for part in parts)
    return objects, missed, false


def caption(analysis: Analysis, row: int) -> str:
    """What is right and wrong in an image."""
    objects, missed, false = (counts[row] for counts in _tallies(analysis))
    return f"{analysis.split.images[row]}: of {objects} {missed} missed; {false} false"


def drawn_boxes(analysis: Analysis, row: int) -> Iterator[DrawnBox]:
    """Each detection of an image that is kept, and each object that was missed."""
    split, found = analysis.split, analysis.split.found
    for item in np.flatnonzero(analysis.is_missed & (split.truth.image == row)):
        yield _drawn(split.truth.box[item], "missed", _name(analysis, split.truth.label[item]), _Colour.MISSED)
    for item in np.flatnonzero(analysis.kept & (found.image == row)):
        name, score = _name(analysis, found.label[item]), float(found.score[item])
        if analysis.is_false[item]:
            yield _drawn(found.box[item], "false", name, _Colour.FALSE, score)
        else:
            yield _drawn(found.box[item], "", name, _Colour.RIGHT, score)


def _name(analysis: Analysis, label: int) -> str:
    return to_ascii(analysis.split.classes[label], otherwise=f"class {analysis.split.class_ids[label]}")


def _drawn(box: Floats, word: str, name: str, colour: _Colour, score: float | None = None) -> DrawnBox:
    x, y, width, height = (float(value) for value in box)
    edges = (y, x, y + height, x + width)
    return DrawnBox(box=edges, label=f"{word} {name}".strip(), label_id=colour, score=score)
