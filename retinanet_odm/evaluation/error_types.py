"""Error analysis: error types, the AP gain from fixing each type, and the confusion matrix.

The types and IoU bounds are those of TIDE (Bolya et al. 2020, arXiv:2008.08115). In TIDE a detection can be of two
types, and the order of its tests decides; here the object that the detection overlaps most decides.

Begin with `find_error_types`. Shapes as in `matching`.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from retinanet_odm.evaluation.average_precision import average_precisions, mean_without_nan, rank_classes
from retinanet_odm.evaluation.matching import (
    Bools,
    CandidatePairs,
    DetectionMatches,
    Floats,
    GroundTruth,
    Ints,
    ScoredSplit,
    match_detections,
)

HIT_IOU = 0.5  # TIDE, section 2.2, t_f: the minimum IoU of a true positive
NEAR_IOU = 0.1  # t_b: the minimum IoU of a detection that refers to an object


class ErrorKind(IntEnum):
    """Why a detection is a false positive."""

    NONE = 0  # it is right, or ignored
    LOCALISATION = 1  # right class, IoU too low
    CLASSIFICATION = 2  # on an object of another class
    BOTH = 3  # near an object of another class
    DUPLICATE = 4  # on an object that a detection with a higher score matches
    BACKGROUND = 5  # near no object


@dataclass(frozen=True, kw_only=True)
class ErrorTypes:
    """The error types of all detections, and the objects that they refer to.

    Attributes:
      kind: int [D], an ErrorKind.
      nearest: int [D], row of the object that a detection overlaps most; -1 if it overlaps none by NEAR_IOU or more.
    """

    kind: Ints
    nearest: Ints

    def localised_or_classified(self, kept: Bools, truth: GroundTruth) -> Bools:
        """Return bool [N]: the objects to which a kept detection refers, but with a wrong box or a wrong class."""
        refers = np.isin(self.kind, (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION)) & kept
        objects = np.zeros(len(truth.label), bool)
        # These kinds always have a nearest object, so no -1 is used as an index here.
        objects[self.nearest[refers]] = True
        return objects


def find_error_types(split: ScoredSplit, pairs: CandidatePairs, matches: DetectionMatches) -> ErrorTypes:
    """Return the error type of every detection.

    Args:
      split: the detections and objects.
      pairs: of all classes, with an IoU of NEAR_IOU or more.
      matches: within classes, at HIT_IOU.
    """
    nearest, overlap = _nearest(split, pairs)
    # The appended -1 is the class of no object: index -1 selects it.
    label = np.append(split.truth.label, -1)[nearest]
    is_same, is_on = label == split.detections.label, overlap >= HIT_IOU
    # The order matters: the first condition that holds decides.
    kind = np.select(
        [~matches.is_false, nearest < 0, is_on & is_same, is_on, is_same],
        [ErrorKind.NONE, ErrorKind.BACKGROUND, ErrorKind.DUPLICATE, ErrorKind.CLASSIFICATION, ErrorKind.LOCALISATION],
        ErrorKind.BOTH,
    )
    return ErrorTypes(kind=kind, nearest=nearest)


def _nearest(split: ScoredSplit, pairs: CandidatePairs) -> tuple[Ints, Floats]:
    """Return the object [D] that each detection overlaps most, -1 for none, and the IoU [D]."""
    objects = pairs.where(~split.truth.is_crowd[pairs.truth])
    detections, first = np.unique(objects.detection, return_index=True)  # its pairs are in order of falling IoU
    nearest, overlap = np.full(len(split.detections.label), -1), np.zeros(len(split.detections.label))
    nearest[detections], overlap[detections] = objects.truth[first], objects.iou[first]
    return nearest, overlap


def average_precision_50(split: ScoredSplit, matches: DetectionMatches) -> float | None:
    """Return AP50, the mean over the classes with objects that are not crowds; None if there are none."""
    sizes = {"images": len(split.images), "classes": len(split.classes)}
    rankings = rank_classes(split.truth, split.detections, [matches], **sizes)
    return mean_without_nan(average_precisions(rankings, np.ones(len(split.images))))


def fixed_average_precision(
    split: ScoredSplit, matches: DetectionMatches, errors: ErrorTypes, kind: ErrorKind
) -> float | None:
    """Return AP50 with all errors of one kind fixed.

    A wrong box or class is corrected if the object has no true positive yet; other errors are removed.
    """
    is_error = errors.kind == kind
    object_row, label = matches.object_row.copy(), split.detections.label.copy()
    if kind in (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION):
        # At most one detection per object can become a true positive; the others stay errors and are removed below.
        corrected = _first_at_free_objects(matches, errors, is_error)
        object_row[corrected] = errors.nearest[corrected]
        label[corrected] = split.truth.label[object_row[corrected]]
        is_error[corrected] = False
    fixed = DetectionMatches(object_row=object_row, is_ignored=matches.is_ignored | is_error)
    return average_precision_50(replace(split, detections=replace(split.detections, label=label)), fixed)


def _first_at_free_objects(matches: DetectionMatches, errors: ErrorTypes, is_error: Bools) -> Ints:
    """Return rows of the error with the highest score at each object that has no true positive."""
    is_free = ~np.isin(errors.nearest, matches.object_row[matches.is_hit])
    rows = np.flatnonzero(is_error & is_free)
    _, first = np.unique(errors.nearest[rows], return_index=True)  # an image's detections are in order of falling score
    return rows[first]


def average_precision_without_missed(split: ScoredSplit, matches: DetectionMatches, missed: Bools) -> float | None:
    """Return AP50 without the missed objects, bool [N]."""
    # Crowds are not counted as objects, so marking the missed objects as crowds removes them.
    without = replace(split.truth, is_crowd=split.truth.is_crowd | missed)
    return average_precision_50(replace(split, truth=without), matches)


def confusion_matrix(split: ScoredSplit, pairs: CandidatePairs, kept: Bools) -> Ints:
    """Return counts [K + 1, K + 1] by true class (row) and detected class (column); index K means no object.

    Detections match objects of any class. The row of a class sums to its objects; the last row holds the false
    positives, the last column the missed objects.
    """
    matches = match_detections(split, pairs.where(kept[pairs.detection]), iou=HIT_IOU)
    none = len(split.classes)
    hits, false = matches.is_hit, matches.is_false & kept
    missed = split.truth.label[~split.truth.is_crowd & ~matches.found_objects(split.truth, kept)]
    true = [split.truth.label[matches.object_row[hits]], np.full(np.count_nonzero(false), none), missed]
    detected = [split.detections.label[hits], split.detections.label[false], np.full(len(missed), none)]
    matrix = np.zeros((none + 1, none + 1), int)
    np.add.at(matrix, (np.concatenate(true), np.concatenate(detected)), 1)
    return matrix
