"""Which labels are probably wrong: missing boxes, wrong classes and badly located boxes, by detections.

The detections must be of models that have not been trained on the labels of the images: a model repeats the errors that
it has learned. Begin with `find_label_errors`. The kinds are those of ObjectLab (Tkachenko, Thyagarajan & Mueller 2023,
"ObjectLab: automated diagnosis of mislabeled images in object detection data", arXiv 2309.00832): overlooked, swapped,
badly located. ObjectLab's scores are products of similarities with fixed constants; here each is a probability
(`agreement`), so that kinds can be ranked together.

What is unknown is never called missing: detections in ignored regions, on crowds, and of classes that are not
exhaustive in their image are left out. Letters of shapes: N objects, D detections.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from retinanet_odm import boxes as box_ops
from retinanet_odm.evaluation.agreement import hidden_positive, outlying
from retinanet_odm.evaluation.matching import (
    Bools,
    DetectionArrays,
    Floats,
    Ints,
    ScoredSplit,
    match_detections,
    overlapping_pairs,
)

SAME_IOU = 0.5  # two boxes show one object
MIN_LOOSE_IOU = 0.3  # of a box that may be meant for an object, but lies badly
MAX_LOOSE_IOU = 0.75  # boxes that overlap more are located well enough for whatever purpose
_MIN_OF_CLASS = 50  # detections of a class that is calibrated by itself; fewer are calibrated with all others
_PER_LEVEL = 100  # detections of about equal score whose boxes are compared


class LabelErrorKind(StrEnum):
    """What is wrong with the labels at a place."""

    MISSING = "missing"
    WRONG_CLASS = "class"
    LOOSE = "loose"


@dataclass(frozen=True, kw_only=True)
class DoubtfulLabel:
    """A place at which labels are probably wrong.

    Attributes:
      kind: what is wrong.
      probability: that it is.
      image: row of the image.
      detection: row of the detection that shows what is right.
      item: row of the object with the wrong label; -1 where a box is missing.
      iou: of both boxes; 0 where a box is missing.
    """

    kind: LabelErrorKind
    probability: float
    image: int
    detection: int
    item: int
    iou: float


def find_label_errors(split: ScoredSplit, *, min_probability: float = 0.0) -> list[DoubtfulLabel]:
    """Return the probable errors, the most probable first; of equally probable ones in the order of images.

    Args:
      split: labels, and detections by models that have not seen them.
      min_probability: of an error that is returned.
    """
    places = _find_places(split)
    # One row for each kind: a place is one error at most, the most probable.
    probability = np.stack([_missing(places), _swapped(places), _loose(places)])
    best = probability.max(axis=0, initial=0.0)
    found = np.flatnonzero((best > 0) & (best >= min_probability))
    return [
        DoubtfulLabel(
            kind=tuple(LabelErrorKind)[probability[:, row].argmax()],
            probability=float(best[row]),
            image=int(split.detections.image[places.detection[row]]),
            detection=int(places.detection[row]),
            item=int(places.item[row]),
            iou=float(places.iou[row]),
        )
        for row in found[np.argsort(-best[found], kind="stable")].tolist()
    ]


# --- Places: the best detection of each, and the object there ---


@dataclass(frozen=True, kw_only=True)
class _Places:
    """P places at which a model has found something, image by image.

    Attributes:
      detection: int [P], row of the detection with the highest score there, whatever its class.
      label: int [P], its class.
      score: float [P].
      rival: float [P], the highest score of another class there; 0 if there is none.
      item: int [P], row of the object there; -1 if there is none.
      item_label: int [P], class of the object; -1 if there is none.
      iou: float [P], of detection and object; 0 if there is none.
    """

    detection: Ints
    label: Ints
    score: Floats
    rival: Floats
    item: Ints
    item_label: Ints
    iou: Floats


def _find_places(split: ScoredSplit) -> _Places:
    """Match the best detection of each place with an object of any class; without those that are ignored."""
    best, rival = _best_detections(split.detections)
    pairs = overlapping_pairs(split, min_iou=MIN_LOOSE_IOU)
    pairs = pairs.where(best[pairs.detection])
    # Two passes, because a detection must not take the object of its neighbour, which overlaps that object more.
    first = match_detections(split, pairs, iou=SAME_IOU)
    taken = np.zeros(len(split.truth.label), bool)
    taken[first.object_row[first.is_hit]] = True
    left = pairs.where((first.object_row[pairs.detection] < 0) & ~taken[pairs.truth])
    second = match_detections(split, left, iou=MIN_LOOSE_IOU)
    item = np.where(first.object_row >= 0, first.object_row, second.object_row)
    iou = np.zeros(len(item))
    is_match = item[pairs.detection] == pairs.truth
    iou[pairs.detection[is_match]] = pairs.iou[is_match]
    rows = np.flatnonzero(best & ~first.is_ignored & ~second.is_ignored)
    # The appended -1 is selected by -1, the row of a place without an object.
    labels = np.append(split.truth.label, -1)
    return _Places(
        detection=rows,
        label=split.detections.label[rows],
        score=split.detections.score[rows],
        rival=rival[rows],
        item=item[rows],
        item_label=labels[item[rows]],
        iou=iou[rows],
    )


def _best_detections(detections: DetectionArrays) -> tuple[Bools, Floats]:
    """Return bool [D], the detections that no better one overlaps, and float [D], the best score of another class."""
    is_best, rival = np.zeros(len(detections.score), bool), np.zeros(len(detections.score))
    corners = np.concatenate([detections.box[:, :2], detections.box[:, :2] + detections.box[:, 2:]], axis=1)
    edges = np.flatnonzero(np.diff(detections.image)) + 1
    for rows in np.split(np.arange(len(detections.image)), edges):
        is_same = box_ops.iou(box_ops.as_boxes(corners[rows]), box_ops.as_boxes(corners[rows])) >= SAME_IOU
        is_free = np.ones(len(rows), bool)
        for number, row in enumerate(rows.tolist()):  # in order of falling score
            if is_free[number]:
                is_best[row] = True
                others = is_same[number] & is_free & (detections.label[rows] != detections.label[row])
                rival[row] = detections.score[rows[others]].max(initial=0.0)
                is_free &= ~is_same[number]
    return is_best, rival


# --- The probability of each kind of error, float [P] ---


def _missing(places: _Places) -> Floats:
    return _by_class(
        places,
        np.ones(len(places.item), bool),
        lambda rows: hidden_positive(places.score[rows], places.item[rows] >= 0),
    )


def _swapped(places: _Places) -> Floats:
    agrees = places.item_label == places.label
    return _by_class(
        places, places.iou >= SAME_IOU, lambda rows: hidden_positive((places.score - places.rival)[rows], agrees[rows])
    )


def _loose(places: _Places) -> Floats:
    is_same = places.item_label == places.label
    found = _by_class(places, is_same, lambda rows: outlying(_distances(places.score[rows], places.iou[rows])))
    return np.where(places.iou < MAX_LOOSE_IOU, found, 0.0)


def _distances(score: Floats, iou: Floats) -> Floats:
    """Return 1 - IoU relative to the median of detections with about the same score, which are located as well."""
    distance = np.maximum(1 - iou, 1e-3)
    levels = np.array_split(np.argsort(score, kind="stable"), max(len(score) // _PER_LEVEL, 1))
    for rows in levels:
        if len(rows):
            distance[rows] /= np.median(distance[rows])
    return distance


def _by_class(places: _Places, chosen: Bools, calibrate: Callable[[Ints], Floats]) -> Floats:
    """Calibrate the chosen places of each class by themselves, and those of rare classes all together."""
    probability = np.zeros(len(places.label))
    classes, counts = np.unique(places.label[chosen], return_counts=True)
    is_rare = counts < _MIN_OF_CLASS
    for members in (*classes[~is_rare, None], classes[is_rare]):
        rows = np.flatnonzero(chosen & np.isin(places.label, members))
        probability[rows] = calibrate(rows)
    return probability
